//! A [`Batch`] as one write of the database.

use std::collections::BTreeSet;

use fjall::{Keyspace, OwnedWriteBatch, PersistMode};

use super::places::{
    Mark, clock_place, index_place, long_name, mark_place, partition_place, row_place,
};
use super::records::seal_record;
use super::view::{Keyspaces, View};
use crate::placement::PartitionId;
use crate::store::engine::{Batch, EngineError};

/// What a record takes in a write buffer beside its place and itself.
const BUFFERED_PER_RECORD: usize = 128;

/// A batch in the making.
pub(super) struct Write<'a> {
    keyspaces: &'a Keyspaces,
    of: &'a Batch,
    batch: OwnedWriteBatch,
    /// The places that it says something of, with their keyspaces; kept if the others are
    /// cleared, because one write has each place once.
    told: BTreeSet<(u64, Vec<u8>)>,
    /// About how many bytes it will take in the write buffers.
    bytes: u64,
}

impl<'a> Write<'a> {
    /// All of `batch` but its number.
    pub(super) fn of(view: &'a View, batch: &'a Batch) -> Result<Self, EngineError> {
        let mut write = Self {
            keyspaces: &view.keyspaces,
            of: batch,
            batch: view.database.batch().durability(Some(PersistMode::Buffer)),
            told: BTreeSet::new(),
            bytes: 0,
        };
        write.put_rows()?;
        write.put_clock()?;
        if batch.clear {
            write.clear(view, batch.partition)?;
        }
        Ok(write)
    }

    /// Commits it under `number`. Gives about how many bytes it takes in the write buffers.
    pub(super) fn commit_as(mut self, number: u64) -> Result<u64, EngineError> {
        let place = partition_place(self.of.partition);
        let record = seal_record(&place, &(number, &self.of.summary))?;
        self.put(&self.keyspaces.sums, place, record);
        self.batch.commit()?;
        Ok(self.bytes)
    }

    /// Removes what there is of the partition, and the batch says nothing of. Nobody commits to
    /// a partition while another does, so this is all that there is before it; its sums are in
    /// every batch.
    fn clear(&mut self, view: &View, partition: PartitionId) -> Result<(), EngineError> {
        let Keyspaces {
            rows,
            indexes,
            clock,
            marks,
            sums: _,
        } = self.keyspaces;
        for keyspace in [rows, indexes, clock, marks] {
            for item in view.of(keyspace, partition) {
                let place = item.key()?;
                if !self.told.contains(&(keyspace.id(), place.to_vec())) {
                    self.count(place.len());
                    self.batch.remove(keyspace, place);
                }
            }
        }
        Ok(())
    }

    fn put_rows(&mut self) -> Result<(), EngineError> {
        let batch = self.of;
        for (key, row) in &batch.rows {
            let place = row_place(batch.partition, key);
            match row {
                Some(row) => {
                    let record = seal_record(&place, &(long_name(key), row))?;
                    self.put(&self.keyspaces.rows, place, record);
                }
                None => self.remove(&self.keyspaces.rows, place),
            }
        }
        for change in &batch.indexes {
            let place = index_place(batch.partition, change.index, &change.key);
            match change.is_set {
                true => {
                    let record = seal_record(&place, &long_name(&change.key))?;
                    self.put(&self.keyspaces.indexes, place, record);
                }
                false => self.remove(&self.keyspaces.indexes, place),
            }
        }
        Ok(())
    }

    fn put_clock(&mut self) -> Result<(), EngineError> {
        let batch = self.of;
        for (actor, entry) in &batch.entries {
            let place = clock_place(batch.partition, *actor);
            let record = seal_record(&place, entry)?;
            self.put(&self.keyspaces.clock, place, record);
        }
        let frozen = batch.frozen.iter().map(|&(a, set)| (Mark::Frozen(a), set));
        let peers = batch.peers.iter().map(|&peer| (Mark::Peer(peer), true));
        let rebuilding = batch.rebuilding.map(|set| (Mark::Rebuilding, set));
        for (mark, is_set) in frozen.chain(peers).chain(rebuilding) {
            let place = mark_place(batch.partition, mark);
            match is_set {
                true => {
                    let record = seal_record(&place, &())?;
                    self.put(&self.keyspaces.marks, place, record);
                }
                false => self.remove(&self.keyspaces.marks, place),
            }
        }
        Ok(())
    }

    fn put(&mut self, keyspace: &Keyspace, place: Vec<u8>, record: Vec<u8>) {
        self.count(place.len() + record.len());
        self.tell(keyspace, &place);
        self.batch.insert(keyspace, place, record);
    }

    fn remove(&mut self, keyspace: &Keyspace, place: Vec<u8>) {
        self.count(place.len());
        self.tell(keyspace, &place);
        self.batch.remove(keyspace, place);
    }

    fn tell(&mut self, keyspace: &Keyspace, place: &[u8]) {
        if self.of.clear {
            self.told.insert((keyspace.id(), place.to_vec()));
        }
    }

    fn count(&mut self, bytes: usize) {
        self.bytes += (bytes + BUFFERED_PER_RECORD) as u64;
    }
}
