//! What a node does with what its peers say.

use std::sync::Arc;

use parking_lot::MutexGuard;

use super::Data;
use super::effect::{Asker, Effect};
use super::shard::{Brought, Pulled, Shard};
use crate::clock::{ActorId, NodeId};
use crate::machine::Now;
use crate::placement::PartitionId;
use crate::replication::Message;

impl<W> Data<W> {
    /// Takes in what a peer sent. What would have to be kept is dropped while the gate is
    /// closed.
    pub fn receive(&self, now: Now, from: NodeId, message: Message, effects: &mut Vec<Effect<W>>) {
        if message.is_kept() && self.gate.is_closed() {
            return;
        }
        match message {
            Message::Push {
                id,
                push,
                durability,
            } => {
                let push = Arc::unwrap_or_clone(push);
                // What it holds is with others already, and only that.
                if self.view().is_departing {
                    return;
                }
                if let Some(shard) = self.known_shard(push.partition) {
                    let asked = (id, durability);
                    shard.lock().push(now, from, asked, push, effects);
                    self.note_commit(durability);
                }
            }
            Message::Pushed { partition, id, to } => {
                // Who is no owner has it too, and does not count.
                if !self.view().group(partition).owners.contains(&from) {
                    return;
                }
                if let Some(mut shard) = self.shard_of_opening(partition, to) {
                    shard.pushed(now, from, id, effects);
                }
            }
            Message::Read {
                partition,
                id,
                asker,
                key,
            } => {
                if let Some(shard) = self.known_shard(partition) {
                    let shard = shard.lock();
                    shard.answer_read(from, partition, (id, asker), &key, effects);
                }
            }
            Message::Known {
                partition,
                id,
                to,
                object,
            } => {
                let Some(mut shard) = self.shard_of_opening(partition, to) else {
                    return;
                };
                let differs = shard.known(now, from, id, &object, effects);
                drop(shard);
                if differs {
                    self.differ(now, from, vec![partition], true, effects);
                }
            }
            Message::Digest {
                digest,
                fingerprint,
                mutual,
            } => {
                let Some(shard) = self.known_shard(digest.partition) else {
                    return;
                };
                let behind = shard
                    .lock()
                    .answer_digest(from, &digest, fingerprint, effects);
                if behind && mutual {
                    let partitions = vec![digest.partition];
                    self.differ(now, from, partitions, false, effects);
                }
            }
            Message::Closing { closing, mutual } => {
                if let Some(shard) = self.known_shard(closing.partition) {
                    shard.lock().closing(from, closing, mutual, effects);
                }
            }
            other => self.receive_comparison(now, from, other, effects),
        }
    }

    /// Takes in what peers say to find out what differs, and who holds what.
    fn receive_comparison(
        &self,
        now: Now,
        from: NodeId,
        message: Message,
        effects: &mut Vec<Effect<W>>,
    ) {
        match message {
            Message::Root(root) => self.answer_root(now, from, root, effects),
            Message::Same(root) => self.same(now, from, root, effects),
            Message::Hashes { roster, partitions } => {
                self.compare_hashes(now, from, roster, &partitions, effects);
            }
            Message::Roster {
                founding,
                fingerprint,
                records,
                mutual,
            } => {
                self.learn(now, from, founding, (fingerprint, &records), effects);
                if mutual {
                    self.tell_roster(from, false, effects);
                }
            }
            Message::Forward {
                partition,
                id,
                consistency,
                request,
            } => {
                let asker = Asker {
                    node: from,
                    partition,
                    id,
                };
                self.forwarded(now, asker, request, consistency, effects);
            }
            Message::Forwarded {
                partition,
                id,
                reply,
            } => {
                let reply = reply.map(|reply| *reply);
                self.owner_answered(now, from, (partition, id), reply, effects);
            }
            Message::Holding {
                partition,
                id,
                asker,
                clock,
            } => self.holding(now, from, partition, (id, asker), &clock, effects),
            Message::Held { partition, id, to } => {
                if self.shard_of_opening(partition, to).is_some() {
                    self.held(now, from, partition, id, effects);
                }
            }
            answer => self.receive_answer(now, from, answer, effects),
        }
    }

    /// A peer has nothing to send of a partition; `vouches` says that this is because nothing
    /// is missing here.
    fn nothing_more(
        &self,
        now: Now,
        from: NodeId,
        (partition, asker): (PartitionId, ActorId),
        vouches: bool,
        effects: &mut Vec<Effect<W>>,
    ) {
        let Some(mut shard) = self.shard_of_opening(partition, asker) else {
            return;
        };
        match vouches {
            true => shard.compared_to_the_end(from, partition, effects),
            false => shard.give_up_full(from, partition),
        }
        drop(shard);
        let all = Pulled::All(Brought::default());
        self.pulled(now, from, partition, all, effects);
    }

    /// Takes in what a pull asked for, or what a peer's pull asks for.
    fn receive_answer(
        &self,
        now: Now,
        from: NodeId,
        message: Message,
        effects: &mut Vec<Effect<W>>,
    ) {
        match message {
            Message::Delta(delta) => {
                let partition = delta.partition;
                if let Some(shard) = self.known_shard(partition) {
                    let pulled = shard.lock().delta(now, from, delta, effects);
                    self.note_commit(self.durability);
                    self.pulled(now, from, partition, pulled, effects);
                }
            }
            Message::CaughtUp { partition, asker } => {
                self.nothing_more(now, from, (partition, asker), true, effects);
            }
            Message::Unsure {
                partition,
                asker,
                is_all,
            } => {
                if is_all {
                    self.bereft_of(now, from, (partition, asker), effects);
                }
                self.nothing_more(now, from, (partition, asker), false, effects);
            }
            Message::TooFarBehind { partition, asker } => {
                if let Some(mut shard) = self.shard_of_opening(partition, asker) {
                    shard.need_full(now, from, partition);
                    drop(shard);
                    let more = Pulled::More(Brought::default());
                    self.pulled(now, from, partition, more, effects);
                }
            }
            other => self.receive_full(now, from, other, effects),
        }
    }

    /// Takes in the pieces of full syncs, and questions for them.
    fn receive_full(&self, now: Now, from: NodeId, message: Message, effects: &mut Vec<Effect<W>>) {
        match message {
            Message::FullRequest(request) => {
                if let Some(shard) = self.known_shard(request.partition) {
                    shard.lock().serve_full(now, from, &request, effects);
                }
            }
            Message::FullNext(next) => {
                if let Some(shard) = self.known_shard(next.partition) {
                    shard.lock().serve_next(now, from, &next, effects);
                }
            }
            Message::FullGone { partition, session } => {
                if let Some(shard) = self.known_shard(partition) {
                    let pulled = shard.lock().full_gone(now, from, partition, session);
                    self.pulled(now, from, partition, pulled, effects);
                }
            }
            Message::FullRows(rows) => {
                let partition = rows.partition;
                if let Some(shard) = self.known_shard(partition) {
                    let pulled = shard.lock().full_rows(now, from, rows, effects);
                    self.pulled(now, from, partition, pulled, effects);
                }
            }
            Message::FullEnd(end) => {
                let partition = end.partition;
                if let Some(shard) = self.known_shard(partition) {
                    let pulled = shard.lock().full_end(now, from, end, effects);
                    self.note_commit(self.durability);
                    self.pulled(now, from, partition, pulled, effects);
                }
            }
            Message::Published { channel, payload } => {
                effects.push(Effect::Published { channel, payload });
            }
            // Dealt with before.
            Message::Push { .. }
            | Message::Pushed { .. }
            | Message::Read { .. }
            | Message::Known { .. }
            | Message::Root(_)
            | Message::Same(_)
            | Message::Hashes { .. }
            | Message::Roster { .. }
            | Message::Forward { .. }
            | Message::Forwarded { .. }
            | Message::Holding { .. }
            | Message::Held { .. }
            | Message::Digest { .. }
            | Message::Closing { .. }
            | Message::Delta(_)
            | Message::CaughtUp { .. }
            | Message::Unsure { .. }
            | Message::TooFarBehind { .. } => {}
        }
    }

    /// The shard of a partition, if `asker` is this node's opening of it: then what is addressed
    /// so is to something that this life has asked.
    pub(super) fn shard_of_opening(
        &self,
        partition: PartitionId,
        asker: ActorId,
    ) -> Option<MutexGuard<'_, Shard<W>>> {
        let shard = self.known_shard(partition)?.lock();
        let is_it = shard.partition(partition)?.actor() == asker;
        is_it.then_some(shard)
    }
}
