//! When a partition that was damaged is whole again, and what this node's disk has lost.

use super::Data;
use super::effect::{Effect, Note};
use super::shard::Shard;
use crate::clock::{ActorId, NodeId};
use crate::machine::Now;
use crate::placement::PartitionId;

impl<W> Shard<W> {
    /// `peer`, which vouches for having all of a partition, has nothing of it that is not here.
    pub(super) fn compared_to_the_end(
        &mut self,
        peer: NodeId,
        id: PartitionId,
        effects: &mut Vec<Effect<W>>,
    ) {
        let Some(partition) = self.partitions.get_mut(&id) else {
            return;
        };
        match partition.rebuilt() {
            Ok(true) => {
                self.bereft.remove(&id);
                effects.push(Effect::Note(Note::Rebuilt {
                    peer,
                    partition: id,
                }));
            }
            Ok(false) => {}
            Err(error) => effects.push(Effect::storage(id, &error)),
        }
    }

    /// `peer` does not send a partition as a whole.
    pub(super) fn give_up_full(&mut self, peer: NodeId, id: PartitionId) {
        let is_it = |fetch: &super::shard::Fetch| fetch.peer == peer;
        if self.fetches.get(&id).is_some_and(is_it) {
            self.abandon_one(id);
        }
    }
}

impl<W> Data<W> {
    /// `from` has nothing that this node's copy of a partition lacks, and no whole one. When
    /// no member has more, and all are there, then what is left is whole: the first owner says
    /// so, and vouches for it from then on. If nobody owns, since those who did have removed each
    /// other and joined again, the first owner-to-be does, once it is sure to know all members
    /// that there are. Where a damaged copy was set aside somebody who looks into it may find
    /// more: then it is for an operator to say.
    pub(super) fn bereft_of(
        &self,
        now: Now,
        from: NodeId,
        (id, asker): (PartitionId, ActorId),
        effects: &mut Vec<Effect<W>>,
    ) {
        let view = self.view();
        let first = match view.placement.current(id).first() {
            None if self.is_settled(now) => view.placement.target(id).first(),
            first => first,
        };
        let is_first = first == Some(&self.me);
        let Some(mut shard) = self.shard_of_opening(id, asker) else {
            return;
        };
        let shard = &mut *shard;
        let Some(partition) = shard.partitions.get_mut(&id) else {
            return;
        };
        let bereft = shard.bereft.entry(id).or_default();
        if bereft.hash != partition.hash() {
            bereft.members.clear();
            bereft.hash = partition.hash();
        }
        bereft.members.insert(from);
        let is_over = is_first && shard.hides_nothing && view.members.is_subset(&bereft.members);
        if !is_over || !partition.is_rebuilding() {
            return;
        }
        match partition.set_rebuilding(false) {
            Ok(()) => effects.push(Effect::Note(Note::LeftOver { partition: id })),
            Err(error) => effects.push(Effect::storage(id, &error)),
        }
    }

    /// Tells of writes of this node that its disk has lost.
    pub(super) fn tell_of_losses(&self, effects: &mut Vec<Effect<W>>) {
        let mut losses = self.losses.lock();
        for shard in &self.shards {
            losses.join(std::mem::take(&mut shard.lock().losses));
        }
        for (peer, loss) in losses.take_settled() {
            effects.push(Effect::Note(Note::OwnWritesLost {
                peer,
                partitions: loss.partitions.len() as u64,
                writes: loss.writes,
            }));
        }
    }
}
