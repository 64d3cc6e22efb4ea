//! What it costs two replicas to agree: bytes and time by how much differs.
//!
//! Two nodes hold every partition. `node::Data`, the synchroniser in it and the frames are
//! the real ones; time is virtual, and a frame arrives at once. Each difference is healed
//! twice: by deltas from the dot log, and by full syncs after the log was truncated.
//!
//! Bytes are those of frames before sealing; time is what a side spends on encoding, decoding
//! and applying, in one thread. The differing objects are counted by the bytes of
//! their keys and values; what is sent beyond them is the overhead.

mod traffic;

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use netdb::clock::NodeId;
use netdb::config::Strength;
use netdb::machine::{Instant, Now};
use netdb::node::request::{Consistency, Reply, Request};
use netdb::node::{Data, DataParams, Effect, MemberParams, Note, settled};
use netdb::placement::{Keyspace, Profile};
use netdb::replication::{Durability, Message, SyncParams};
use netdb::store::Options;
use netdb::store::engine::{Engine, Memory};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use traffic::{Stream, Traffic};

/// A heal that needs longer than this does not end.
const INTERVALS_MAX: u32 = 1_000;

/// Intervals over which an idle pair is watched.
const IDLE_INTERVALS: u32 = 100;

/// Keys after which the logs are collected while loading.
const SETTLE_EVERY: u64 = 50_000;

/// Bytes and time of the sync of two replicas.
#[derive(Clone, Debug, Parser)]
struct Args {
    /// Keys that both replicas hold.
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// How many keys differ.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1_000, 100_000])]
    differing: Vec<u64>,
    /// Bytes of a value; keys have 20.
    #[arg(long, default_value_t = 100)]
    value_bytes: usize,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A node, and the time spent inside it.
struct Side {
    id: NodeId,
    data: Data<()>,
    busy: Duration,
}

/// Two nodes, and what they say to each other.
struct Pair {
    sides: [Side; 2],
    /// What each side sends.
    streams: [Stream; 2],
    traffic: Traffic,
    now: Now,
    full_syncs: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    Delta,
    Full,
}

fn main() {
    let args = Args::parse();
    let object_bytes = key(0).len() as u64 + args.value_bytes as u64;
    println!(
        "{} keys, 256 partitions, keys of {} bytes, values of {}.\n",
        args.keys,
        key(0).len(),
        args.value_bytes
    );
    println!(
        "| path | keys differing | bytes of the objects | bytes on the wire | overhead | ratio | \
         metadata | messages | frames | sealing adds | source busy | asker busy |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for path in [Path::Delta, Path::Full] {
        // The pair goes on from step to step: what differed has been healed.
        let mut pair = Pair::new(path);
        pair.load(&args);
        for (round, &differing) in args.differing.iter().enumerate() {
            pair.differ(&args, round as u64 + 1, differing);
            pair.heal();
            print_row(path, &pair, differing, object_bytes);
        }
        if path == Path::Delta {
            print_idle(&mut pair);
        }
    }
}

fn key(n: u64) -> Bytes {
    Bytes::from(format!("key:{n:016}"))
}

/// A value that tells rounds and keys apart.
fn value(round: u64, n: u64, bytes: usize) -> Bytes {
    let mut value = format!("{round}:{n}:").into_bytes();
    value.resize(bytes, b'.');
    Bytes::from(value)
}

impl Pair {
    fn new(path: Path) -> Self {
        let log_rows_max = match path {
            Path::Delta => Options::default().log_rows_max,
            // Two rows: a peer that lacks more is below the floor.
            Path::Full => 2,
        };
        let now = Now {
            mono: Instant::ZERO,
            wall_ms: 1_750_000_000_000,
        };
        let names = ["one", "two"];
        let ids = names.map(|name| NodeId(xxhash_rust::xxh3::xxh3_64(name.as_bytes())));
        let sides = ids.map(|id| {
            let params = DataParams {
                me: id,
                member: MemberParams {
                    profile: Profile::new(id, &id.to_string()),
                    generation: 1,
                    replace: None,
                    evict_after: Duration::MAX,
                },
                keyspace: Keyspace::default(),
                replicas: 2,
                timeout: Duration::from_secs(2),
                sync: SyncParams::default(),
                durability: Durability::default(),
                sync_rate: NonZeroU64::MAX,
                options: Options {
                    log_rows_max,
                    ..Options::default()
                },
            };
            let engine: Arc<dyn Engine> = Arc::new(Memory::new());
            let note = settled(&ids).expect("two members");
            engine.keep_note(&note).expect("memory keeps it");
            let rng = SmallRng::seed_from_u64(id.0);
            let data = Data::open(&params, &engine, rng, now).expect("memory opens");
            Side {
                id,
                data,
                busy: Duration::ZERO,
            }
        });
        Self {
            sides,
            streams: Default::default(),
            traffic: Traffic::default(),
            now,
            full_syncs: 0,
        }
    }

    /// All keys on both, written half and half, so that both have issued dots everywhere.
    fn load(&mut self, args: &Args) {
        self.link(true);
        for n in 0..args.keys {
            self.put((n % 2) as usize, key(n), value(0, n, args.value_bytes));
            if n % SETTLE_EVERY == 0 {
                self.pass_interval();
            }
        }
        self.settle();
    }

    /// `differing` keys, spread evenly, are written on the source alone.
    fn differ(&mut self, args: &Args, round: u64, differing: u64) {
        self.link(false);
        for i in 0..differing {
            let n = i * args.keys / differing;
            self.put(0, key(n), value(round, n, args.value_bytes));
        }
        self.now.mono = self.now.mono + SyncParams::default().interval;
        self.traffic = Traffic::default();
        self.full_syncs = 0;
        for side in &mut self.sides {
            side.busy = Duration::ZERO;
        }
    }

    /// The link comes up; intervals pass until both are equal.
    fn heal(&mut self) {
        // The asker alone notices, so that source and asker are not mixed up.
        self.link_one(1, true);
        let mut intervals = 0;
        while !self.agree() {
            self.pass_interval();
            intervals += 1;
            assert!(intervals < INTERVALS_MAX, "it does not end");
        }
    }

    /// After a change on both sides: the logs forget what both have.
    fn settle(&mut self) {
        for _ in 0..3 {
            self.pass_interval();
        }
        assert!(self.agree());
    }

    fn link(&mut self, up: bool) {
        if up {
            self.streams = Default::default();
        }
        self.link_one(0, up);
        self.link_one(1, up);
    }

    /// Tells one side alone that the link is up or down.
    fn link_one(&mut self, at: usize, up: bool) {
        let peer = self.sides[1 - at].id;
        let reachable = up.then_some(peer).into_iter().collect();
        self.call(at, |side, now, effects| {
            side.data.reach(now, reachable, effects)
        });
    }

    fn pass_interval(&mut self) {
        self.now.mono = self.now.mono + SyncParams::default().interval * 2;
        self.now.wall_ms += 2_000;
        for at in 0..2 {
            self.call(at, |side, now, effects| {
                side.data.handle_timeout(now, effects)
            });
        }
    }

    fn put(&mut self, at: usize, key: Bytes, value: Bytes) {
        self.now.wall_ms += 1;
        let put = Request::Put {
            key,
            value,
            context: None,
        };
        let alone = Consistency {
            write: Strength::One,
            ..Consistency::default()
        };
        self.call(at, |side, now, effects| {
            let reply = side.data.submit(now, put, alone, || (), effects);
            assert!(matches!(reply, Some(Reply::Stored(_))), "{reply:?}");
        });
    }

    /// Calls into one side, and delivers all that follows from it.
    fn call(&mut self, at: usize, call: impl FnOnce(&Side, Now, &mut Vec<Effect<()>>)) {
        let mut effects = Vec::new();
        let start = std::time::Instant::now();
        call(&self.sides[at], self.now, &mut effects);
        self.sides[at].busy += start.elapsed();
        let mut queue: Vec<(usize, Vec<u8>)> = self.frames(at, effects);
        while !queue.is_empty() {
            let mut next = Vec::new();
            for (to, frame) in queue {
                next.extend(self.deliver(to, &frame));
            }
            queue = next;
        }
    }

    fn deliver(&mut self, to: usize, frame: &[u8]) -> Vec<(usize, Vec<u8>)> {
        let from = self.sides[1 - to].id;
        let mut effects = Vec::new();
        let start = std::time::Instant::now();
        for message in self.streams[1 - to].unpack(frame) {
            let data = &self.sides[to].data;
            data.receive(self.now, from, message, &mut effects);
        }
        self.sides[to].busy += start.elapsed();
        self.frames(to, effects)
    }

    /// What `at` sends, in frames.
    fn frames(&mut self, at: usize, effects: Vec<Effect<()>>) -> Vec<(usize, Vec<u8>)> {
        let mut messages: Vec<Message> = Vec::new();
        for effect in effects {
            match effect {
                Effect::Send { message, .. } => messages.push(message),
                Effect::Note(Note::FullSynced { .. }) => self.full_syncs += 1,
                Effect::Note(Note::Synced { .. }) | Effect::Reply { .. } | Effect::SyncNow => {}
                Effect::Note(Note::FullSyncDeferred { .. })
                | Effect::Published { .. }
                | Effect::Expired { .. } => {}
                Effect::Note(note) => panic!("{note:?}"),
            }
        }
        let start = std::time::Instant::now();
        let packed = self.streams[at].pack(&messages);
        self.sides[at].busy += start.elapsed();
        self.traffic.count(&messages, &packed);
        packed
            .frames
            .into_iter()
            .map(|frame| (1 - at, frame))
            .collect()
    }

    fn agree(&self) -> bool {
        let hashes = |side: &Side| {
            let mut hashes = Vec::new();
            side.data
                .inspect(|p| hashes.push((p.id(), p.hash(), p.fingerprint())));
            hashes
        };
        hashes(&self.sides[0]) == hashes(&self.sides[1])
    }
}

fn print_row(path: Path, pair: &Pair, differing: u64, object_bytes: u64) {
    let total = pair.traffic.total();
    let objects = differing * object_bytes;
    let overhead = total.bytes - objects.min(total.bytes);
    let ratio = match objects {
        0 => "—".to_owned(),
        _ => format!("{:.3}", total.bytes as f64 / objects as f64),
    };
    let path = match path {
        Path::Delta => "dot log (deltas)".to_owned(),
        Path::Full => format!("below the floor ({} full syncs)", pair.full_syncs),
    };
    println!(
        "| {path} | {differing} | {objects} | {} | {overhead} | {ratio} | {} | {} | {} | {} | {:.1} ms | {:.1} ms |",
        total.bytes,
        total.metadata(),
        total.messages,
        pair.traffic.frames,
        pair.traffic.seal_bytes(),
        pair.sides[0].busy.as_secs_f64() * 1_000.0,
        pair.sides[1].busy.as_secs_f64() * 1_000.0,
    );
}

fn print_idle(pair: &mut Pair) {
    pair.link(true);
    pair.settle();
    pair.traffic = Traffic::default();
    for _ in 0..IDLE_INTERVALS {
        pair.pass_interval();
    }
    let total = pair.traffic.total();
    let per_interval = |sum: u64| sum as f64 / f64::from(IDLE_INTERVALS * 2);
    println!(
        "| idle, per interval and node | 0 | 0 | {:.1} | | | {:.1} | {:.1} | {:.1} | {:.1} | | |",
        per_interval(total.bytes),
        per_interval(total.metadata()),
        per_interval(total.messages),
        per_interval(pair.traffic.frames),
        per_interval(pair.traffic.seal_bytes()),
    );
}
