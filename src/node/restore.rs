//! Receiving a backup, partition by partition: put aside, then in effect all at once.
//!
//! A partition is taken in by one of its owners that has a whole copy: another node knows not
//! what the owners have agreed to refuse, nor what they have deleted. From there it spreads to
//! the other replicas like everything that they lack: by comparison in the background, which is
//! told at once that there is news.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::Data;
use super::effect::Effect;
use super::shard::Shard;
use super::transfer::{TransferError, TransferReply, TransferRequest};
use super::transfers::Restoring;
use super::view::View;
use crate::backup::{Flaw, decode_rows, decode_tail};
use crate::clock::{Clock, NodeId};
use crate::machine::Now;
use crate::placement::PartitionId;
use crate::replication::{Durability, Input};
use crate::store::{Restore, RestoreEnd, RestoreError, Restored};

/// How often at most the other members are told that there is news.
const TELL_INTERVAL: Duration = Duration::from_millis(500);

impl<W> Data<W> {
    /// One step of the backup or restore of a client.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub fn transfer(
        &self,
        now: Now,
        client: u64,
        request: TransferRequest,
        effects: &mut Vec<Effect<W>>,
    ) -> Result<TransferReply, TransferError> {
        if request.is_change()
            && let Some(why) = self.gate.why_closed()
        {
            return Err(TransferError::WritesStopped(why));
        }
        match request {
            TransferRequest::BeginBackup => self.begin_backup(now, client, effects),
            TransferRequest::LayoutOfBackup => self.with_backup(now, client, effects, |view, _| {
                let layout = self.layout(view, |id| self.gives(view, id));
                Ok(TransferReply::Layout(layout))
            }),
            TransferRequest::NextPiece { partition } => {
                self.with_backup(now, client, effects, |view, backup| {
                    self.piece(view, backup, PartitionId(partition))
                })
            }
            TransferRequest::BeginRestore {
                partitions,
                hash_seed,
            } => self.begin_restore(now, client, partitions, hash_seed),
            TransferRequest::LayoutOfRestore => self.with_restore(now, client, |_| {
                let view = self.view();
                let layout = self.layout(&view, |id| self.takes(&view, id));
                Ok(TransferReply::Layout(layout))
            }),
            TransferRequest::RestoreRows { partition, payload } => {
                self.with_restore(now, client, |restoring| {
                    self.restore_rows(restoring, partition, &payload)
                })
            }
            TransferRequest::RestoreEnd { partition, payload } => {
                let done = self.with_restore(now, client, |restoring| {
                    self.restore_end(now, restoring, partition, &payload)
                })?;
                let view = self.view();
                let replicas = &view.group(PartitionId(partition)).replicas;
                self.tell_of_news(now, replicas, effects);
                Ok(done)
            }
            TransferRequest::RestoreStatus => {
                let mut tell = false;
                let status = self.with_restore(now, client, |restoring| {
                    tell = now.mono.since(restoring.told) >= TELL_INTERVAL;
                    if tell {
                        restoring.told = now.mono;
                    }
                    Ok(self.restore_status(restoring))
                })?;
                if tell && let TransferReply::Status { behind, .. } = &status {
                    self.tell_of_news(now, behind, effects);
                }
                Ok(status)
            }
        }
    }

    /// The client is gone: nothing of it is left behind.
    pub fn forget_transfers(&self, client: u64) {
        let mut transfers = self.transfers.lock();
        transfers.backups.forget(client);
        transfers.restores.forget(client);
    }

    fn begin_restore(
        &self,
        now: Now,
        client: u64,
        partitions: u16,
        hash_seed: u64,
    ) -> Result<TransferReply, TransferError> {
        let ours = self.keyspace;
        same("partitions", ours.partitions.into(), partitions.into())?;
        same("hash seed", ours.hash_seed, hash_seed)?;
        // What the others have agreed to refuse this node may not know yet, and would take in:
        // they would differ for good. They agree only while every member holds everything and
        // is there, so whoever of them it has compared with knows. What it has come to hold
        // since it does not take in before it is whole.
        if !self.is_caught_up() && !self.view().reachable.is_empty() {
            return Err(TransferError::NotCaughtUp);
        }
        let restoring = Restoring {
            staged: None,
            clocks: BTreeMap::new(),
            synced_by: 0,
            told: now.mono,
        };
        let mut transfers = self.transfers.lock();
        transfers.restores.begin(now.mono, client, restoring)?;
        Ok(TransferReply::Ready)
    }

    /// Does a step of the client's restore. One that fails ends the restore: what was put
    /// aside is dropped, what took effect stays.
    fn with_restore(
        &self,
        now: Now,
        client: u64,
        step: impl FnOnce(&mut Restoring) -> Result<TransferReply, TransferError>,
    ) -> Result<TransferReply, TransferError> {
        let mut restoring = self.transfers.lock().restores.take(client)?;
        let done = step(&mut restoring);
        let mut transfers = self.transfers.lock();
        match &done {
            Ok(_) => transfers.restores.back(now.mono, client, restoring),
            Err(_) => transfers.restores.forget(client),
        }
        done
    }

    /// Whether this node takes a partition in: it owns it, and holds it whole unless no other
    /// owner is there to ask.
    fn takes(&self, view: &View, id: PartitionId) -> bool {
        let group = view.group(id);
        group.is_owner && (group.voters.is_empty() || self.is_whole(id))
    }

    /// A partition that this node takes in.
    fn taken(&self, partition: u16) -> Result<PartitionId, TransferError> {
        let id = PartitionId(partition);
        self.known_shard(id)
            .ok_or(TransferError::NoPartition(partition))?;
        match self.takes(&self.view(), id) {
            true => Ok(id),
            false => Err(TransferError::NotServed(partition)),
        }
    }

    fn restore_rows(
        &self,
        restoring: &mut Restoring,
        partition: u16,
        payload: &Bytes,
    ) -> Result<TransferReply, TransferError> {
        let id = self.taken(partition)?;
        let rows = decode_rows(payload).map_err(|flaw| malformed(partition, &flaw))?;
        let restore = staged(restoring, id)?;
        let shard = self.known_shard(id).map(|shard| shard.lock());
        let here = shard.as_ref().and_then(|shard| shard.partition(id));
        let here = here.ok_or(TransferError::NoPartition(partition))?;
        let done = here.stage_restore(restore, rows);
        done.map_err(|refusal| TransferError::Refused { partition, refusal })?;
        Ok(TransferReply::Ready)
    }

    fn restore_end(
        &self,
        now: Now,
        restoring: &mut Restoring,
        partition: u16,
        payload: &Bytes,
    ) -> Result<TransferReply, TransferError> {
        let id = self.taken(partition)?;
        let tail = decode_tail(payload).map_err(|flaw| malformed(partition, &flaw))?;
        staged(restoring, id)?;
        let (_, restore) = restoring.staged.take().unwrap_or_default();
        let end = RestoreEnd {
            clock: tail.clock,
            rows: tail.rows,
            versions: tail.versions,
        };
        let shard = self.known_shard(id);
        let shard = shard.ok_or(TransferError::NoPartition(partition))?;
        let (restored, clock) = shard.lock().restore(id, restore, end, now.wall_ms)?;
        self.note_commit(Durability::Interval);
        restoring.synced_by = self.syncs.next();
        restoring.clocks.insert(id, clock);
        Ok(TransferReply::Restored(restored))
    }

    fn restore_status(&self, restoring: &Restoring) -> TransferReply {
        let view = self.view();
        let mut lacking: BTreeSet<NodeId> = BTreeSet::new();
        for (id, clock) in &restoring.clocks {
            let shard = self.shard(*id).lock();
            let Some(partition) = shard.partition(*id) else {
                continue;
            };
            let group = view.group(*id);
            // A copy that was given up meanwhile is with all who own it now (PROTOCOL 3.11).
            if !group.is_wanted && !partition.clock().dominates(clock) {
                continue;
            }
            let replicas = group.replicas.iter().copied();
            lacking.extend(replicas.filter(|peer| !partition.is_known_to(*peer, clock)));
        }
        let (behind, away) = (lacking.into_iter()).partition(|id| view.reachable.contains(id));
        TransferReply::Status {
            on_disk: self.syncs.is_kept(restoring.synced_by),
            behind,
            away,
        }
    }

    /// Has this node compared with these peers soon.
    fn tell_of_news<'a>(
        &self,
        now: Now,
        peers: impl IntoIterator<Item = &'a NodeId>,
        effects: &mut Vec<Effect<W>>,
    ) {
        for peer in peers {
            self.tell_sync(now, Input::PushDropped(*peer), effects);
        }
    }
}

/// What was put aside of a partition; begins with it unless another waits for its end.
fn staged(restoring: &mut Restoring, id: PartitionId) -> Result<&mut Restore, TransferError> {
    let (waiting, restore) = restoring.staged.get_or_insert_with(|| (id, Restore::new()));
    match *waiting == id {
        true => Ok(restore),
        false => Err(TransferError::OutOfTurn {
            waiting: *waiting,
            given: id.0,
        }),
    }
}

fn same(setting: &'static str, ours: u64, theirs: u64) -> Result<(), TransferError> {
    match ours == theirs {
        true => Ok(()),
        false => Err(TransferError::Mismatch {
            setting,
            ours,
            theirs,
        }),
    }
}

fn malformed(partition: u16, flaw: &Flaw) -> TransferError {
    TransferError::Malformed {
        partition,
        reason: flaw.to_string(),
    }
}

impl<W> Shard<W> {
    /// Puts a backup of a partition into effect; gives its clock after it.
    fn restore(
        &mut self,
        id: PartitionId,
        restore: Restore,
        end: RestoreEnd,
        wall_ms: u64,
    ) -> Result<(Restored, Clock), TransferError> {
        let partition = self.partitions.get_mut(&id);
        let partition = partition.ok_or(TransferError::NoPartition(id.0))?;
        let restored = partition.apply_restore(restore, end, wall_ms);
        let restored = restored.map_err(|error| match error {
            RestoreError::Refused(refusal) => TransferError::Refused {
                partition: id.0,
                refusal,
            },
            RestoreError::Store(error) => TransferError::Storage(error.to_string()),
        })?;
        Ok((restored, partition.clock().clone()))
    }
}
