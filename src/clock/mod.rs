//! Causality: actors, dots, version vectors, the partition clock with gaps, the hybrid clock.

mod id;

pub use id::{ActorId, Dot, NodeId};
