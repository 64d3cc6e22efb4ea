//! What a shard tells and learns when clocks differ (PROTOCOL 3.4).

use super::effect::{Effect, Note};
use super::shard::{Brought, Pulled, Shard};
use crate::clock::NodeId;
use crate::machine::Now;
use crate::placement::PartitionId;
use crate::replication::Message;
use crate::store::exchange::{Delta, Digest};
use crate::store::{Applied, DeltaAnswer};

impl<W> Shard<W> {
    /// This node's digest of a partition, as a question to a peer.
    pub(super) fn ask(&self, id: PartitionId, mutual: bool) -> Option<Message> {
        let partition = self.partitions.get(&id)?;
        Some(Message::Digest {
            digest: partition.digest(),
            fingerprint: partition.half_fingerprint(),
            mutual,
        })
    }

    /// Answers a peer's digest (PROTOCOL 3.4). Returns whether this node lacks something
    /// that the peer has.
    pub(super) fn answer_digest(
        &mut self,
        from: NodeId,
        digest: &Digest,
        fingerprint: u32,
        effects: &mut Vec<Effect<W>>,
    ) -> bool {
        let hides_nothing = self.hides_nothing;
        let Some(partition) = self.partitions.get_mut(&digest.partition) else {
            return false;
        };
        let (id, asker) = (digest.partition, digest.asker);
        if digest.clock == *partition.clock() && fingerprint != partition.half_fingerprint() {
            effects.push(Effect::Note(Note::Diverged {
                peer: from,
                partition: id,
            }));
        }
        let lost = partition.note_lost(&digest.clock);
        self.losses.add(from, id, lost);
        partition.note_opening(from, asker);
        partition.note_digest(from, &digest.clock);
        let message = match partition.delta(digest) {
            DeltaAnswer::Nothing => Message::CaughtUp {
                partition: id,
                asker,
            },
            DeltaAnswer::Unsure => Message::Unsure {
                partition: id,
                asker,
                is_all: hides_nothing
                    && partition.is_rebuilding()
                    && digest.clock.dominates(partition.clock()),
            },
            DeltaAnswer::Delta(delta) => Message::Delta(delta),
            DeltaAnswer::Full => Message::TooFarBehind {
                partition: id,
                asker,
            },
        };
        effects.push(Effect::Send { to: from, message });
        let behind = !partition.clock().dominates(&digest.clock);
        self.tell_closing(from, id, effects);
        behind
    }

    /// Applies what a peer sent in answer to a digest.
    pub(super) fn delta(
        &mut self,
        now: Now,
        from: NodeId,
        delta: Delta,
        effects: &mut Vec<Effect<W>>,
    ) -> Pulled {
        let (id, more, brought) = (delta.partition, delta.more, Brought::of(&delta.rows));
        let Some(partition) = self.partitions.get_mut(&id) else {
            return Pulled::Stale;
        };
        let lost = partition.note_lost_in(&delta.covers);
        self.losses.add(from, id, lost);
        match partition.apply_delta(delta, now.wall_ms) {
            Ok(Applied::New | Applied::Duplicate) if more => Pulled::More(brought),
            Ok(Applied::New | Applied::Duplicate) => {
                self.compared_to_the_end(from, id, effects);
                Pulled::All(brought)
            }
            Ok(Applied::Refused(refusal)) => {
                effects.extend(Effect::refused(from, id, refusal));
                Pulled::Stale
            }
            Err(error) => {
                effects.push(Effect::storage(id, &error));
                Pulled::Stale
            }
        }
    }
}
