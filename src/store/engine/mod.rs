//! The durable home of rows and clocks.
//!
//! One trait, three engines, one suite of tests: [`Memory`] keeps nothing, [`Simulated`]
//! keeps what a disk would and loses what a crash would, [`Fjall`] is the disk.
//!
//! Invariants that the partition builds on: a batch is kept whole or not at all (PROTOCOL
//! R13); batches of one partition are kept in order, a lost one takes all later ones with it;
//! what cannot be read is an error and never "absent" (R26), because an absent row is a
//! delete that would spread.

mod fjall;
mod memory;
mod simulated;

#[cfg(test)]
mod power_cut_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use bytes::Bytes;
use thiserror::Error;

pub use self::fjall::{Fjall, Mended};
pub use self::memory::Memory;
pub use self::simulated::Simulated;
use super::codec::CodecError;
use crate::clock::{ActorId, Clock, Entry, NodeId};
use crate::object::Row;
use crate::placement::PartitionId;

/// What changes in one partition, all at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The partition.
    pub partition: PartitionId,
    /// Rows by key, each key once; none removes the row.
    pub rows: Vec<(Bytes, Option<Row>)>,
    /// The entries of the clock that change, with their new values.
    pub entries: Vec<(ActorId, Entry)>,
    /// Dead actors that become frozen, or no longer are (PROTOCOL 3.9).
    pub frozen: Vec<(ActorId, bool)>,
    /// Nodes that are replicas of the partition from now on.
    pub peers: Vec<NodeId>,
}

/// What an engine holds of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// All rows, each key once, in no particular order.
    pub rows: Vec<(Bytes, Row)>,
    /// The clock.
    pub clock: Clock,
    /// The frozen actors.
    pub frozen: BTreeSet<ActorId>,
    /// The other nodes that ever were replicas, as far as is known.
    pub peers: BTreeSet<NodeId>,
}

/// Keeps the partitions of one node.
pub trait Engine: Send + Sync {
    /// All that was committed to `partition`.
    fn load(&self, partition: PartitionId) -> Result<Loaded, EngineError>;

    /// Keeps `batch` whole or not at all. When this returns it survives the end of the
    /// process, though not yet of the machine.
    fn commit(&self, batch: &Batch) -> Result<(), EngineError>;

    /// When this returns, everything committed before it was called survives a loss of power.
    fn sync(&self) -> Result<(), EngineError>;
}

/// Why an engine failed.
#[derive(Debug, Error)]
pub enum EngineError {
    /// Another process has the directory.
    #[error("data directory {dir} is in use by process {pid}; stop it or use another directory")]
    Locked {
        /// The directory.
        dir: String,
        /// The process that holds it, as it wrote down.
        pid: String,
    },
    /// The directory was written in a format of another version.
    #[error("data directory {dir} has format {found:?}, this program reads {expected:?}")]
    Format {
        /// The directory.
        dir: String,
        /// What it says.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A record is not what was written.
    #[error("stored record is damaged: {0}")]
    Damaged(&'static str),
    /// The disk has lost writes that it had confirmed.
    #[error(
        "data directory {dir} lost confirmed writes: it is at {found}, {confirmed} was synced; move it aside and start empty, the other nodes have the data"
    )]
    Behind {
        /// The directory.
        dir: String,
        /// The last batch that is there.
        found: u64,
        /// The last batch that was synced.
        confirmed: u64,
    },
    /// A value has no encoding.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The file system failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database failed.
    #[error("database: {0}")]
    Database(String),
    /// A failure that a test asked for.
    #[error("failure injected by a test")]
    Injected,
}
