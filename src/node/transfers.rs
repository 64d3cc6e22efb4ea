//! The backups and restores that run, by client.

use std::collections::BTreeMap;
use std::time::Duration;

use super::catch_up::{CatchUp, Question};
use super::transfer::TransferError;
use crate::clock::{Clock, NodeId};
use crate::machine::Instant;
use crate::placement::PartitionId;
use crate::store::{FullSource, Restore};

/// Backups that run at once. Each holds references to the rows of one partition as they were.
/// `catch_up` counts on there being no more.
const BACKUPS_MAX: usize = 2;

/// Restores that run at once. Each holds what was put aside of one partition, which may be as
/// large as the largest partition.
const RESTORES_MAX: usize = 1;

/// A client that asks for nothing for this long is forgotten. Longer than a busy disk lets its
/// writer wait.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// A backup that runs.
#[derive(Debug)]
pub(super) struct Backup {
    pub(super) catch_up: CatchUp,
    pub(super) sending: Option<Sending>,
}

/// The partition that is being sent.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) partition: PartitionId,
    pub(super) source: FullSource,
    /// Its next piece.
    pub(super) sequence: u32,
}

/// A restore that runs.
#[derive(Debug)]
pub(super) struct Restoring {
    /// The partition that is being received.
    pub(super) staged: Option<(PartitionId, Restore)>,
    /// The clocks of the partitions that were restored, as they were after it.
    pub(super) clocks: BTreeMap<PartitionId, Clock>,
    /// The number of the sync that has all of it on the disk.
    pub(super) synced_by: u64,
    /// When the other members were last told that there is news.
    pub(super) told: Instant,
}

#[derive(Debug)]
struct Slot<T> {
    used: Instant,
    /// None while a step works with it.
    state: Option<T>,
}

/// Those that run of one kind.
#[derive(Debug)]
pub(super) struct Running<T> {
    what: &'static str,
    limit: usize,
    slots: BTreeMap<u64, Slot<T>>,
}

impl<T> Running<T> {
    fn new(what: &'static str, limit: usize) -> Self {
        Self {
            what,
            limit,
            slots: BTreeMap::new(),
        }
    }

    /// Begins one, in the place of the client's last.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        client: u64,
        state: T,
    ) -> Result<(), TransferError> {
        if self.slots.len() >= self.limit && !self.slots.contains_key(&client) {
            return Err(TransferError::Busy {
                what: self.what,
                limit: self.limit,
            });
        }
        let state = Some(state);
        self.slots.insert(client, Slot { used: now, state });
        Ok(())
    }

    /// Takes the client's out, to work with it without a lock; give it [`back`](Self::back).
    pub(super) fn take(&mut self, client: u64) -> Result<T, TransferError> {
        let slot = self.slots.get_mut(&client);
        let state = slot.and_then(|slot| slot.state.take());
        state.ok_or(TransferError::NotBegun { what: self.what })
    }

    /// Gives the client's back, unless it was forgotten meanwhile.
    pub(super) fn back(&mut self, now: Instant, client: u64, state: T) {
        if let Some(slot) = self.slots.get_mut(&client) {
            slot.state = Some(state);
            slot.used = now;
        }
    }

    /// Forgets the client's.
    pub(super) fn forget(&mut self, client: u64) {
        self.slots.remove(&client);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn forget_idle(&mut self, now: Instant) {
        self.slots.retain(|_, slot| now.since(slot.used) < IDLE_MAX);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}

/// The backups and restores that run.
#[derive(Debug)]
pub(super) struct Transfers {
    pub(super) backups: Running<Backup>,
    pub(super) restores: Running<Restoring>,
}

impl Default for Transfers {
    fn default() -> Self {
        Self {
            backups: Running::new("backup", BACKUPS_MAX),
            restores: Running::new("restore", RESTORES_MAX),
        }
    }
}

impl Transfers {
    /// Forgets clients that have fallen silent.
    pub(super) fn forget_idle(&mut self, now: Instant) {
        self.backups.forget_idle(now);
        self.restores.forget_idle(now);
    }

    /// A peer said which partitions differ.
    pub(super) fn compared(
        &mut self,
        now: Instant,
        peer: NodeId,
        differing: &[PartitionId],
    ) -> Vec<Question> {
        let ids = || differing.iter().copied();
        self.catching_up(|catch_up| catch_up.compared(now, peer, ids()))
    }

    /// Something of a partition came from a peer.
    pub(super) fn fetched(
        &mut self,
        now: Instant,
        peer: NodeId,
        id: PartitionId,
        all: bool,
    ) -> Vec<Question> {
        self.catching_up(|catch_up| catch_up.fetched(now, peer, id, all))
    }

    fn catching_up(
        &mut self,
        mut tell: impl FnMut(&mut CatchUp) -> Option<Question>,
    ) -> Vec<Question> {
        let slots = self.backups.slots.values_mut();
        let backups = slots.filter_map(|slot| slot.state.as_mut());
        backups
            .filter_map(|backup| tell(&mut backup.catch_up))
            .collect()
    }
}
