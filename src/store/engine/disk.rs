//! One partition as an engine in memory keeps it.

use std::collections::{BTreeMap, BTreeSet, btree_set};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::{Batch, EngineError, Loaded, Piece, Reader};
use crate::clock::{ActorId, Clock, Entry, NodeId};
use crate::object::Row;
use crate::placement::PartitionId;
use crate::store::by_hash::ByHash;
use crate::store::derived::{Index, Summary};

/// One partition. A clone shares the values of its rows.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    rows: ByHash<Row>,
    /// The keys of the rows, in order.
    names: BTreeSet<Bytes>,
    /// What of the indexes is by hash: nearly all, so it takes no more room than it must.
    hashes: BTreeSet<(u64, Bytes)>,
    /// The rest, behind it.
    indexes: BTreeSet<(Index, Bytes)>,
    clock: BTreeMap<ActorId, Entry>,
    frozen: BTreeSet<ActorId>,
    peers: BTreeSet<NodeId>,
    rebuilding: bool,
    summary: Summary,
    /// Rows that cannot be read until they are written again.
    damaged: BTreeSet<Bytes>,
}

/// What a row takes beside its key and values: its place in the tree, its entries in the
/// indexes, its causality. Measured with a million small rows.
const ROW_BYTES: u64 = 480;

impl Disk {
    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> u64 {
        let totals = &self.summary.totals;
        let rows = totals.rows.saturating_mul(ROW_BYTES);
        totals.bytes.saturating_add(rows)
    }

    /// Follows a batch, but for its rows, which are `rows`. Whoever shares `disk` keeps what
    /// there was.
    pub(super) fn follow(
        disk: &mut Arc<Self>,
        batch: &Batch,
        rows: impl IntoIterator<Item = (Bytes, Option<Row>)>,
    ) {
        if batch.clear {
            *disk = Arc::default();
        }
        let disk = Arc::make_mut(disk);
        for (key, row) in rows {
            disk.set(key, row);
        }
        disk.apply(batch);
    }

    fn set(&mut self, key: Bytes, row: Option<Row>) {
        if !self.damaged.is_empty() {
            self.damaged.remove(&key);
        }
        let hash = xxh3_64(&key);
        match row {
            Some(row) => match self.rows.get_mut(hash, &key) {
                Some(place) => *place = row,
                None => {
                    self.rows.put(hash, &key, |_| {}, || row);
                    self.names.insert(key);
                }
            },
            None => {
                self.rows.remove(hash, &key);
                self.names.remove(&key);
            }
        }
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    fn apply(&mut self, batch: &Batch) {
        for change in &batch.indexes {
            let key = change.key.clone();
            match (change.index, change.is_set) {
                (Index::Hash(hash), true) => self.hashes.insert((hash, key)),
                (Index::Hash(hash), false) => self.hashes.remove(&(hash, key)),
                (index, true) => self.indexes.insert((index, key)),
                (index, false) => self.indexes.remove(&(index, key)),
            };
        }
        for (actor, entry) in &batch.entries {
            self.clock.insert(*actor, entry.clone());
        }
        for (actor, is_frozen) in &batch.frozen {
            match is_frozen {
                true => self.frozen.insert(*actor),
                false => self.frozen.remove(actor),
            };
        }
        self.peers.extend(batch.peers.iter().copied());
        self.rebuilding = batch.rebuilding.unwrap_or(self.rebuilding);
        self.summary = batch.summary.clone();
    }

    pub(super) fn damage(&mut self, key: &[u8]) {
        self.damaged.insert(Bytes::copy_from_slice(key));
    }

    pub(super) fn load(&self) -> Loaded {
        let mut clock = Clock::new();
        for (actor, entry) in &self.clock {
            clock.set(*actor, entry.clone());
        }
        Loaded {
            clock,
            frozen: self.frozen.clone(),
            peers: self.peers.clone(),
            rebuilding: self.rebuilding,
            summary: self.summary.clone(),
        }
    }

    /// The row of `key`, and the form of the key that is here.
    pub(super) fn row(&self, key: &[u8]) -> Result<Option<(&Bytes, &Row)>, EngineError> {
        self.check(key)?;
        Ok(self.rows.get(xxh3_64(key), key))
    }

    pub(super) fn rows(
        &self,
        after: Option<&[u8]>,
        piece: Piece,
    ) -> Result<Vec<(Bytes, Row)>, EngineError> {
        let mut rows = Vec::new();
        let mut bytes = 0;
        for key in self.after(after) {
            let Some((key, row)) = self.row(key)? else {
                continue;
            };
            bytes += key.len() + row.versions.value_bytes();
            rows.push((key.clone(), row.clone()));
            if rows.len() >= piece.rows || bytes >= piece.bytes {
                break;
            }
        }
        Ok(rows)
    }

    pub(super) fn names(&self, prefix: &[u8], after: Option<&[u8]>, count: usize) -> Vec<Bytes> {
        let first = (Bound::Included(prefix), Bound::Unbounded);
        let rows = match after {
            Some(after) if after >= prefix => self.after(Some(after)),
            _ => self.names.range::<[u8], _>(first),
        };
        rows.take_while(|key| key.starts_with(prefix))
            .take(count)
            .cloned()
            .collect()
    }

    pub(super) fn indexed(
        &self,
        from: Bound<(Index, &[u8])>,
        last: Index,
        count: usize,
    ) -> Vec<(Index, Bytes)> {
        let from = from.map(|(index, key)| (index, Bytes::copy_from_slice(key)));
        let hashes = match &from {
            Bound::Included((Index::Hash(hash), key)) => {
                Some(Bound::Included((*hash, key.clone())))
            }
            Bound::Excluded((Index::Hash(hash), key)) => {
                Some(Bound::Excluded((*hash, key.clone())))
            }
            Bound::Unbounded => Some(Bound::Unbounded),
            _ => None,
        };
        let hashes = hashes.map(|from| self.hashes.range((from, Bound::Unbounded)));
        let hashes = hashes.into_iter().flatten();
        let others = self.indexes.range((from, Bound::Unbounded));
        hashes
            .map(|(hash, key)| (Index::Hash(*hash), key.clone()))
            .chain(others.cloned())
            .take_while(|(index, _)| *index <= last)
            .take(count)
            .collect()
    }

    fn after(&self, after: Option<&[u8]>) -> btree_set::Range<'_, Bytes> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.names.range::<[u8], _>((from, Bound::Unbounded))
    }

    fn check(&self, key: &[u8]) -> Result<(), EngineError> {
        match !self.damaged.is_empty() && self.damaged.contains(key) {
            true => Err(EngineError::Damaged("checksum does not match")),
            false => Ok(()),
        }
    }
}

/// One partition as it was. The engine copies its map of rows, though not their values, before
/// it changes the partition while this is there.
pub(super) struct Snapshot {
    pub(super) partition: PartitionId,
    pub(super) disk: Arc<Disk>,
}

impl KeepsDisks for Snapshot {
    /// Nothing is known here of other partitions, which is no proof that they are empty.
    fn read<T>(
        &self,
        partition: PartitionId,
        read: impl FnOnce(&Disk) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        match partition == self.partition {
            true => read(&self.disk),
            false => Err(EngineError::Damaged("snapshot is of another partition")),
        }
    }
}

/// What keeps partitions in this form. All are read alike.
pub trait KeepsDisks: Send + Sync {
    /// What `read` makes of the partition; of an empty one if nothing was committed to it.
    fn read<T>(
        &self,
        partition: PartitionId,
        read: impl FnOnce(&Disk) -> Result<T, EngineError>,
    ) -> Result<T, EngineError>;
}

impl<D: KeepsDisks> Reader for D {
    fn load(&self, partition: PartitionId) -> Result<Loaded, EngineError> {
        self.read(partition, |disk| Ok(disk.load()))
    }

    fn row(&self, partition: PartitionId, key: &[u8]) -> Result<Option<Row>, EngineError> {
        self.read(partition, |disk| {
            Ok(disk.row(key)?.map(|(_, row)| row.clone()))
        })
    }

    fn look(
        &self,
        partition: PartitionId,
        key: &[u8],
        look: &mut dyn FnMut(Option<&Bytes>, Option<&Row>),
    ) -> Result<(), EngineError> {
        self.read(partition, |disk| {
            let (key, row) = disk.row(key)?.unzip();
            look(key, row);
            Ok(())
        })
    }

    fn rows(
        &self,
        partition: PartitionId,
        after: Option<&[u8]>,
        piece: Piece,
    ) -> Result<Vec<(Bytes, Row)>, EngineError> {
        self.read(partition, |disk| disk.rows(after, piece))
    }

    fn names(
        &self,
        partition: PartitionId,
        prefix: &[u8],
        after: Option<&[u8]>,
        count: usize,
    ) -> Result<Vec<Bytes>, EngineError> {
        self.read(partition, |disk| Ok(disk.names(prefix, after, count)))
    }

    fn indexed(
        &self,
        partition: PartitionId,
        from: Bound<(Index, &[u8])>,
        last: Index,
        count: usize,
    ) -> Result<Vec<(Index, Bytes)>, EngineError> {
        self.read(partition, |disk| Ok(disk.indexed(from, last, count)))
    }
}
