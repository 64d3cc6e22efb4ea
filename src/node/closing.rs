//! What a node does about dead actors (PROTOCOL 3.9): it tells its partitions when all replicas
//! are there, and carries what they have to say to each other.

use super::Data;
use super::effect::Effect;
use super::shard::Shard;
use super::view::View;
use crate::clock::NodeId;
use crate::placement::PartitionId;
use crate::replication::Message;
use crate::store::exchange::Closing;

impl<W> Data<W> {
    /// Takes the closing of dead actors one step further in every partition. Promises are
    /// made durable before they are told, all with one sync: there are only any after a crash.
    pub(super) fn close_dead_actors(
        &self,
        view: &View,
        settled: bool,
        effects: &mut Vec<Effect<W>>,
    ) {
        let mut promising = Vec::new();
        for shard in &self.shards {
            if shard.lock().tend(view, settled, effects) {
                promising.push(shard);
            }
        }
        if !promising.is_empty() && self.engine.read().clone().sync().is_ok() {
            for shard in promising {
                shard.lock().confirm();
            }
        }
    }
}

impl<W> Shard<W> {
    /// See [`Partition::tend`](crate::store::Partition::tend). Returns whether there is
    /// something to make durable.
    fn tend(&mut self, view: &View, settled: bool, effects: &mut Vec<Effect<W>>) -> bool {
        let mut promising = false;
        for (id, partition) in &mut self.partitions {
            match partition.tend(&view.group(*id).replicas, settled) {
                Ok(promises) => promising |= promises,
                Err(error) => effects.push(Effect::storage(*id, &error)),
            }
        }
        promising
    }

    fn confirm(&mut self) {
        for partition in self.partitions.values_mut() {
            partition.confirm();
        }
    }

    /// Tells a peer what there is to say about dead actors; nearly always nothing.
    pub(super) fn tell_closing(&self, to: NodeId, id: PartitionId, effects: &mut Vec<Effect<W>>) {
        let closing = self.partitions.get(&id).and_then(|p| p.closing());
        effects.extend(closing.map(|closing| Effect::Send {
            to,
            message: Message::Closing {
                closing,
                mutual: true,
            },
        }));
    }

    /// A peer says something about dead actors, and perhaps wants to hear in return.
    pub(super) fn closing(
        &mut self,
        from: NodeId,
        closing: Closing,
        mutual: bool,
        effects: &mut Vec<Effect<W>>,
    ) {
        let id = closing.partition;
        let Some(partition) = self.partitions.get_mut(&id) else {
            return;
        };
        match partition.note_closing(from, closing) {
            Err(refusal) => effects.extend(Effect::refused(from, id, refusal)),
            Ok(()) if mutual => effects.push(Effect::Send {
                to: from,
                message: Message::Closing {
                    closing: partition.closing_answer(),
                    mutual: false,
                },
            }),
            Ok(()) => {}
        }
    }
}
