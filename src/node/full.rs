//! What a shard sends and stages when the dot log no longer reaches back (PROTOCOL 3.6).

use super::effect::{Effect, Note};
use super::shard::{Pulled, Shard, Source};
use crate::clock::NodeId;
use crate::machine::Now;
use crate::placement::PartitionId;
use crate::replication::Message;
use crate::store::exchange::{FullEnd, FullNext, FullRequest, FullRows};
use crate::store::{Applied, FullChunk};

/// Full syncs that one shard serves at the same time. Each holds references to the rows of
/// one partition as they were when it began.
const SOURCES_MAX: usize = 4;

impl<W> Shard<W> {
    /// A peer no longer knows which keys this node lacks: ask for the partition as a whole
    /// (PROTOCOL 3.6).
    pub(super) fn ask_full(&self, id: PartitionId) -> Option<Message> {
        let partition = self.partitions.get(&id)?;
        Some(Message::FullRequest(FullRequest {
            partition: id,
            asker: partition.actor(),
            clock: partition.clock().clone(),
        }))
    }

    /// Begins to serve a full sync. Over the limit the request is dropped: the asker gives
    /// up its pull after a while and asks again.
    pub(super) fn serve_full(
        &mut self,
        now: Now,
        from: NodeId,
        request: &FullRequest,
        effects: &mut Vec<Effect<W>>,
    ) {
        let key = (from, request.partition);
        if self.sources.len() >= SOURCES_MAX && !self.sources.contains_key(&key) {
            effects.push(Effect::Note(Note::FullSyncDeferred {
                peer: from,
                partition: request.partition,
            }));
            return;
        }
        let Some(partition) = self.partitions.get(&request.partition) else {
            return;
        };
        let session = self.next_session;
        self.next_session = self.next_session.wrapping_add(1);
        let source = partition.full_source(request, session);
        self.sources.insert(
            key,
            Source {
                source,
                session,
                used: now.mono,
            },
        );
        let first = FullNext {
            partition: request.partition,
            session,
            sequence: 0,
        };
        self.serve_next(now, from, &first, effects);
    }

    /// Sends the piece of a full sync that a peer asks for.
    pub(super) fn serve_next(
        &mut self,
        now: Now,
        from: NodeId,
        next: &FullNext,
        effects: &mut Vec<Effect<W>>,
    ) {
        let key = (from, next.partition);
        let Some(served) = self.sources.get_mut(&key) else {
            return;
        };
        if served.session != next.session {
            return;
        }
        served.used = now.mono;
        match served.source.chunk(next.sequence) {
            Some(FullChunk::Rows(rows)) => effects.push(Effect::Send {
                to: from,
                message: Message::FullRows(rows),
            }),
            Some(FullChunk::End(end)) => {
                self.sources.remove(&key);
                effects.push(Effect::Send {
                    to: from,
                    message: Message::FullEnd(end),
                });
            }
            None => {}
        }
    }

    /// Stages a piece of a full sync and asks for the next.
    pub(super) fn full_rows(
        &mut self,
        from: NodeId,
        rows: FullRows,
        effects: &mut Vec<Effect<W>>,
    ) -> Pulled {
        let (id, keys) = (rows.partition, rows.rows.len() as u64);
        let Some(partition) = self.partitions.get_mut(&id) else {
            return Pulled::Stale;
        };
        match partition.stage(rows) {
            Ok(next) => {
                effects.push(Effect::Send {
                    to: from,
                    message: Message::FullNext(next),
                });
                Pulled::More { keys }
            }
            Err(refusal) => {
                effects.extend(Effect::refused(from, id, refusal));
                Pulled::Stale
            }
        }
    }

    /// The source of a running full sync has fallen silent.
    pub(super) fn give_up(&mut self, id: PartitionId) {
        if let Some(partition) = self.partitions.get_mut(&id) {
            partition.unstage();
        }
    }

    /// Puts a staged full sync into effect.
    pub(super) fn full_end(
        &mut self,
        now: Now,
        from: NodeId,
        end: FullEnd,
        effects: &mut Vec<Effect<W>>,
    ) -> Pulled {
        let id = end.partition;
        let Some(partition) = self.partitions.get_mut(&id) else {
            return Pulled::Stale;
        };
        match partition.apply_full(end, now.wall_ms) {
            Ok(Applied::New | Applied::Duplicate) => {
                effects.push(Effect::Note(Note::FullSynced {
                    peer: from,
                    partition: id,
                }));
                Pulled::All { keys: 0 }
            }
            Ok(Applied::Refused(refusal)) => {
                effects.extend(Effect::refused(from, id, refusal));
                Pulled::Stale
            }
            Err(error) => {
                effects.push(Effect::storage(id, &error));
                Pulled::Stale
            }
        }
    }
}
