//! The knobs of the server.

use std::time::Duration;

use crate::resp::RequestLimits;

/// What clients may take of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Most connections at once; further ones are told so and closed. More cost memory
    /// and file descriptors, fewer turn clients away.
    pub clients_max: usize,
    /// Largest argument and largest command. A larger one ends its connection.
    pub request: RequestLimits,
    /// Most bytes of memory that requests and answers of all clients take together. Beyond it
    /// commands are refused. It should hold some of the largest commands.
    pub memory_bytes_max: usize,
    /// How long a client may leave its replies unread, or a long command unfinished, before it
    /// is dropped. Longer keeps slow clients, shorter frees their memory sooner.
    pub stall: Duration,
    /// How long a client that has subscribed to nothing may be silent before it is
    /// disconnected; zero is for ever. `CONFIG SET timeout` changes it.
    pub idle: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            clients_max: 10_000,
            request: RequestLimits::default(),
            memory_bytes_max: 1_000_000_000,
            stall: Duration::from_secs(30),
            idle: Duration::ZERO,
        }
    }
}
