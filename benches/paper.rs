//! The paper's table, replayed (Gonçalves et al. 2015, "Concise Server-Wide Causality
//! Management for Eventually Consistent Data Stores", Table 1): 16 nodes, 40,000 keys with 3
//! replicas each, 10,000 writes of which 10 % lose the push to one replica, then
//! anti-entropy until all replicas agree.
//!
//! Real partitions, the real synchroniser on virtual time, and the real frames; no sockets.
//! What is absent: loss during anti-entropy, and time on the network (a frame arrives at once).
//!
//! How the paper counts is taken from the authors' code of that spring (DottedDB at a461157,
//! `handle_command({sync_response, …})` and `average_exchange_info`): the metadata of a sync
//! are the causal contexts of the objects sent and the sender's base vector, of syncs that
//! sent something only, and the figure is the *mean of the 16 nodes*; questions, keys, dots
//! and message headers are left out. "Entries per key" are those of the stripped causal
//! context, the dots of the values left out. Both ways are printed here: everything that is
//! not key or value ("strict"), and the paper's.

mod traffic;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use netdb::clock::{ActorId, NodeId};
use netdb::machine::{Instant, Machine, Now};
use netdb::object::Object;
use netdb::placement::{Keyspace, PartitionId};
use netdb::replication::{Input, Message, Output, SyncParams, Synchronizer};
use netdb::store::engine::{Engine, Memory};
use netdb::store::exchange::{Delta, Digest, Push};
use netdb::store::{Applied, DeltaAnswer, Options, Partition, Write};
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use traffic::{FRAME_HEADER_BYTES, Traffic, encoded};
use xxhash_rust::xxh3::xxh3_64;

const NODES: usize = 16;
const REPLICAS: usize = 3;

/// Anti-entropy that needs longer than this does not end.
const INTERVALS_MAX: u32 = 1_000;

/// Kibibytes, as the authors' `human_filesize` divides.
const KB: f64 = 1024.0;

/// Replays the workload of Table 1 of "Concise Server-Wide Causality Management".
#[derive(Clone, Debug, Parser)]
struct Args {
    /// Keys written before the measurement, to all their replicas.
    #[arg(long, default_value_t = 40_000)]
    keys: u64,
    /// Writes of the measurement, to keys chosen at random.
    #[arg(long, default_value_t = 10_000)]
    writes: u64,
    /// Of 100 writes, how many lose the push to one replica.
    #[arg(long, default_value_t = 10)]
    lost_percent: u8,
    /// Bytes of a value.
    #[arg(long, default_value_t = 100)]
    value_bytes: usize,
    /// Seed of the run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One run: how the keyspace is cut, and when the nodes compare themselves.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    partitions: u16,
    /// An interval of anti-entropy after this many writes; none before the end.
    sync_every: Option<u64>,
}

/// One of the nodes: the glue of `netdb::node::Data` for a node that holds some partitions.
struct Node {
    partitions: BTreeMap<PartitionId, Partition>,
    sync: Synchronizer,
}

struct Cluster {
    nodes: BTreeMap<NodeId, Node>,
    /// The replicas of each partition.
    replicas: Vec<[NodeId; REPLICAS]>,
    keyspace: Keyspace,
    now: Now,
    frames: VecDeque<(NodeId, NodeId, Vec<u8>)>,
    figures: Figures,
}

/// What is measured.
#[derive(Clone, Debug, Default)]
struct Figures {
    traffic: Traffic,
    /// Rows that deltas brought.
    rows: u64,
    /// Those that changed the receiver's versions.
    hits: u64,
    /// Those of the others that a later write of the same actor had already brought, which
    /// the cover-only rule of PROTOCOL 3.4 would not have sent.
    cover_only: u64,
    /// Metadata counted as the authors' code does, over all nodes.
    papers_bytes: u64,
    /// (replica, key) pairs that lacked a write, until anti-entropy after the last write.
    outdated: u64,
    lost: u64,
    /// Context entries beside the live dots, over rows as they were stored by a write or push.
    residual_stored: Mean,
    /// The same over all rows after the writes and before anti-entropy.
    residual_before: Mean,
    /// The same at the end.
    residual_after: Mean,
    /// Live dots per row at the end.
    dots_after: Mean,
    /// Bytes of a node's clocks before anti-entropy and at the end.
    clock_before: Mean,
    clock_after: Mean,
    /// Virtual time of anti-entropy.
    intervals: u32,
    too_far_behind: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: u64,
    count: u64,
}

impl Mean {
    fn add(&mut self, value: u64) {
        self.sum += value;
        self.count += 1;
    }

    fn get(self) -> f64 {
        self.sum as f64 / self.count.max(1) as f64
    }
}

fn main() {
    let args = Args::parse();
    let after = |partitions| Scenario {
        partitions,
        sync_every: None,
    };
    let main = run(&args, after(256));
    let scenarios = [
        ("256 partitions, afterwards", main.clone()),
        ("16 partitions, afterwards", run(&args, after(16))),
        (
            "256 partitions, also after each 100 writes",
            run(
                &args,
                Scenario {
                    partitions: 256,
                    sync_every: Some(100),
                },
            ),
        ),
        (
            "16 partitions, also after each 100 writes",
            run(
                &args,
                Scenario {
                    partitions: 16,
                    sync_every: Some(100),
                },
            ),
        ),
    ];
    println!(
        "{NODES} nodes, {} keys, {REPLICAS} replicas, {} writes, {} % of them lose one push \
         (seed {}); values of {} bytes.\n",
        args.keys, args.writes, args.lost_percent, args.seed, args.value_bytes
    );
    print_table(&main);
    print_breakdown(&main);
    print_scenarios(&scenarios);
}

fn run(args: &Args, scenario: Scenario) -> Figures {
    let mut rng = SmallRng::seed_from_u64(args.seed);
    let mut cluster = Cluster::new(scenario.partitions, &mut rng);
    let value = |rng: &mut SmallRng| {
        let mut value = vec![0; args.value_bytes];
        rng.fill_bytes(&mut value);
        Bytes::from(value)
    };
    for n in 0..args.keys {
        let write = value(&mut rng);
        cluster.write(key(n), write, None, &mut rng);
    }
    cluster.anti_entropy();
    cluster.figures = Figures::default();
    for n in 0..args.writes {
        let lost = (rng.random_range(0..100) < args.lost_percent)
            .then(|| 1 + rng.random_range(0..REPLICAS - 1));
        let write = value(&mut rng);
        cluster.write(key(rng.random_range(0..args.keys)), write, lost, &mut rng);
        if scenario
            .sync_every
            .is_some_and(|every| (n + 1) % every == 0)
        {
            cluster.interval();
        }
    }
    cluster.figures.outdated = cluster.figures.hits + cluster.outdated();
    (cluster.figures.residual_before, _) = cluster.entries();
    cluster.figures.clock_before = cluster.clock_bytes();
    cluster.anti_entropy();
    assert_eq!(cluster.outdated(), 0, "all replicas have the same versions");
    assert_eq!(
        cluster.figures.hits, cluster.figures.outdated,
        "each outdated key is repaired once"
    );
    (cluster.figures.residual_after, cluster.figures.dots_after) = cluster.entries();
    cluster.figures.clock_after = cluster.clock_bytes();
    cluster.figures
}

fn key(n: u64) -> Bytes {
    Bytes::from(format!("key:{n:016}"))
}

impl Cluster {
    fn new(partitions: u16, rng: &mut SmallRng) -> Self {
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
        let engine: Arc<dyn Engine> = Arc::new(Memory);
        let options = Options {
            keyspace,
            ..Options::default()
        };
        let mut nodes = BTreeMap::new();
        for &id in &ids {
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
            figures: Figures::default(),
        }
    }

    /// A client's write at a random replica, pushed to the others but the `lost`-th.
    fn write(&mut self, key: Bytes, value: Bytes, lost: Option<usize>, rng: &mut SmallRng) {
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
        let push: Push = partition
            .write(key.clone(), write, None, wall_ms)
            .expect("memory commits")
            .expect("a put is always pushed");
        let residual = residual_of(partition, &key);
        self.figures.residual_stored.add(residual);
        for (at, peer) in replicas.into_iter().enumerate().skip(1) {
            if lost == Some(at) {
                self.figures.lost += 1;
                continue;
            }
            let partition = self.partition(peer, id);
            let applied = partition.apply_push(push.clone(), wall_ms);
            assert_eq!(applied.expect("memory commits"), Applied::New);
            let residual = residual_of(partition, &key);
            self.figures.residual_stored.add(residual);
        }
    }

    /// Intervals of anti-entropy until all replicas agree.
    fn anti_entropy(&mut self) {
        while !self.agrees() {
            self.interval();
            assert!(self.figures.intervals < INTERVALS_MAX, "it does not end");
        }
        // What the housekeeping of a node does: the logs forget what all replicas have.
        self.keep_house();
    }

    /// One second: each node compares itself with one peer.
    fn interval(&mut self) {
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
            for message in traffic::unpack(&frame) {
                self.receive(from, to, message, &mut out);
            }
            self.send(to, out);
        }
    }

    /// All that was left for one peer travels together, as from a queue.
    fn send(&mut self, from: NodeId, out: Outbox) {
        for (to, messages) in out.0 {
            let frames = traffic::pack(&messages);
            self.figures.traffic.count(&messages, &frames);
            self.frames
                .extend(frames.into_iter().map(|frame| (from, to, frame)));
        }
    }

    fn receive(&mut self, from: NodeId, me: NodeId, message: Message, out: &mut Outbox) {
        match message {
            Message::Root(root) => {
                let hashes = self.hashes(me, from);
                if root_of(&hashes) == root {
                    self.even(me, from, hashes.iter().map(|(id, _)| *id));
                    self.tell(me, Input::Same(from), out);
                    out.push(from, Message::Same(root));
                } else {
                    let hashes = hashes.into_iter().map(|(_, hash)| hash).collect();
                    out.push(from, Message::Hashes(hashes));
                }
            }
            Message::Same(root) => {
                let hashes = self.hashes(me, from);
                if root_of(&hashes) == root {
                    self.even(me, from, hashes.iter().map(|(id, _)| *id));
                }
                self.tell(me, Input::Same(from), out);
            }
            Message::Hashes(theirs) => self.compare(me, from, &theirs, out),
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

    fn compare(&mut self, me: NodeId, from: NodeId, theirs: &[u64], out: &mut Outbox) {
        let ours = self.hashes(me, from);
        assert_eq!(ours.len(), theirs.len());
        let (even, differ): (Vec<_>, Vec<_>) = ours
            .into_iter()
            .zip(theirs)
            .partition(|((_, our), their)| our == *their);
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
        let papers: u64 = delta
            .rows
            .iter()
            .map(|(_, row)| encoded(&row.residual))
            .sum();
        let papers = papers + encoded(&delta.base);
        let partition = self.partition(me, id);
        let before: Vec<(Bytes, Object)> = delta
            .rows
            .iter()
            .map(|(key, _)| (key.clone(), partition.object(key)))
            .collect();
        let covers = delta.covers.clone();
        let applied = partition
            .apply_delta(delta, wall_ms)
            .expect("memory commits");
        let hit =
            |(key, object): &&(Bytes, Object)| partition.object(key).versions != object.versions;
        let hits = before.iter().filter(hit).count() as u64;
        let by_same_actor = before
            .iter()
            .filter(|known| !hit(known))
            .filter(|(key, object)| {
                let cover = covers.iter().find(|cover| cover.key.as_ref() == Some(key));
                cover.is_some_and(|cover| {
                    cover.dots.dots().all(|dot| {
                        let later = |d: netdb::clock::Dot| d.actor == dot.actor && d.n > dot.n;
                        object.versions.dots().any(later)
                    })
                })
            })
            .count() as u64;
        self.figures.rows += rows;
        self.figures.hits += hits;
        self.figures.cover_only += by_same_actor;
        self.figures.papers_bytes += papers;
        assert_eq!(applied, Applied::New, "nothing travels twice");
        if more {
            let question = self.question(me, id, false);
            out.push(from, question);
            let progress = Input::Progress {
                peer: from,
                partition: id,
                keys: rows,
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
    fn drain(&mut self, me: NodeId, out: &mut Outbox) {
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
            fingerprint: partition.fingerprint(),
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

    fn even(&mut self, me: NodeId, peer: NodeId, ids: impl Iterator<Item = PartitionId>) {
        for id in ids {
            let partition = self.partition(me, id);
            let clock = partition.clock().clone();
            partition.note_digest(peer, &clock);
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
    fn outdated(&self) -> u64 {
        let mut outdated = 0;
        for copies in self.copies() {
            let keys: BTreeSet<&Bytes> = copies
                .iter()
                .flat_map(|copy| copy.keys_from(0).map(|(_, key)| key))
                .collect();
            for key in keys {
                let objects = copies.map(|copy| copy.object(key));
                let merged = objects.iter().fold(Object::default(), |a, b| a.merge(b));
                let differs = |object: &&Object| object.versions != merged.versions;
                outdated += objects.iter().filter(differs).count() as u64;
            }
        }
        outdated
    }

    /// Context entries beside the live dots, and live dots, over the rows of all replicas.
    fn entries(&self) -> (Mean, Mean) {
        let (mut residual, mut dots) = (Mean::default(), Mean::default());
        for copy in self.copies().flatten() {
            for (_, key) in copy.keys_from(0) {
                residual.add(residual_of(copy, key));
                dots.add(copy.object(key).versions.len() as u64);
            }
        }
        (residual, dots)
    }

    fn clock_bytes(&self) -> Mean {
        let mut mean = Mean::default();
        for node in self.nodes.values() {
            mean.add(node.partitions.values().map(|p| encoded(p.clock())).sum());
        }
        mean
    }
}

/// Entries of the context of `key` that are stored with it: neither said by the clock's base
/// nor by a live dot.
fn residual_of(partition: &Partition, key: &[u8]) -> u64 {
    let object = partition.object(key);
    let stored = |(actor, n): &(ActorId, u64)| {
        let dot = netdb::clock::Dot {
            actor: *actor,
            n: *n,
        };
        *n > partition.clock().base(*actor) && !object.versions.contains(dot)
    };
    object.context.iter().filter(stored).count() as u64
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
struct Outbox(BTreeMap<NodeId, Vec<Message>>);

impl Outbox {
    fn push(&mut self, to: NodeId, message: Message) {
        self.0.entry(to).or_default().push(message);
    }
}

fn kb(bytes: u64) -> f64 {
    bytes as f64 / KB
}

fn print_table(figures: &Figures) {
    let total = figures.traffic.total();
    let metadata = total.metadata();
    let hit = 100.0 * figures.hits as f64 / figures.rows as f64;
    println!("| | hit ratio | metadata | per repaired key | clock entries per key |");
    println!("|---|---|---|---|---|");
    println!("| Merkle trees (paper) | 0.126–60.2 % | 293–6,441 KB | | 3 |");
    println!("| server-wide clocks (paper) | 100 % | 3.04 KB | 0.019 KB | 0.231 |");
    println!(
        "| netdb, counted as the paper does (mean of the nodes) | {hit:.1} % | {:.2} KB | {:.3} KB | {:.3} |",
        kb(figures.papers_bytes) / NODES as f64,
        kb(figures.papers_bytes) / figures.hits as f64,
        figures.residual_stored.get(),
    );
    println!(
        "| netdb, all that is not key or value (mean of the nodes) | {hit:.1} % | {:.2} KB | {:.3} KB | {:.3} |",
        kb(metadata) / NODES as f64,
        kb(metadata) / figures.hits as f64,
        figures.residual_stored.get(),
    );
    println!(
        "| netdb, all that is not key or value, of the whole cluster | {hit:.1} % | {:.2} KB | {:.3} KB | {:.3} |",
        kb(metadata),
        kb(metadata) / figures.hits as f64,
        figures.residual_stored.get(),
    );
    println!(
        "\n{} pushes lost; {} keys outdated at a replica and repaired; {} rows sent, {} of them to \
         replicas that a later write had already brought up to date ({} by a later write of the \
         same actor: rule cover-only). {} intervals. Full syncs asked for: {}.",
        figures.lost,
        figures.outdated,
        figures.rows,
        figures.rows - figures.hits,
        figures.cover_only,
        figures.intervals,
        figures.too_far_behind,
    );
    println!(
        "Context entries per stored key beside its live dots: {:.3} over all stores by writes and \
         pushes, {:.3} before anti-entropy, {:.3} after; live dots per key {:.3}. A node's clocks: \
         {:.2} KB before, {:.2} KB after.\n",
        figures.residual_stored.get(),
        figures.residual_before.get(),
        figures.residual_after.get(),
        figures.dots_after.get(),
        figures.clock_before.get() / KB,
        figures.clock_after.get() / KB,
    );
}

fn print_breakdown(figures: &Figures) {
    let traffic = &figures.traffic;
    let total = traffic.total();
    let share = |bytes: u64| 100.0 * bytes as f64 / total.metadata() as f64;
    let per_key = |bytes: u64| bytes as f64 / figures.hits as f64;
    println!("| whole cluster | messages | bytes | metadata | share | metadata per repaired key |");
    println!("|---|---|---|---|---|---|");
    for (kind, sum) in &traffic.kinds {
        let metadata = sum.metadata();
        println!(
            "| {kind} | {} | {} | {metadata} | {:.1} % | {:.1} B |",
            sum.messages,
            sum.bytes,
            share(metadata),
            per_key(metadata)
        );
    }
    let parts = &traffic.delta;
    for (part, bytes) in [
        ("of delta: base", parts.base),
        ("of delta: covers", parts.covers),
        ("of delta: row fields", parts.row_fields),
        ("of delta: residual contexts", parts.residual),
        ("frame headers", traffic.frames * FRAME_HEADER_BYTES),
    ] {
        println!(
            "| {part} | | | {bytes} | {:.1} % | {:.1} B |",
            share(bytes),
            per_key(bytes)
        );
    }
    println!(
        "| all | {} in {} frames | {} | {} | 100 % | {:.1} B |\n",
        total.messages,
        traffic.frames,
        total.bytes,
        total.metadata(),
        per_key(total.metadata())
    );
    println!("Sealing would add {:.2} KB.\n", kb(traffic.seal_bytes()));
}

fn print_scenarios(scenarios: &[(&str, Figures)]) {
    println!(
        "| scenario | hit ratio | repaired | metadata, cluster | per node | per repaired key | as \
         the paper counts, per node | per repaired key | entries per key |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (name, figures) in scenarios {
        let metadata = figures.traffic.total().metadata();
        println!(
            "| {name} | {:.1} % | {} | {:.1} KB | {:.2} KB | {:.3} KB | {:.2} KB | {:.3} KB | {:.3} |",
            100.0 * figures.hits as f64 / figures.rows as f64,
            figures.hits,
            kb(metadata),
            kb(metadata) / NODES as f64,
            kb(metadata) / figures.hits as f64,
            kb(figures.papers_bytes) / NODES as f64,
            kb(figures.papers_bytes) / figures.hits as f64,
            figures.residual_stored.get(),
        );
    }
}
