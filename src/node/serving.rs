//! Requests of clients: done here, or forwarded to an owner of their keys.

use parking_lot::MutexGuard;

use super::Data;
use super::effect::{Asker, Client, Effect};
use super::forwards::Forward;
use super::request::{Consistency, Reply, Request, RequestError};
use super::requests::Task;
use super::shard::Shard;
use crate::clock::NodeId;
use crate::machine::Now;
use crate::replication::{Input, Message};

impl<W> Data<W> {
    /// Runs a client's request, or has an owner of its key run it. `None`: the reply comes
    /// later, as an effect for the waiter that `waiter` makes.
    pub fn submit(
        &self,
        now: Now,
        request: Request,
        consistency: Consistency,
        waiter: impl FnOnce() -> W,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Reply> {
        let id = request.partition(&self.keyspace);
        let view = self.view();
        let client = || Client::Here(waiter());
        let mut shard = self.shard(id).lock();
        if !shard.serves(&view, id) {
            let forward = Forward {
                partition: id,
                request,
                consistency,
            };
            let group = view.group(id);
            return shard.forwards.send(now, group, forward, client, effects);
        }
        let task = Task {
            now,
            partition: id,
            consistency,
            view: &view,
        };
        self.run(shard, task, request, client, effects)
    }

    /// Runs a request that is served here.
    fn run(
        &self,
        mut shard: MutexGuard<'_, Shard<W>>,
        task: Task<'_>,
        request: Request,
        client: impl FnOnce() -> Client<W>,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Reply> {
        if !request.is_write() {
            return shard.submit(task, request, client, effects);
        }
        if let Some(why) = self.gate.why_closed() {
            return Some(Reply::Failed(RequestError::WritesStopped(why)));
        }
        let reply = shard.submit(task, request, client, effects);
        drop(shard);
        self.note_commit(task.consistency.durability);
        reply
    }

    /// A peer forwards a client's request.
    pub(super) fn forwarded(
        &self,
        now: Now,
        asker: Asker,
        request: Request,
        consistency: Consistency,
        effects: &mut Vec<Effect<W>>,
    ) {
        let id = asker.partition;
        if request.partition(&self.keyspace) != id {
            return;
        }
        let view = self.view();
        let shard = self.shard(id).lock();
        if !shard.serves(&view, id) {
            effects.push(asker.answer(None));
            return;
        }
        let task = Task {
            now,
            partition: id,
            consistency,
            view: &view,
        };
        let reply = self.run(shard, task, request, || Client::Peer(asker), effects);
        effects.extend(reply.map(|reply| asker.answer(Some(reply))));
    }

    /// A message to `peer` was not sent: its queue was full or its link is down.
    pub fn dropped(&self, now: Now, peer: NodeId, message: &Message, effects: &mut Vec<Effect<W>>) {
        match message {
            Message::Push { .. } => self.tell_sync(now, Input::PushDropped(peer), effects),
            Message::Forward { partition, id, .. } => {
                let view = self.view();
                if let Some(shard) = self.known_shard(*partition) {
                    let group = view.group(*partition);
                    shard.lock().forwards.dropped(group, peer, *id, effects);
                }
            }
            _ => {}
        }
    }
}
