//! Serving a backup: first everything that the other members have, then partition by partition
//! one snapshot each, cut into pieces.
//!
//! A snapshot is taken when its partition's turn comes. So every write that was acknowledged
//! before the backup began is in it, whole, and of those that came meanwhile some: of each key
//! what it was at one moment during the backup.

use super::Data;
use super::catch_up::{CatchUp, Question};
use super::effect::Effect;
use super::transfer::{Origin, TransferError, TransferReply};
use super::transfers::Backup;
use crate::backup::{FRAME_BYTES_MAX, Tail, encode_rows, encode_tail};
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
        let catch_up = CatchUp::new(now.mono, &view.replicas, &view.reachable);
        let questions = catch_up.questions();
        let backup = Backup {
            catch_up,
            source: None,
            next: 0,
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

    pub(super) fn next_piece(
        &self,
        now: Now,
        client: u64,
        effects: &mut Vec<Effect<W>>,
    ) -> Result<TransferReply, TransferError> {
        let view = self.view();
        let mut backup = self.transfers.lock().backups.take(client)?;
        let questions = backup.catch_up.tick(now.mono, &view.reachable);
        let waiting = backup.catch_up.waiting();
        let piece = match waiting.is_empty() {
            true => self.piece(&mut backup),
            false => Ok(TransferReply::CatchingUp(waiting)),
        };
        match &piece {
            Ok(TransferReply::Complete(_)) | Err(_) => self.transfers.lock().backups.forget(client),
            Ok(_) => self.transfers.lock().backups.back(now.mono, client, backup),
        }
        self.ask_for_backup(now, questions, effects);
        piece
    }

    /// The next piece of a backup whose turn it is.
    fn piece(&self, backup: &mut Backup) -> Result<TransferReply, TransferError> {
        loop {
            let Some((id, source, sequence)) = &mut backup.source else {
                let id = PartitionId(backup.next);
                let Some(source) = self.snapshot(id).transpose().map_err(unreadable)? else {
                    return Ok(TransferReply::Complete(backup.catch_up.unheard()));
                };
                backup.source = Some((id, source, 0));
                backup.next += 1;
                continue;
            };
            let (partition, chunk) = (id.0, source.chunk(*sequence).map_err(unreadable)?);
            *sequence = sequence.saturating_add(1);
            match chunk {
                // A piece may hold a part of the live set alone, which is that of all rows here.
                Some(FullChunk::Rows(rows)) if rows.rows.is_empty() => {}
                Some(FullChunk::Rows(rows)) => {
                    let payload = bounded(partition, encode_rows(&rows.rows))?;
                    return Ok(TransferReply::Rows { partition, payload });
                }
                Some(FullChunk::End(end)) => {
                    backup.source = None;
                    let tail = Tail {
                        rows: end.rows_total,
                        versions: end.live_total,
                        clock: end.clock,
                    };
                    let payload = bounded(partition, encode_tail(&tail))?;
                    return Ok(TransferReply::End { partition, payload });
                }
                None => backup.source = None,
            }
        }
    }

    /// What a full sync would send to an asker that has nothing; none beyond the last partition.
    fn snapshot(&self, id: PartitionId) -> Option<Result<FullSource, StoreError>> {
        let shard = self.known_shard(id)?.lock();
        let partition = shard.partition(id)?;
        if partition.is_rebuilding() {
            return Some(Err(StoreError::Rebuilding(id)));
        }
        let request = FullRequest {
            partition: id,
            asker: partition.actor(),
            clock: Clock::new(),
        };
        Some(partition.full_source(&request, 0))
    }

    /// A peer said which partitions differ, in answer to this node's root hash.
    pub(super) fn compared(
        &self,
        now: Now,
        peer: NodeId,
        differing: &[PartitionId],
        effects: &mut Vec<Effect<W>>,
    ) {
        let questions = self.transfers.lock().compared(now.mono, peer, differing);
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
    if let StoreError::Rebuilding(_) = error {
        return TransferError::NotCaughtUp;
    }
    TransferError::Storage(error.to_string())
}

fn bounded(partition: u16, payload: Vec<u8>) -> Result<Vec<u8>, TransferError> {
    match payload.len() > PIECE_BYTES_MAX {
        true => Err(TransferError::TooLarge {
            partition,
            bytes: payload.len(),
            limit: PIECE_BYTES_MAX,
        }),
        false => Ok(payload),
    }
}
