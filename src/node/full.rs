//! What a shard sends and stages when the dot log no longer reaches back (PROTOCOL 3.6).

use std::collections::BTreeMap;
use std::time::Duration;

use super::effect::{Effect, Note};
use super::shard::{Brought, Fetch, Pulled, Shard, Source};
use crate::clock::NodeId;
use crate::machine::{Instant, Now};
use crate::placement::PartitionId;
use crate::replication::Message;
use crate::store::exchange::{FullEnd, FullNext, FullRequest, FullRows};
use crate::store::{Applied, FullChunk, Partition};

/// Full syncs that one shard serves at the same time. Each keeps the engine from dropping the
/// rows of one partition as they were when it began.
const SOURCES_MAX: usize = 4;

/// How long a piece of a full sync may take before it is asked for again. Longer than a slow
/// link takes for one piece.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// How often at most. Together as long as a source remembers what nobody asks for.
const ASKED_AGAIN_MAX: u32 = 15;

impl<W> Shard<W> {
    /// A peer no longer knows which keys this node lacks: ask for the partition as a whole
    /// (PROTOCOL 3.6), or for the rest of what the peer has begun to send.
    pub(super) fn need_full(&mut self, now: Now, peer: NodeId, id: PartitionId) {
        let Some(partition) = self.partitions.get_mut(&id) else {
            return;
        };
        let running = self.fetches.get(&id);
        if running.is_none_or(|fetch| fetch.peer != peer) {
            noting_end(&mut self.ended, partition, Partition::unstage);
            let fetch = Fetch {
                peer,
                asked: now.mono,
                tries: 0,
            };
            self.fetches.insert(id, fetch);
        }
    }

    /// What to ask `peer` for next: a piece of the full sync that runs with it, or a delta.
    pub(super) fn question(&mut self, now: Now, peer: NodeId, id: PartitionId) -> Option<Message> {
        let running = self.fetches.get_mut(&id);
        match running.filter(|fetch| fetch.peer == peer) {
            Some(fetch) => {
                fetch.asked = now.mono;
                self.full_question(id)
            }
            None => self.ask(id, false),
        }
    }

    /// Full syncs are not in a hurry before `next`, when the next piece may be asked for.
    pub(super) fn pause_full(&mut self, id: PartitionId, next: Instant) {
        if let Some(fetch) = self.fetches.get_mut(&id) {
            fetch.asked = next;
        }
    }

    /// What a full sync waits for: its next piece, or its first.
    fn full_question(&self, id: PartitionId) -> Option<Message> {
        let partition = self.partitions.get(&id)?;
        Some(match partition.staged() {
            Some(next) => Message::FullNext(next),
            None => Message::FullRequest(FullRequest {
                partition: id,
                asker: partition.actor(),
                clock: partition.clock().clone(),
            }),
        })
    }

    /// Asks again for pieces that do not come: question or answer was lost, or the source is
    /// slow. After a while gives up what was staged, for the source has then forgotten it.
    pub(super) fn ask_again(&mut self, now: Now, effects: &mut Vec<Effect<W>>) {
        self.abandon(|fetch| fetch.tries >= ASKED_AGAIN_MAX);
        let mut late = Vec::new();
        for (id, fetch) in &mut self.fetches {
            if now.mono.since(fetch.asked) >= ASK_AGAIN_AFTER {
                fetch.asked = now.mono;
                fetch.tries += 1;
                late.push((*id, fetch.peer));
            }
        }
        for (id, to) in late {
            let question = self.full_question(id);
            effects.extend(question.map(|message| Effect::Send { to, message }));
        }
    }

    /// The source has forgotten a full sync: begin again if it is the one that runs.
    pub(super) fn full_gone(
        &mut self,
        now: Now,
        from: NodeId,
        id: PartitionId,
        session: u64,
    ) -> Pulled {
        let staged = self.partitions.get(&id).and_then(Partition::staged);
        let is_it = staged.is_some_and(|staged| staged.session == session)
            && self
                .fetches
                .get(&id)
                .is_some_and(|fetch| fetch.peer == from);
        if !is_it {
            return Pulled::Stale;
        }
        self.fetches.remove(&id);
        self.need_full(now, from, id);
        Pulled::More(Brought::default())
    }

    /// Gives up the full sync of one partition.
    pub(super) fn abandon_one(&mut self, id: PartitionId) {
        self.fetches.remove(&id);
        if let Some(partition) = self.partitions.get_mut(&id) {
            noting_end(&mut self.ended, partition, Partition::unstage);
        }
    }

    /// Gives up the full syncs for which `is_over` says so.
    pub(super) fn abandon(&mut self, is_over: impl Fn(&Fetch) -> bool) {
        let (partitions, ended) = (&mut self.partitions, &mut self.ended);
        self.fetches.retain(|id, fetch| {
            let over = is_over(fetch);
            if over && let Some(partition) = partitions.get_mut(id) {
                noting_end(ended, partition, Partition::unstage);
            }
            !over
        });
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
        if self.sources.len() >= SOURCES_MAX {
            self.sources.retain(|_, source| !source.ended);
        }
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
        let source = match partition.full_source(request, session) {
            Ok(source) => source,
            Err(error) => {
                effects.push(Effect::storage(request.partition, &error));
                return;
            }
        };
        self.sources.insert(
            key,
            Source {
                source,
                session,
                used: now.mono,
                ended: false,
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
        let running = self.sources.get_mut(&key);
        let Some(served) = running.filter(|served| served.session == next.session) else {
            effects.push(gone(from, next));
            return;
        };
        served.used = now.mono;
        match served.source.chunk(next.sequence) {
            Ok(Some(FullChunk::Rows(rows))) => effects.push(Effect::Send {
                to: from,
                message: Message::FullRows(rows),
            }),
            Ok(Some(FullChunk::End(end))) => {
                served.ended = true;
                effects.push(Effect::Send {
                    to: from,
                    message: Message::FullEnd(end),
                });
            }
            Ok(None) => {}
            Err(error) => {
                self.sources.remove(&key);
                effects.push(Effect::storage(next.partition, &error));
                effects.push(gone(from, next));
            }
        }
    }

    /// Stages a piece of a full sync.
    pub(super) fn full_rows(
        &mut self,
        now: Now,
        from: NodeId,
        rows: FullRows,
        effects: &mut Vec<Effect<W>>,
    ) -> Pulled {
        let (id, brought) = (rows.partition, Brought::of(&rows.rows));
        let Some(partition) = self.partitions.get_mut(&id) else {
            return Pulled::Stale;
        };
        if self.ended.get(&id) == Some(&rows.session) {
            return Pulled::Stale;
        }
        let staged = noting_end(&mut self.ended, partition, |p| p.stage(rows));
        match staged {
            Ok(_) => {
                let fetch = Fetch {
                    peer: from,
                    asked: now.mono,
                    tries: 0,
                };
                self.fetches.insert(id, fetch);
                Pulled::More(brought)
            }
            Err(refusal) => {
                effects.extend(Effect::refused(from, id, refusal));
                Pulled::Stale
            }
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
        let vouches = end.vouches;
        let lost = partition.note_lost(&end.clock);
        self.losses.add(from, id, lost);
        let applied = noting_end(&mut self.ended, partition, |p| {
            p.apply_full(end, now.wall_ms)
        });
        if partition.staged().is_none() {
            self.fetches.remove(&id);
        }
        match applied {
            Ok(Applied::New | Applied::Duplicate) => {
                effects.push(Effect::Note(Note::FullSynced {
                    peer: from,
                    partition: id,
                }));
                if vouches {
                    self.compared_to_the_end(from, id, effects);
                }
                Pulled::All(Brought::default())
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

/// This node does not serve, or no longer, what a peer asks for.
fn gone<W>(to: NodeId, next: &FullNext) -> Effect<W> {
    Effect::Send {
        to,
        message: Message::FullGone {
            partition: next.partition,
            session: next.session,
        },
    }
}

/// Does a step of a partition, and notes the full sync that was running before it and is not
/// after it.
fn noting_end<T>(
    ended: &mut BTreeMap<PartitionId, u64>,
    partition: &mut Partition,
    step: impl FnOnce(&mut Partition) -> T,
) -> T {
    let session = |partition: &Partition| partition.staged().map(|next| next.session);
    let before = session(partition);
    let done = step(partition);
    if let Some(running) = before.filter(|_| session(partition) != before) {
        ended.insert(partition.id(), running);
    }
    done
}
