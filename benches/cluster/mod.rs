//! A cluster of real partitions and real synchronisers on virtual time, whose keyspace is
//! cut as a ring: each partition has three of the sixteen nodes.

mod receive;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use netdb::clock::{ActorId, Dot, NodeId};
use netdb::machine::{Instant, Machine, Now};
use netdb::object::Object;
use netdb::placement::{Keyspace, PartitionId};
use netdb::replication::{Durability, Input, Message, SyncParams, Synchronizer};
use netdb::store::engine::{Engine, Memory};
use netdb::store::exchange::Push;
use netdb::store::{Applied, Options, Partition, Write};
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use xxhash_rust::xxh3::xxh3_64;

use self::receive::Outbox;
use crate::traffic::{Stream, Traffic, encoded};

pub const NODES: usize = 16;
pub const REPLICAS: usize = 3;

/// Anti-entropy that needs longer than this does not end.
const INTERVALS_MAX: u32 = 1_000;

/// One of the nodes: the glue of `netdb::node::Data` for a node that holds some partitions.
struct Node {
    partitions: BTreeMap<PartitionId, Partition>,
    sync: Synchronizer,
}

pub struct Cluster {
    nodes: BTreeMap<NodeId, Node>,
    /// The replicas of each partition.
    replicas: Vec<[NodeId; REPLICAS]>,
    keyspace: Keyspace,
    now: Now,
    frames: VecDeque<(NodeId, NodeId, Vec<u8>)>,
    /// The connections that are up, from and to.
    streams: BTreeMap<(NodeId, NodeId), Stream>,
    pub figures: Figures,
}

/// What is measured.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Anti-entropy.
    pub traffic: Traffic,
    /// The pushes of the writes.
    pub pushes: Traffic,
    /// Rows that deltas brought.
    pub rows: u64,
    /// Those that changed the receiver's versions.
    pub hits: u64,
    /// Rows that were left out because a later write had brought their effect.
    pub left_out: u64,
    /// Metadata counted as the authors' code does, over all nodes.
    pub papers_bytes: u64,
    /// (replica, key) pairs that lacked a write, until anti-entropy after the last write.
    pub outdated: u64,
    pub lost: u64,
    /// Context entries beside the live dots, over rows as they were stored by a write or push.
    pub residual_stored: Mean,
    /// The same over all rows after the writes and before anti-entropy.
    pub residual_before: Mean,
    /// The same at the end.
    pub residual_after: Mean,
    /// Live dots per row at the end.
    pub dots_after: Mean,
    /// Bytes of a node's clocks before anti-entropy and at the end.
    pub clock_before: Mean,
    pub clock_after: Mean,
    /// Virtual time of anti-entropy.
    pub intervals: u32,
    pub too_far_behind: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Mean {
    sum: u64,
    count: u64,
}

impl Mean {
    fn add(&mut self, value: u64) {
        self.sum += value;
        self.count += 1;
    }

    pub fn get(self) -> f64 {
        self.sum as f64 / self.count.max(1) as f64
    }
}

impl Cluster {
    pub fn new(partitions: u16, rng: &mut SmallRng) -> Self {
        let keyspace = Keyspace {
            partitions,
            hash_seed: 0,
        };
        let ids: Vec<NodeId> = (0..NODES)
            .map(|n| NodeId(xxh3_64(format!("node-{n}").as_bytes())))
            .collect();
        // A ring, as the paper's: neighbours share partitions.
        let replicas: Vec<[NodeId; REPLICAS]> = (0..usize::from(partitions))
            .map(|p| std::array::from_fn(|i| ids[(p + i) % NODES]))
            .collect();
        let now = Now {
            mono: Instant::ZERO,
            wall_ms: 1_750_000_000_000,
        };
        let options = Options {
            keyspace,
            ..Options::default()
        };
        let mut nodes = BTreeMap::new();
        for &id in &ids {
            let engine: Arc<dyn Engine> = Arc::new(Memory::new());
            let mut sync = Synchronizer::new(
                SyncParams::default(),
                SmallRng::seed_from_u64(rng.next_u64()),
                now,
            );
            let mine = keyspace
                .all()
                .filter(|p| replicas[usize::from(p.0)].contains(&id));
            let mut held = BTreeMap::new();
            let mut peers = BTreeSet::new();
            for partition in mine {
                let actor = ActorId {
                    node: id,
                    incarnation: rng.next_u64(),
                };
                let opened = Partition::open(partition, actor, engine.clone(), options);
                held.insert(partition, opened.expect("memory opens"));
                peers.extend(replicas[usize::from(partition.0)]);
            }
            peers.remove(&id);
            sync.handle(now, Input::Reachable(peers));
            while sync.poll_output().is_some() {}
            nodes.insert(
                id,
                Node {
                    partitions: held,
                    sync,
                },
            );
        }
        Self {
            nodes,
            replicas,
            keyspace,
            now,
            frames: VecDeque::new(),
            streams: BTreeMap::new(),
            figures: Figures::default(),
        }
    }

    /// A client's write at a random replica, pushed to the others but the `lost`-th.
    pub fn write(&mut self, key: Bytes, value: Bytes, lost: Option<usize>, rng: &mut SmallRng) {
        let id = self.keyspace.partition_of(&key);
        let mut replicas = self.replicas[usize::from(id.0)];
        replicas.swap(0, rng.random_range(0..REPLICAS));
        self.now.wall_ms += 1;
        let wall_ms = self.now.wall_ms;
        let write = Write::Put {
            value,
            expire_at_ms: None,
        };
        let partition = self.partition(replicas[0], id);
        let push = partition
            .write(key.clone(), write, None, wall_ms)
            .expect("memory commits")
            .expect("a put is always pushed");
        let residual = residual_of(partition, &key);
        self.figures.residual_stored.add(residual);
        let message = Message::Push {
            durability: Durability::Interval,
            id: self.figures.residual_stored.count,
            push: Arc::new(push),
        };
        for (at, peer) in replicas.into_iter().enumerate().skip(1) {
            if lost == Some(at) {
                self.figures.lost += 1;
                continue;
            }
            let push = self.carry(replicas[0], peer, &message);
            let partition = self.partition(peer, id);
            let applied = partition.apply_push(push, wall_ms);
            assert_eq!(applied.expect("memory commits"), Applied::New);
            let residual = residual_of(partition, &key);
            self.figures.residual_stored.add(residual);
        }
    }

    /// A push on its way through the connection of two nodes.
    fn carry(&mut self, from: NodeId, to: NodeId, message: &Message) -> Push {
        let stream = self.streams.entry((from, to)).or_default();
        let packed = stream.pack(std::slice::from_ref(message));
        self.figures
            .pushes
            .count(std::slice::from_ref(message), &packed);
        let arrived = packed.frames.iter().flat_map(|frame| stream.unpack(frame));
        let pushes = arrived.filter_map(|message| match message {
            Message::Push { push, .. } => Some(Arc::unwrap_or_clone(push)),
            _ => None,
        });
        pushes.last().expect("a push arrives")
    }

    /// All connections break and are made anew.
    pub fn reconnect(&mut self) {
        self.streams.clear();
    }

    /// Intervals of anti-entropy until all replicas agree.
    pub fn anti_entropy(&mut self) {
        while !self.agrees() {
            self.interval();
            assert!(self.figures.intervals < INTERVALS_MAX, "it does not end");
        }
        // What the housekeeping of a node does: the logs forget what all replicas have.
        self.keep_house();
    }

    /// One second: each node compares itself with one peer.
    pub fn interval(&mut self) {
        self.figures.intervals += 1;
        let end = self.now.mono + SyncParams::default().interval;
        while let Some((due, id)) = self.next_due().filter(|(due, _)| *due <= end) {
            self.now.mono = due;
            if let Some(node) = self.nodes.get_mut(&id) {
                node.sync.handle_timeout(self.now);
            }
            let mut out = Outbox::default();
            self.drain(id, &mut out);
            self.send(id, out);
            self.deliver_all();
        }
        self.now.mono = end;
        self.now.wall_ms += Duration::from_secs(1).as_millis() as u64;
    }

    fn next_due(&self) -> Option<(Instant, NodeId)> {
        let due = |(&id, node): (&NodeId, &Node)| Some((node.sync.poll_timeout()?, id));
        self.nodes.iter().filter_map(due).min()
    }

    fn deliver_all(&mut self) {
        while let Some((from, to, frame)) = self.frames.pop_front() {
            let mut out = Outbox::default();
            let stream = self.streams.entry((from, to)).or_default();
            for message in stream.unpack(&frame) {
                self.receive(from, to, message, &mut out);
            }
            self.send(to, out);
        }
    }

    fn keep_house(&mut self) {
        for (id, replicas) in self.keyspace.all().zip(self.replicas.clone()) {
            for me in replicas {
                let others = replicas.into_iter().filter(|peer| *peer != me).collect();
                for &peer in &others {
                    self.even(me, peer, std::iter::once(id));
                }
                self.partition(me, id).collect(&others);
            }
        }
    }

    fn partition(&mut self, node: NodeId, id: PartitionId) -> &mut Partition {
        let node = self.nodes.get_mut(&node).expect("a node of the cluster");
        node.partitions.get_mut(&id).expect("a replica")
    }

    fn copies(&self) -> impl Iterator<Item = [&Partition; REPLICAS]> + '_ {
        let copies = self.keyspace.all().zip(&self.replicas);
        copies.map(|(id, replicas)| replicas.map(|node| &self.nodes[&node].partitions[&id]))
    }

    fn agrees(&self) -> bool {
        let alike = |a: &Partition, b: &Partition| {
            a.hash() == b.hash() && a.fingerprint() == b.fingerprint()
        };
        self.copies()
            .all(|[first, others @ ..]| others.iter().all(|other| alike(first, other)))
    }

    /// (replica, key) pairs whose versions are not those that all replicas together have.
    pub fn outdated(&self) -> u64 {
        let mut outdated = 0;
        for copies in self.copies() {
            let keys: BTreeSet<Bytes> = copies.iter().flat_map(|copy| keys_of(copy)).collect();
            for key in keys {
                let objects = copies.map(|copy| object_of(copy, &key));
                let merged = objects.iter().fold(Object::default(), |a, b| a.merge(b));
                let differs = |object: &&Object| object.versions != merged.versions;
                outdated += objects.iter().filter(differs).count() as u64;
            }
        }
        outdated
    }

    /// Context entries beside the live dots, and live dots, over the rows of all replicas.
    pub fn entries(&self) -> (Mean, Mean) {
        let (mut residual, mut dots) = (Mean::default(), Mean::default());
        for copy in self.copies().flatten() {
            for key in keys_of(copy) {
                residual.add(residual_of(copy, &key));
                dots.add(object_of(copy, &key).versions.len() as u64);
            }
        }
        (residual, dots)
    }

    pub fn clock_bytes(&self) -> Mean {
        let mut mean = Mean::default();
        for node in self.nodes.values() {
            mean.add(node.partitions.values().map(|p| encoded(p.clock())).sum());
        }
        mean
    }
}

/// All keys that have a value.
fn keys_of(partition: &Partition) -> impl Iterator<Item = Bytes> + use<> {
    let keys = partition.keys_from(0, usize::MAX);
    let keys = keys.expect("memory can be read").into_iter();
    keys.map(|(_, key)| key)
}

/// All that a replica knows of `key`.
pub fn object_of(partition: &Partition, key: &[u8]) -> Object {
    partition.object(key).expect("memory can be read")
}

/// Entries of the context of `key` that are stored with it: neither said by the clock's base
/// nor by a live dot.
fn residual_of(partition: &Partition, key: &[u8]) -> u64 {
    let object = object_of(partition, key);
    let stored = |(actor, n): &(ActorId, u64)| {
        let dot = Dot {
            actor: *actor,
            n: *n,
        };
        *n > partition.clock().base(*actor) && !object.versions.contains(dot)
    };
    object.context.iter().filter(stored).count() as u64
}
