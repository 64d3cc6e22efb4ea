//! Why a client's request was not done as asked.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::clock::Dot;
use crate::store::{NoRoom, StoreError};

/// Why a request was not done as asked, and what that leaves behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
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
    /// The name of an element is too long with that of its key. Nothing was changed.
    #[error(
        "key and element of {length} bytes together are too long: at most {limit}, with what \
         stands between them"
    )]
    ElementTooLong {
        /// Their length in bytes, and what stands between them.
        length: usize,
        /// The most that is accepted.
        limit: usize,
    },
    /// More elements than one request may name. Nothing was changed.
    #[error("{count} elements are too many for one step: at most {limit}")]
    TooManyElements {
        /// How many.
        count: usize,
        /// The most that is accepted.
        limit: usize,
    },
    /// The key holds something else. Nothing was changed.
    #[error("Operation against a key holding the wrong kind of value")]
    WrongType,
    /// What the key holds is too much to be deleted in one step: it must be
    /// [cleared](super::Request::Clear) first. Nothing was changed.
    #[error("key holds more than {0} elements, which must be deleted in steps")]
    InSteps(usize),
    /// The key's value is no integer of 64 bits. Nothing was changed.
    #[error("value is not an integer or out of range")]
    NotAnInteger,
    /// The key's value is no number. Nothing was changed.
    #[error("value is not a valid float")]
    NotAFloat,
    /// The field's value is no integer of 64 bits. Nothing was changed.
    #[error("hash value is not an integer")]
    FieldNotAnInteger,
    /// The field's value is no number. Nothing was changed.
    #[error("hash value is not a float")]
    FieldNotAFloat,
    /// The sum would be no integer of 64 bits. Nothing was changed.
    #[error("increment or decrement would overflow")]
    Overflow,
    /// The sum would be out of the range of [`Amount`](crate::object::Amount). Nothing was
    /// changed.
    #[error("increment would produce NaN or Infinity")]
    Infinite,
    /// The key cannot be written so, whatever the disk does. Nothing was changed.
    #[error("{0}")]
    Refused(String),
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
        /// The write.
        dot: Option<Dot>,
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
    /// Data that is in memory only takes as much as it may. Nothing was changed.
    #[error(
        "command not allowed when used memory > 'maxmemory': data takes {bytes} of {bytes_max} \
         bytes; delete something, or start the node with a larger --memory-budget"
    )]
    OutOfMemory {
        /// What it takes, in bytes.
        bytes: u64,
        /// What it may take.
        bytes_max: u64,
    },
    /// The key's partition is not whole on this node, and no other owner serves it: it was
    /// damaged or lost, and is being fetched from other members. Nothing was changed.
    #[error(
        "partition {0} is not whole on this node and is being fetched from other members; try again later, or another node"
    )]
    Rebuilding(u16),
    /// This node has not joined a cluster yet, and found none. Nothing was changed.
    #[error("node has not joined its cluster yet; try again in a moment")]
    NotJoined,
    /// None of the key's owners can be reached. Nothing was changed.
    #[error(
        "none of the {owners} owners of partition {partition} can be reached and serves it now; \
         try again later, or another node"
    )]
    NoOwner {
        /// The key's partition.
        partition: u16,
        /// How many owners there are.
        owners: usize,
    },
    /// An owner of the key was asked and did not answer. A write was done or not.
    #[error("the key's owner did not answer within {waited:?}; a write was done or not")]
    OwnerSilent {
        /// How long was waited.
        waited: Duration,
    },
    /// What was asked for is said of disks, and the node keeps its data in memory.
    #[error("the node keeps its data in memory only: start it without --memory")]
    InMemory,
    /// The node stopped while it waited for replicas. A write stands on it, and on those that
    /// its push reached.
    #[error("node stopped before enough replicas answered; a write is not undone")]
    Interrupted,
    /// The node is stopping. Nothing was changed.
    #[error("node is shutting down; use another node")]
    ShuttingDown,
}

impl From<NoRoom> for RequestError {
    fn from(NoRoom { bytes, bytes_max }: NoRoom) -> Self {
        Self::OutOfMemory { bytes, bytes_max }
    }
}

impl From<StoreError> for RequestError {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}

impl From<&StoreError> for RequestError {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Rebuilding(id) => Self::Rebuilding(id.0),
            StoreError::TooManySiblings(_)
            | StoreError::RowTooLarge(_)
            | StoreError::TooManySums
            | StoreError::NoNumber
            | StoreError::ForeignContext => Self::Refused(error.to_string()),
            error => Self::Storage(error.to_string()),
        }
    }
}
