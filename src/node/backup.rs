//! Serving a backup: first everything that the other members have, then partition by partition,
//! as the client asks for them, one snapshot each, cut into pieces.
//!
//! A snapshot is taken when its partition's turn comes. So every write that was acknowledged
//! before the backup began is in it, whole, and of those that came meanwhile some: of each key
//! what it was at one moment during the backup.
//!
//! Only partitions that this node owns and holds whole are given. A write that was acknowledged
//! is with an owner, or with one that was an owner until a moment ago and keeps it until the
//! present owners have it; so everyone within reach is asked what they have of those.

use std::collections::BTreeMap;

use super::Data;
use super::catch_up::{CatchUp, Question};
use super::effect::Effect;
use super::transfer::{Layout, Origin, TransferError, TransferReply};
use super::transfers::{Backup, Sending};
use super::view::View;
use crate::backup::{FRAME_BYTES_MAX, Ranges, Tail, encode_rows, encode_tail};
use crate::clock::{Clock, NodeId};
use crate::machine::Now;
use crate::placement::PartitionId;
use crate::store::exchange::FullRequest;
use crate::store::{FullChunk, FullSource, StoreError};

/// The most bytes of a piece: a frame of the file, less the partition's number.
const PIECE_BYTES_MAX: usize = FRAME_BYTES_MAX - size_of::<u16>();

impl<W> Data<W> {
    pub(super) fn begin_backup(
        &self,
        now: Now,
        client: u64,
        effects: &mut Vec<Effect<W>>,
    ) -> Result<TransferReply, TransferError> {
        let view = self.view();
        let catch_up = CatchUp::new(now.mono, &view.members, &view.reachable);
        let questions = catch_up.questions();
        let backup = Backup {
            catch_up,
            sending: None,
        };
        let begun = self
            .transfers
            .lock()
            .backups
            .begin(now.mono, client, backup);
        begun?;
        self.ask_for_backup(now, questions, effects);
        Ok(TransferReply::Begun(Origin {
            partitions: self.keyspace.partitions,
            hash_seed: self.keyspace.hash_seed,
            taken_ms: now.wall_ms,
            keys: self.key_count(),
        }))
    }

    /// Does a step of the client's backup, once this node has caught up. One that fails ends
    /// the backup.
    pub(super) fn with_backup(
        &self,
        now: Now,
        client: u64,
        effects: &mut Vec<Effect<W>>,
        step: impl FnOnce(&View, &mut Backup) -> Result<TransferReply, TransferError>,
    ) -> Result<TransferReply, TransferError> {
        let view = self.view();
        let mut backup = self.transfers.lock().backups.take(client)?;
        let questions = backup.catch_up.tick(now.mono, &view.reachable);
        let waiting = backup.catch_up.waiting();
        let done = match waiting.is_empty() {
            true => step(&view, &mut backup),
            false => Ok(TransferReply::CatchingUp(waiting)),
        };
        match &done {
            Ok(_) => self.transfers.lock().backups.back(now.mono, client, backup),
            Err(_) => self.transfers.lock().backups.forget(client),
        }
        self.ask_for_backup(now, questions, effects);
        done
    }

    /// Who serves what, where this node serves that for which `serves` says so.
    pub(super) fn layout(&self, view: &View, serves: impl Fn(PartitionId) -> bool) -> Layout {
        let here = self.keyspace.all().filter(|id| serves(*id));
        let mut owned: BTreeMap<NodeId, Ranges> = BTreeMap::new();
        for id in self.keyspace.all() {
            for owner in view.placement.current(id) {
                owned.entry(*owner).or_default().0.insert(id.0);
            }
        }
        Layout {
            here: here.map(|id| id.0).collect(),
            owned,
        }
    }

    /// Whether this node gives a partition.
    pub(super) fn gives(&self, view: &View, id: PartitionId) -> bool {
        view.group(id).is_owner && self.is_whole(id)
    }

    /// The next piece of a partition.
    pub(super) fn piece(
        &self,
        view: &View,
        backup: &mut Backup,
        id: PartitionId,
    ) -> Result<TransferReply, TransferError> {
        if !self.gives(view, id) {
            return Err(TransferError::NotServed(id.0));
        }
        let unheard = backup.catch_up.unheard();
        let running = backup.sending.take();
        let mut sending = match running.filter(|sending| sending.partition == id) {
            Some(sending) => sending,
            None => Sending {
                partition: id,
                source: self.snapshot(id)?,
                sequence: 0,
            },
        };
        loop {
            let chunk = sending.source.chunk(sending.sequence).map_err(unreadable)?;
            sending.sequence = sending.sequence.saturating_add(1);
            match chunk {
                // A piece may hold a part of the live set alone, which is that of all rows here.
                Some(FullChunk::Rows(rows)) if rows.rows.is_empty() => {}
                Some(FullChunk::Rows(rows)) => {
                    let payload = bounded(id, encode_rows(&rows.rows))?;
                    backup.sending = Some(sending);
                    return Ok(TransferReply::Rows {
                        partition: id.0,
                        payload,
                    });
                }
                Some(FullChunk::End(end)) => {
                    let tail = Tail {
                        rows: end.rows_total,
                        versions: end.live_total,
                        clock: end.clock,
                    };
                    let replicas = &view.group(id).replicas;
                    return Ok(TransferReply::End {
                        partition: id.0,
                        payload: bounded(id, encode_tail(&tail))?,
                        unheard: unheard.intersection(replicas).copied().collect(),
                    });
                }
                None => return Err(TransferError::NotServed(id.0)),
            }
        }
    }

    /// What a full sync would send to an asker that has nothing.
    fn snapshot(&self, id: PartitionId) -> Result<FullSource, TransferError> {
        let shard = self.shard(id).lock();
        let partition = shard.partition(id);
        let partition = partition.ok_or(TransferError::NoPartition(id.0))?;
        let request = FullRequest {
            partition: id,
            asker: partition.actor(),
            clock: Clock::new(),
        };
        partition.full_source(&request, 0).map_err(unreadable)
    }

    /// A peer said which partitions differ, in answer to this node's root hash.
    pub(super) fn compared(
        &self,
        now: Now,
        peer: NodeId,
        differing: &[PartitionId],
        effects: &mut Vec<Effect<W>>,
    ) {
        if self.transfers.lock().backups.is_empty() {
            return;
        }
        let view = self.view();
        let given = differing.iter().copied();
        let given: Vec<_> = given.filter(|id| self.gives(&view, *id)).collect();
        let questions = self.transfers.lock().compared(now.mono, peer, &given);
        self.ask_for_backup(now, questions, effects);
    }

    /// Something of a pull came: all that `peer` has, or not yet.
    pub(super) fn fetched(
        &self,
        now: Now,
        peer: NodeId,
        id: PartitionId,
        all: bool,
        effects: &mut Vec<Effect<W>>,
    ) {
        let questions = self.transfers.lock().fetched(now.mono, peer, id, all);
        self.ask_for_backup(now, questions, effects);
    }

    fn ask_for_backup(&self, now: Now, questions: Vec<Question>, effects: &mut Vec<Effect<W>>) {
        for question in questions {
            match question {
                Question::Compare(peer) => effects.push(self.comparison(peer)),
                Question::Fetch(peer, ids) => self.differ(now, peer, ids, false, effects),
            }
        }
    }
}

fn unreadable(error: StoreError) -> TransferError {
    TransferError::Storage(error.to_string())
}

fn bounded(id: PartitionId, payload: Vec<u8>) -> Result<Vec<u8>, TransferError> {
    match payload.len() > PIECE_BYTES_MAX {
        true => Err(TransferError::TooLarge {
            partition: id.0,
            bytes: payload.len(),
            limit: PIECE_BYTES_MAX,
        }),
        false => Ok(payload),
    }
}
