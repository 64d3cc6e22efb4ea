//! Backups and restores of whole nodes, without sockets.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::request::{Consistency, Reply, Request};
use super::tests_support::params;
use super::transfer::{TransferError, TransferReply, TransferRequest};
use super::{Data, DataParams, Effect, View};
use crate::clock::NodeId;
use crate::machine::{Instant, Now};
use crate::placement::Keyspace;
use crate::replication::{Message, Strength};
use crate::store::engine::{Engine, Memory};

const ME: u64 = 1;
const OTHER: u64 = 2;

/// The client of most tests.
const CLIENT: u64 = 7;

/// Two nodes and the messages between them.
struct Pair {
    nodes: [Data<()>; 2],
    elapsed: Duration,
    queue: VecDeque<(usize, Message)>,
}

fn id(at: usize) -> NodeId {
    NodeId([ME, OTHER][at])
}

/// A node whose openings are those of no other test's.
fn node(me: NodeId) -> Data<()> {
    static SEED: AtomicU64 = AtomicU64::new(0);
    let seed = SEED.fetch_add(1, Ordering::Relaxed);
    let params = DataParams {
        keyspace: Keyspace {
            partitions: 8,
            hash_seed: 0,
        },
        ..params(me)
    };
    let engine: Arc<dyn Engine> = Arc::new(Memory::new());
    let now = Now {
        mono: Instant::from_elapsed(Duration::ZERO),
        wall_ms: 1_000_000,
    };
    Data::open(&params, &engine, SmallRng::seed_from_u64(seed), now).unwrap()
}

impl Pair {
    fn new() -> Self {
        Self {
            nodes: [node(id(0)), node(id(1))],
            elapsed: Duration::ZERO,
            queue: VecDeque::new(),
        }
    }

    fn now(&self) -> Now {
        Now {
            mono: Instant::from_elapsed(self.elapsed),
            wall_ms: 1_000_000 + self.elapsed.as_millis() as u64,
        }
    }

    /// Who of them sees the other.
    fn view(&mut self, at: usize, reachable: bool) {
        let peer = id(1 - at);
        let view = View {
            replicas: [peer].into(),
            reachable: reachable.then_some(peer).into_iter().collect(),
        };
        let mut effects = Vec::new();
        self.nodes[at].view_changed(self.now(), view, &mut effects);
        self.carry_out(at, effects);
    }

    fn connect(&mut self) {
        self.view(0, true);
        self.view(1, true);
    }

    fn carry_out(&mut self, at: usize, effects: Vec<Effect<()>>) {
        for effect in effects {
            if let Effect::Send { message, .. } = effect {
                self.queue.push_back((1 - at, message));
            }
        }
    }

    /// A write whose push does not arrive.
    fn put(&mut self, at: usize, key: &str) {
        let request = Request::Put {
            key: Bytes::from(key.to_owned()),
            value: Bytes::from_static(b"value"),
            context: None,
        };
        let consistency = Consistency {
            write: Strength::One,
            ..Consistency::default()
        };
        let done = self.nodes[at].submit(self.now(), request, consistency, || (), &mut Vec::new());
        assert_eq!(done, Some(Reply::Stored));
    }

    fn keys(&self, at: usize) -> Vec<String> {
        let (keys, _) = self.nodes[at].scan(self.now(), 0, 1_000).unwrap();
        let mut keys: Vec<_> = keys
            .iter()
            .map(|key| String::from_utf8_lossy(key).into_owned())
            .collect();
        keys.sort();
        keys
    }

    /// Lets messages arrive until there are none; they are lost unless `arrives`.
    fn deliver(&mut self, arrives: bool) {
        while let Some((to, message)) = self.queue.pop_front() {
            if arrives {
                let mut effects = Vec::new();
                let from = id(1 - to);
                self.nodes[to].receive(self.now(), from, message, &mut effects);
                self.carry_out(to, effects);
            }
        }
    }

    fn pass(&mut self, time: Duration, arrives: bool) {
        let until = self.elapsed + time;
        while self.elapsed < until {
            self.elapsed += Duration::from_millis(100);
            for at in 0..2 {
                let mut effects = Vec::new();
                self.nodes[at].handle_timeout(self.now(), &mut effects);
                self.carry_out(at, effects);
                if let Some(syncing) = self.nodes[at].begin_sync() {
                    let mut effects = Vec::new();
                    self.nodes[at].end_sync(self.now(), syncing, true, &mut effects);
                    self.carry_out(at, effects);
                }
            }
            self.deliver(arrives);
        }
    }

    fn ask(
        &mut self,
        at: usize,
        client: u64,
        request: TransferRequest,
    ) -> Result<TransferReply, TransferError> {
        let mut effects = Vec::new();
        let done = self.nodes[at].transfer(self.now(), client, request, &mut effects);
        self.carry_out(at, effects);
        done
    }

    /// Everything that a backup gives, and the peers that were not heard.
    fn backup(&mut self, at: usize, arrives: bool) -> (Vec<TransferReply>, Vec<NodeId>) {
        let begun = self.ask(at, CLIENT, TransferRequest::BeginBackup).unwrap();
        let mut pieces = vec![begun];
        loop {
            match self.ask(at, CLIENT, TransferRequest::NextPiece).unwrap() {
                TransferReply::Complete(unheard) => return (pieces, unheard),
                TransferReply::CatchingUp(_) => self.pass(Duration::from_millis(100), arrives),
                piece => pieces.push(piece),
            }
        }
    }

    fn restore(&mut self, at: usize, pieces: Vec<TransferReply>) {
        for piece in pieces {
            self.ask(at, CLIENT, step(piece)).unwrap();
        }
    }
}

/// How a piece of a backup is restored.
fn step(piece: TransferReply) -> TransferRequest {
    match piece {
        TransferReply::Begun(origin) => TransferRequest::BeginRestore {
            partitions: origin.partitions,
            hash_seed: origin.hash_seed,
        },
        TransferReply::Rows { partition, payload } => TransferRequest::RestoreRows {
            partition,
            payload: payload.into(),
        },
        TransferReply::End { partition, payload } => TransferRequest::RestoreEnd {
            partition,
            payload: payload.into(),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_backup_has_what_only_another_member_had_when_it_began() {
    let mut pair = Pair::new();
    pair.put(0, "mine");
    pair.put(1, "theirs");
    pair.connect();
    // Even an answer that was on its way says nothing of what comes now.
    pair.pass(Duration::from_millis(100), false);
    pair.put(1, "acknowledged there only");
    let (pieces, unheard) = pair.backup(0, true);
    assert_eq!(unheard, []);
    let mut fresh = Pair::new();
    fresh.restore(0, pieces);
    assert_eq!(fresh.keys(0), ["acknowledged there only", "mine", "theirs"]);
}

#[test]
fn a_backup_waits_for_nobody_for_long_and_says_so() {
    let mut pair = Pair::new();
    pair.put(0, "mine");
    pair.connect();
    pair.queue.clear();
    let (_, unheard) = pair.backup(0, false);
    assert_eq!(unheard, [id(1)]);
    // One that cannot be reached is not waited for at all.
    pair.view(0, false);
    let before = pair.elapsed;
    let (_, unheard) = pair.backup(0, true);
    assert_eq!((unheard, pair.elapsed), (vec![id(1)], before));
}

#[test]
fn what_is_restored_spreads_and_says_how_far_it_is() {
    let mut alone = Pair::new();
    (0..50).for_each(|at| alone.put(0, &format!("key {at}")));
    let (pieces, _) = alone.backup(0, true);

    let mut pair = Pair::new();
    pair.connect();
    pair.pass(Duration::from_secs(2), true);
    pair.restore(0, pieces);
    let status = |on_disk, behind| TransferReply::Status {
        on_disk,
        behind,
        away: vec![],
    };
    let ask = |pair: &mut Pair| pair.ask(0, CLIENT, TransferRequest::RestoreStatus).unwrap();
    assert_eq!(ask(&mut pair), status(false, vec![id(1)]));
    pair.pass(Duration::from_millis(100), false);
    assert_eq!(ask(&mut pair), status(true, vec![id(1)]));
    pair.pass(Duration::from_secs(4), true);
    assert_eq!(ask(&mut pair), status(true, vec![]));
    assert_eq!(pair.keys(1), alone.keys(0));
}

#[test]
fn another_way_to_place_keys_is_refused_with_both_values() {
    let mut pair = Pair::new();
    for (partitions, hash_seed, words) in [
        (9, 0, "partitions is 8 here and 9 in the backup"),
        (8, 5, "hash seed is 0 here and 5 in the backup"),
    ] {
        let begin = TransferRequest::BeginRestore {
            partitions,
            hash_seed,
        };
        let refused = pair.ask(0, CLIENT, begin).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
}

const BEGIN: TransferRequest = TransferRequest::BeginRestore {
    partitions: 8,
    hash_seed: 0,
};

#[test]
fn a_node_that_has_not_caught_up_takes_nothing_in() {
    let mut pair = Pair::new();
    pair.connect();
    let refused = pair.ask(0, CLIENT, BEGIN).unwrap_err();
    assert_eq!(refused, TransferError::NotCaughtUp);
    pair.pass(Duration::from_secs(2), true);
    pair.ask(0, CLIENT, BEGIN).unwrap();
}

#[test]
fn sessions_are_few_and_end_with_their_clients() {
    let mut pair = Pair::new();
    let begin = |pair: &mut Pair, client| pair.ask(0, client, TransferRequest::BeginBackup);
    begin(&mut pair, 1).unwrap();
    begin(&mut pair, 2).unwrap();
    begin(&mut pair, 2).unwrap();
    let busy = begin(&mut pair, 3).unwrap_err();
    assert!(matches!(busy, TransferError::Busy { .. }), "{busy}");
    pair.nodes[0].forget_transfers(1);
    begin(&mut pair, 3).unwrap();

    pair.ask(0, 1, BEGIN).unwrap();
    assert!(pair.ask(0, 2, BEGIN).is_err());
    pair.pass(Duration::from_secs(50), true);
    pair.ask(0, 3, TransferRequest::NextPiece).unwrap();
    pair.pass(Duration::from_secs(20), true);
    // All but the one that has asked for something.
    assert_eq!(pair.nodes[0].transfers.lock().backups.len(), 1);
    assert_eq!(pair.nodes[0].transfers.lock().restores.len(), 0);
    for (client, request) in [
        (2, TransferRequest::NextPiece),
        (1, TransferRequest::RestoreStatus),
    ] {
        let gone = pair.ask(0, client, request).unwrap_err();
        assert!(matches!(gone, TransferError::NotBegun { .. }), "{gone}");
    }
}

#[test]
fn steps_out_of_turn_and_bytes_that_are_none_end_the_restore() {
    let mut alone = Pair::new();
    (0..50).for_each(|at| alone.put(0, &format!("key {at}")));
    let (pieces, _) = alone.backup(0, true);
    let rows = |pieces: &[TransferReply]| {
        let is_rows = |piece: &&TransferReply| matches!(piece, TransferReply::Rows { .. });
        let found: Vec<_> = pieces.iter().filter(is_rows).cloned().collect();
        found
    };
    let of = |partition, payload: &'static [u8]| TransferRequest::RestoreRows {
        partition,
        payload: Bytes::from_static(payload),
    };
    let end = |partition, payload: &'static [u8]| TransferRequest::RestoreEnd {
        partition,
        payload: Bytes::from_static(payload),
    };
    let some = rows(&pieces);
    let (first, second) = (step(some[0].clone()), step(some[1].clone()));
    // The rows of one partition said to be those of another, and an end without its rows.
    let TransferRequest::RestoreRows { payload, .. } = first.clone() else {
        panic!("{first:?}");
    };
    let foreign = TransferRequest::RestoreRows {
        partition: 7,
        payload,
    };
    let is_end = |piece: &&TransferReply| matches!(piece, TransferReply::End { .. });
    let bare = step(pieces.iter().find(is_end).unwrap().clone());
    let mut pair = Pair::new();
    for steps in [
        vec![first, second],
        vec![of(0, b"\xff\xff\xff")],
        vec![of(0, b"")],
        vec![of(8, b"\0\0")],
        vec![end(0, b"\xff")],
        vec![end(65_535, b"\0\0\0")],
        vec![foreign],
        vec![bare],
    ] {
        pair.ask(0, CLIENT, BEGIN).unwrap();
        let count = steps.len();
        for (at, step) in steps.into_iter().enumerate() {
            let done = pair.ask(0, CLIENT, step.clone());
            assert_eq!(done.is_ok(), at + 1 < count, "{step:?}: {done:?}");
        }
        let gone = pair.ask(0, CLIENT, TransferRequest::RestoreStatus);
        assert!(matches!(gone, Err(TransferError::NotBegun { .. })));
        assert_eq!(pair.keys(0), [""; 0]);
    }
}
