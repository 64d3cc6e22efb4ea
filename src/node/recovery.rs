//! When a partition that was damaged is whole again.

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
