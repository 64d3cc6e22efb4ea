//! Requests of clients: done here, or forwarded to an owner of their keys.
//!
//! Any owner does what is asked of it. What depends on what is there and does not merge is
//! *decided* ([`Request::is_decided`]): every node has the same owner do it, the first of the
//! preference list that can be reached, so that of concurrent callers on a healthy cluster one
//! wins. That is a preference about routing and no rule of safety: an owner that does not
//! serve, or is silent, is followed by the next, as is one that has just started and has not
//! compared itself with half of the other owners; and who sees other members prefers another
//! owner. On both sides of a cut network somebody decides, and when it heals the last write wins,
//! as ever.
//!
//! A node that has the owner decide and is a replica itself is to see what came of it as soon as
//! it is told: the owner puts its push on the stream before anything that could make it answer,
//! and a stream keeps its order. Where the push was dropped because the queue was full, or
//! its stream broke, the answer names a write that is not here, and what is missing is asked
//! for at once; until that comes, reads here are without it.

use parking_lot::MutexGuard;

use super::Data;
use super::effect::{Asker, Client, Effect};
use super::forwards::{Forward, Place, Turn};
use super::request::{Consistency, Reply, Request, RequestError};
use super::requests::Task;
use super::shard::Shard;
use super::view::{Group, View};
use crate::clock::NodeId;
use crate::machine::Now;
use crate::placement::PartitionId;
use crate::replication::{Input, Message, Strength};

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
        let is_behind = request.is_decided() && self.is_behind(now, view.group(id));
        let client = || Some(Client::Here(waiter()));
        let task = Task {
            now,
            partition: id,
            consistency,
            view: &view,
        };
        let mut shard = self.shard(id).lock();
        self.begin(&mut shard, task, is_behind, request, client, effects)
    }

    /// Runs a client's request on its shard, or sends it to an owner.
    pub(super) fn begin(
        &self,
        shard: &mut Shard<W>,
        task: Task<'_>,
        is_behind: bool,
        request: Request,
        client: impl FnOnce() -> Option<Client<W>>,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Reply> {
        let place = place(shard, task.view, task.partition, is_behind);
        let is_turn = !request.is_decided() || place.ahead().is_empty();
        if place.serves && is_turn {
            return self.run(shard, task, request, client, effects);
        }
        let forward = Forward {
            partition: task.partition,
            request,
            consistency: task.consistency,
        };
        (shard.forwards).send(task.now, place, forward, client, effects)
    }

    /// Puts a request that changes nothing to one owner, which may be this node, and to no
    /// other: it says what its own copy has.
    pub fn ask_owner(
        &self,
        now: Now,
        owner: NodeId,
        request: Request,
        waiter: impl FnOnce() -> W,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Reply> {
        let view = self.view();
        let client = || Some(Client::Here(waiter()));
        let partition = request.partition(&self.keyspace);
        let consistency = Consistency {
            read: Strength::One,
            ..Consistency::default()
        };
        let shard = self.known_shard(partition)?;
        let mut shard = shard.lock();
        if owner != self.me {
            let forward = Forward {
                partition,
                request,
                consistency,
            };
            return (shard.forwards).send_to(now, owner, forward, client, effects);
        }
        if !shard.serves(&view, partition) {
            return Some(Reply::Failed(RequestError::Rebuilding(partition.0)));
        }
        let task = Task {
            now,
            partition,
            consistency,
            view: &view,
        };
        self.run(&mut shard, task, request, client, effects)
    }

    /// Who decides about a partition, as this node sees it now; nobody if no owner is within
    /// reach.
    pub fn decider(&self, now: Now, id: PartitionId) -> Option<NodeId> {
        let view = self.view();
        let is_behind = self.is_behind(now, view.group(id));
        let shard = self.known_shard(id)?.lock();
        let place = place(&shard, &view, id, is_behind);
        let ahead = place.ahead().first().copied();
        ahead.or(place.serves.then_some(self.me))
    }

    /// Runs a request that is served here.
    fn run(
        &self,
        shard: &mut Shard<W>,
        task: Task<'_>,
        request: Request,
        client: impl FnOnce() -> Option<Client<W>>,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Reply> {
        if matches!(request, Request::Progress { on_disk: true, .. }) && !self.is_on_disk() {
            return Some(Reply::Failed(RequestError::InMemory));
        }
        if !request.is_write() {
            return shard.submit(task, request, client, effects);
        }
        if let Some(why) = self.gate.why_closed() {
            return Some(Reply::Failed(RequestError::WritesStopped(why)));
        }
        if let Some(Err(full)) = self.room.as_ref().map(|room| room.check())
            && request.adds()
        {
            return Some(Reply::Failed(full.into()));
        }
        let reply = shard.submit(task, request, client, effects);
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
        let is_behind = request.is_decided() && self.is_behind(now, view.group(id));
        let mut shard = self.shard(id).lock();
        if is_behind || !shard.serves(&view, id) {
            effects.push(asker.answer(None));
            return;
        }
        let task = Task {
            now,
            partition: id,
            consistency,
            view: &view,
        };
        let before = effects.len();
        let client = || Some(Client::Peer(asker));
        let reply = self.run(&mut shard, task, request, client, effects);
        drop(shard);
        // A replica that gets its push later than others could be answered before.
        if let Some(new) = effects.get_mut(before..) {
            new.sort_by_key(|effect| !effect.is_to(asker.node));
        }
        effects.extend(reply.map(|reply| asker.answer(Some(reply))));
    }

    /// An owner answers what was forwarded to it.
    pub(super) fn owner_answered(
        &self,
        now: Now,
        from: NodeId,
        (partition, id): (PartitionId, u64),
        reply: Option<Reply>,
        effects: &mut Vec<Effect<W>>,
    ) {
        let view = self.view();
        let Some(shard) = self.known_shard(partition) else {
            return;
        };
        // Who is asked next matters only where this one did not do it.
        let is_done = matches!(&reply, Some(reply) if !matches!(reply, Reply::Failed(_)));
        let is_behind = !is_done && self.is_behind(now, view.group(partition));
        let mut shard = shard.lock();
        let place = place(&shard, &view, partition, is_behind);
        let dot = reply.as_ref().and_then(Reply::dot);
        let dot = dot.filter(|_| place.serves);
        let here = shard.partition(partition);
        let lacks = |dot| here.is_some_and(|here| !here.clock().contains(dot));
        let is_lacking = dot.is_some_and(lacks);
        let turn = (shard.forwards).answered(now, place, (from, id), reply, effects);
        self.take_turn(now, &view, shard, turn, effects);
        if is_lacking {
            self.differ(now, from, vec![partition], false, effects);
        }
    }

    /// Whether what is kept is kept on a disk, as far as that can be found out.
    fn is_on_disk(&self) -> bool {
        let space = self.engine.read().space();
        !matches!(space, Ok(None))
    }

    /// Whether other owners can be reached, and this node has not had, since it started, what
    /// enough of them had. Then it does not know yet what was decided while it was away: that
    /// was confirmed by more than half of them, so one of any half knows. As long as it may just
    /// not have found the others, who may have found it, that goes for all owners.
    fn is_behind(&self, now: Now, group: &Group) -> bool {
        let others = match group.voters.is_empty() {
            true => &group.owners,
            false => &group.voters,
        };
        if others.is_empty() || group.voters.is_empty() && self.is_settled(now) {
            return false;
        }
        let sync = self.sync.lock();
        let even = others.iter().filter(|peer| sync.has_been_even_with(**peer));
        even.count() * 2 < others.len()
    }

    /// Does a request that the owners before this node did not do.
    fn take_turn(
        &self,
        now: Now,
        view: &View,
        mut shard: MutexGuard<'_, Shard<W>>,
        turn: Option<Turn<W>>,
        effects: &mut Vec<Effect<W>>,
    ) {
        let Some(Turn { client, forward }) = turn else {
            return;
        };
        let task = Task {
            now,
            partition: forward.partition,
            consistency: forward.consistency,
            view,
        };
        let mut client = Some(client);
        let reply = self.run(&mut shard, task, forward.request, || client.take(), effects);
        if let (Some(reply), Some(client)) = (reply, client) {
            effects.push(client.reply(reply));
        }
    }

    /// A message to `peer` was not sent: its queue was full or its link is down.
    pub fn dropped(&self, now: Now, peer: NodeId, message: &Message, effects: &mut Vec<Effect<W>>) {
        match message {
            Message::Push { .. } => self.tell_sync(now, Input::PushDropped(peer), effects),
            Message::Forward { partition, id, .. } => {
                let view = self.view();
                if let Some(shard) = self.known_shard(*partition) {
                    let is_behind = self.is_behind(now, view.group(*partition));
                    let mut shard = shard.lock();
                    let place = place(&shard, &view, *partition, is_behind);
                    let turn = (shard.forwards).dropped(place, peer, *id, effects);
                    self.take_turn(now, &view, shard, turn, effects);
                }
            }
            _ => {}
        }
    }
}

/// What this node is to a partition of a shard.
fn place<'a, W>(shard: &Shard<W>, view: &'a View, id: PartitionId, is_behind: bool) -> Place<'a> {
    Place {
        group: view.group(id),
        serves: shard.serves(view, id),
        is_behind,
    }
}
