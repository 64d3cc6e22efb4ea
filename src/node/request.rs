//! What a client asks of a node, and what it is answered.

use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

/// One operation on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The key's value.
    Get {
        /// The key.
        key: Bytes,
    },
    /// Whether the key has a value.
    Exists {
        /// The key.
        key: Bytes,
    },
    /// Give the key a value; it replaces every value that this node knows of.
    Put {
        /// The key.
        key: Bytes,
        /// Its new value.
        value: Bytes,
    },
    /// Delete every value of the key that this node knows of.
    Delete {
        /// The key.
        key: Bytes,
    },
}

impl Request {
    /// The key that it is about.
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Get { key }
            | Self::Exists { key }
            | Self::Put { key, .. }
            | Self::Delete { key } => key,
        }
    }
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To `Get`: the winner by last-write-wins, if the key has a value.
    Value(Option<Bytes>),
    /// To `Exists`.
    Exists(bool),
    /// To `Put`: stored at the strength asked for.
    Stored,
    /// To `Delete`: whether there was anything to delete.
    Deleted(bool),
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
    /// Too many writes wait for their replicas. Nothing was changed.
    #[error("too many writes wait for replicas: {limit} at most; try again later")]
    Busy {
        /// The most that may wait.
        limit: usize,
    },
    /// The node could not keep it. Nothing was changed.
    #[error("storage failed: {0}")]
    Storage(String),
    /// The node is stopping. Nothing was changed.
    #[error("node is shutting down; use another node")]
    ShuttingDown,
}
