//! Reading the database: as it is, or as it was.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use fjall::{Database, Iter, Keyspace, Readable, Slice, Snapshot};

use super::places::{
    Mark, PARTITION_BYTES, PLAIN_NAME_MAX, actor_of, end_of, index_of, index_place, index_prefix,
    key_of, mark_of, partition_place, row_place,
};
use super::records::open_record;
use crate::clock::Entry;
use crate::object::Row;
use crate::placement::PartitionId;
use crate::store::derived::{Index, Summary};
use crate::store::engine::{EngineError, Loaded, Piece, Reader};

/// What the database is divided into.
#[derive(Clone)]
pub(super) struct Keyspaces {
    pub(super) rows: Keyspace,
    pub(super) indexes: Keyspace,
    pub(super) clock: Keyspace,
    pub(super) marks: Keyspace,
    pub(super) sums: Keyspace,
}

impl Keyspaces {
    pub(super) fn all(&self) -> [&Keyspace; 5] {
        [
            &self.rows,
            &self.indexes,
            &self.clock,
            &self.marks,
            &self.sums,
        ]
    }
}

/// The database as it is, or as it was when the snapshot was taken.
pub(super) struct View {
    pub(super) database: Database,
    pub(super) keyspaces: Keyspaces,
    pub(super) snapshot: Option<Snapshot>,
    /// The directory that an operator would repair; none for one that is only looked at.
    pub(super) dir: Option<Arc<Path>>,
}

type Places = (Bound<Vec<u8>>, Bound<Vec<u8>>);

impl View {
    /// Says with what is damaged where it is and what to do about it.
    fn told<T>(&self, read: Result<T, EngineError>) -> Result<T, EngineError> {
        read.map_err(|error| match &self.dir {
            Some(dir) if error.is_damage() => EngineError::Unreadable {
                dir: dir.display().to_string(),
                what: error.to_string(),
            },
            _ => error,
        })
    }

    fn get(&self, keyspace: &Keyspace, place: &[u8]) -> Result<Option<Slice>, EngineError> {
        Ok(match &self.snapshot {
            Some(snapshot) => snapshot.get(keyspace, place)?,
            None => keyspace.get(place)?,
        })
    }

    fn range(&self, keyspace: &Keyspace, places: Places) -> Iter {
        match &self.snapshot {
            Some(snapshot) => snapshot.range(keyspace, places),
            None => keyspace.range(places),
        }
    }

    /// Whether another replica of the partition is known, or waited for.
    pub(super) fn has_another(&self, partition: PartitionId) -> Result<bool, EngineError> {
        for item in self.of(&self.keyspaces.marks, partition) {
            if mark_of(&item.key()?)?.is_of_another() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// All that is there of a partition.
    pub(super) fn of(&self, keyspace: &Keyspace, partition: PartitionId) -> Iter {
        let first = partition_place(partition);
        let places = (Bound::Included(first.clone()), end_of(first));
        self.range(keyspace, places)
    }
}

impl Reader for View {
    fn load(&self, partition: PartitionId) -> Result<Loaded, EngineError> {
        self.told(self.read_load(partition))
    }

    fn row(&self, partition: PartitionId, key: &[u8]) -> Result<Option<Row>, EngineError> {
        self.told(self.read_row(partition, key))
    }

    fn rows(
        &self,
        partition: PartitionId,
        after: Option<&[u8]>,
        piece: Piece,
    ) -> Result<Vec<(Bytes, Row)>, EngineError> {
        self.told(self.read_rows(partition, after, piece))
    }

    fn names(
        &self,
        partition: PartitionId,
        prefix: &[u8],
        after: Option<&[u8]>,
        count: usize,
    ) -> Result<Vec<Bytes>, EngineError> {
        self.told(self.read_names(partition, prefix, after, count))
    }

    fn indexed(
        &self,
        partition: PartitionId,
        from: Bound<(Index, &[u8])>,
        last: Index,
        count: usize,
    ) -> Result<Vec<(Index, Bytes)>, EngineError> {
        self.told(self.read_indexed(partition, from, last, count))
    }
}

/// Reading, in the words of the database.
impl View {
    fn read_load(&self, partition: PartitionId) -> Result<Loaded, EngineError> {
        let mut loaded = Loaded::default();
        for item in self.of(&self.keyspaces.clock, partition) {
            let (place, record) = item.into_inner()?;
            let entry = open_record::<Entry>(&place, &record)?;
            loaded.clock.set(actor_of(&place)?, entry);
        }
        for item in self.of(&self.keyspaces.marks, partition) {
            let (place, record) = item.into_inner()?;
            open_record::<()>(&place, &record)?;
            match mark_of(&place)? {
                Mark::Frozen(actor) => drop(loaded.frozen.insert(actor)),
                Mark::Peer(node) => drop(loaded.peers.insert(node)),
                Mark::Rebuilding => loaded.rebuilding = true,
            }
        }
        let place = partition_place(partition);
        if let Some(record) = self.get(&self.keyspaces.sums, &place)? {
            let (_, summary) = open_record::<(u64, Summary)>(&place, &record)?;
            loaded.summary = summary;
        }
        Ok(loaded)
    }

    fn read_row(&self, partition: PartitionId, key: &[u8]) -> Result<Option<Row>, EngineError> {
        let place = row_place(partition, key);
        let Some(record) = self.get(&self.keyspaces.rows, &place)? else {
            return Ok(None);
        };
        let (whole, row) = open_record::<(Option<Bytes>, Row)>(&place, &record)?;
        let expected = (key.len() > PLAIN_NAME_MAX).then_some(key);
        match whole.as_deref() == expected {
            true => Ok(Some(row)),
            false => Err(EngineError::Damaged("row of another key")),
        }
    }

    fn read_rows(
        &self,
        partition: PartitionId,
        after: Option<&[u8]>,
        piece: Piece,
    ) -> Result<Vec<(Bytes, Row)>, EngineError> {
        let first = partition_place(partition);
        let from = match after {
            Some(after) => Bound::Excluded(row_place(partition, after)),
            None => Bound::Included(first.clone()),
        };
        let mut rows = Vec::new();
        let mut bytes = 0;
        for item in self.range(&self.keyspaces.rows, (from, end_of(first))) {
            let (place, record) = item.into_inner()?;
            bytes += place.len() + record.len();
            let (whole, row) = open_record::<(Option<Bytes>, Row)>(&place, &record)?;
            rows.push((key_of(&place, PARTITION_BYTES, whole)?, row));
            if rows.len() >= piece.rows || bytes >= piece.bytes {
                break;
            }
        }
        Ok(rows)
    }

    fn read_names(
        &self,
        partition: PartitionId,
        prefix: &[u8],
        after: Option<&[u8]>,
        count: usize,
    ) -> Result<Vec<Bytes>, EngineError> {
        let mut first = partition_place(partition);
        first.extend_from_slice(prefix.get(..PLAIN_NAME_MAX).unwrap_or(prefix));
        let after = after.map(|after| row_place(partition, after));
        let from = match after.filter(|after| *after >= first) {
            Some(after) => Bound::Excluded(after),
            None => Bound::Included(first.clone()),
        };
        let mut names = Vec::new();
        for item in self.range(&self.keyspaces.rows, (from, end_of(first))) {
            if names.len() >= count {
                break;
            }
            let is_long =
                |place: &Slice| place.len().saturating_sub(PARTITION_BYTES) > PLAIN_NAME_MAX;
            let (place, record) = item.into_inner_if(is_long)?;
            let whole = match record {
                Some(record) => open_record::<(Option<Bytes>, Row)>(&place, &record)?.0,
                None => None,
            };
            let key = key_of(&place, PARTITION_BYTES, whole)?;
            if key.starts_with(prefix) {
                names.push(key);
            }
        }
        Ok(names)
    }

    fn read_indexed(
        &self,
        partition: PartitionId,
        from: Bound<(Index, &[u8])>,
        last: Index,
        count: usize,
    ) -> Result<Vec<(Index, Bytes)>, EngineError> {
        let from = match from {
            Bound::Unbounded => Bound::Included(partition_place(partition)),
            bound => bound.map(|(index, key)| index_place(partition, index, key)),
        };
        let end = end_of(index_prefix(partition, last));
        if let (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(end)) = (&from, &end)
            && from >= end
        {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for item in self.range(&self.keyspaces.indexes, (from, end)) {
            if found.len() >= count {
                break;
            }
            let (place, record) = item.into_inner()?;
            let whole = open_record::<Option<Bytes>>(&place, &record)?;
            let (index, at) = index_of(&place)?;
            found.push((index, key_of(&place, at, whole)?));
        }
        Ok(found)
    }
}
