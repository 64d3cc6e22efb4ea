//! Backups and restores of whole nodes, without sockets.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::request::{Consistency, Reply, Request};
use super::tests_support::{params, remembering};
use super::transfer::{Layout, TransferError, TransferReply, TransferRequest};
use super::{Data, DataParams, Effect};
use crate::clock::NodeId;
use crate::machine::{Instant, Now};
use crate::placement::Keyspace;
use crate::replication::{Message, Strength};
use crate::store::engine::Memory;

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
fn node(me: NodeId, replicas: u8) -> Data<()> {
    static SEED: AtomicU64 = AtomicU64::new(0);
    let seed = SEED.fetch_add(1, Ordering::Relaxed);
    let params = DataParams {
        keyspace: Keyspace {
            partitions: 8,
            hash_seed: 0,
        },
        replicas,
        ..params(me)
    };
    let engine = remembering(Memory::new(), &[id(0), id(1)]);
    let now = Now {
        mono: Instant::from_elapsed(Duration::ZERO),
        wall_ms: 1_000_000,
    };
    Data::open(&params, &engine, SmallRng::seed_from_u64(seed), now).unwrap()
}

impl Pair {
    /// Both hold everything.
    fn new() -> Self {
        Self::of(u8::MAX)
    }

    fn of(replicas: u8) -> Self {
        Self {
            nodes: [node(id(0), replicas), node(id(1), replicas)],
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
        let reachable = reachable.then_some(peer).into_iter().collect();
        let mut effects = Vec::new();
        self.nodes[at].reach(self.now(), reachable, &mut effects);
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

    /// A write whose push does not arrive; the push, if there was one.
    fn put(&mut self, at: usize, key: &str) -> Option<Message> {
        let request = Request::Put {
            key: Bytes::from(key.to_owned()),
            value: Bytes::from_static(b"value"),
            context: None,
        };
        let consistency = Consistency {
            write: Strength::One,
            ..Consistency::default()
        };
        let mut effects = Vec::new();
        let done = self.nodes[at].submit(self.now(), request, consistency, || (), &mut effects);
        assert!(matches!(done, Some(Reply::Stored(_))), "{done:?}");
        effects.into_iter().find_map(|effect| match effect {
            Effect::Send { message, .. } => Some(message),
            _ => None,
        })
    }

    /// The keys that a node serves.
    fn keys(&self, at: usize) -> Vec<String> {
        let mut found = Vec::new();
        let view = self.nodes[at].view();
        let served = view.placement.keyspace().all();
        for partition in served.filter(|id| view.group(*id).is_owner) {
            let (from, count) = (0, 1_000);
            let scan = Request::Scan {
                partition,
                from,
                count,
            };
            let (now, here) = (self.now(), Consistency::default());
            let reply = self.nodes[at].submit(now, scan, here, || (), &mut Vec::new());
            let Some(Reply::Keys { keys, next: None }) = reply else {
                panic!("{reply:?}");
            };
            found.extend(keys);
        }
        let mut keys: Vec<_> = found
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

    /// Everything that a backup of one node gives, and the peers that were not heard.
    fn backup(&mut self, at: usize, arrives: bool) -> (Vec<TransferReply>, Vec<NodeId>) {
        let begun = self.ask(at, CLIENT, TransferRequest::BeginBackup).unwrap();
        let mut pieces = vec![begun];
        let mut all = BTreeSet::new();
        for partition in self
            .layout(at, TransferRequest::LayoutOfBackup, arrives)
            .here
            .0
        {
            loop {
                let next = TransferRequest::NextPiece { partition };
                let piece = self.ask(at, CLIENT, next).unwrap();
                pieces.push(piece.clone());
                if let TransferReply::End { unheard, .. } = piece {
                    all.extend(unheard);
                    break;
                }
            }
        }
        (pieces, all.into_iter().collect())
    }

    /// Who serves what, once that is said.
    fn layout(&mut self, at: usize, request: TransferRequest, arrives: bool) -> Layout {
        loop {
            match self.ask(at, CLIENT, request.clone()).unwrap() {
                TransferReply::CatchingUp(_) => self.pass(Duration::from_millis(100), arrives),
                TransferReply::Layout(layout) => return layout,
                other => panic!("{other:?}"),
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
        TransferReply::End {
            partition, payload, ..
        } => TransferRequest::RestoreEnd {
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
    for at in 0..50 {
        alone.put(0, &format!("key {at}"));
    }
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

/// Keys that live where `at` is their only owner, as many as there are among the first 100.
fn keys_of(pair: &Pair, at: usize) -> Vec<String> {
    let keyspace = pair.nodes[at].keyspace();
    let view = pair.nodes[at].view();
    let keys = (0..100).map(|n| format!("key {n}"));
    keys.filter(|key| view.group(keyspace.partition_of(key.as_bytes())).is_owner)
        .collect()
}

#[test]
fn a_node_gives_what_it_owns_and_says_who_owns_the_rest() {
    let mut pair = Pair::of(1);
    pair.connect();
    let keys = [keys_of(&pair, 0), keys_of(&pair, 1)];
    let mut given = Vec::new();
    let mut here = Vec::new();
    for (at, keys) in keys.iter().enumerate() {
        for key in keys {
            pair.put(at, key);
        }
        let (pieces, unheard) = pair.backup(at, true);
        assert_eq!(unheard, []);
        let layout = pair.layout(at, TransferRequest::LayoutOfBackup, true);
        assert_eq!(layout.owned[&id(at)], layout.here);
        here.push(layout.here.clone());
        given.push((pieces, layout));
    }
    assert_eq!(given[0].1.owned, given[1].1.owned);
    let all: BTreeSet<u16> = here[0].0.union(&here[1].0).copied().collect();
    assert_eq!(all, (0..8).collect());
    assert!(here[0].0.is_disjoint(&here[1].0) && !here[0].0.is_empty());

    // What the other owns is neither given nor taken in.
    let theirs = *here[1].0.first().unwrap();
    let refused = pair.ask(0, CLIENT, TransferRequest::NextPiece { partition: theirs });
    assert_eq!(refused, Err(TransferError::NotServed(theirs)));
    let mut fresh = Pair::of(1);
    fresh.connect();
    fresh.pass(Duration::from_secs(2), true);
    let foreign = given[1].0[1].clone();
    fresh.ask(0, CLIENT, BEGIN).unwrap();
    let refused = fresh.ask(0, CLIENT, step(foreign));
    assert_eq!(refused, Err(TransferError::NotServed(theirs)));

    // Each to its owner, and nobody else is waited for.
    for at in 0..2 {
        fresh.restore(at, given[at].0.clone());
        fresh.pass(Duration::from_millis(200), true);
        let status = fresh.ask(at, CLIENT, TransferRequest::RestoreStatus);
        let done = TransferReply::Status {
            on_disk: true,
            behind: vec![],
            away: vec![],
        };
        assert_eq!(status, Ok(done));
        let layout = fresh.layout(at, TransferRequest::LayoutOfRestore, true);
        assert_eq!(layout, given[at].1);
        let mut wanted = keys[at].clone();
        wanted.sort();
        assert_eq!(fresh.keys(at), wanted);
    }
}

#[test]
fn a_backup_has_what_is_kept_for_its_owner_elsewhere() {
    let mut donor = Pair::new();
    donor.connect();
    let mut pair = Pair::of(1);
    pair.connect();
    pair.pass(Duration::from_secs(2), true);
    let key = &keys_of(&pair, 0)[0];
    let push = donor.put(0, key).unwrap();
    // The other stood in for the owner, which has not heard of it.
    let stranger = NodeId(9);
    pair.nodes[1].receive(pair.now(), stranger, push, &mut Vec::new());
    assert_eq!(pair.keys(0), [""; 0]);
    let (_, unheard) = pair.backup(0, true);
    assert_eq!(unheard, []);
    assert_eq!(pair.keys(0), std::slice::from_ref(key));
}

#[test]
fn who_shares_nothing_of_it_is_not_missed() {
    let mut pair = Pair::of(1);
    let (_, unheard) = pair.backup(0, true);
    assert_eq!(unheard, []);
    assert_eq!(pair.elapsed, Duration::ZERO);
}

#[test]
fn a_partition_begins_again_when_another_was_asked_for() {
    let mut pair = Pair::new();
    for at in 0..50 {
        pair.put(0, &format!("key {at}"));
    }
    let (whole, _) = pair.backup(0, true);
    let next = |partition| TransferRequest::NextPiece { partition };
    pair.ask(0, CLIENT, TransferRequest::BeginBackup).unwrap();
    pair.layout(0, TransferRequest::LayoutOfBackup, true);
    for partition in [3, 5, 3] {
        let first = pair.ask(0, CLIENT, next(partition)).unwrap();
        assert!(matches!(first, TransferReply::Rows { .. }));
        assert!(whole.contains(&first));
    }
    let beyond = pair.ask(0, CLIENT, next(8));
    assert_eq!(beyond, Err(TransferError::NotServed(8)));
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
    pair.ask(0, 3, TransferRequest::LayoutOfBackup).unwrap();
    pair.pass(Duration::from_secs(20), true);
    // All but the one that has asked for something.
    assert_eq!(pair.nodes[0].transfers.lock().backups.len(), 1);
    assert_eq!(pair.nodes[0].transfers.lock().restores.len(), 0);
    for (client, request) in [
        (2, TransferRequest::LayoutOfBackup),
        (1, TransferRequest::RestoreStatus),
    ] {
        let gone = pair.ask(0, client, request).unwrap_err();
        assert!(matches!(gone, TransferError::NotBegun { .. }), "{gone}");
    }
}

#[test]
fn steps_out_of_turn_and_bytes_that_are_none_end_the_restore() {
    let mut alone = Pair::new();
    for at in 0..50 {
        alone.put(0, &format!("key {at}"));
    }
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
