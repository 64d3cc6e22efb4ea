//! What clients ask of a shard, and what its peers say about those requests.

use std::sync::Arc;

use bytes::Bytes;

use super::confirmation::{AppliedPush, Confirmation};
use super::effect::{Client, Effect};
use super::gathering::{Gathering, Question, Writing, read_reply, write_reply};
use super::listing::listed;
use super::request::{Consistency, Reply, Request, RequestError};
use super::shard::{Shard, push_to};
use super::view::{Group, View};
use crate::clock::{ActorId, Dot, NodeId, VersionVector};
use crate::machine::Now;
use crate::object::{KEY_BYTES_MAX, Object, VALUE_BYTES_MAX};
use crate::placement::PartitionId;
use crate::replication::{Durability, Message, Needs, Strength, Waits};
use crate::store::exchange::Push;
use crate::store::{Applied, Partition, StoreError, Write};

/// A client's request on its way to a partition.
#[derive(Clone, Copy)]
pub(super) struct Task<'a> {
    pub(super) now: Now,
    pub(super) partition: PartitionId,
    pub(super) consistency: Consistency,
    pub(super) view: &'a View,
}

impl<'a> Task<'a> {
    /// The replicas of its partition.
    pub(super) fn group(&self) -> &'a Group {
        self.view.group(self.partition)
    }
}

impl<W> Shard<W> {
    /// Runs a client's request on one of its partitions. `None`: the reply comes later, as
    /// an effect for the waiter.
    pub(super) fn submit(
        &mut self,
        task: Task<'_>,
        request: Request,
        client: impl FnOnce() -> Option<Client<W>>,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Reply> {
        match request {
            Request::Get { key } => self.read(task, key, Question::Value, client, effects),
            Request::Lookup { key } => self.read(task, key, Question::Version, client, effects),
            Request::Exists { key } => self.read(task, key, Question::Existence, client, effects),
            Request::Inspect { key } => self.read(task, key, Question::Object, client, effects),
            Request::Put {
                key,
                value,
                context,
            } => {
                let write = Write::Put {
                    value,
                    expire_at_ms: None,
                };
                let context = context.as_deref();
                self.write(task, key, (write, Reply::Stored), context, client, effects)
            }
            Request::Delete { key, context } => {
                let write = (Write::Delete, |dot| Reply::Deleted(Some(dot)));
                self.write(task, key, write, context.as_deref(), client, effects)
            }
            Request::Count { .. } | Request::Scan { .. } | Request::Names { .. } => {
                let partition = self.partitions.get(&task.partition)?;
                let keys = listed(partition, task.now, &request);
                Some(keys.unwrap_or_else(|error| Reply::Failed((&error).into())))
            }
            Request::Update { key, change } => self.update(task, key, change, client, effects),
        }
    }

    fn read(
        &mut self,
        task: Task<'_>,
        key: Bytes,
        question: Question,
        client: impl FnOnce() -> Option<Client<W>>,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Reply> {
        let partition = self.partitions.get(&task.partition)?;
        let strength = task.consistency.read;
        let needed = task.group().needed(strength);
        if needed <= 1 {
            let reply = read_here(partition, &key, question, task.now);
            return Some(reply.unwrap_or_else(|error| Reply::Failed((&error).into())));
        }
        if let Some(refused) = refused(&self.reads, strength, task.group()) {
            return Some(Reply::Failed(refused));
        }
        let local = match partition.object(&key) {
            Ok(local) => local,
            Err(error) => return Some(Reply::Failed((&error).into())),
        };
        let asker = partition.actor();
        let id = self.reads.next_id();
        let gathering = Gathering {
            partition: task.partition,
            client: client()?,
            question,
            merged: local.clone(),
            local,
        };
        let needs = Needs {
            replicas: needed,
            strict: strength == Strength::StrictQuorum,
            own: true,
        };
        self.reads.wait(task.now.mono, id, gathering, needs);
        let message = Message::Read {
            partition: task.partition,
            id,
            asker,
            key,
        };
        effects.extend(task.group().voters.iter().map(|peer| Effect::Send {
            to: *peer,
            message: message.clone(),
        }));
        None
    }

    /// Writes, and says what `done` makes of the write once enough replicas have it.
    pub(super) fn write(
        &mut self,
        task: Task<'_>,
        key: Bytes,
        (write, done): (Write, impl FnOnce(Dot) -> Reply),
        context: Option<&VersionVector>,
        client: impl FnOnce() -> Option<Client<W>>,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Reply> {
        if let Err(error) = within_limits(&key, &write) {
            return Some(Reply::Failed(error));
        }
        let strength = task.consistency.write;
        if let Some(refused) = refused(&self.writes, strength, task.group()) {
            return Some(Reply::Failed(refused));
        }
        let partition = self.partitions.get_mut(&task.partition)?;
        let push = match partition.write(key, write, context, task.now.wall_ms) {
            Ok(Some(push)) => Arc::new(push),
            Ok(None) => return Some(Reply::Deleted(None)),
            Err(error) => return Some(Reply::Failed((&error).into())),
        };
        let done = done(push.dot);
        let id = self.writes.next_id();
        let durability = task.consistency.durability;
        effects.extend(push_to(task.group(), id, &push, durability));
        let needs = Needs {
            replicas: task.group().needed(strength),
            strict: strength == Strength::StrictQuorum,
            own: durability != Durability::Always,
        };
        if needs.own && needs.replicas <= 1 {
            return Some(done);
        }
        let writing = Writing {
            partition: task.partition,
            client: client()?,
            done,
        };
        self.writes.wait(task.now.mono, id, writing, needs);
        if !needs.own {
            let partition = task.partition;
            self.confirm_when_synced(Confirmation::Own { partition, id }, effects);
        }
        None
    }

    /// A peer asks what this node knows of a key.
    pub(super) fn answer_read(
        &self,
        from: NodeId,
        id: PartitionId,
        (read, asker): (u64, ActorId),
        key: &[u8],
        effects: &mut Vec<Effect<W>>,
    ) {
        let Some(partition) = self.partitions.get(&id) else {
            return;
        };
        // What cannot be read is no answer: the peer counts those that came.
        effects.push(match partition.object(key) {
            Ok(object) => Effect::Send {
                to: from,
                message: Message::Known {
                    partition: id,
                    id: read,
                    to: asker,
                    object,
                },
            },
            Err(StoreError::Rebuilding(_)) => return,
            Err(error) => Effect::storage(id, &error),
        });
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
        (id, durability): (u64, Durability),
        push: Push,
        effects: &mut Vec<Effect<W>>,
    ) {
        let (partition_id, actor) = (push.partition, push.dot.actor);
        let Some(partition) = self.partitions.get_mut(&partition_id) else {
            return;
        };
        match partition.apply_push(push, now.wall_ms) {
            Ok(Applied::New | Applied::Duplicate) => {
                let push = AppliedPush {
                    partition: partition_id,
                    id,
                    coordinator: from,
                    actor,
                };
                match durability {
                    Durability::Always => {
                        self.confirm_when_synced(Confirmation::Peer(push), effects);
                    }
                    Durability::Os | Durability::Interval => effects.push(push.told()),
                }
            }
            Ok(Applied::Refused(refusal)) => {
                effects.extend(Effect::refused(from, partition_id, refusal))
            }
            Err(error) => effects.push(Effect::storage(partition_id, &error)),
        }
    }

    /// A peer has applied push `id`.
    pub(super) fn pushed(&mut self, now: Now, from: NodeId, id: u64, effects: &mut Vec<Effect<W>>) {
        let ended = self.writes.answer(now.mono, id, from);
        effects.extend(ended.map(write_reply));
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
fn refused<P>(waits: &Waits<P>, strength: Strength, group: &Group) -> Option<RequestError> {
    let (needed, reachable) = (group.needed(strength), group.within_reach());
    if needed > reachable {
        return Some(RequestError::NoReplicas {
            reachable,
            replicas: group.size(),
            needed,
        });
    }
    waits.is_full().then(|| RequestError::Busy {
        limit: waits.limit(),
    })
}

/// What this node alone answers to a read.
fn read_here(
    partition: &Partition,
    key: &[u8],
    question: Question,
    now: Now,
) -> Result<Reply, StoreError> {
    // The common case clones one value, not the object.
    Ok(match question {
        Question::Object => Reply::Object(partition.object(key)?),
        Question::Value => {
            let version = partition.read(key, now.wall_ms)?;
            Reply::Value(version.map(|version| version.value))
        }
        Question::Version => Reply::Version(partition.read(key, now.wall_ms)?),
        Question::Existence => Reply::Exists(partition.read(key, now.wall_ms)?.is_some()),
    })
}
