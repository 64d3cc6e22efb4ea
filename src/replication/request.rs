//! What a client asks of a node, and what it is answered.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::change::{Change, Changed};
use super::elements::{Alter, Altered, Ask, Held};
use super::refusal::RequestError;
use super::{Durability, Strength};
use crate::clock::{Clock, Dot, VersionVector};
use crate::object::{Kind, Object, Version};
use crate::placement::{Keyspace, PartitionId};

/// About how many bytes of keys one [`Reply::Keys`] has at most: a quarter of what fits a
/// message.
pub const KEYS_BYTES_MAX: usize = 1024 * 1024;

/// About how many bytes an entry of a clock takes.
const ENTRY_BYTES: usize = 32;

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
    /// The key's value, if it holds one and nothing else.
    Find {
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
    /// The clock of the copy that is asked.
    Progress {
        /// The partition.
        partition: PartitionId,
        /// Whether what it says must be on the disk.
        on_disk: bool,
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
    /// What the key holds, and when that ends.
    Describe {
        /// The key.
        key: Bytes,
    },
    /// A number that is another one when what the key holds has been written, or has ended.
    Fingerprint {
        /// The key.
        key: Bytes,
    },
    /// Something about the elements of a key.
    Ask {
        /// The key.
        key: Bytes,
        /// Of which kind they are: of another it is refused.
        kind: Kind,
        /// What.
        ask: Ask,
    },
    /// Change the elements of a key, as [`Request::Update`] does a value.
    Alter {
        /// The key.
        key: Bytes,
        /// Of which kind they are: of another it is refused.
        kind: Kind,
        /// What to do.
        alter: Alter,
    },
    /// Delete some elements of a key that has more than go in one step, whether they are gone
    /// already or not.
    Clear {
        /// The key.
        key: Bytes,
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
                | Self::Names { partition, .. }
                | Self::Progress { partition, .. } => *partition,
                _ => PartitionId::default(),
            },
        }
    }

    /// The key that it is about, if it is about one.
    pub fn key(&self) -> Option<&Bytes> {
        match self {
            Self::Count { .. } | Self::Scan { .. } | Self::Names { .. } | Self::Progress { .. } => {
                None
            }
            Self::Get { key }
            | Self::Find { key }
            | Self::Lookup { key }
            | Self::Exists { key }
            | Self::Inspect { key }
            | Self::Put { key, .. }
            | Self::Delete { key, .. }
            | Self::Update { key, .. }
            | Self::Describe { key }
            | Self::Fingerprint { key }
            | Self::Ask { key, .. }
            | Self::Alter { key, .. }
            | Self::Clear { key } => Some(key),
        }
    }

    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        let value = match self {
            Self::Put { value, .. } => value.len(),
            Self::Update { change, .. } => change.bytes(),
            Self::Ask { ask, .. } => ask.bytes(),
            Self::Alter { alter, .. } => alter.bytes(),
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
        match self {
            Self::Update { change, .. } => change.is_decided(),
            Self::Alter { alter, .. } => alter.is_decided(),
            _ => false,
        }
    }

    /// What deletes some elements of its key first, where that takes
    /// [several steps](RequestError::InSteps).
    pub fn clearing(&self) -> Self {
        let key = self.key().cloned().unwrap_or_default();
        Self::Clear { key }
    }

    /// Whether elements may have to go for it.
    pub fn may_clear(&self) -> bool {
        match self {
            Self::Put { .. } | Self::Delete { .. } | Self::Update { .. } => true,
            Self::Alter { alter, .. } => alter.replaces(),
            _ => false,
        }
    }

    /// Whether it may add to what is kept.
    pub fn adds(&self) -> bool {
        match self {
            Self::Put { .. } => true,
            Self::Update { change, .. } => change.adds(),
            Self::Alter { alter, .. } => alter.adds(),
            _ => false,
        }
    }

    /// Whether it may change something.
    pub fn is_write(&self) -> bool {
        matches!(
            self,
            Self::Put { .. }
                | Self::Delete { .. }
                | Self::Update { .. }
                | Self::Alter { .. }
                | Self::Clear { .. }
        )
    }
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// To `Get` and `Find`: the winner by last-write-wins, if the key has a value.
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
    /// To `Describe`: what the key holds, if anything.
    Held(Option<Held>),
    /// To `Fingerprint` and [`Ask::Count`].
    Number(u64),
    /// To [`Ask::Values`], in the order of the question.
    Values(Vec<Option<Bytes>>),
    /// To [`Ask::Page`] and [`Ask::Sample`].
    Elements {
        /// Some elements with what they show, at most about [`KEYS_BYTES_MAX`] bytes.
        elements: Vec<(Bytes, Bytes)>,
        /// The hash to go on from; none if there are no more.
        next: Option<u64>,
    },
    /// To `Alter`.
    Altered(Altered),
    /// To `Clear`: whether there are more.
    Cleared(bool),
    /// To `Progress`: every write that the copy has.
    Progress(Clock),
    /// It was not done, or not at the strength asked for.
    Failed(RequestError),
}

impl Reply {
    /// The write that it speaks of, if it speaks of one: one that stands, at whatever strength.
    pub fn dot(&self) -> Option<Dot> {
        match self {
            Self::Stored(dot) => Some(*dot),
            Self::Deleted(dot) => *dot,
            Self::Changed(changed) => changed.dot,
            Self::Altered(altered) => altered.dot,
            Self::Failed(RequestError::Unconfirmed { dot, .. }) => *dot,
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
            Self::Values(values) => values.iter().flatten().map(Bytes::len).sum(),
            Self::Elements { elements, .. } => {
                elements.iter().map(|(e, v)| e.len() + v.len()).sum()
            }
            Self::Altered(altered) => altered.taken.iter().map(Bytes::len).sum(),
            Self::Progress(clock) => clock.entries().count().saturating_mul(ENTRY_BYTES),
            Self::Exists(_)
            | Self::Stored(_)
            | Self::Deleted(_)
            | Self::Count(_)
            | Self::Held(_)
            | Self::Number(_)
            | Self::Cleared(_)
            | Self::Failed(_) => 0,
        }
    }
}
