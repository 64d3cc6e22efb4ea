//! What a client asks of a node: see `replication`, where nodes ask each other the same.

pub use crate::replication::{Consistency, Durability, Reply, Request, RequestError, Strength};
