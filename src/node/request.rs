//! What a client asks of a node, and what it is answered.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use super::change::{Change, Changed};
use crate::clock::VersionVector;
use crate::object::{Object, Version};
pub use crate::replication::{Durability, Strength};
use crate::store::StoreError;

/// How many replicas take part before a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consistency {
    /// Replicas that must have a write.
    pub write: Strength,
    /// Replicas that are asked by a read. `All` asks every reachable one, `Quorum` a
    /// majority; what they know is merged, and a replica that knew less is repaired.
    pub read: Strength,
    /// How safe a write must be at each of its replicas.
    pub durability: Durability,
}

impl Default for Consistency {
    /// Writes reach a quorum, reads ask this node alone.
    fn default() -> Self {
        Self {
            write: Strength::Quorum,
            read: Strength::One,
            durability: Durability::default(),
        }
    }
}

/// One operation on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The key's value.
    Get {
        /// The key.
        key: Bytes,
    },
    /// The key's value and when it ends.
    Lookup {
        /// The key.
        key: Bytes,
    },
    /// Whether the key has a value.
    Exists {
        /// The key.
        key: Bytes,
    },
    /// All values of the key, concurrent ones included, with their causal context.
    Inspect {
        /// The key.
        key: Bytes,
    },
    /// Give the key a value.
    Put {
        /// The key.
        key: Bytes,
        /// Its new value.
        value: Bytes,
        /// What the writer has seen: exactly that is replaced. Without one, everything that
        /// this node knows of.
        context: Option<Arc<VersionVector>>,
    },
    /// Delete the key's values.
    Delete {
        /// The key.
        key: Bytes,
        /// What the writer has seen: exactly that is deleted. Without one, everything that
        /// this node knows of.
        context: Option<Arc<VersionVector>>,
    },
    /// Change the key's value, depending on what it is here. It has taken effect on this node,
    /// or will not, when the submission returns; what is waited for is the other replicas.
    Update {
        /// The key.
        key: Bytes,
        /// What to do.
        change: Change,
    },
}

impl Request {
    /// The key that it is about.
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Get { key }
            | Self::Lookup { key }
            | Self::Exists { key }
            | Self::Inspect { key }
            | Self::Put { key, .. }
            | Self::Delete { key, .. }
            | Self::Update { key, .. } => key,
        }
    }

    /// Whether it may change something.
    pub fn is_write(&self) -> bool {
        matches!(
            self,
            Self::Put { .. } | Self::Delete { .. } | Self::Update { .. }
        )
    }
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To `Get`: the winner by last-write-wins, if the key has a value.
    Value(Option<Bytes>),
    /// To `Lookup`: the winner by last-write-wins, if the key has a value.
    Version(Option<Version>),
    /// To `Inspect`.
    Object(Object),
    /// To `Exists`.
    Exists(bool),
    /// To `Put`: stored at the strength asked for.
    Stored,
    /// To `Delete`: whether there was anything to delete.
    Deleted(bool),
    /// To `Update`.
    Changed(Changed),
    /// It was not done, or not at the strength asked for.
    Failed(RequestError),
}

/// Why a request was not done as asked, and what that leaves behind.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The key is longer than the limit. Nothing was changed.
    #[error("key of {length} bytes is too long: at most {limit}")]
    KeyTooLong {
        /// Its length in bytes.
        length: usize,
        /// The most that is accepted.
        limit: usize,
    },
    /// The value is longer than the limit. Nothing was changed.
    #[error("value of {length} bytes is too long: at most {limit}")]
    ValueTooLong {
        /// Its length in bytes.
        length: usize,
        /// The most that is accepted.
        limit: usize,
    },
    /// Fewer replicas than asked for had confirmed in time. The write stands where it
    /// arrived and spreads from there: it is not undone.
    #[error(
        "write is on {confirmed} of {needed} replicas after {waited:?}; it is not undone and still spreads"
    )]
    Unconfirmed {
        /// Replicas that have it for certain, this node included.
        confirmed: usize,
        /// Replicas that were asked for.
        needed: usize,
        /// How long was waited.
        waited: Duration,
    },
    /// Fewer replicas can be reached than must have the write, and the strength forbids to
    /// make do with less. Nothing was changed.
    #[error("only {reachable} of {replicas} replicas can be reached and {needed} are needed")]
    NoReplicas {
        /// Replicas that can be reached, this node included.
        reachable: usize,
        /// Replicas that there are, this node included.
        replicas: usize,
        /// Replicas that must have the write.
        needed: usize,
    },
    /// Fewer replicas than asked for had answered a read in time.
    #[error("only {answered} of {needed} replicas answered the read after {waited:?}")]
    Unanswered {
        /// Replicas that answered, this node included.
        answered: usize,
        /// Replicas that were asked for.
        needed: usize,
        /// How long was waited.
        waited: Duration,
    },
    /// Too many requests wait for their replicas. Nothing was changed.
    #[error("too many requests wait for replicas: {limit} at most; try again later")]
    Busy {
        /// The most that may wait.
        limit: usize,
    },
    /// The node could not read it, and nothing was changed; or it could not keep it. Then it is
    /// not in effect, but may come to be when the node opens its disk again: like a write that
    /// timed out, it stands or not.
    #[error("storage failed: {0}")]
    Storage(String),
    /// The node's disk has failed or is full. Nothing was changed.
    #[error("writes are stopped: {0}")]
    WritesStopped(Arc<str>),
    /// The key's partition was damaged on this node and is being fetched from other members.
    /// Nothing was changed.
    #[error(
        "partition {0} was damaged on this node and is being fetched from other members; try again later, or another node"
    )]
    Rebuilding(u16),
    /// The node stopped while it waited for replicas. A write stands on it, and on those that
    /// its push reached.
    #[error("node stopped before enough replicas answered; a write is not undone")]
    Interrupted,
    /// The node is stopping. Nothing was changed.
    #[error("node is shutting down; use another node")]
    ShuttingDown,
}

impl From<&StoreError> for RequestError {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Rebuilding(id) => Self::Rebuilding(id.0),
            error => Self::Storage(error.to_string()),
        }
    }
}
