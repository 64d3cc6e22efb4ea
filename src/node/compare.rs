//! How two nodes find out what differs, and who then asks whom.
//!
//! One hash over everything, then one per partition, then the clocks of those that differ.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use xxhash_rust::xxh3::Xxh3Default;

use super::Data;
use super::effect::{Effect, Note};
use super::shard::Pulled;
use super::view::View;
use crate::clock::{Clock, NodeId};
use crate::machine::{Machine, Now};
use crate::placement::PartitionId;
use crate::replication::{Input, Message, Output, PartitionHash, Pull, Synchronizer};
use crate::store::Partition;

impl<W> Data<W> {
    /// The hashes of the partitions for which `is_meant` says so, in order.
    fn hashes(&self, is_meant: impl Fn(&Partition) -> bool) -> Vec<PartitionHash> {
        let mut hashes = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            let meant = shard.partitions().filter(|p| is_meant(p));
            hashes.extend(meant.map(|partition| PartitionHash {
                partition: partition.id(),
                hash: partition.sync_hash(),
            }));
        }
        hashes.sort_unstable_by_key(|hash| hash.partition);
        hashes
    }

    /// One hash over the roster and everything that `peer` and this node both get the writes
    /// of, and which partitions that is.
    fn root(&self, peer: NodeId) -> (u64, Vec<PartitionHash>) {
        let view = self.view();
        let shared = self.hashes(|p| view.shares(peer, p.id()));
        let mut hash = Xxh3Default::new();
        hash.update(&self.control.lock().fingerprint().to_le_bytes());
        for one in &shared {
            hash.update(&one.partition.0.to_le_bytes());
            hash.update(&one.hash.to_le_bytes());
        }
        (hash.digest(), shared)
    }

    pub(super) fn answer_root(
        &self,
        now: Now,
        from: NodeId,
        root: u64,
        effects: &mut Vec<Effect<W>>,
    ) {
        let (ours, shared) = self.root(from);
        if ours == root {
            self.note_same(from, &shared);
            self.tell_sync(now, Input::Same(from), effects);
        }
        let view = self.view();
        let is_for_it = |partition: &Partition| {
            is_kept(&view, partition) && view.group(partition.id()).replicas.contains(&from)
        };
        let message = if ours == root && !self.any(is_for_it) {
            Message::Same(root)
        } else {
            Message::Hashes {
                roster: self.control.lock().fingerprint(),
                partitions: self.hashes(|partition| {
                    view.group(partition.id()).is_replica || is_kept(&view, partition)
                }),
            }
        };
        effects.push(Effect::Send { to: from, message });
    }

    pub(super) fn same(&self, now: Now, from: NodeId, root: u64, effects: &mut Vec<Effect<W>>) {
        let (ours, shared) = self.root(from);
        if ours == root {
            self.note_same(from, &shared);
        }
        self.tell_sync(now, Input::Same(from), effects);
        self.compared(now, from, &[], effects);
    }

    pub(super) fn compare_hashes(
        &self,
        now: Now,
        from: NodeId,
        roster: u64,
        theirs: &[PartitionHash],
        effects: &mut Vec<Effect<W>>,
    ) {
        let knows_as_much = self.control.lock().told(from, roster);
        if !knows_as_much {
            self.tell_roster(from, true, effects);
        }
        let view = self.view();
        let ours = self.hashes(|p| view.group(p.id()).is_wanted);
        let ours: BTreeMap<_, _> = ours.iter().map(|one| (one.partition, one.hash)).collect();
        let both = theirs.iter().filter_map(|their| {
            let our = ours.get(&their.partition)?;
            Some((their.partition, *our == their.hash))
        });
        let (even, differ): (Vec<_>, Vec<_>) = both.partition(|(_, is_even)| *is_even);
        self.note_even(from, even.into_iter().map(|(id, _)| id));
        let partitions: Vec<_> = differ.into_iter().map(|(id, _)| id).collect();
        if partitions.is_empty() {
            self.tell_sync(now, Input::Same(from), effects);
        } else {
            self.differ(now, from, partitions.clone(), true, effects);
        }
        self.compared(now, from, &partitions, effects);
    }

    /// A peer knows as much of the roster and has all that both should have.
    fn note_same(&self, peer: NodeId, shared: &[PartitionHash]) {
        let mut control = self.control.lock();
        let known = control.fingerprint();
        control.told(peer, known);
        drop(control);
        self.note_even(peer, shared.iter().map(|one| one.partition));
    }

    fn note_even(&self, peer: NodeId, ids: impl Iterator<Item = PartitionId>) {
        for id in ids {
            self.shard(id).lock().note_even(peer, std::iter::once(id));
        }
    }

    /// Asks `peer`, whose copy of a partition had `seen`, for what the copy here lacks of that.
    pub fn fetch_if_behind(
        &self,
        now: Now,
        peer: NodeId,
        partition: PartitionId,
        seen: &Clock,
        effects: &mut Vec<Effect<W>>,
    ) {
        let is_behind = self.known_shard(partition).is_some_and(|shard| {
            let shard = shard.lock();
            let copy = shard.partitions.get(&partition);
            copy.is_some_and(|copy| !copy.clock().dominates(seen))
        });
        if is_behind {
            self.differ(now, peer, vec![partition], false, effects);
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
        // What a node does not get the writes of it does not fetch either.
        let view = self.view();
        let mut partitions = partitions;
        partitions.retain(|id| view.group(*id).is_wanted);
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
        self.note_brought(partition, brought.bytes);
        self.fetched_bytes
            .fetch_add(brought.bytes, Ordering::Relaxed);
        let next = self.pacer.lock().charge(now.mono, brought.message_bytes);
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
        self.drain_sync(now, sync, effects);
    }

    /// Asks a peer whether anything differs.
    pub(super) fn comparison(&self, to: NodeId) -> Effect<W> {
        Effect::Send {
            to,
            message: Message::Root(self.root(to).0),
        }
    }

    /// Turns what the synchroniser wants into messages, after releasing its lock.
    pub(super) fn drain_sync(
        &self,
        now: Now,
        mut sync: parking_lot::MutexGuard<'_, Synchronizer>,
        effects: &mut Vec<Effect<W>>,
    ) {
        let outputs: Vec<Output> = std::iter::from_fn(|| sync.poll_output()).collect();
        drop(sync);
        let view = self.view();
        for output in outputs {
            match output {
                Output::Compare(to) => effects.push(self.comparison(to)),
                // What came could not be kept. The pull is given up after a while.
                Output::Pull(_) if self.gate.is_closed() => {}
                // It was another's by the time that it was its turn.
                Output::Pull(pull) if !view.group(pull.partition).is_wanted => {
                    let Pull {
                        peer, partition, ..
                    } = pull;
                    self.tell_sync(now, Input::Done { peer, partition }, effects);
                }
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

/// Whether this node keeps something of a partition whose writes are for others now: they may
/// not have it yet.
fn is_kept(view: &View, partition: &Partition) -> bool {
    !view.group(partition.id()).is_replica && !partition.clock().is_empty()
}
