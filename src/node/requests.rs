//! What clients ask of a shard, and what its peers say about those requests.

use bytes::Bytes;

use super::asking::{self, describe};
use super::effect::{Client, Effect};
use super::gathering::{Awaited, Gathering, Question, described, read_reply};
use super::listing::listed;
use super::request::{Consistency, Reply, Request, RequestError};
use super::shard::Shard;
use super::view::{Group, View};
use crate::clock::{ActorId, NodeId};
use crate::machine::Now;
use crate::object::{Object, value_row};
use crate::placement::PartitionId;
use crate::replication::{Durability, Message, Needs, Strength, Waits};
use crate::store::{Partition, Shown, StoreError, Write};

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

    /// What a write of so many bytes waits for.
    pub(super) fn needs(&self, bytes: usize) -> Needs {
        let strength = self.consistency.write;
        Needs {
            replicas: self.group().needed(strength),
            strict: strength == Strength::StrictQuorum,
            own: self.consistency.durability != Durability::Always,
            bytes,
        }
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
            Request::Find { key } => {
                let partition = self.partitions.get(&task.partition)?;
                match read_elements(partition, &key, Question::Value, task.now) {
                    Some(Reply::Failed(RequestError::WrongType)) => Some(Reply::Value(None)),
                    _ => self.read(task, key, Question::Value, client, effects),
                }
            }
            Request::Lookup { key } => self.read(task, key, Question::Version, client, effects),
            Request::Exists { key } => self.read(task, key, Question::Existence, client, effects),
            Request::Inspect { key } => self.read(task, key, Question::Object, client, effects),
            Request::Describe { key } => {
                self.read(task, key, Question::Description, client, effects)
            }
            Request::Put {
                key,
                value,
                context,
            } => {
                let put = Write::Put {
                    value,
                    expire_at_ms: None,
                };
                let context = context.as_deref();
                self.write_value(task, key, (put, Reply::Stored), context, client, effects)
            }
            Request::Delete { key, context } => {
                let write = (Write::Delete, |dot| Reply::Deleted(Some(dot)));
                self.write_value(task, key, write, context.as_deref(), client, effects)
            }
            Request::Count { .. } | Request::Scan { .. } | Request::Names { .. } => {
                let partition = self.partitions.get(&task.partition)?;
                let keys = listed(partition, task.now, &request);
                Some(keys.unwrap_or_else(|error| Reply::Failed((&error).into())))
            }
            Request::Progress { on_disk, .. } => self.progress(task, on_disk, client, effects),
            Request::Update { key, change } => self.update(task, key, change, client, effects),
            Request::Fingerprint { key } => {
                let partition = self.partitions.get(&task.partition)?;
                let answer = asking::fingerprint(partition, task.now, &key);
                Some(answer.unwrap_or_else(Reply::Failed))
            }
            Request::Ask { key, kind, ask } => {
                let partition = self.partitions.get(&task.partition)?;
                let answer = asking::answer(partition, task.now, &key, kind, ask);
                Some(answer.unwrap_or_else(Reply::Failed))
            }
            Request::Alter { key, kind, alter } => {
                self.alter(task, key, (kind, alter), client, effects)
            }
            Request::Clear { key } => self.clear(task, key, client, effects),
        }
    }

    /// Says what a copy has: at once, or when the disk has that too.
    fn progress(
        &mut self,
        task: Task<'_>,
        on_disk: bool,
        client: impl FnOnce() -> Option<Client<W>>,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Reply> {
        let partition = self.partitions.get(&task.partition)?;
        let done = Reply::Progress(partition.clock().clone());
        if !on_disk {
            return Some(done);
        }
        if let Some(refused) = refused(&self.writes, Strength::One, task.group()) {
            return Some(Reply::Failed(refused));
        }
        let (id, part_of) = (self.writes.next_id(), Awaited::One(client()?, done));
        let needs = Needs {
            replicas: 1,
            strict: false,
            own: false,
            bytes: 0,
        };
        self.await_replicas(task, id, part_of, needs, effects);
        None
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
        if let Some(reply) = read_elements(partition, &key, question, task.now) {
            return Some(reply);
        }
        let key = value_row(key);
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
        let bytes = local.versions.value_bytes();
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
            bytes,
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
}

/// Why a request of this strength is not even begun, if so.
pub(super) fn refused<P>(
    waits: &Waits<P>,
    strength: Strength,
    group: &Group,
) -> Option<RequestError> {
    let busy = || RequestError::Busy {
        limit: waits.limit(),
    };
    group
        .refused(strength)
        .or_else(|| waits.is_full().then(busy))
}

/// What is answered to a question about a value if the key has none and shows elements.
fn read_elements(
    partition: &Partition,
    key: &Bytes,
    question: Question,
    now: Now,
) -> Option<Reply> {
    // What is known of an object says nothing of elements.
    if matches!(question, Question::Object) || !partition.has_collections() {
        return None;
    }
    let kind = match partition.shown(key, now.wall_ms) {
        Ok(Some(Shown::Elements(kind))) => kind,
        Ok(_) => return None,
        Err(error) => return Some(Reply::Failed((&error).into())),
    };
    Some(match question {
        Question::Existence => Reply::Exists(true),
        Question::Description => match describe(partition, key, kind, now.wall_ms) {
            Ok(held) => Reply::Held(Some(held)),
            Err(error) => Reply::Failed(error),
        },
        _ => Reply::Failed(RequestError::WrongType),
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
        Question::Description => {
            let version = partition.read(key, now.wall_ms)?;
            Reply::Held(version.as_ref().map(described))
        }
    })
}
