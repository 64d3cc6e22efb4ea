//! When a partition that was damaged is whole again, and what this node's disk has lost.

use super::Data;
use super::effect::{Effect, Note};
use super::shard::Shard;
use crate::clock::NodeId;
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
            Ok(true) => effects.push(Effect::Note(Note::Rebuilt {
                peer,
                partition: id,
            })),
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
