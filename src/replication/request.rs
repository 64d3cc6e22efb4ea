//! What a client asks of a node, and what it is answered.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::change::{Change, Changed};
use super::{Durability, Strength};
use crate::clock::{Dot, VersionVector};
use crate::object::{Object, Version};
use crate::placement::{Keyspace, PartitionId};
use crate::store::StoreError;

/// About how many bytes of keys one [`Reply::Keys`] has at most: a quarter of what fits a
/// message.
pub const KEYS_BYTES_MAX: usize = 1024 * 1024;

/// How many replicas take part before a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// How many keys of a partition have a value.
    Count {
        /// The partition.
        partition: PartitionId,
    },
    /// Keys of a partition that have a value, in the order of their hashes.
    Scan {
        /// The partition.
        partition: PartitionId,
        /// The first hash.
        from: u64,
        /// About how many.
        count: usize,
    },
    /// Keys of a partition that have a value and begin with a prefix, in ascending order.
    Names {
        /// The partition.
        partition: PartitionId,
        /// The prefix.
        prefix: Bytes,
        /// The key after which they begin.
        after: Option<Bytes>,
        /// How many at most.
        count: usize,
    },
    /// Change the key's value, depending on what it is. Where this is done it has taken effect,
    /// or will not, when the submission returns; what is waited for is the other replicas. One
    /// that [is decided](Request::is_decided) may be done elsewhere.
    Update {
        /// The key.
        key: Bytes,
        /// What to do.
        change: Change,
    },
}

impl Request {
    /// The partition that it is about.
    pub fn partition(&self, keyspace: &Keyspace) -> PartitionId {
        match self.key() {
            Some(key) => keyspace.partition_of(key),
            None => match self {
                Self::Count { partition }
                | Self::Scan { partition, .. }
                | Self::Names { partition, .. } => *partition,
                _ => PartitionId::default(),
            },
        }
    }

    /// The key that it is about, if it is about one.
    fn key(&self) -> Option<&Bytes> {
        match self {
            Self::Count { .. } | Self::Scan { .. } | Self::Names { .. } => None,
            Self::Get { key }
            | Self::Lookup { key }
            | Self::Exists { key }
            | Self::Inspect { key }
            | Self::Put { key, .. }
            | Self::Delete { key, .. }
            | Self::Update { key, .. } => Some(key),
        }
    }

    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        let value = match self {
            Self::Put { value, .. } => value.len(),
            Self::Update { change, .. } => change.bytes(),
            Self::Names { prefix, after, .. } => {
                prefix.len() + after.as_ref().map_or(0, Bytes::len)
            }
            _ => 0,
        };
        self.key().map_or(0, Bytes::len).saturating_add(value)
    }

    /// Whether it is to be done by one owner of its key, the same for all who ask, as long as
    /// that one can be reached and does it.
    pub fn is_decided(&self) -> bool {
        matches!(self, Self::Update { change, .. } if change.is_decided())
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// To `Get`: the winner by last-write-wins, if the key has a value.
    Value(Option<Bytes>),
    /// To `Lookup`: the winner by last-write-wins, if the key has a value.
    Version(Option<Version>),
    /// To `Inspect`.
    Object(Object),
    /// To `Exists`.
    Exists(bool),
    /// To `Put`: stored at the strength asked for, by this write.
    Stored(Dot),
    /// To `Delete`: the write that deleted, if there was anything to delete.
    Deleted(Option<Dot>),
    /// To `Update`.
    Changed(Changed),
    /// To `Count`.
    Count(u64),
    /// To `Scan` and `Names`.
    Keys {
        /// Some keys, at most about [`KEYS_BYTES_MAX`] bytes.
        keys: Vec<Bytes>,
        /// Where the next ones begin, for a `Scan` a hash, for `Names` just something; none
        /// if there are no more.
        next: Option<u64>,
    },
    /// It was not done, or not at the strength asked for.
    Failed(RequestError),
}

impl Reply {
    /// The write that it confirms, if it is one.
    pub fn dot(&self) -> Option<Dot> {
        match self {
            Self::Stored(dot) => Some(*dot),
            Self::Deleted(dot) => *dot,
            Self::Changed(changed) => changed.dot,
            _ => None,
        }
    }

    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Value(value) => value.as_ref().map_or(0, Bytes::len),
            Self::Version(version) => version.as_ref().map_or(0, |v| v.value.len()),
            Self::Object(object) => object.versions.value_bytes(),
            Self::Changed(changed) => changed.before.as_ref().map_or(0, Bytes::len),
            Self::Keys { keys, .. } => keys.iter().map(Bytes::len).sum(),
            Self::Exists(_)
            | Self::Stored(_)
            | Self::Deleted(_)
            | Self::Count(_)
            | Self::Failed(_) => 0,
        }
    }
}

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
    /// The key's value is no integer of 64 bits. Nothing was changed.
    #[error("value is not an integer or out of range")]
    NotAnInteger,
    /// The key's value is no number. Nothing was changed.
    #[error("value is not a valid float")]
    NotAFloat,
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
            StoreError::TooManySiblings(_)
            | StoreError::RowTooLarge(_)
            | StoreError::TooManySums
            | StoreError::NoNumber
            | StoreError::ForeignContext => Self::Refused(error.to_string()),
            error => Self::Storage(error.to_string()),
        }
    }
}
