//! The engine of a node that keeps its data in memory only.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;

use super::disk::{Disk, KeepsDisks, Snapshot};
use super::{Batch, Engine, EngineError, Reader, Reopened, Space, check_note};
use crate::object::Row;
use crate::placement::PartitionId;
use crate::store::budget::{MemoryRoom, RowBudget};

/// Locks that the partitions are divided over: more than threads that could meet at one.
const SLOTS: usize = 64;

type Slot = RwLock<BTreeMap<PartitionId, Arc<Disk>>>;

/// Keeps everything for the life of the process: a node that starts with it starts empty and
/// is filled by its peers.
#[derive(Debug)]
pub struct Memory {
    slots: Arc<[Slot; SLOTS]>,
    note: Arc<RwLock<Option<Bytes>>>,
    /// None: all rows are in memory here.
    budget: RowBudget,
    room: Arc<MemoryRoom>,
    /// There is a later opening of the same.
    is_over: AtomicBool,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            slots: Arc::new(std::array::from_fn(|_| Slot::default())),
            note: Arc::default(),
            budget: RowBudget::none(),
            room: Arc::new(MemoryRoom::new(u64::MAX)),
            is_over: AtomicBool::new(false),
        }
    }
}

impl Memory {
    /// An engine without data.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, whose data should take no more than so many bytes.
    pub fn within(bytes_max: u64) -> Self {
        Self {
            room: Arc::new(MemoryRoom::new(bytes_max)),
            ..Self::default()
        }
    }

    fn slot(&self, partition: PartitionId) -> &Slot {
        // Below SLOTS by construction.
        &self.slots[usize::from(partition.0) % SLOTS]
    }

    /// Keeps a batch whose rows are `rows`.
    fn follow(
        &self,
        batch: &Batch,
        rows: impl IntoIterator<Item = (Bytes, Option<Row>)>,
    ) -> Result<(), EngineError> {
        self.check()?;
        let mut slot = self.slot(batch.partition).write();
        let disk = slot.entry(batch.partition).or_default();
        let before = disk.bytes();
        Disk::follow(disk, batch, rows);
        self.room.change(before, disk.bytes());
        Ok(())
    }
}

impl KeepsDisks for Memory {
    fn read<T>(
        &self,
        partition: PartitionId,
        read: impl FnOnce(&Disk) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        self.check()?;
        match self.slot(partition).read().get(&partition) {
            Some(disk) => read(disk),
            None => read(&Disk::default()),
        }
    }
}

impl Engine for Memory {
    fn reader(&self) -> &dyn Reader {
        self
    }

    fn commit(&self, batch: &Batch) -> Result<(), EngineError> {
        self.follow(batch, batch.rows.iter().cloned())
    }

    fn commit_taking(&self, batch: &mut Batch) -> Result<(), EngineError> {
        let rows = std::mem::take(&mut batch.rows);
        self.follow(batch, rows)
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.check()
    }

    fn row_budget(&self) -> &RowBudget {
        &self.budget
    }

    fn room(&self) -> Option<Arc<MemoryRoom>> {
        Some(self.room.clone())
    }

    fn snapshot(&self, partition: PartitionId) -> Result<Arc<dyn Reader>, EngineError> {
        self.check()?;
        let disk = self.slot(partition).read().get(&partition).cloned();
        Ok(Arc::new(Snapshot {
            partition,
            disk: disk.unwrap_or_default(),
        }))
    }

    fn space(&self) -> Result<Option<Space>, EngineError> {
        Ok(None)
    }

    fn note(&self) -> Result<Option<Bytes>, EngineError> {
        self.check()?;
        Ok(self.note.read().clone())
    }

    fn keep_note(&self, note: &[u8]) -> Result<(), EngineError> {
        self.check()?;
        check_note(note)?;
        *self.note.write() = Some(Bytes::copy_from_slice(note));
        Ok(())
    }

    fn check(&self) -> Result<(), EngineError> {
        match self.is_over.load(Ordering::Acquire) {
            true => Err(EngineError::Closed),
            false => Ok(()),
        }
    }

    fn reopen(&self) -> Result<Reopened, EngineError> {
        self.is_over.store(true, Ordering::Release);
        let engine = Self {
            slots: self.slots.clone(),
            note: self.note.clone(),
            room: self.room.clone(),
            ..Self::new()
        };
        Ok(Reopened {
            engine: Arc::new(engine),
            lost: 0,
        })
    }
}
