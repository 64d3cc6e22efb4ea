//! Some of a node's partitions, with the writes that wait on them.
//!
//! A shard is owned by one lock. Each call runs to its end without waiting: it reads or
//! commits, and leaves [`Effect`]s to be executed after the lock is released.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::data::{Effect, Note};
use super::request::{Consistency, Reply, Request, RequestError};
use super::view::View;
use crate::clock::{NodeId, VersionVector};
use crate::config::Strength;
use crate::machine::{Instant, Now};
use crate::object::{KEY_BYTES_MAX, Object, VALUE_BYTES_MAX};
use crate::placement::PartitionId;
use crate::replication::{Ended, Message, Waits};
use crate::store::exchange::{Delta, Digest, FullEnd, FullNext, FullRequest, FullRows, Push};
use crate::store::{
    Applied, DeltaAnswer, FullChunk, FullSource, Partition, PartitionStats, Refusal, StoreError,
    Write,
};

/// Full syncs that one shard serves at the same time. Each holds references to the rows of
/// one partition as they were when it began.
const SOURCES_MAX: usize = 4;

/// A full sync whose receiver asks for nothing for this long is forgotten.
const SOURCE_IDLE: Duration = Duration::from_secs(30);

/// Requests of one kind and shard that may wait for replicas at the same time. Each holds a small
/// record and keeps one client waiting.
const WAITING_MAX: usize = 16_384;

/// A full sync that this shard serves.
struct Source {
    source: FullSource,
    session: u64,
    used: Instant,
}

/// Part of a node's partitions.
pub(super) struct Shard<W> {
    partitions: BTreeMap<PartitionId, Partition>,
    writes: Waits<(W, Reply)>,
    reads: Waits<Gathering<W>>,
    sources: BTreeMap<(NodeId, PartitionId), Source>,
    next_session: u64,
}

/// A read that several replicas take part in (PROTOCOL 3.7). What they know is merged and
/// the answer given from the merge. The merged row is never pushed: it would carry effects
/// without their dots (N33, N34). Replicas that differ are reconciled by anti-entropy.
struct Gathering<W> {
    waiter: W,
    question: Question,
    local: Object,
    merged: Object,
}

/// What a read wants to know of an object.
#[derive(Clone, Copy)]
enum Question {
    Value,
    Existence,
    Object,
}

/// A client's request on its way to a partition.
#[derive(Clone, Copy)]
pub(super) struct Task<'a> {
    pub(super) now: Now,
    pub(super) partition: PartitionId,
    pub(super) consistency: Consistency,
    pub(super) view: &'a View,
}

/// What a peer's piece of data did to a pull.
pub(super) enum Pulled {
    /// It brought `keys` keys and there is more to come, already asked for.
    More { keys: u64 },
    /// It brought `keys` keys and the peer has nothing more.
    All { keys: u64 },
    /// It does not belong to what was asked for.
    Stale,
}

impl<W> Shard<W> {
    pub(super) fn new(
        partitions: impl IntoIterator<Item = Partition>,
        timeout: Duration,
        first_session: u64,
    ) -> Self {
        Self {
            partitions: partitions.into_iter().map(|p| (p.id(), p)).collect(),
            writes: Waits::new(timeout, WAITING_MAX),
            reads: Waits::new(timeout, WAITING_MAX),
            sources: BTreeMap::new(),
            next_session: first_session,
        }
    }

    pub(super) fn partition(&self, id: PartitionId) -> Option<&Partition> {
        self.partitions.get(&id)
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.partitions.values()
    }

    /// Runs a client's request on one of its partitions. `None`: the reply comes later, as
    /// an effect for the waiter.
    pub(super) fn submit(
        &mut self,
        task: Task<'_>,
        request: Request,
        waiter: impl FnOnce() -> W,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Reply> {
        match request {
            Request::Get { key } => self.read(task, key, Question::Value, waiter, effects),
            Request::Exists { key } => self.read(task, key, Question::Existence, waiter, effects),
            Request::Inspect { key } => self.read(task, key, Question::Object, waiter, effects),
            Request::Put {
                key,
                value,
                context,
            } => {
                let write = Write::Put {
                    value,
                    expire_at_ms: None,
                };
                self.write(task, key, write, context.as_deref(), waiter, effects)
            }
            Request::Delete { key, context } => self.write(
                task,
                key,
                Write::Delete,
                context.as_deref(),
                waiter,
                effects,
            ),
        }
    }

    fn read(
        &mut self,
        task: Task<'_>,
        key: Bytes,
        question: Question,
        waiter: impl FnOnce() -> W,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Reply> {
        let partition = self.partitions.get(&task.partition)?;
        let strength = task.consistency.read;
        let needed = task.view.needed(strength);
        if needed <= 1 {
            // The common case clones one value, not the object.
            return Some(match question {
                Question::Object => Reply::Object(partition.object(&key)),
                Question::Value => {
                    let version = partition.read(&key, task.now.wall_ms);
                    Reply::Value(version.map(|version| version.value.clone()))
                }
                Question::Existence => {
                    Reply::Exists(partition.read(&key, task.now.wall_ms).is_some())
                }
            });
        }
        if let Some(refused) = refused(&self.reads, strength, task.view) {
            return Some(Reply::Failed(refused));
        }
        let local = partition.object(&key);
        let id = self.reads.next_id();
        let gathering = Gathering {
            waiter: waiter(),
            question,
            merged: local.clone(),
            local,
        };
        let strict = strength == Strength::StrictQuorum;
        self.reads
            .wait(task.now.mono, id, gathering, needed, strict);
        let message = Message::Read {
            partition: task.partition,
            id,
            key,
        };
        effects.extend(task.view.reachable.iter().map(|peer| Effect::Send {
            to: *peer,
            message: message.clone(),
        }));
        None
    }

    fn write(
        &mut self,
        task: Task<'_>,
        key: Bytes,
        write: Write,
        context: Option<&VersionVector>,
        waiter: impl FnOnce() -> W,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Reply> {
        if let Err(error) = within_limits(&key, &write) {
            return Some(Reply::Failed(error));
        }
        let strength = task.consistency.write;
        if let Some(refused) = refused(&self.writes, strength, task.view) {
            return Some(Reply::Failed(refused));
        }
        let done = match write {
            Write::Put { .. } => Reply::Stored,
            Write::Delete => Reply::Deleted(true),
        };
        let partition = self.partitions.get_mut(&task.partition)?;
        let push = match partition.write(key, write, context, task.now.wall_ms) {
            Ok(Some(push)) => Arc::new(push),
            Ok(None) => return Some(Reply::Deleted(false)),
            Err(error) => return Some(Reply::Failed(write_error(&error))),
        };
        let id = self.writes.next_id();
        effects.extend(task.view.reachable.iter().map(|peer| Effect::Send {
            to: *peer,
            message: Message::Push {
                id,
                push: push.clone(),
            },
        }));
        let needed = task.view.needed(strength);
        if needed <= 1 {
            return Some(done);
        }
        let strict = strength == Strength::StrictQuorum;
        self.writes
            .wait(task.now.mono, id, (waiter(), done), needed, strict);
        None
    }

    /// A peer asks what this node knows of a key.
    pub(super) fn answer_read(
        &self,
        from: NodeId,
        id: PartitionId,
        read: u64,
        key: &[u8],
        effects: &mut Vec<Effect<W>>,
    ) {
        let partition = self.partitions.get(&id);
        effects.extend(partition.map(|partition| Effect::Send {
            to: from,
            message: Message::Known {
                partition: id,
                id: read,
                object: partition.object(key),
            },
        }));
    }

    /// A peer said what it knows of a key. Returns whether it differs from what is known
    /// here, which is then to be repaired.
    pub(super) fn known(
        &mut self,
        now: Now,
        from: NodeId,
        read: u64,
        object: &Object,
        effects: &mut Vec<Effect<W>>,
    ) -> bool {
        let Some(gathering) = self.reads.payload_mut(read) else {
            return false;
        };
        let differs = gathering.local.versions != object.versions;
        gathering.merged = gathering.merged.merge(object);
        let ended = self.reads.answer(now.mono, read, from);
        effects.extend(ended.map(|ended| read_reply(now, ended)));
        differs
    }

    /// A peer's write arrived (PROTOCOL 3.3).
    pub(super) fn push(
        &mut self,
        now: Now,
        from: NodeId,
        id: u64,
        push: Push,
        effects: &mut Vec<Effect<W>>,
    ) {
        let partition_id = push.partition;
        let Some(partition) = self.partitions.get_mut(&partition_id) else {
            return;
        };
        match partition.apply_push(push, now.wall_ms) {
            Ok(Applied::New | Applied::Duplicate) => effects.push(Effect::Send {
                to: from,
                message: Message::Pushed {
                    partition: partition_id,
                    id,
                },
            }),
            Ok(Applied::Refused(refusal)) => note_refused(from, partition_id, refusal, effects),
            Err(error) => note_storage(partition_id, &error, effects),
        }
    }

    /// A peer has applied push `id`.
    pub(super) fn pushed(&mut self, now: Now, from: NodeId, id: u64, effects: &mut Vec<Effect<W>>) {
        let ended = self.writes.answer(now.mono, id, from);
        effects.extend(ended.map(write_reply));
    }

    /// The view changed: nothing waits for more replicas than can be reached.
    pub(super) fn view_changed(&mut self, now: Now, view: &View, effects: &mut Vec<Effect<W>>) {
        let reachable = view.within_reach();
        let writes = self.writes.lower(now.mono, reachable);
        effects.extend(writes.into_iter().map(write_reply));
        let reads = self.reads.lower(now.mono, reachable);
        effects.extend(reads.into_iter().map(|read| read_reply(now, read)));
        self.sources
            .retain(|(peer, _), _| view.reachable.contains(peer));
    }

    /// This node's digest of a partition, as a question to a peer.
    pub(super) fn ask(&self, id: PartitionId, mutual: bool) -> Option<Message> {
        let partition = self.partitions.get(&id)?;
        Some(Message::Digest {
            digest: partition.digest(),
            fingerprint: partition.fingerprint(),
            mutual,
        })
    }

    /// Answers a peer's digest (PROTOCOL 3.4). Returns whether this node lacks something
    /// that the peer has.
    pub(super) fn answer_digest(
        &mut self,
        from: NodeId,
        digest: &Digest,
        fingerprint: u64,
        effects: &mut Vec<Effect<W>>,
    ) -> bool {
        let Some(partition) = self.partitions.get_mut(&digest.partition) else {
            return false;
        };
        let (id, asker) = (digest.partition, digest.asker);
        if digest.clock == *partition.clock() && fingerprint != partition.fingerprint() {
            effects.push(Effect::Note(Note::Diverged {
                peer: from,
                partition: id,
            }));
        }
        partition.note_digest(from, &digest.clock);
        let message = match partition.delta(digest) {
            DeltaAnswer::Nothing => Message::CaughtUp {
                partition: id,
                asker,
            },
            DeltaAnswer::Delta(delta) => Message::Delta(delta),
            DeltaAnswer::Full => Message::TooFarBehind {
                partition: id,
                asker,
            },
        };
        effects.push(Effect::Send { to: from, message });
        !partition.clock().dominates(&digest.clock)
    }

    /// Applies what a peer sent in answer to a digest, and asks on if there is more.
    pub(super) fn delta(
        &mut self,
        now: Now,
        from: NodeId,
        delta: Delta,
        effects: &mut Vec<Effect<W>>,
    ) -> Pulled {
        let (id, more, keys) = (delta.partition, delta.more, delta.rows.len() as u64);
        let Some(partition) = self.partitions.get_mut(&id) else {
            return Pulled::Stale;
        };
        match partition.apply_delta(delta, now.wall_ms) {
            Ok(Applied::New | Applied::Duplicate) if more => {
                let message = self.ask(id, false);
                effects.extend(message.map(|message| Effect::Send { to: from, message }));
                Pulled::More { keys }
            }
            Ok(Applied::New | Applied::Duplicate) => Pulled::All { keys },
            Ok(Applied::Refused(refusal)) => {
                note_refused(from, id, refusal, effects);
                Pulled::Stale
            }
            Err(error) => {
                note_storage(id, &error, effects);
                Pulled::Stale
            }
        }
    }

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
                note_refused(from, id, refusal, effects);
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
        match partition.apply_full(end, now.wall_ms) {
            Ok(Applied::New | Applied::Duplicate) => {
                effects.push(Effect::Note(Note::FullSynced {
                    peer: from,
                    partition: id,
                }));
                Pulled::All { keys: 0 }
            }
            Ok(Applied::Refused(refusal)) => {
                note_refused(from, id, refusal, effects);
                Pulled::Stale
            }
            Err(error) => {
                note_storage(id, &error, effects);
                Pulled::Stale
            }
        }
    }

    /// A peer is known to have everything that this node has of these partitions.
    pub(super) fn note_even(&mut self, peer: NodeId, ids: impl Iterator<Item = PartitionId>) {
        for id in ids {
            if let Some(partition) = self.partitions.get_mut(&id) {
                let clock = partition.clock().clone();
                partition.note_digest(peer, &clock);
            }
        }
    }

    /// Removes what has expired, and the dot-log rows that every replica has.
    pub(super) fn keep_house(
        &mut self,
        now: Now,
        replicas: &BTreeSet<NodeId>,
        effects: &mut Vec<Effect<W>>,
    ) {
        self.sources
            .retain(|_, source| now.mono.since(source.used) < SOURCE_IDLE);
        for (id, partition) in &mut self.partitions {
            if let Err(error) = partition.expire(now.wall_ms) {
                note_storage(*id, &error, effects);
            }
            partition.collect(replicas);
        }
    }

    /// Ends the waits whose time is over.
    pub(super) fn expire_waits(&mut self, now: Now, effects: &mut Vec<Effect<W>>) {
        let writes = self.writes.expire(now.mono);
        effects.extend(writes.into_iter().map(write_reply));
        let reads = self.reads.expire(now.mono);
        effects.extend(reads.into_iter().map(|read| read_reply(now, read)));
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let reads = self.reads.deadline();
        reads.into_iter().chain(self.writes.deadline()).min()
    }

    pub(super) fn waiting(&self) -> usize {
        self.writes.len() + self.reads.len()
    }

    pub(super) fn stats(&self) -> impl Iterator<Item = PartitionStats> {
        self.partitions.values().map(Partition::stats)
    }
}

fn within_limits(key: &Bytes, write: &Write) -> Result<(), RequestError> {
    if key.len() > KEY_BYTES_MAX {
        return Err(RequestError::KeyTooLong {
            length: key.len(),
            limit: KEY_BYTES_MAX,
        });
    }
    match write {
        Write::Put { value, .. } if value.len() > VALUE_BYTES_MAX => {
            Err(RequestError::ValueTooLong {
                length: value.len(),
                limit: VALUE_BYTES_MAX,
            })
        }
        _ => Ok(()),
    }
}

/// Why a request of this strength is not even begun, if so.
fn refused<P>(waits: &Waits<P>, strength: Strength, view: &View) -> Option<RequestError> {
    let (needed, reachable) = (view.needed(strength), view.within_reach());
    if needed > reachable {
        return Some(RequestError::NoReplicas {
            reachable,
            replicas: view.replicas.len() + 1,
            needed,
        });
    }
    waits.is_full().then(|| RequestError::Busy {
        limit: waits.limit(),
    })
}

fn write_error(error: &StoreError) -> RequestError {
    RequestError::Storage(error.to_string())
}

/// The reply that the end of a write's wait means.
fn write_reply<W>(ended: Ended<(W, Reply)>) -> Effect<W> {
    let met = ended.is_met();
    let (waiter, done) = ended.payload;
    let reply = if met {
        done
    } else {
        Reply::Failed(RequestError::Unconfirmed {
            confirmed: ended.answered,
            needed: ended.needed,
            waited: ended.waited,
        })
    };
    Effect::Reply { waiter, reply }
}

/// The reply that the end of a read's wait means.
fn read_reply<W>(now: Now, ended: Ended<Gathering<W>>) -> Effect<W> {
    let met = ended.is_met();
    let Gathering {
        waiter,
        question,
        merged,
        ..
    } = ended.payload;
    let winner = merged.versions.winner_at(now.wall_ms);
    let reply = match question {
        _ if !met => Reply::Failed(RequestError::Unanswered {
            answered: ended.answered,
            needed: ended.needed,
            waited: ended.waited,
        }),
        Question::Value => Reply::Value(winner.map(|(_, version)| version.value.clone())),
        Question::Existence => Reply::Exists(winner.is_some()),
        Question::Object => Reply::Object(merged),
    };
    Effect::Reply { waiter, reply }
}

fn note_storage<W>(partition: PartitionId, error: &StoreError, effects: &mut Vec<Effect<W>>) {
    effects.push(Effect::Note(Note::Storage {
        partition,
        error: error.to_string(),
    }));
}

/// What a peer said was not applied. An answer to a question of an earlier opening is
/// expected after a restart and a piece out of turn after a loss; the rest is not.
fn note_refused<W>(
    peer: NodeId,
    partition: PartitionId,
    refusal: Refusal,
    effects: &mut Vec<Effect<W>>,
) {
    effects.push(Effect::Note(Note::Refused {
        peer,
        partition,
        refusal,
    }));
}
