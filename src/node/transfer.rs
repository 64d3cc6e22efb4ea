//! What clients ask of a node for backups, and what they are answered.
//!
//! Both run in steps that the client asks for one by one. A node remembers per client how far
//! it is, for a while: a client that falls silent is forgotten, and nothing is left behind.
//!
//! A node gives and takes only the partitions that it serves, and says who owns which. A client
//! that wants all of them does the same with as many nodes as it takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use crate::backup::Ranges;
use crate::clock::NodeId;
use crate::placement::PartitionId;
use crate::store::{Refusal, Restored};

/// One step of a backup or a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferRequest {
    /// Begin a backup; one of the same client that runs is given up.
    BeginBackup,
    /// Which partitions the node gives, and who else may.
    LayoutOfBackup,
    /// The next piece of a partition of the backup; the first one, if the last one asked for was
    /// of another partition.
    NextPiece {
        /// The partition.
        partition: u16,
    },
    /// Begin a restore; one of the same client that runs is given up.
    BeginRestore {
        /// Number of partitions of the cluster that was backed up.
        partitions: u16,
        /// Seed of its key hash.
        hash_seed: u64,
    },
    /// Which partitions the node takes, and who else may.
    LayoutOfRestore,
    /// Some rows of a partition, to be put aside.
    RestoreRows {
        /// The partition.
        partition: u16,
        /// The rows, as a backup has them.
        payload: Bytes,
    },
    /// The end of a partition: what was put aside takes effect.
    RestoreEnd {
        /// The partition.
        partition: u16,
        /// Counts and clock, as a backup has them.
        payload: Bytes,
    },
    /// How far what was restored has come.
    RestoreStatus,
}

impl TransferRequest {
    /// Whether it may change something, or begins what will.
    pub(super) fn is_change(&self) -> bool {
        match self {
            Self::BeginRestore { .. } | Self::RestoreRows { .. } | Self::RestoreEnd { .. } => true,
            Self::BeginBackup
            | Self::LayoutOfBackup
            | Self::NextPiece { .. }
            | Self::LayoutOfRestore
            | Self::RestoreStatus => false,
        }
    }
}

/// The answer to a [`TransferRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferReply {
    /// The backup has begun.
    Begun(Origin),
    /// The node still fetches what these members had when the backup began: ask again.
    CatchingUp(Vec<NodeId>),
    /// Who serves what.
    Layout(Layout),
    /// Some rows.
    Rows {
        /// Of this partition.
        partition: u16,
        /// The rows, as a backup has them.
        payload: Vec<u8>,
    },
    /// The end of a partition.
    End {
        /// The partition.
        partition: u16,
        /// Counts and clock, as a backup has them.
        payload: Vec<u8>,
        /// What only these members have of it is not there, because they could not be reached
        /// or did not answer when the backup began.
        unheard: Vec<NodeId>,
    },
    /// Ready for the next step.
    Ready,
    /// What became of a partition's versions.
    Restored(Restored),
    /// How far what was restored has come.
    Status {
        /// Whether all of it is on this node's disk.
        on_disk: bool,
        /// The replicas within reach that are not known to have all of their share of it.
        behind: Vec<NodeId>,
        /// The same of replicas that cannot be reached.
        away: Vec<NodeId>,
    },
}

/// Who serves which partitions, as one node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Those that this node gives or takes now.
    pub here: Ranges,
    /// Those that each member owns, this node included.
    pub owned: BTreeMap<NodeId, Ranges>,
}

/// What a backup says about where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Number of partitions.
    pub partitions: u16,
    /// Seed of the key hash.
    pub hash_seed: u64,
    /// When, in milliseconds since the Unix epoch.
    pub taken_ms: u64,
    /// How many keys this node held then.
    pub keys: u64,
}

/// Why a step was not done. Unless said otherwise nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TransferError {
    /// Too many run already, of other clients.
    #[error("{what} runs here already, at most {limit} at a time; try again later")]
    Busy {
        /// A backup or a restore.
        what: &'static str,
        /// The most that run at once.
        limit: usize,
    },
    /// None was begun, or it was forgotten.
    #[error("no {what} was begun on this connection, or it was silent for too long; begin again")]
    NotBegun {
        /// A backup or a restore.
        what: &'static str,
    },
    /// The backup is of a cluster that places keys otherwise.
    #[error(
        "{setting} is {ours} here and {theirs} in the backup, and must be the same: keys are \
         placed by it"
    )]
    Mismatch {
        /// The setting that differs.
        setting: &'static str,
        /// Its value here.
        ours: u64,
        /// Its value in the backup.
        theirs: u64,
    },
    /// What was agreed on about writers of the past may not have arrived here.
    #[error("node has not caught up with the other members yet; try again in a moment")]
    NotCaughtUp,
    /// A partition of which this node is no owner, or its copy is not whole.
    #[error("node does not serve partition {0} now; use another one that owns it")]
    NotServed(u16),
    /// A partition that there is not.
    #[error("there is no partition {0}")]
    NoPartition(u16),
    /// Pieces of a partition while those of another wait for their end.
    #[error("partition {waiting} has not ended, and partition {given} was sent")]
    OutOfTurn {
        /// What waits for its end.
        waiting: PartitionId,
        /// What was sent.
        given: u16,
    },
    /// The bytes are no piece of a backup.
    #[error("piece of partition {partition} is damaged: {reason}")]
    Malformed {
        /// The partition.
        partition: u16,
        /// What is wrong.
        reason: String,
    },
    /// The pieces cannot be what a replica had.
    #[error("partition {partition} of the backup is refused: {refusal}")]
    Refused {
        /// The partition.
        partition: u16,
        /// Why.
        refusal: Refusal,
    },
    /// One row is larger than a piece can be.
    #[error(
        "a key of partition {partition} has unresolved versions of {bytes} bytes in all, at most \
         {limit}: it is resolved within seconds, try again then"
    )]
    TooLarge {
        /// The partition.
        partition: u16,
        /// Bytes of the piece.
        bytes: usize,
        /// The most that a piece may have.
        limit: usize,
    },
    /// The node could not keep it.
    #[error("storage failed: {0}")]
    Storage(String),
    /// The node's disk has failed or is full.
    #[error("writes are stopped: {0}")]
    WritesStopped(Arc<str>),
    /// The node is stopping.
    #[error("node is shutting down; use another node")]
    ShuttingDown,
}
