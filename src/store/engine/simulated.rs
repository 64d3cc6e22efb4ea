//! A disk in memory that can crash, for the simulator and for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use super::disk::{Disk, KeepsDisks, Snapshot};
use super::{Batch, Engine, EngineError, Reader, Reopened, Space, check_note};
use crate::placement::PartitionId;
use crate::store::budget::RowBudget;

/// Keeps what a disk would keep, and forgets what a crash would lose.
///
/// Batches are kept in order. A crash drops the unsynced ones, or any number of the last of
/// them; it never drops one from the middle.
#[derive(Debug)]
pub struct Simulated {
    state: Arc<Mutex<State>>,
    budget: RowBudget,
    /// Which opening of the disk this is.
    opening: u64,
}

impl Default for Simulated {
    fn default() -> Self {
        Self::with_row_budget(RowBudget::unlimited())
    }
}

type Disks = BTreeMap<PartitionId, Arc<Disk>>;

#[derive(Clone, Debug, Default)]
struct State {
    /// All batches, applied.
    current: Disks,
    /// Those that were synced, applied.
    synced: Disks,
    /// Batches after them, in order.
    tail: Vec<Batch>,
    /// Synced when it was kept.
    note: Option<Bytes>,
    /// Every commit and sync fails, and no note is kept.
    failing: bool,
    /// Every read of rows and indexes fails.
    unreadable: bool,
    /// The last opening.
    opening: u64,
}

impl State {
    /// What `read` makes of the partition.
    fn read<T>(
        &self,
        partition: PartitionId,
        read: impl FnOnce(&Disk) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        if self.unreadable {
            return Err(EngineError::Injected);
        }
        match self.current.get(&partition) {
            Some(disk) => read(disk),
            None => read(&Disk::default()),
        }
    }
}

fn apply(disks: &mut Disks, batch: &Batch) {
    let disk = disks.entry(batch.partition).or_default();
    Disk::follow(disk, batch, batch.rows.iter().cloned());
}

impl Simulated {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty disk above which rows may take so much memory.
    pub fn with_row_budget(budget: RowBudget) -> Self {
        Self {
            state: Arc::default(),
            budget,
            opening: 0,
        }
    }

    /// Power is lost: everything since the last sync is gone.
    pub fn crash_losing_tail(&self) {
        self.crash_losing(usize::MAX);
    }

    /// The process ends but the system lives: nothing that was committed is lost.
    pub fn crash_keeping_tail(&self) {
        self.crash_losing(0);
    }

    /// Power is lost after the system wrote some batches back by itself: the last `batches`
    /// of the unsynced ones are gone. A failure asked for by [`fail`](Self::fail) or
    /// [`fail_reads`](Self::fail_reads) is over.
    pub fn crash_losing(&self, batches: usize) {
        let mut state = self.state.lock();
        let kept = state.tail.len().saturating_sub(batches);
        if kept < state.tail.len() {
            state.tail.truncate(kept);
            let mut disks = state.synced.clone();
            for batch in &state.tail {
                apply(&mut disks, batch);
            }
            state.current = disks;
        }
        state.failing = false;
        state.unreadable = false;
    }

    /// The disk is replaced by an empty one.
    pub fn wipe(&self) {
        let mut state = self.state.lock();
        *state = State {
            opening: state.opening,
            ..State::default()
        };
    }

    /// A copy of the disk as it is now, unsynced batches included.
    pub fn backup(&self) -> Self {
        Self {
            state: Arc::new(Mutex::new(self.state.lock().clone())),
            budget: self.budget.clone(),
            opening: self.opening,
        }
    }

    /// The disk is replaced by what it was when `backup` was taken.
    pub fn restore(&self, backup: &Self) {
        let copy = backup.state.lock().clone();
        let mut state = self.state.lock();
        *state = State {
            opening: state.opening,
            ..copy
        };
    }

    /// How many rows are kept, of all partitions.
    pub fn row_count(&self) -> usize {
        let state = self.state.lock();
        state.current.values().map(|disk| disk.len()).sum()
    }

    /// From now on, or no longer, every commit and sync fails and keeps nothing, nor is a note
    /// kept.
    pub fn fail(&self, failing: bool) {
        self.state.lock().failing = failing;
    }

    /// From now on, or no longer, no row and no index can be read.
    pub fn fail_reads(&self, failing: bool) {
        self.state.lock().unreadable = failing;
    }

    /// The row of `key` can no longer be read, until it is written again.
    pub fn damage(&self, partition: PartitionId, key: &[u8]) {
        let mut state = self.state.lock();
        let disk = state.current.entry(partition).or_default();
        Arc::make_mut(disk).damage(key);
    }

    /// The disk, unless it was opened again since.
    fn state(&self) -> Result<MutexGuard<'_, State>, EngineError> {
        let state = self.state.lock();
        match state.opening == self.opening {
            true => Ok(state),
            false => Err(EngineError::Closed),
        }
    }

    /// How many batches a crash could lose.
    pub fn unsynced(&self) -> usize {
        self.state.lock().tail.len()
    }
}

impl KeepsDisks for Simulated {
    fn read<T>(
        &self,
        partition: PartitionId,
        read: impl FnOnce(&Disk) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        self.state()?.read(partition, read)
    }
}

impl Engine for Simulated {
    fn reader(&self) -> &dyn Reader {
        self
    }

    fn commit(&self, batch: &Batch) -> Result<(), EngineError> {
        let mut state = self.state()?;
        if state.failing {
            return Err(EngineError::Injected);
        }
        apply(&mut state.current, batch);
        state.tail.push(batch.clone());
        Ok(())
    }

    fn sync(&self) -> Result<(), EngineError> {
        let mut state = self.state()?;
        if state.failing {
            return Err(EngineError::Injected);
        }
        state.synced = state.current.clone();
        state.tail.clear();
        Ok(())
    }

    fn row_budget(&self) -> &RowBudget {
        &self.budget
    }

    fn snapshot(&self, partition: PartitionId) -> Result<Arc<dyn Reader>, EngineError> {
        let disk = self.state()?.current.get(&partition).cloned();
        Ok(Arc::new(Snapshot {
            partition,
            disk: disk.unwrap_or_default(),
        }))
    }

    fn space(&self) -> Result<Option<Space>, EngineError> {
        Ok(None)
    }

    fn note(&self) -> Result<Option<Bytes>, EngineError> {
        Ok(self.state()?.note.clone())
    }

    fn keep_note(&self, note: &[u8]) -> Result<(), EngineError> {
        let mut state = self.state()?;
        if state.failing {
            return Err(EngineError::Injected);
        }
        check_note(note)?;
        state.note = Some(Bytes::copy_from_slice(note));
        Ok(())
    }

    fn check(&self) -> Result<(), EngineError> {
        match self.state()?.failing {
            true => Err(EngineError::Injected),
            false => Ok(()),
        }
    }

    fn reopen(&self) -> Result<Reopened, EngineError> {
        let mut state = self.state()?;
        if state.failing {
            return Err(EngineError::Injected);
        }
        state.opening += 1;
        let engine = Self {
            state: self.state.clone(),
            budget: self.budget.clone(),
            opening: state.opening,
        };
        Ok(Reopened {
            engine: Arc::new(engine),
            lost: 0,
        })
    }
}
