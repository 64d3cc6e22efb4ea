//! The durable home of rows and clocks.
//!
//! One trait, three engines, one suite of tests: [`Memory`] keeps things for the life of the
//! process, [`Simulated`] keeps what a disk would and loses what a crash would, [`Fjall`] is
//! the disk.
//!
//! An engine holds more than fits in memory, so nothing reads all of a partition at once: a
//! row is read by its key, and rows, names and indexes in pieces from a place on. What must be
//! known at an opening is a few records per partition: [`Loaded`].
//!
//! Invariants that the partition builds on: a batch is kept whole or not at all (PROTOCOL
//! R13); batches of one partition are kept in order, a lost one takes all later ones with it;
//! a read finds what was committed before it, and a snapshot what was committed before it was
//! taken, whatever follows; what cannot be read is an error and never "absent" (R26), because
//! an absent row is a delete that would spread.
//!
//! An engine is one *opening* of what is kept. When a commit or a sync has failed, what was
//! committed can still be read, and no part of what was not; but what is on the disk is known
//! again only after [`Engine::reopen`] has read it. That ends the opening: whoever holds it or
//! a snapshot of it gets errors from then on, never a state of another opening.

mod disk;
mod fjall;
mod memory;
mod simulated;

#[cfg(test)]
mod clear_tests;
#[cfg(test)]
mod note_tests;
#[cfg(test)]
mod power_cut_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

pub use self::fjall::{
    Bad, Examined, Fjall, Mended, Repair, Repaired, Salvaged, SetAside, Sums, examine,
    open_or_repair, quarantine_of, repair,
};
pub use self::memory::Memory;
pub use self::simulated::Simulated;
use super::budget::{MemoryRoom, RowBudget};
use super::codec::CodecError;
use super::derived::{Index, IndexChange, Summary};
use crate::clock::{ActorId, Clock, Entry, NodeId};
use crate::object::Row;
use crate::placement::{Keyspace, PartitionId};

/// The most bytes of a note beside the partitions: more than a roster of the largest cluster
/// takes, and little enough to be held in memory.
pub const NOTE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What changes in one partition, all at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The partition.
    pub partition: PartitionId,
    /// Whether everything that there was of the partition goes first: rows, indexes, clock,
    /// marks and sums. On disk this costs a few bytes and the place of each record, all of them
    /// in memory at once.
    pub clear: bool,
    /// Rows by key, each key once; none removes the row.
    pub rows: Vec<(Bytes, Option<Row>)>,
    /// The entries of the clock that change, with their new values.
    pub entries: Vec<(ActorId, Entry)>,
    /// Dead actors that become frozen, or no longer are (PROTOCOL 3.9).
    pub frozen: Vec<(ActorId, bool)>,
    /// Nodes that are replicas of the partition from now on.
    pub peers: Vec<NodeId>,
    /// Whether the partition waits for another replica from now on; none leaves it as it is.
    pub rebuilding: Option<bool>,
    /// What changes in the indexes.
    pub indexes: Vec<IndexChange>,
    /// The sums as they are with this batch.
    pub summary: Summary,
}

/// What an engine holds of one partition beside its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The clock.
    pub clock: Clock,
    /// The frozen actors.
    pub frozen: BTreeSet<ActorId>,
    /// The other nodes that ever were replicas, as far as is known.
    pub peers: BTreeSet<NodeId>,
    /// Whether what was here was damaged and set aside, or dropped, or has not come yet, and no
    /// other replica has been compared to the end since: what is not here is then not known to
    /// be absent.
    pub rebuilding: bool,
    /// The sums as of the last batch.
    pub summary: Summary,
}

/// How much one read of several rows gives at most. It gives one row at least, whatever its
/// size, unless there is none.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// Number of rows.
    pub rows: usize,
    /// About how many bytes they take on disk together.
    pub bytes: usize,
}

/// Reads partitions: of an engine as they are, of a snapshot as they were.
pub trait Reader: Send + Sync {
    /// What a partition's opening must know.
    fn load(&self, partition: PartitionId) -> Result<Loaded, EngineError>;

    /// The row of `key`; none if there is none, which is certain.
    fn row(&self, partition: PartitionId, key: &[u8]) -> Result<Option<Row>, EngineError>;

    /// Shows the row of `key` as [`row`](Self::row) gives it, and the form of the key that is
    /// in memory, without a copy if it lies there. `look` may read nothing else here: it runs
    /// under a lock.
    fn look(
        &self,
        partition: PartitionId,
        key: &[u8],
        look: &mut dyn FnMut(Option<&Bytes>, Option<&Row>),
    ) -> Result<(), EngineError> {
        look(None, self.row(partition, key)?.as_ref());
        Ok(())
    }

    /// The next rows after the key `after`, or the first, in the order of [`names`](Self::names).
    /// Empty when there are no more.
    fn rows(
        &self,
        partition: PartitionId,
        after: Option<&[u8]>,
        piece: Piece,
    ) -> Result<Vec<(Bytes, Row)>, EngineError>;

    /// The next `count` keys of rows after the key `after` that begin with `prefix`, in
    /// ascending order; among keys that agree in their first 32 KiB in any order that is always
    /// the same. Costs what lies in the prefix, not the partition. Fewer when there are no more.
    fn names(
        &self,
        partition: PartitionId,
        prefix: &[u8],
        after: Option<&[u8]>,
        count: usize,
    ) -> Result<Vec<Bytes>, EngineError>;

    /// The next `count` entries of the indexes from `from` to `last`, the keys of one index in
    /// the order of [`names`](Self::names). Fewer when there are no more.
    fn indexed(
        &self,
        partition: PartitionId,
        from: Bound<(Index, &[u8])>,
        last: Index,
        count: usize,
    ) -> Result<Vec<(Index, Bytes)>, EngineError>;
}

/// Keeps the partitions of one node.
pub trait Engine: Send + Sync {
    /// Reads what was committed.
    fn reader(&self) -> &dyn Reader;

    /// Keeps `batch` whole or not at all. When this returns it survives the end of the
    /// process, though not yet of the machine.
    ///
    /// # Errors
    /// The batch is in no read of this opening. Whether the next one finds it is unknown.
    fn commit(&self, batch: &Batch) -> Result<(), EngineError>;

    /// The same for who keeps no rows above it: it may take them out of the batch.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    fn commit_taking(&self, batch: &mut Batch) -> Result<(), EngineError> {
        self.commit(batch)
    }

    /// When this returns, everything committed before it was called survives a loss of power.
    fn sync(&self) -> Result<(), EngineError>;

    /// When this returns, a later opening notices if the disk has lost any of what was synced
    /// before this was called, also after a loss of power.
    fn settle(&self) -> Result<(), EngineError> {
        Ok(())
    }

    /// What the rows kept in memory above this engine may take.
    fn row_budget(&self) -> &RowBudget;

    /// What data takes and may take, where it is in memory only.
    fn room(&self) -> Option<Arc<MemoryRoom>> {
        None
    }

    /// One partition as it is now, whatever is committed later. It holds no rows in memory
    /// that the engine does not; the engine keeps what it replaces until it is dropped.
    fn snapshot(&self, partition: PartitionId) -> Result<Arc<dyn Reader>, EngineError>;

    /// How much room there is; none if it is not on a disk.
    fn space(&self) -> Result<Option<Space>, EngineError>;

    /// What [`keep_note`](Self::keep_note) kept last; none if nothing ever was, or if what was
    /// kept is damaged: whoever keeps a note can do without it.
    ///
    /// # Errors
    /// It cannot be read at all.
    fn note(&self) -> Result<Option<Bytes>, EngineError>;

    /// Keeps `note`, something about the node as a whole, in the place of the one before, whole
    /// or not at all. When this returns it survives a loss of power. A note is no part of the
    /// order of batches: it survives what an unsynced batch does not.
    ///
    /// # Errors
    /// It is longer than [`NOTE_BYTES_MAX`], or the disk does not take it. What there is then is
    /// the one before, or this one.
    fn keep_note(&self, note: &[u8]) -> Result<(), EngineError>;

    /// Whether it still takes commits. It may have failed by itself, between two of them.
    fn check(&self) -> Result<(), EngineError>;

    /// Ends this opening and opens again what is kept, for the same process without a pause
    /// in which another could take it.
    ///
    /// # Errors
    /// If the disk does not take writes, and then this opening can still be read; or if what
    /// is kept cannot be opened. In either case ask again later.
    fn reopen(&self) -> Result<Reopened, EngineError>;
}

/// What there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that can still be written to the file system.
    pub free_bytes: u64,
    /// Its size in bytes.
    pub total_bytes: u64,
    /// About how many bytes the engine will write of what it has in its buffers.
    pub buffered_bytes: u64,
}

/// An engine that was opened again.
pub struct Reopened {
    /// The new opening.
    pub engine: Arc<dyn Engine>,
    /// How many batches the one before had committed that are not there any more.
    pub lost: u64,
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
    #[error(
        "data directory {dir} has format {found:?}, this program reads {expected:?}; start it with \
         the netdb that wrote it, and carry its data over with netdb backup and netdb restore"
    )]
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
    /// A record or its surroundings cannot be read.
    #[error("{what}; stop the node and run netdb repair {dir}")]
    Unreadable {
        /// The directory.
        dir: String,
        /// What is wrong.
        what: String,
    },
    /// The disk has lost writes that it had confirmed.
    #[error("data directory {dir} lost confirmed writes: it is at {found}, {confirmed} was synced")]
    Behind {
        /// The directory.
        dir: String,
        /// The last batch that is there.
        found: u64,
        /// The last batch that was synced.
        confirmed: u64,
    },
    /// The directory is of a cluster that places keys otherwise.
    #[error(
        "data directory {dir} has {} partitions and hash seed {}, and was to be opened with {} and {}; \
         start it with the settings of its cluster, or use another directory",
        found.partitions, found.hash_seed, asked.partitions, asked.hash_seed
    )]
    Keyspace {
        /// The directory.
        dir: String,
        /// What it was written with.
        found: Keyspace,
        /// What it was to be opened with.
        asked: Keyspace,
    },
    /// `KEYSPACE` cannot be read, and nothing else says how keys are placed.
    #[error(
        "data directory {0} does not say how many partitions its cluster has; give --partitions"
    )]
    UnknownKeyspace(String),
    /// It is damaged, and what is damaged is nowhere else as far as this node knows.
    #[error(
        "data directory {dir} is damaged: {reason}; {partitions} of its partitions have never had \
         another replica to come back from; restore a copy of it, or netdb repair --accept-loss \
         {dir} keeps what can be read"
    )]
    OnlyCopy {
        /// The directory.
        dir: String,
        /// What is wrong with it.
        reason: String,
        /// How many partitions would be lost.
        partitions: usize,
    },
    /// The note is too long.
    #[error("note of {0} bytes is too long: at most {NOTE_BYTES_MAX}")]
    NoteTooLong(usize),
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
    /// This opening is over.
    #[error("database was closed to be opened again")]
    Closed,
    /// An earlier commit or sync of this opening has failed.
    #[error("nothing is written since an earlier write failed")]
    Failed,
    /// A failure that a test asked for.
    #[error("failure injected by a test")]
    Injected,
}

/// Refuses a note that is too long.
fn check_note(note: &[u8]) -> Result<(), EngineError> {
    match note.len() > NOTE_BYTES_MAX {
        true => Err(EngineError::NoteTooLong(note.len())),
        false => Ok(()),
    }
}

impl EngineError {
    /// Whether what is on the disk is wrong, and not how it was asked for or the system.
    pub(super) fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Damaged(_)
                | Self::Unreadable { .. }
                | Self::Behind { .. }
                | Self::Codec(_)
                | Self::Database(_)
        )
    }
}
