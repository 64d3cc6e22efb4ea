//! Copies that are to be given up: those of partitions that are none of this node's any more,
//! what it kept for an owner that was away, and everything when it leaves.
//!
//! The rule (PROTOCOL 3.11, R20): a copy may go only when *every* node that this one believes
//! to get the partition's writes has said "I get them by the roster that I know, my copy is
//! whole, and what you hold is on my disk", in answer to a question that was asked after the
//! last change of what this node knows of the roster, and nothing has come to the copy since
//! (N15, N15b, N15c). Whoever is asked and lacks something fetches it from the asker.

use std::collections::BTreeSet;

use rand::Rng;

use super::Data;
use super::confirmation::Confirmation;
use super::effect::{Effect, Note};
use super::view::View;
use crate::clock::{ActorId, Clock, NodeId};
use crate::machine::Now;
use crate::placement::PartitionId;
use crate::replication::Message;

/// Partitions that are asked about in one turn, once per second: each question carries a clock.
const ASKED_PER_TURN: usize = 128;

impl<W> Data<W> {
    /// Who must have a copy of the partition before this node gives up its own; none if it
    /// keeps it.
    pub(super) fn heirs(&self, view: &View, id: PartitionId) -> Option<BTreeSet<NodeId>> {
        let heirs = self.control.lock().heirs(id);
        let group = view.group(id);
        heirs.or_else(|| (!group.is_wanted).then(|| group.replicas.clone()))
    }

    /// Asks about copies that are to be given up.
    pub(super) fn ask_heirs(&self, now: Now, effects: &mut Vec<Effect<W>>) {
        let view = self.view();
        let partitions = self.keyspace.partitions;
        let first = self.holdings.lock().cursor();
        let mut questions = 0;
        for at in 0..partitions {
            let id = PartitionId(first.wrapping_add(at).checked_rem(partitions).unwrap_or(0));
            let Some(heirs) = self.heirs(&view, id).filter(|heirs| !heirs.is_empty()) else {
                continue;
            };
            let Some((clock, actor)) = self.to_give_up(id) else {
                continue;
            };
            let asked = self.holdings.lock().ask(now.mono, id, &clock, &heirs);
            let Some((question, silent)) = asked else {
                continue;
            };
            let there = silent.iter().filter(|heir| view.reachable.contains(heir));
            effects.extend(there.map(|heir| Effect::Send {
                to: *heir,
                message: Message::Holding {
                    partition: id,
                    id: question,
                    asker: actor,
                    clock: clock.clone(),
                },
            }));
            // All may have it, and what kept the copy when the last of them said so be over.
            if !self.control.lock().hands_off() {
                self.drop_if_held(id, effects);
            }
            questions += 1;
            if questions >= ASKED_PER_TURN {
                self.holdings.lock().go_on_at(id.0.wrapping_add(1));
                break;
            }
        }
    }

    /// What there is of a partition to be given up: nothing if there is nothing, and while
    /// dead actors are closed there, since promises were made in its name.
    fn to_give_up(&self, id: PartitionId) -> Option<(Clock, ActorId)> {
        let leaving = self.control.lock().hands_off();
        let shard = self.shard(id).lock();
        let partition = shard.partition(id)?;
        let is_nothing = partition.is_rebuilding() && partition.clock().is_empty();
        let stays = is_nothing || partition.is_closing() && !leaving;
        (!stays).then(|| (partition.clock().clone(), partition.actor()))
    }

    /// A peer asks whether this node has all that it holds of a partition.
    pub(super) fn holding(
        &self,
        now: Now,
        from: NodeId,
        id: PartitionId,
        question: (u64, ActorId),
        clock: &Clock,
        effects: &mut Vec<Effect<W>>,
    ) {
        let view = self.view();
        let Some(shard) = self.known_shard(id).filter(|_| view.group(id).is_wanted) else {
            return;
        };
        let mut shard = shard.lock();
        let Some(partition) = shard.partition(id) else {
            return;
        };
        let has_all = !partition.is_rebuilding() && partition.clock().dominates(clock);
        if has_all && view.group(id).is_replica {
            let confirmation = Confirmation::Held {
                partition: id,
                id: question.0,
                asker: from,
                actor: question.1,
            };
            shard.confirm_when_synced(confirmation, effects);
        } else {
            drop(shard);
            self.differ(now, from, vec![id], false, effects);
        }
    }

    /// A peer has all that this node holds of a partition, as it was when it asked.
    pub(super) fn held(
        &self,
        now: Now,
        from: NodeId,
        id: PartitionId,
        question: u64,
        effects: &mut Vec<Effect<W>>,
    ) {
        let Some(heirs) = self.heirs(&self.view(), id) else {
            return;
        };
        if !self.holdings.lock().note(from, id, question, &heirs) {
            return;
        }
        let leaving = self.control.lock().hands_off();
        match leaving {
            true => self.tend_place_soon(now.mono),
            false => self.drop_if_held(id, effects),
        }
    }

    /// Gives up the copy of a partition, if it may go.
    fn drop_if_held(&self, id: PartitionId, effects: &mut Vec<Effect<W>>) {
        let view = self.view();
        let group = view.group(id);
        if group.is_wanted {
            return;
        }
        let mut shard = self.shard(id).lock();
        // Answers are to this opening: whoever waits for some would get none.
        if shard.is_awaited(id) {
            return;
        }
        let Some(partition) = shard.partitions.get_mut(&id) else {
            return;
        };
        let clock = partition.clock();
        let is_held = (self.holdings.lock()).is_held(id, clock, &group.replicas);
        if !is_held && !partition.drops_on_hope() || partition.is_closing() {
            return;
        }
        let actor = ActorId {
            node: self.me,
            incarnation: self.rng.lock().next_u64(),
        };
        match partition.dropped(actor) {
            Ok(fresh) => {
                shard.replace_one(fresh);
                self.holdings.lock().forget_one(id);
                effects.push(Effect::Note(Note::Dropped { partition: id }));
            }
            Err(error) => effects.push(Effect::storage(id, &error)),
        }
    }

    /// Whether there is nothing of a partition to be given up, or all who must have it do.
    pub(super) fn is_handed_over(&self, view: &View, id: PartitionId) -> bool {
        let Some(heirs) = self.heirs(view, id) else {
            return false;
        };
        match self.to_give_up(id) {
            None => true,
            // While it takes part there is always something new.
            Some(_) if !view.is_departing => self.holdings.lock().is_met(id),
            Some((clock, _)) => self.holdings.lock().is_held(id, &clock, &heirs),
        }
    }

    /// This node leaves: when the owners without it have all that it holds it takes no more
    /// part, and when they have what came until then it departs.
    pub(super) fn hand_off(&self, now: Now, effects: &mut Vec<Effect<W>>) {
        let view = self.view();
        if !self.keyspace.all().all(|id| self.is_handed_over(&view, id)) {
            return;
        }
        let closed = self.control.lock().close_doors();
        match closed {
            true => self.refresh(now, effects),
            false => self.depart(now, effects),
        }
    }
}
