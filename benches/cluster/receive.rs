//! What a node of the cluster does with a message: as `netdb::node::Data`, but for the
//! partitions that two nodes share instead of all.

use std::collections::BTreeMap;

use bytes::Bytes;
use netdb::clock::NodeId;
use netdb::machine::Machine;
use netdb::object::{Object, Row};
use netdb::placement::PartitionId;
use netdb::replication::{Input, Message, Output, PartitionHash};
use netdb::store::exchange::{Delta, Digest};
use netdb::store::{Applied, DeltaAnswer};
use xxhash_rust::xxh3::xxh3_64;

use super::{Cluster, object_of};
use crate::traffic::DeltaParts;

impl Cluster {
    /// All that was left for one peer travels together, as from a queue.
    pub(super) fn send(&mut self, from: NodeId, out: Outbox) {
        for (to, messages) in out.0 {
            let stream = self.streams.entry((from, to)).or_default();
            let packed = stream.pack(&messages);
            self.figures.traffic.count(&messages, &packed);
            let frames = packed.frames.into_iter();
            self.frames.extend(frames.map(|frame| (from, to, frame)));
        }
    }

    pub(super) fn receive(&mut self, from: NodeId, me: NodeId, message: Message, out: &mut Outbox) {
        match message {
            Message::Root(root) => {
                let hashes = self.hashes(me, from);
                if root_of(&hashes) == root {
                    self.even(me, from, hashes.iter().map(|(id, _)| *id));
                    self.tell(me, Input::Same(from), out);
                    out.push(from, Message::Same(root));
                } else {
                    let hashes = hashes.into_iter();
                    let partitions =
                        hashes.map(|(partition, hash)| PartitionHash { partition, hash });
                    let partitions = partitions.collect();
                    let roster = 0;
                    out.push(from, Message::Hashes { roster, partitions });
                }
            }
            Message::Same(root) => {
                let hashes = self.hashes(me, from);
                if root_of(&hashes) == root {
                    self.even(me, from, hashes.iter().map(|(id, _)| *id));
                }
                self.tell(me, Input::Same(from), out);
            }
            Message::Hashes { partitions, .. } => self.compare(me, from, &partitions, out),
            Message::Digest { digest, mutual, .. } => self.answer(me, from, &digest, mutual, out),
            Message::Delta(delta) => self.apply(me, from, delta, out),
            Message::CaughtUp { partition, .. } => self.done(me, from, partition, 0, out),
            Message::TooFarBehind { partition, .. } => {
                self.figures.too_far_behind += 1;
                self.done(me, from, partition, 0, out);
            }
            other => panic!("not expected here: {other:?}"),
        }
    }

    fn compare(&mut self, me: NodeId, from: NodeId, theirs: &[PartitionHash], out: &mut Outbox) {
        let ours = self.hashes(me, from);
        assert_eq!(ours.len(), theirs.len());
        let (even, differ): (Vec<_>, Vec<_>) = ours
            .into_iter()
            .zip(theirs)
            .partition(|((_, our), their)| *our == their.hash);
        self.even(me, from, even.into_iter().map(|((id, _), _)| id));
        let partitions: Vec<_> = differ.into_iter().map(|((id, _), _)| id).collect();
        let input = match partitions.is_empty() {
            true => Input::Same(from),
            false => Input::Differ {
                peer: from,
                partitions,
                mutual: true,
            },
        };
        self.tell(me, input, out);
    }

    fn answer(
        &mut self,
        me: NodeId,
        from: NodeId,
        digest: &Digest,
        mutual: bool,
        out: &mut Outbox,
    ) {
        let id = digest.partition;
        let asker = digest.asker;
        let partition = self.partition(me, id);
        partition.note_digest(from, &digest.clock);
        let answer = partition.delta(digest);
        let behind = !partition.clock().dominates(&digest.clock);
        let partition = id;
        out.push(
            from,
            match answer {
                DeltaAnswer::Nothing => Message::CaughtUp { partition, asker },
                DeltaAnswer::Unsure => Message::Unsure {
                    partition,
                    asker,
                    is_all: false,
                },
                DeltaAnswer::Delta(delta) => Message::Delta(delta),
                DeltaAnswer::Full => Message::TooFarBehind { partition, asker },
            },
        );
        if behind && mutual {
            let input = Input::Differ {
                peer: from,
                partitions: vec![id],
                mutual: false,
            };
            self.tell(me, input, out);
        }
    }

    fn apply(&mut self, me: NodeId, from: NodeId, delta: Delta, out: &mut Outbox) {
        let (id, more, rows) = (delta.partition, delta.more, delta.rows.len() as u64);
        let wall_ms = self.now.wall_ms;
        let parts = DeltaParts::of(&delta);
        let groups = delta.covers.iter().filter(|cover| cover.key.is_some());
        self.figures.left_out += groups.count() as u64 - rows;
        let partition = self.partition(me, id);
        let object = |(key, _): &(Bytes, Row)| (key.clone(), object_of(partition, key));
        let before: Vec<(Bytes, Object)> = delta.rows.iter().map(object).collect();
        let applied = partition.apply_delta(delta, wall_ms);
        assert_eq!(
            applied.expect("memory commits"),
            Applied::New,
            "nothing travels twice"
        );
        let changed = |(key, object): &&(Bytes, Object)| {
            object_of(partition, key).versions != object.versions
        };
        let hits = before.iter().filter(changed).count();
        self.figures.hits += hits as u64;
        self.figures.rows += rows;
        self.figures.papers_bytes += parts.base + parts.residual;
        if more {
            let question = self.question(me, id, false);
            out.push(from, question);
            let progress = Input::Progress {
                peer: from,
                partition: id,
                keys: rows,
                next: self.now.mono,
            };
            self.tell(me, progress, out);
        } else {
            self.done(me, from, id, rows, out);
        }
    }

    fn done(
        &mut self,
        me: NodeId,
        peer: NodeId,
        partition: PartitionId,
        keys: u64,
        out: &mut Outbox,
    ) {
        let progress = Input::Progress {
            peer,
            partition,
            keys,
            next: self.now.mono,
        };
        self.tell(me, progress, out);
        self.tell(me, Input::Done { peer, partition }, out);
    }

    fn tell(&mut self, me: NodeId, input: Input, out: &mut Outbox) {
        let now = self.now;
        if let Some(node) = self.nodes.get_mut(&me) {
            node.sync.handle(now, input);
        }
        self.drain(me, out);
    }

    /// Turns what a synchroniser wants into messages.
    pub(super) fn drain(&mut self, me: NodeId, out: &mut Outbox) {
        while let Some(output) = self.nodes.get_mut(&me).and_then(|n| n.sync.poll_output()) {
            match output {
                Output::Compare(peer) => {
                    let hashes = self.hashes(me, peer);
                    out.push(peer, Message::Root(root_of(&hashes)));
                }
                Output::Pull(pull) => {
                    let question = self.question(me, pull.partition, pull.mutual);
                    out.push(pull.peer, question);
                }
                Output::Finished(..) => {}
            }
        }
    }

    fn question(&mut self, me: NodeId, id: PartitionId, mutual: bool) -> Message {
        let partition = self.partition(me, id);
        Message::Digest {
            digest: partition.digest(),
            fingerprint: partition.half_fingerprint(),
            mutual,
        }
    }

    /// The hashes of the partitions that two nodes share, in order.
    fn hashes(&self, me: NodeId, peer: NodeId) -> Vec<(PartitionId, u64)> {
        let node = &self.nodes[&me];
        let shared = |id: &PartitionId| self.replicas[usize::from(id.0)].contains(&peer);
        node.partitions
            .iter()
            .filter(|(id, _)| shared(id))
            .map(|(&id, p)| (id, p.hash() ^ p.fingerprint().rotate_left(32)))
            .collect()
    }

    pub(super) fn even(
        &mut self,
        me: NodeId,
        peer: NodeId,
        ids: impl Iterator<Item = PartitionId>,
    ) {
        for id in ids {
            let partition = self.partition(me, id);
            let clock = partition.clock().clone();
            partition.note_digest(peer, &clock);
        }
    }
}

/// The same as `node::Data` compares.
fn root_of(hashes: &[(PartitionId, u64)]) -> u64 {
    let bytes: Vec<u8> = hashes
        .iter()
        .flat_map(|(_, hash)| hash.to_le_bytes())
        .collect();
    xxh3_64(&bytes)
}

/// Messages by peer, in order.
#[derive(Default)]
pub(super) struct Outbox(BTreeMap<NodeId, Vec<Message>>);

impl Outbox {
    fn push(&mut self, to: NodeId, message: Message) {
        self.0.entry(to).or_default().push(message);
    }
}
