//! netdb: one leaderless, gossip-clustered, eventually consistent key-value store.
//!
//! Every node accepts every read and every write. Membership is SWIM, node facts travel by
//! Scuttlebutt, entries carry dotted causality and are pushed to their replicas at once and
//! reconciled by gossiped digests and deltas.
//!
//! The crate is built in rooms whose arrows point down only:
//! `main → server, repl → runtime → node → wire → replication, membership, backup → store,
//! placement → object → clock → machine`. The rooms up to and including `node` are pure:
//! no I/O, no clock reads, no entropy. `tests/architecture.rs` holds both rules.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod backup;
pub mod client;
pub mod clock;
pub mod config;
pub mod machine;
pub mod membership;
pub mod node;
pub mod object;
pub mod placement;
pub mod repl;
pub mod replication;
pub mod resp;
pub mod runtime;
pub mod server;
pub mod store;
pub mod wire;

pub use config::Config;
pub use node::request::RequestError;
pub use runtime::{Handle, StartError, start};
