//! A disk in memory that can crash, for the simulator and for tests.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Batch, Engine, EngineError, Loaded};
use crate::clock::{ActorId, Clock, NodeId};
use crate::object::Row;
use crate::placement::PartitionId;

/// Keeps what a disk would keep, and forgets what a crash would lose.
///
/// Batches are kept in order. A crash drops the unsynced ones, or any number of the last of
/// them; it never drops one from the middle.
#[derive(Debug, Default)]
pub struct Simulated {
    state: Mutex<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// All batches that were synced, applied.
    synced: BTreeMap<PartitionId, Disk>,
    /// Batches after them, in order.
    tail: Vec<Batch>,
    /// Every commit and sync fails.
    failing: bool,
}

#[derive(Clone, Debug, Default)]
struct Disk {
    rows: BTreeMap<Bytes, Row>,
    clock: Clock,
    frozen: BTreeSet<ActorId>,
    peers: BTreeSet<NodeId>,
}

impl Disk {
    fn apply(&mut self, batch: &Batch) {
        for (key, row) in &batch.rows {
            match row {
                Some(row) => self.rows.insert(key.clone(), row.clone()),
                None => self.rows.remove(key),
            };
        }
        for (actor, entry) in &batch.entries {
            self.clock.set(*actor, entry.clone());
        }
        for (actor, is_frozen) in &batch.frozen {
            match is_frozen {
                true => self.frozen.insert(*actor),
                false => self.frozen.remove(actor),
            };
        }
        self.peers.extend(batch.peers.iter().copied());
    }
}

impl Simulated {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
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
    /// of the unsynced ones are gone. A failure asked for by [`fail`](Self::fail) is over.
    pub fn crash_losing(&self, batches: usize) {
        let mut state = self.state.lock();
        let kept = state.tail.len().saturating_sub(batches);
        state.tail.truncate(kept);
        state.failing = false;
    }

    /// The disk is replaced by an empty one.
    pub fn wipe(&self) {
        *self.state.lock() = State::default();
    }

    /// A copy of the disk as it is now, unsynced batches included.
    pub fn backup(&self) -> Self {
        Self {
            state: Mutex::new(self.state.lock().clone()),
        }
    }

    /// The disk is replaced by what it was when `backup` was taken.
    pub fn restore(&self, backup: &Self) {
        let state = backup.state.lock().clone();
        *self.state.lock() = state;
    }

    /// How many rows are kept, of all partitions.
    pub fn rows(&self) -> usize {
        let state = self.state.lock();
        let mut disks = state.synced.clone();
        for batch in &state.tail {
            disks.entry(batch.partition).or_default().apply(batch);
        }
        disks.values().map(|disk| disk.rows.len()).sum()
    }

    /// From now on, or no longer, every commit and sync fails and keeps nothing.
    pub fn fail(&self, failing: bool) {
        self.state.lock().failing = failing;
    }

    /// How many batches a crash could lose.
    pub fn unsynced(&self) -> usize {
        self.state.lock().tail.len()
    }
}

impl Engine for Simulated {
    fn load(&self, partition: PartitionId) -> Result<Loaded, EngineError> {
        let state = self.state.lock();
        let mut disk = state.synced.get(&partition).cloned().unwrap_or_default();
        for batch in &state.tail {
            if batch.partition == partition {
                disk.apply(batch);
            }
        }
        Ok(Loaded {
            rows: disk.rows.into_iter().collect(),
            clock: disk.clock,
            frozen: disk.frozen,
            peers: disk.peers,
        })
    }

    fn commit(&self, batch: &Batch) -> Result<(), EngineError> {
        let mut state = self.state.lock();
        if state.failing {
            return Err(EngineError::Injected);
        }
        state.tail.push(batch.clone());
        Ok(())
    }

    fn sync(&self) -> Result<(), EngineError> {
        let mut state = self.state.lock();
        if state.failing {
            return Err(EngineError::Injected);
        }
        for batch in std::mem::take(&mut state.tail) {
            state
                .synced
                .entry(batch.partition)
                .or_default()
                .apply(&batch);
        }
        Ok(())
    }
}
