//! How two nodes find out what differs, and who then asks whom.
//!
//! One hash over everything, then one per partition, then the clocks of those that differ.

use super::Data;
use super::effect::{Effect, Note};
use super::shard::Pulled;
use crate::clock::NodeId;
use crate::machine::{Machine, Now};
use crate::placement::PartitionId;
use crate::replication::{Input, Message, Output, Synchronizer};

impl<W> Data<W> {
    /// The hash of every partition, in order.
    pub(super) fn hashes(&self) -> Vec<u64> {
        let mut hashes = vec![0; usize::from(self.keyspace.partitions)];
        for shard in &self.shards {
            for partition in shard.lock().partitions() {
                if let Some(hash) = hashes.get_mut(usize::from(partition.id().0)) {
                    *hash = partition.sync_hash();
                }
            }
        }
        hashes
    }

    pub(super) fn answer_root(
        &self,
        now: Now,
        from: NodeId,
        root: u64,
        effects: &mut Vec<Effect<W>>,
    ) {
        let hashes = self.hashes();
        let message = if root_of(&hashes) == root {
            self.note_even(from, self.keyspace.all());
            self.tell_sync(now, Input::Same(from), effects);
            Message::Same(root)
        } else {
            Message::Hashes(hashes)
        };
        effects.push(Effect::Send { to: from, message });
    }

    pub(super) fn same(&self, now: Now, from: NodeId, root: u64, effects: &mut Vec<Effect<W>>) {
        if root_of(&self.hashes()) == root {
            self.note_even(from, self.keyspace.all());
        }
        self.tell_sync(now, Input::Same(from), effects);
        self.compared(now, from, &[], effects);
    }

    pub(super) fn compare_hashes(
        &self,
        now: Now,
        from: NodeId,
        theirs: &[u64],
        effects: &mut Vec<Effect<W>>,
    ) {
        let ours = self.hashes();
        if ours.len() != theirs.len() {
            return;
        }
        let (even, differ): (Vec<_>, Vec<_>) = self
            .keyspace
            .all()
            .zip(ours.iter().zip(theirs))
            .partition(|(_, (our, their))| our == their);
        self.note_even(from, even.into_iter().map(|(id, _)| id));
        let partitions: Vec<_> = differ.into_iter().map(|(id, _)| id).collect();
        if partitions.is_empty() {
            self.tell_sync(now, Input::Same(from), effects);
        } else {
            self.differ(now, from, partitions.clone(), true, effects);
        }
        self.compared(now, from, &partitions, effects);
    }

    fn note_even(&self, peer: NodeId, ids: impl Iterator<Item = PartitionId>) {
        for id in ids {
            self.shard(id).lock().note_even(peer, std::iter::once(id));
        }
    }

    pub(super) fn differ(
        &self,
        now: Now,
        peer: NodeId,
        partitions: Vec<PartitionId>,
        mutual: bool,
        effects: &mut Vec<Effect<W>>,
    ) {
        let input = Input::Differ {
            peer,
            partitions,
            mutual,
        };
        self.tell_sync(now, input, effects);
    }

    pub(super) fn pulled(
        &self,
        now: Now,
        peer: NodeId,
        partition: PartitionId,
        pulled: Pulled,
        effects: &mut Vec<Effect<W>>,
    ) {
        let (brought, done) = match pulled {
            Pulled::Stale => return,
            Pulled::More(brought) => (brought, false),
            Pulled::All(brought) => (brought, true),
        };
        let next = self.pacer.lock().charge(now.mono, brought.bytes);
        self.tell_sync(
            now,
            Input::Progress {
                peer,
                partition,
                keys: brought.keys,
                next,
            },
            effects,
        );
        if done {
            self.tell_sync(now, Input::Done { peer, partition }, effects);
        } else if next <= now.mono {
            self.ask_on(now, peer, partition, effects);
        } else {
            self.pacer.lock().wait((partition, peer), next);
            self.shard(partition).lock().pause_full(partition, next);
        }
        self.fetched(now, peer, partition, done, effects);
    }

    /// Asks for the next piece of what is being pulled.
    pub(super) fn ask_on(
        &self,
        now: Now,
        to: NodeId,
        partition: PartitionId,
        effects: &mut Vec<Effect<W>>,
    ) {
        if self.gate.is_closed() {
            return;
        }
        let question = self.shard(partition).lock().question(now, to, partition);
        effects.extend(question.map(|message| Effect::Send { to, message }));
    }

    pub(super) fn tell_sync(&self, now: Now, input: Input, effects: &mut Vec<Effect<W>>) {
        let mut sync = self.sync.lock();
        sync.handle(now, input);
        self.drain_sync(sync, effects);
    }

    /// Asks a peer whether anything differs.
    pub(super) fn comparison(&self, to: NodeId) -> Effect<W> {
        Effect::Send {
            to,
            message: Message::Root(root_of(&self.hashes())),
        }
    }

    /// Turns what the synchroniser wants into messages, after releasing its lock.
    pub(super) fn drain_sync(
        &self,
        mut sync: parking_lot::MutexGuard<'_, Synchronizer>,
        effects: &mut Vec<Effect<W>>,
    ) {
        let outputs: Vec<Output> = std::iter::from_fn(|| sync.poll_output()).collect();
        drop(sync);
        for output in outputs {
            match output {
                Output::Compare(to) => effects.push(self.comparison(to)),
                // What came could not be kept. The pull is given up after a while.
                Output::Pull(_) if self.gate.is_closed() => {}
                Output::Pull(pull) => {
                    let shard = self.shard(pull.partition).lock();
                    let question = shard.ask(pull.partition, pull.mutual);
                    effects.extend(question.map(|message| Effect::Send {
                        to: pull.peer,
                        message,
                    }));
                    shard.tell_closing(pull.peer, pull.partition, effects);
                }
                Output::Finished(peer, tally) => {
                    effects.push(Effect::Note(Note::Synced { peer, tally }));
                }
            }
        }
    }
}

/// One hash over all partitions. Order matters: two partitions that swapped must differ.
fn root_of(hashes: &[u64]) -> u64 {
    let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect();
    xxhash_rust::xxh3::xxh3_64(&bytes)
}
