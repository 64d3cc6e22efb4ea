//! Full syncs between two whole nodes over links that lose pieces.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::request::{Consistency, Request};
use super::shard::Brought;
use super::tests_support::{params, remembering};
use super::{Data, DataParams, Effect, Note};
use crate::clock::NodeId;
use crate::machine::{Instant, Now};
use crate::replication::{Message, Strength};
use crate::store::Options;
use crate::store::engine::Memory;

const ASKER: usize = 0;
const SOURCE: usize = 1;

/// Two nodes with one partition. The source has more than its log remembers.
struct Pair {
    nodes: [Data<()>; 2],
    elapsed: Duration,
    queue: VecDeque<(usize, Message)>,
    rows_sent: usize,
    requests: usize,
    full_synced: usize,
}

impl Pair {
    fn new(keys: usize) -> Self {
        Self::with_rate(keys, NonZeroU64::MAX)
    }

    fn with_rate(keys: usize, sync_rate: NonZeroU64) -> Self {
        let mut pair = Self {
            nodes: [node(ASKER, sync_rate), node(SOURCE, NonZeroU64::MAX)],
            elapsed: Duration::ZERO,
            queue: VecDeque::new(),
            rows_sent: 0,
            requests: 0,
            full_synced: 0,
        };
        pair.write(0..keys);
        pair
    }

    fn now(&self) -> Now {
        Now {
            mono: Instant::from_elapsed(self.elapsed),
            wall_ms: 1_000_000 + self.elapsed.as_millis() as u64,
        }
    }

    /// The source's clients write; nothing is pushed, because no peer is known yet.
    fn write(&mut self, keys: std::ops::Range<usize>) {
        for at in keys {
            let request = Request::Put {
                key: Bytes::from(format!("key {at}")),
                value: Bytes::from(vec![7; 100]),
                context: None,
            };
            let consistency = Consistency {
                write: Strength::One,
                ..Consistency::default()
            };
            let mut effects = Vec::new();
            let source = &self.nodes[SOURCE];
            source.submit(self.now(), request, consistency, || (), &mut effects);
            self.carry_out(SOURCE, effects);
        }
    }

    fn connect(&mut self) {
        for at in [ASKER, SOURCE] {
            let peer = id(1 - at);
            let mut effects = Vec::new();
            self.nodes[at].reach(self.now(), [peer].into(), &mut effects);
            self.carry_out(at, effects);
        }
    }

    fn carry_out(&mut self, at: usize, effects: Vec<Effect<()>>) {
        for effect in effects {
            match effect {
                Effect::Send { message, .. } => self.queue.push_back((1 - at, message)),
                Effect::Note(Note::FullSynced { .. }) => self.full_synced += 1,
                _ => {}
            }
        }
    }

    /// Whether the asker waits for the rest of a full sync.
    fn is_staging(&self) -> bool {
        let mut any = false;
        self.nodes[ASKER].inspect(|partition| any |= partition.staged().is_some());
        any
    }

    /// Lets time pass; `arrives` says of each message whether it does.
    fn pass(&mut self, seconds: u64, mut arrives: impl FnMut(&Message) -> bool) {
        for _ in 0..seconds * 10 {
            self.elapsed += Duration::from_millis(100);
            for at in [ASKER, SOURCE] {
                let mut effects = Vec::new();
                self.nodes[at].handle_timeout(self.now(), &mut effects);
                self.carry_out(at, effects);
            }
            while let Some((to, message)) = self.queue.pop_front() {
                self.rows_sent += match &message {
                    Message::FullRows(rows) => rows.rows.len(),
                    _ => 0,
                };
                self.requests += usize::from(matches!(message, Message::FullRequest(_)));
                if arrives(&message) {
                    let mut effects = Vec::new();
                    self.nodes[to].receive(self.now(), id(1 - to), message, &mut effects);
                    self.carry_out(to, effects);
                }
            }
        }
    }
}

fn id(at: usize) -> NodeId {
    NodeId(at as u64 + 1)
}

fn node(at: usize, sync_rate: NonZeroU64) -> Data<()> {
    let params = DataParams {
        sync_rate,
        options: Options {
            log_rows_max: 8,
            delta_bytes: 2_000,
            ..Options::default()
        },
        ..params(id(at))
    };
    let engine = remembering(Memory::new(), &[id(0), id(1)]);
    let rng = SmallRng::seed_from_u64(at as u64);
    Data::open(&params, &engine, rng, Now::default()).unwrap()
}

/// Says no to the messages whose numbers, counted among those of the kind, are given.
fn loses<'a>(
    kind: impl Fn(&Message) -> bool + 'a,
    numbers: &'a [usize],
) -> impl FnMut(&Message) -> bool + 'a {
    let mut seen = 0;
    move |message| {
        if !kind(message) {
            return true;
        }
        seen += 1;
        !numbers.contains(&seen)
    }
}

/// A piece, the question for one, the request and the end: whatever is lost is asked for
/// again, and what came before it is not sent twice.
#[test]
fn a_lost_message_of_a_full_sync_costs_one_message() {
    type Kind = fn(&Message) -> bool;
    let kinds: [(Kind, usize); 4] = [
        (|m| matches!(m, Message::FullRows(_)), 3),
        (|m| matches!(m, Message::FullNext(_)), 3),
        (|m| matches!(m, Message::FullRequest(_)), 1),
        (|m| matches!(m, Message::FullEnd(_)), 1),
    ];
    for (kind, number) in kinds {
        let mut pair = Pair::new(100);
        pair.connect();
        pair.pass(10, loses(kind, &[number]));
        assert_eq!(pair.full_synced, 1);
        assert_eq!(pair.nodes[ASKER].key_count(), 100);
        assert!(pair.rows_sent < 120, "{} rows for 100", pair.rows_sent);
    }
}

/// A source that needs seconds for each piece: the pull is given up again and again, and the
/// sync goes on all the same.
#[test]
fn a_slow_source_is_waited_for() {
    let mut pair = Pair::new(60);
    pair.connect();
    let mut last = 0;
    let mut second = 0;
    let mut begun = None;
    while pair.full_synced == 0 {
        second += 1;
        assert!(second < 600, "it never ends");
        // One piece every seven seconds, longer than a pull may be without progress.
        pair.pass(1, |message| {
            let is_piece = matches!(message, Message::FullRows(_) | Message::FullEnd(_));
            let comes = !is_piece || second >= last + 7;
            if is_piece && comes {
                last = second;
            }
            comes
        });
        if begun.is_none() && pair.is_staging() {
            begun = Some(pair.requests);
        }
    }
    assert_eq!(pair.nodes[ASKER].key_count(), 60);
    assert_eq!(
        begun,
        Some(pair.requests),
        "it goes on, it does not begin again"
    );
}

/// Pieces that take longer at the rate than a pull may be without progress: each is asked for
/// once, and none too early.
#[test]
fn a_full_sync_keeps_to_its_rate() {
    let rate = NonZeroU64::new(300).unwrap();
    let mut pair = Pair::with_rate(60, rate);
    pair.connect();
    let mut pieces = 0;
    let mut bytes = 0;
    while pair.full_synced == 0 {
        assert!(pair.elapsed < Duration::from_secs(600), "it never ends");
        let (mut came, mut more) = (0, 0);
        pair.pass(1, |message| {
            if let Message::FullRows(rows) = message {
                came += 1;
                more += Brought::of(&rows.rows).message_bytes;
            }
            true
        });
        pieces += came;
        bytes += more;
        let paid = rate.get() * (pair.elapsed.as_secs() + 1) + 2_000;
        assert!(bytes <= paid, "{bytes} bytes in {:?}", pair.elapsed);
    }
    assert_eq!(pair.nodes[ASKER].key_count(), 60);
    assert_eq!((pair.requests, pair.rows_sent), (1, 60));
    assert!(pieces > 4, "{pieces} pieces");
}

/// The source forgets: what was staged goes, and the sync begins anew.
#[test]
fn a_silent_source_is_given_up() {
    let mut pair = Pair::new(100);
    pair.connect();
    pair.pass(
        5,
        loses(
            |m| matches!(m, Message::FullRows(_)),
            &(3..200).collect::<Vec<_>>(),
        ),
    );
    assert!(pair.is_staging());
    pair.pass(60, |m| {
        !matches!(
            m,
            Message::FullRows(_) | Message::FullRequest(_) | Message::TooFarBehind { .. }
        )
    });
    assert!(!pair.is_staging());
    pair.pass(20, |_| true);
    assert_eq!(pair.full_synced, 1);
}

/// A source that was restarted says that it knows of no sync.
#[test]
fn a_source_that_forgot_says_so() {
    let mut pair = Pair::new(100);
    pair.connect();
    let many: Vec<usize> = (3..200).collect();
    pair.pass(2, loses(|m| matches!(m, Message::FullRows(_)), &many));
    assert!(pair.is_staging());
    let requests = pair.requests;
    pair.nodes[SOURCE] = node(SOURCE, NonZeroU64::MAX);
    pair.write(0..100);
    pair.connect();
    pair.pass(10, |_| true);
    assert!(pair.requests > requests);
    assert_eq!(pair.nodes[ASKER].key_count(), 100);
}

/// Only what the asker lacks crosses the network.
#[test]
fn a_full_sync_sends_rows_that_differ() {
    let mut pair = Pair::new(100);
    pair.connect();
    pair.pass(10, |_| true);
    assert_eq!(pair.nodes[ASKER].key_count(), 100);
    let before = pair.rows_sent;
    // Pushes and deltas are lost until the log no longer reaches back.
    for _ in 0..3 {
        pair.write(0..10);
        pair.queue.clear();
    }
    pair.pass(10, |_| true);
    assert_eq!(pair.full_synced, 2);
    assert_eq!(pair.rows_sent - before, 10);
}
