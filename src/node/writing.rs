//! Writes of clients on a shard, and what its peers say about them.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::clearing::{Writes, beside_value};
use super::confirmation::{AppliedPush, Confirmation};
use super::effect::{Client, Effect};
use super::gathering::{Awaited, Several, Writing, write_reply};
use super::request::{Reply, RequestError};
use super::requests::{Task, refused};
use super::shard::{Shard, push_to};
use crate::clock::{Dot, NodeId, VersionVector};
use crate::machine::Now;
use crate::object::{KEY_BYTES_MAX, value_row};
use crate::replication::{Durability, Needs, check_value};
use crate::store::exchange::Push;
use crate::store::{Applied, StoreError, Write};

impl<W> Shard<W> {
    /// Writes the value of a key, or deletes everything that it holds.
    pub(super) fn write_value(
        &mut self,
        task: Task<'_>,
        key: Bytes,
        (write, done): (Write, impl FnOnce(Dot) -> Reply),
        context: Option<&VersionVector>,
        client: impl FnOnce() -> Option<Client<W>>,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Reply> {
        let partition = self.partitions.get(&task.partition)?;
        let beside = match beside_value(partition, &key, context, task.now.wall_ms) {
            Ok(beside) => beside,
            Err(refused) => return Some(Reply::Failed(refused)),
        };
        let row = value_row(key);
        let Some(mut writes) = beside else {
            return self.write(task, row, (write, done), context, client, effects);
        };
        writes.insert(row, write);
        let done = |dot: Option<Dot>| dot.map_or(Reply::Deleted(None), done);
        self.write_all(task, (writes, done), client, effects)
    }

    /// Writes several rows in one step, and says `done` once enough replicas have all of them.
    pub(super) fn write_all(
        &mut self,
        task: Task<'_>,
        (writes, done): (Writes, impl FnOnce(Option<Dot>) -> Reply),
        client: impl FnOnce() -> Option<Client<W>>,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Reply> {
        if writes.len() <= 1 {
            return match writes.into_iter().next() {
                Some((row, write)) => {
                    let done = |dot| done(Some(dot));
                    self.write(task, row, (write, done), None, client, effects)
                }
                None => Some(done(None)),
            };
        }
        for (row, write) in &writes {
            if let Err(error) = within_limits(row, write) {
                return Some(Reply::Failed(error));
            }
        }
        let strength = task.consistency.write;
        if let Some(refused) = refused(&self.writes, strength, task.group()) {
            return Some(Reply::Failed(refused));
        }
        let bytes = writes.values().map(Write::bytes).sum();
        let (mut ids, mut last) = (Vec::with_capacity(writes.len()), None);
        for (row, write) in writes {
            match self.commit(task, row, write, None, effects) {
                Ok(Some((id, dot))) => {
                    ids.push(id);
                    last = Some(dot);
                }
                Ok(None) => {}
                Err(error) => return Some(Reply::Failed((&error).into())),
            }
        }
        let done = done(last);
        let needs = task.needs(bytes);
        if ids.is_empty() || needs.own && needs.replicas <= 1 {
            return Some(done);
        }
        let several = Several {
            left: ids.len(),
            client: client()?,
            done,
        };
        let several = Arc::new(Mutex::new(Some(several)));
        for id in ids {
            let part_of = Awaited::Several(several.clone());
            self.await_replicas(task, id, part_of, needs, effects);
        }
        None
    }

    /// Writes, and says `done` once enough replicas have it.
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
        let bytes = write.bytes();
        let (id, dot) = match self.commit(task, key, write, context, effects) {
            Ok(Some(committed)) => committed,
            Ok(None) => return Some(Reply::Deleted(None)),
            Err(error) => return Some(Reply::Failed((&error).into())),
        };
        let done = done(dot);
        let needs = task.needs(bytes);
        if needs.own && needs.replicas <= 1 {
            return Some(done);
        }
        let part_of = Awaited::One(client()?, done);
        self.await_replicas(task, id, part_of, needs, effects);
        None
    }

    /// Writes one row and pushes it; under which id, and which write it is. None if there was
    /// nothing to delete.
    fn commit(
        &mut self,
        task: Task<'_>,
        row: Bytes,
        write: Write,
        context: Option<&VersionVector>,
        effects: &mut Vec<Effect<W>>,
    ) -> Result<Option<(u64, Dot)>, StoreError> {
        let id = task.partition;
        let partition = self.partitions.get_mut(&id);
        let partition = partition.ok_or(StoreError::Rebuilding(id))?;
        partition.meet(&task.group().replicas);
        let Some(push) = partition.write(row, write, context, task.now.wall_ms)? else {
            return Ok(None);
        };
        let (id, dot) = (self.writes.next_id(), push.dot);
        let durability = task.consistency.durability;
        if !task.group().pushed.is_empty() {
            effects.extend(push_to(task.group(), id, &Arc::new(push), durability));
        }
        Ok(Some((id, dot)))
    }

    /// Lets a write wait for its replicas.
    pub(super) fn await_replicas(
        &mut self,
        task: Task<'_>,
        id: u64,
        part_of: Awaited<W>,
        needs: Needs,
        effects: &mut Vec<Effect<W>>,
    ) {
        let partition = task.partition;
        let writing = Writing { partition, part_of };
        self.writes.wait(task.now.mono, id, writing, needs);
        if !needs.own {
            self.confirm_when_synced(Confirmation::Own { partition, id }, effects);
        }
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
        effects.extend(ended.and_then(write_reply));
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
        Write::Put { value, .. } => check_value(value.len()),
        _ => Ok(()),
    }
}
