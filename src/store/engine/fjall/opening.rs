//! Opening the database, and what is asked of it at once.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use fjall::{Database, KeyspaceCreateOptions};

use super::files::io;
use super::journal::{self, Mended};
use super::places::mark_of;
use super::records::open_record;
use super::view::Keyspaces;
use crate::placement::PartitionId;
use crate::store::MemoryBudget;
use crate::store::derived::Summary;
use crate::store::engine::EngineError;

/// The most bytes of journals that hold something which is in a write buffer only. The least
/// that the database allows: it is what a restart reads.
const JOURNAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A database that was opened.
pub(super) struct Opened {
    pub(super) mended: Option<Mended>,
    pub(super) database: Database,
    pub(super) keyspaces: Keyspaces,
    /// The number of its last batch.
    pub(super) batch: u64,
}

/// Opens the database at `path`, or makes it. One that is damaged may make it panic: see
/// `guarded`.
pub(super) fn open_database(path: &Path, memory: MemoryBudget) -> Result<Opened, EngineError> {
    check_tables(path)?;
    let mended = journal::mend(path).map_err(io("cannot mend the journal in", path))?;
    let database = Database::builder(path)
        .cache_size(memory.block_bytes())
        .max_journaling_size(JOURNAL_BYTES_MAX)
        .open()?;
    let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default);
    let keyspaces = Keyspaces {
        rows: keyspace("rows")?,
        indexes: keyspace("indexes")?,
        clock: keyspace("clock")?,
        marks: keyspace("marks")?,
        sums: keyspace("sums")?,
    };
    let batch = last_batch(&keyspaces)?;
    Ok(Opened {
        mended,
        database,
        keyspaces,
        batch,
    })
}

/// Refuses tables without the file that says which of them count: the database takes them for
/// leftovers of something that was never finished, and removes them.
fn check_tables(path: &Path) -> Result<(), EngineError> {
    let keyspaces = path.join("keyspaces");
    let entries = match fs::read_dir(&keyspaces) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(io("cannot read", &keyspaces))?,
    };
    for entry in entries {
        let path = entry.map_err(io("cannot read", &keyspaces))?.path();
        let tables = fs::read_dir(path.join("tables"));
        let has_tables = tables.is_ok_and(|mut tables| tables.next().is_some());
        if has_tables && !path.join("current").exists() {
            return Err(EngineError::Damaged("tables without their list"));
        }
    }
    Ok(())
}

/// The partitions that have had another replica, those that wait for one among them.
pub(super) fn replicated(keyspaces: &Keyspaces) -> Result<BTreeSet<PartitionId>, EngineError> {
    let mut partitions = BTreeSet::new();
    for item in keyspaces.marks.iter() {
        let (place, _) = item.into_inner()?;
        if let (true, Some(number)) = (mark_of(&place)?.is_of_another(), place.first_chunk()) {
            partitions.insert(PartitionId(u16::from_be_bytes(*number)));
        }
    }
    Ok(partitions)
}

/// The largest number of a batch that is there: that of the last one.
fn last_batch(keyspaces: &Keyspaces) -> Result<u64, EngineError> {
    let mut last = 0;
    for item in keyspaces.sums.iter() {
        let (place, record) = item.into_inner()?;
        let (number, _) = open_record::<(u64, Summary)>(&place, &record)?;
        last = last.max(number);
    }
    Ok(last)
}
