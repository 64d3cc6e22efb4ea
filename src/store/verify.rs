//! Whether what is derived from rows agrees with them.

use std::hash::{Hash, Hasher};
use std::ops::Bound;

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use super::StoreError;
use super::derived::{Index, Totals, indexes};
use super::elements::{Elements, Gathering};
use super::engine::{Piece, Reader};
use crate::placement::{Keyspace, PartitionId};

/// What is read at once.
const PIECE: Piece = Piece {
    rows: 1024,
    bytes: 1024 * 1024,
};

/// Reads all rows of a partition and counts again what is derived from them; gives back the
/// sums, which are those that are stored.
///
/// Costs all data of the partition. Give it a snapshot, or an engine to which nothing is
/// committed meanwhile.
///
/// # Errors
/// What cannot be read, and the first contradiction: a key that belongs elsewhere, a version
/// that the clock does not know, an index or a sum that is not what the rows say.
pub fn verify(
    reader: &dyn Reader,
    partition: PartitionId,
    keyspace: Keyspace,
) -> Result<Totals, StoreError> {
    let damaged = |what| StoreError::Damaged { partition, what };
    let loaded = reader.load(partition)?;
    if loaded.clock.hash() != loaded.summary.clock {
        return Err(damaged("a clock that is not of the last batch"));
    }
    let mut totals = Totals::default();
    let mut entries = Entries::default();
    let mut gathering = Gathering::default();
    let mut after = None;
    loop {
        let rows = reader.rows(partition, after.as_deref(), PIECE)?;
        let Some((last, _)) = rows.last() else {
            break;
        };
        after = Some(last.clone());
        for (key, row) in &rows {
            if keyspace.partition_of_row(key) != partition {
                return Err(damaged("a key of another partition"));
            }
            if row.is_empty() {
                return Err(damaged("a row without anything"));
            }
            if !row.versions.dots().all(|dot| loaded.clock.contains(dot)) {
                return Err(damaged("a version that the clock does not know"));
            }
            let hash = keyspace.hash_of_row(key);
            totals.add(hash, key, row);
            gathering.replace(&keyspace, key, None, Some(row));
            let found_by = indexes(hash, key, row).into_iter();
            found_by.for_each(|index| entries.add(index, key));
        }
    }
    let mut changes = Vec::new();
    let none = |_: &[u8]| Ok::<_, StoreError>(Elements::default());
    gathering.finish(&keyspace, none, &mut totals, &mut changes)?;
    for change in &changes {
        entries.add(change.index, &change.key);
    }
    if totals != loaded.summary.totals {
        return Err(damaged("rows that are not what was counted"));
    }
    if Entries::stored(reader, partition)? != entries {
        return Err(damaged("an index that is not what the rows say"));
    }
    Ok(totals)
}

/// A set of entries of the indexes, as little of it as tells it from others.
#[derive(Default, PartialEq, Eq)]
struct Entries {
    count: u64,
    /// Wrapping sum of their hashes.
    sum: u64,
}

impl Entries {
    fn add(&mut self, index: Index, key: &Bytes) {
        let mut hasher = Xxh3::new();
        (index, key).hash(&mut hasher);
        self.count += 1;
        self.sum = self.sum.wrapping_add(hasher.finish());
    }

    /// Those that the indexes have.
    fn stored(reader: &dyn Reader, partition: PartitionId) -> Result<Self, StoreError> {
        let mut entries = Self::default();
        let mut last: Option<(Index, Bytes)> = None;
        loop {
            let from = match &last {
                Some((index, key)) => Bound::Excluded((*index, key.as_ref())),
                None => Bound::Unbounded,
            };
            let found = reader.indexed(partition, from, Index::LAST, PIECE.rows)?;
            found
                .iter()
                .for_each(|(index, key)| entries.add(*index, key));
            match found.last() {
                Some(entry) => last = Some(entry.clone()),
                None => return Ok(entries),
            }
        }
    }
}
