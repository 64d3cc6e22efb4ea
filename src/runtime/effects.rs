//! What the data plane wants done: sends, replies, notes. In their order, after its locks
//! are released.

use bytes::Bytes;
use tracing::{debug, error, info, warn};

use super::core::Core;
use super::past::Waiter;
use super::queue::MESSAGES_KEPT_MAX;
use crate::clock::NodeId;
use crate::node::{Effect, Note};
use crate::replication::Message;

/// A sync that fetched this many keys is always told of.
const SYNC_WORTH_TELLING: u64 = 1_000;

impl Core {
    /// Takes in what a peer said about data, and leaves `messages` empty. What is to be done
    /// then goes through `effects`, which are empty before and after.
    pub(super) fn receive(
        &self,
        from: NodeId,
        messages: &mut Vec<Message>,
        effects: &mut Vec<Effect<Waiter>>,
    ) {
        self.counters.peer_messages_received.add(messages.len());
        effects.reserve(messages.len());
        let now = self.clock.now();
        for message in messages.drain(..) {
            self.data.receive(now, from, message, effects);
        }
        self.execute(effects.drain(..));
        messages.shrink_to(MESSAGES_KEPT_MAX);
        effects.shrink_to(MESSAGES_KEPT_MAX);
    }

    /// Does what the data plane wants done.
    pub(super) fn execute(&self, effects: impl IntoIterator<Item = Effect<Waiter>>) {
        for effect in effects {
            match effect {
                Effect::Send { to, message } => self.send(to, message),
                Effect::Reply { waiter, reply } => {
                    if !waiter.send(reply) {
                        self.counters.replies_unclaimed.one();
                    }
                }
                Effect::SyncNow => self.sync_now.notify_one(),
                Effect::Published { channel, payload } => {
                    self.listeners.tell(&channel, &payload);
                }
                Effect::Expired { key } => self.tell_expired(&key),
                Effect::Note(note) => self.note(&note),
            }
        }
    }

    /// Publishes what is to be told of a key that has ended.
    fn tell_expired(&self, key: &Bytes) {
        for (channel, payload) in self.listeners.messages_of_expired(key) {
            self.publish(&channel, &payload);
        }
    }

    /// Tells every subscriber in the cluster; how many there are on this node.
    pub(super) fn publish(&self, channel: &Bytes, payload: &Bytes) -> usize {
        let told = self.listeners.tell(channel, payload);
        let mut effects = Vec::new();
        self.data.publish(channel, payload, &mut effects);
        self.execute(effects);
        told
    }

    /// Puts a message on its link. A dropped push leaves its peer behind, and a dropped
    /// request its client, so the data plane is told. What that makes it send is no push, and
    /// a request goes to each owner once: this ends.
    fn send(&self, to: NodeId, message: Message) {
        let Err(message) = self.links.send(to, message) else {
            return;
        };
        self.counters.dropped(&message);
        let mut effects = Vec::new();
        let now = self.clock.now();
        self.data.dropped(now, to, &message, &mut effects);
        self.execute(effects);
    }

    /// A node under load fetches in each round the few writes that are on their way anyway:
    /// those are told of at a bounded rate.
    fn note_synced(&self, peer: NodeId, keys: u64, partitions: u64) {
        let worth_telling =
            keys >= SYNC_WORTH_TELLING || keys > 0 && self.limiter.admit("synced").is_some();
        if worth_telling {
            info!(%peer, keys, partitions, "synced");
        } else {
            debug!(%peer, keys, partitions, "synced");
        }
    }

    fn note(&self, note: &Note) {
        let counters = &self.counters;
        match note {
            Note::Synced { peer, tally } => {
                counters.syncs_finished.one();
                counters.sync_keys_fetched.add(tally.keys as usize);
                self.note_synced(*peer, tally.keys, tally.partitions);
            }
            Note::FullSynced { peer, partition } => {
                counters.full_syncs.one();
                debug!(%peer, %partition, "fetched a partition as a whole");
            }
            Note::FullSyncDeferred { peer, partition } => {
                counters.full_syncs_deferred.one();
                debug!(%peer, %partition, "a peer's full sync waits for others");
            }
            Note::Refused {
                peer,
                partition,
                refusal,
            } => {
                counters.data_refused.one();
                if let Some(more) = self.limiter.admit("data refused") {
                    warn!(%peer, %partition, reason = %refusal, more, "dropped data from a peer");
                }
            }
            Note::Diverged { peer, partition } => {
                counters.data_diverged.one();
                if let Some(more) = self.limiter.admit("diverged") {
                    error!(%peer, %partition, more, "equal clocks, different data: a bug or corruption");
                }
            }
            Note::Rebuilt { peer, partition } => {
                if let Some(more) = self.limiter.admit("rebuilt") {
                    info!(%peer, %partition, more, "a partition is whole here");
                }
            }
            Note::OwnWritesLost {
                peer,
                partitions,
                writes,
            } => warn!(
                %peer,
                partitions,
                writes,
                "this node's disk has lost writes that it had made; fetching them again"
            ),
            Note::Storage { partition, error } => {
                counters.storage_errors.one();
                // A disk that has failed has said so, once and with its path.
                if !self.disk.has_failed()
                    && let Some(more) = self.limiter.admit("storage")
                {
                    error!(%partition, error, more, "the storage engine failed");
                }
            }
            other => self.note_place(other),
        }
    }

    /// What became of this node's place in the cluster and of its copies.
    fn note_place(&self, note: &Note) {
        let counters = &self.counters;
        match note {
            Note::Dropped { partition } => {
                counters.copies_dropped.one();
                if let Some(more) = self.limiter.admit("dropped") {
                    info!(%partition, more, "gave up a copy that its owners have");
                }
            }
            Note::LeftOver { partition } => {
                if let Some(more) = self.limiter.admit("left over") {
                    warn!(
                        %partition, more,
                        "no member has a whole copy of a partition: going on with what is left"
                    );
                }
            }
            Note::Phase(phase) => info!(%phase, "place in the cluster"),
            Note::Evicted { member } => {
                warn!(%member, "was away for too long: removed from the cluster for good");
            }
            Note::Merged => {
                info!("met an elder cluster: what is here is compared with it before it is served")
            }
            Note::RosterUnkept { error } => {
                counters.storage_errors.one();
                if let Some(more) = self.limiter.admit("roster") {
                    error!(error, more, "the roster could not be kept on the disk");
                }
            }
            Note::RosterRefused { peer, reason } => {
                counters.data_refused.one();
                if let Some(more) = self.limiter.admit("roster refused") {
                    warn!(%peer, %reason, more, "dropped a fact about the cluster's members");
                }
            }
            // Dealt with before.
            Note::Synced { .. }
            | Note::FullSynced { .. }
            | Note::FullSyncDeferred { .. }
            | Note::Refused { .. }
            | Note::Diverged { .. }
            | Note::Rebuilt { .. }
            | Note::OwnWritesLost { .. }
            | Note::Storage { .. } => {}
        }
    }
}
