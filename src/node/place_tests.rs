//! Nodes that join, own, leave, die and come back, and requests on their way to owners.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::request::{Consistency, Reply, Request, RequestError, Strength};
use super::tests_support::params;
use super::{Data, DataParams, Effect, JoinError, LeaveError, MemberParams, Note, RemoveError};
use crate::clock::NodeId;
use crate::machine::{Instant, Now};
use crate::placement::{Keyspace, Phase, Profile};
use crate::replication::Message;
use crate::store::engine::{Engine, Memory};

const KEYS: usize = 64;

const EVICT_AFTER: Duration = Duration::from_secs(60);

/// Nodes of a cluster with two replicas of each of 16 partitions, and the messages between
/// them.
struct Nodes {
    nodes: Vec<Option<Data<usize>>>,
    engines: Vec<Arc<dyn Engine>>,
    elapsed: Duration,
    queue: VecDeque<(usize, usize, Message)>,
    replies: Vec<(usize, Reply)>,
    notes: Vec<(usize, Note)>,
    asked: usize,
}

fn id(at: usize) -> NodeId {
    NodeId(at as u64 + 1)
}

fn key(at: usize) -> Bytes {
    Bytes::from(format!("key {at}"))
}

fn is_stored(reply: &Option<Reply>) -> bool {
    matches!(reply, Some(Reply::Stored(_)))
}

impl Nodes {
    /// So many members that hold everything that they should.
    fn settled(count: usize) -> Self {
        let mut nodes = Self {
            nodes: Vec::new(),
            engines: Vec::new(),
            elapsed: Duration::ZERO,
            queue: VecDeque::new(),
            replies: Vec::new(),
            notes: Vec::new(),
            asked: 0,
        };
        for at in 0..count {
            nodes.add(None);
            if at == 0 {
                let mut effects = Vec::new();
                assert!(nodes.node(0).found(nodes.now(), &mut effects));
                nodes.carry_out(0, effects);
            }
        }
        nodes.pass(20);
        nodes.assert_settled();
        nodes
    }

    /// One more node, which knows of nobody and can reach all.
    fn add(&mut self, replace: Option<NodeId>) {
        let at = self.nodes.len();
        self.engines.push(Arc::new(Memory::new()));
        self.nodes.push(None);
        self.start(at, replace);
    }

    fn start(&mut self, at: usize, replace: Option<NodeId>) {
        let params = DataParams {
            member: MemberParams {
                profile: Profile::new(id(at), &format!("n{at}")),
                generation: 1 + self.elapsed.as_secs(),
                replace,
                evict_after: EVICT_AFTER,
            },
            keyspace: Keyspace {
                partitions: 16,
                hash_seed: 0,
            },
            replicas: 2,
            ..params(id(at))
        };
        let rng = SmallRng::seed_from_u64(at as u64 * 1_000 + self.elapsed.as_secs());
        let node = Data::open(&params, &self.engines[at], rng, self.now()).unwrap();
        self.nodes[at] = Some(node);
        self.connect();
    }

    fn kill(&mut self, at: usize) {
        self.nodes[at] = None;
        self.connect();
    }

    /// Everyone who runs reaches everyone who does.
    fn connect(&mut self) {
        let running: BTreeSet<usize> = self.running().collect();
        for &at in &running {
            let others = running.iter().filter(|other| **other != at);
            let mut effects = Vec::new();
            let reachable = others.map(|other| id(*other)).collect();
            self.node(at).reach(self.now(), reachable, &mut effects);
            self.carry_out(at, effects);
        }
    }

    fn running(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(|at| self.nodes[*at].is_some())
    }

    fn node(&self, at: usize) -> &Data<usize> {
        self.nodes[at].as_ref().expect("it runs")
    }

    fn now(&self) -> Now {
        Now {
            mono: Instant::from_elapsed(self.elapsed),
            wall_ms: 1_000_000 + self.elapsed.as_millis() as u64,
        }
    }

    fn carry_out(&mut self, at: usize, effects: Vec<Effect<usize>>) {
        for effect in effects {
            match effect {
                Effect::Send { to, message } => {
                    let to = usize::try_from(to.0 - 1).unwrap();
                    self.queue.push_back((at, to, message));
                }
                Effect::Reply { waiter, reply } => self.replies.push((waiter, reply)),
                Effect::Note(note) => self.notes.push((at, note)),
                Effect::Published { .. } | Effect::Expired { .. } => {}
                Effect::SyncNow => {
                    let node = self.node(at);
                    let Some(syncing) = node.begin_sync() else {
                        continue;
                    };
                    let mut effects = Vec::new();
                    node.end_sync(self.now(), syncing, true, &mut effects);
                    self.carry_out(at, effects);
                }
            }
        }
    }

    fn deliver(&mut self) {
        while let Some((from, to, message)) = self.queue.pop_front() {
            let mut effects = Vec::new();
            match &self.nodes[to] {
                Some(node) => {
                    node.receive(self.now(), id(from), message, &mut effects);
                    self.carry_out(to, effects);
                }
                None if self.nodes[from].is_some() => {
                    let node = self.node(from);
                    node.dropped(self.now(), id(to), &message, &mut effects);
                    self.carry_out(from, effects);
                }
                None => {}
            }
        }
    }

    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds * 10 {
            self.tick();
        }
    }

    fn tick(&mut self) {
        self.elapsed += Duration::from_millis(100);
        for at in self.running().collect::<Vec<_>>() {
            let mut effects = Vec::new();
            self.node(at).handle_timeout(self.now(), &mut effects);
            self.carry_out(at, effects);
        }
        self.deliver();
    }

    fn leave(&mut self, at: usize) -> Result<(), LeaveError> {
        let mut effects = Vec::new();
        let left = self.node(at).leave(self.now(), false, &mut effects);
        self.carry_out(at, effects);
        left
    }

    fn remove(&mut self, at: usize, on: usize) -> Result<(), RemoveError> {
        let mut effects = Vec::new();
        let is_alive = self.nodes[at].is_some();
        let removed = (self.node(on)).remove(self.now(), id(at), is_alive, &mut effects);
        self.carry_out(on, effects);
        removed
    }

    /// What becomes of a request, once all messages have arrived.
    fn ask(&mut self, at: usize, request: Request) -> Option<Reply> {
        self.asked += 1;
        let waiter = self.asked;
        let mut effects = Vec::new();
        let consistency = Consistency {
            write: Strength::Quorum,
            ..Consistency::default()
        };
        let reply = self
            .node(at)
            .submit(self.now(), request, consistency, || waiter, &mut effects);
        self.carry_out(at, effects);
        self.deliver();
        let replied = || {
            let at = self.replies.iter().position(|(who, _)| *who == waiter);
            at.map(|at| self.replies[at].1.clone())
        };
        reply.or_else(replied)
    }

    fn put_all(&mut self, value: &'static str) {
        for n in 0..KEYS {
            let at = self.running().nth(n % self.running().count()).unwrap();
            let put = Request::Put {
                key: key(n),
                value: Bytes::from_static(value.as_bytes()),
                context: None,
            };
            let stored = self.ask(at, put);
            assert!(is_stored(&stored), "key {n} at {at}: {stored:?}");
        }
    }

    /// Every key has this value, whoever is asked.
    fn assert_all(&mut self, value: &'static str) {
        for at in self.running().collect::<Vec<_>>() {
            for n in 0..KEYS {
                let reply = self.ask(at, Request::Get { key: key(n) });
                let value = Some(Bytes::from_static(value.as_bytes()));
                assert_eq!(reply, Some(Reply::Value(value)), "key {n} at {at}");
            }
        }
    }

    /// All know the same roster, owners hold what they own whole, and nobody holds more.
    fn assert_settled(&self) {
        let rosters: BTreeSet<u64> = (self.running())
            .map(|at| self.node(at).roster().fingerprint())
            .collect();
        assert_eq!(rosters.len(), 1, "one roster");
        for at in self.running() {
            let node = self.node(at);
            assert_eq!(node.phase(), Some(Phase::Active), "node {at}");
            let view = node.view();
            node.inspect(|partition| {
                let owns = view.group(partition.id()).is_owner;
                let holds = !partition.is_rebuilding();
                assert_eq!(owns, holds, "{} at {at}", partition.id());
                assert!(owns || partition.clock().is_empty());
            });
        }
    }

    fn met(&self, is_it: impl Fn(&Note) -> bool) -> usize {
        self.notes.iter().filter(|(_, note)| is_it(note)).count()
    }
}

#[test]
fn a_new_member_takes_its_share_and_others_give_up_theirs() {
    let mut nodes = Nodes::settled(3);
    nodes.put_all("one");
    nodes.assert_all("one");
    nodes.add(None);
    // It serves through others before it has anything.
    nodes.pass(1);
    nodes.assert_all("one");
    nodes.pass(20);
    nodes.assert_settled();
    assert!(nodes.met(|note| matches!(note, Note::Dropped { .. })) > 0);
    nodes.put_all("two");
    nodes.assert_all("two");
}

#[test]
fn a_member_that_leaves_hands_over_first() {
    let mut nodes = Nodes::settled(3);
    nodes.put_all("one");
    assert_eq!(nodes.leave(1), Ok(()));
    for _ in 0..20 {
        nodes.pass(1);
        // It goes on serving, by itself or through others, until it has gone.
        nodes.assert_all("one");
    }
    assert!(nodes.node(1).is_gone());
    nodes.kill(1);
    nodes.pass(5);
    nodes.assert_settled();
    nodes.assert_all("one");
    assert_eq!(nodes.node(0).roster().len(), 2);

    // The last one has nobody to hand anything to.
    assert_eq!(nodes.leave(0), Ok(()));
    nodes.pass(20);
    assert!(nodes.node(0).is_gone());
    nodes.kill(0);
    assert_eq!(nodes.leave(2), Err(LeaveError::LastMember));
    nodes.assert_all("one");
}

/// Each would be an owner without the other, and neither comes to hold more: they must not wait
/// for each other.
#[test]
fn members_that_leave_at_once_do_not_wait_for_each_other() {
    let mut nodes = Nodes::settled(6);
    nodes.put_all("one");
    for at in [1, 2, 4] {
        assert_eq!(nodes.leave(at), Ok(()));
    }
    for _ in 0..30 {
        nodes.pass(1);
        nodes.assert_all("one");
    }
    for at in [1, 2, 4] {
        assert!(nodes.node(at).is_gone(), "node {at}");
        nodes.kill(at);
    }
    nodes.pass(5);
    nodes.assert_settled();
    nodes.assert_all("one");

    // All who are left: the last of them stays.
    for at in [0, 3, 5] {
        assert_eq!(nodes.leave(at), Ok(()));
    }
    nodes.pass(30);
    let gone = [0, 3, 5].map(|at| nodes.node(at).is_gone());
    assert_eq!(gone, [true, true, false]);
    assert_eq!(nodes.node(5).phase(), Some(Phase::Active));
    nodes.assert_all("one");
}

/// It owns nothing, but has what was written to it while it saw no other, and then removed.
#[test]
fn a_joining_member_that_leaves_hands_over_what_it_has() {
    let mut nodes = Nodes::settled(4);
    nodes.put_all("one");
    for at in [0, 1, 2] {
        nodes.kill(at);
    }
    nodes.pass(1);
    let put = |n| Request::Put {
        key: key(n),
        value: Bytes::from_static(b"two"),
        context: None,
    };
    let written: Vec<usize> = (0..KEYS)
        .filter(|n| is_stored(&nodes.ask(3, put(*n))))
        .collect();
    assert!(!written.is_empty() && written.len() < KEYS);
    nodes.kill(3);
    for at in [0, 1, 2] {
        nodes.start(at, None);
    }
    assert_eq!(nodes.remove(3, 0), Ok(()));
    nodes.pass(20);
    nodes.start(3, None);
    while nodes.node(3).phase() != Some(Phase::Joining) {
        nodes.tick();
    }
    assert_eq!(nodes.leave(3), Ok(()));
    nodes.pass(20);
    assert!(nodes.node(3).is_gone());
    nodes.kill(3);
    nodes.pass(5);
    nodes.assert_settled();
    for n in written {
        let value = Some(Bytes::from_static(b"two"));
        assert_eq!(
            nodes.ask(0, Request::Get { key: key(n) }),
            Some(Reply::Value(value)),
            "key {n}"
        );
    }
}

/// The one that leaves has heirs who do not know of it while the other seems to join.
#[test]
fn one_that_joins_and_goes_holds_nobody_up_who_leaves() {
    let mut nodes = Nodes::settled(5);
    nodes.put_all("one");
    nodes.add(None);
    while nodes.node(5).phase() != Some(Phase::Joining) {
        nodes.tick();
    }
    assert_eq!(nodes.leave(5), Ok(()));
    for at in [1, 2] {
        assert_eq!(nodes.leave(at), Ok(()));
    }
    nodes.pass(30);
    for at in [1, 2, 5] {
        assert!(nodes.node(at).is_gone(), "node {at}");
        nodes.kill(at);
    }
    nodes.pass(5);
    nodes.assert_settled();
    nodes.assert_all("one");
}

/// Nor one that died while it joined, and may come back.
#[test]
fn one_that_died_while_it_joined_holds_nobody_up_who_leaves() {
    let mut nodes = Nodes::settled(5);
    nodes.put_all("one");
    nodes.add(None);
    while nodes.node(5).phase() != Some(Phase::Joining) {
        nodes.tick();
    }
    nodes.kill(5);
    for at in [1, 2] {
        assert_eq!(nodes.leave(at), Ok(()));
    }
    nodes.pass(30);
    for at in [1, 2] {
        assert!(nodes.node(at).is_gone(), "node {at}");
        nodes.kill(at);
    }
    nodes.start(5, None);
    nodes.pass(20);
    nodes.assert_settled();
    nodes.assert_all("one");
    assert_eq!(nodes.node(0).roster().len(), 4);
}

/// Others removed it meanwhile, in the same words: nothing differs when they meet, and nobody
/// says anything but that it is so.
#[test]
fn one_that_left_unheard_hears_that_others_know() {
    let mut nodes = Nodes::settled(3);
    let others: Vec<Option<Data<usize>>> = nodes.nodes.drain(..2).collect();
    nodes.nodes.splice(0..0, [None, None]);
    nodes.connect();
    let mut effects = Vec::new();
    let left = nodes.node(2).leave(nodes.now(), true, &mut effects);
    assert_eq!(left, Ok(()));
    nodes.carry_out(2, effects);
    nodes.pass(1);
    assert!(nodes.node(2).has_departed() && !nodes.node(2).is_gone());

    let left = nodes.nodes[2].take();
    for (at, other) in others.into_iter().enumerate() {
        nodes.nodes[at] = other;
    }
    nodes.connect();
    assert_eq!(nodes.remove(2, 0), Ok(()));
    nodes.pass(5);
    nodes.nodes[2] = left;
    let roster = |nodes: &Nodes, at: usize| nodes.node(at).roster().fingerprint();
    assert_eq!(roster(&nodes, 0), roster(&nodes, 2), "in the same words");
    nodes.connect();
    nodes.pass(5);
    assert!(nodes.node(2).is_gone());
}

#[test]
fn a_dead_member_keeps_its_place_until_it_is_removed() {
    let mut nodes = Nodes::settled(4);
    nodes.put_all("one");
    assert_eq!(nodes.remove(3, 0), Err(RemoveError::Alive));
    nodes.kill(3);
    nodes.pass(20);
    assert_eq!(nodes.node(0).roster().len(), 4, "nothing moves");
    nodes.put_all("two");
    assert_eq!(nodes.remove(3, 0), Ok(()));
    nodes.pass(20);
    nodes.assert_settled();
    nodes.assert_all("two");

    // It comes back with what it had, and is a new member.
    nodes.start(3, None);
    nodes.pass(30);
    nodes.assert_settled();
    nodes.assert_all("two");
}

#[test]
fn one_that_is_away_for_too_long_is_removed_by_one_of_a_majority() {
    let mut nodes = Nodes::settled(4);
    nodes.put_all("one");
    nodes.kill(2);
    nodes.pass(EVICT_AFTER.as_secs() - 5);
    assert_eq!(nodes.node(0).roster().len(), 4);
    nodes.pass(30);
    assert_eq!(
        nodes.met(|note| *note == Note::Evicted { member: id(2) }),
        1
    );
    nodes.assert_settled();
    nodes.assert_all("one");
    // Two of the three that are left are no minority, one alone is.
    nodes.kill(0);
    nodes.kill(1);
    nodes.pass(2 * EVICT_AFTER.as_secs());
    assert_eq!(nodes.node(3).roster().len(), 3);
}

#[test]
fn a_new_node_takes_a_dead_ones_place_and_nothing_else_moves() {
    let mut nodes = Nodes::settled(5);
    nodes.put_all("one");
    let owned = |nodes: &Nodes, at: usize| {
        let view = nodes.node(at).view();
        let mut owned = BTreeSet::new();
        nodes.node(at).inspect(|partition| {
            if view.group(partition.id()).is_owner {
                owned.insert(partition.id());
            }
        });
        owned
    };
    let before: Vec<_> = (0..5).map(|at| owned(&nodes, at)).collect();
    nodes.add(Some(id(4)));
    nodes.pass(5);
    assert_eq!(nodes.node(5).join_error(), Some(JoinError::ReplacedAlive));
    nodes.kill(4);
    nodes.pass(30);
    nodes.assert_settled();
    nodes.assert_all("one");
    assert!(nodes.node(0).roster().member(id(4)).is_none());
    assert_eq!(owned(&nodes, 5), before[4]);
    for (at, before) in before.iter().enumerate().take(4) {
        assert_eq!(owned(&nodes, at), *before, "node {at}");
    }
    nodes.add(Some(NodeId(77)));
    nodes.pass(5);
    assert_eq!(
        nodes.node(6).join_error(),
        Some(JoinError::NothingToReplace)
    );
}

#[test]
fn two_clusters_that_meet_become_one_and_lose_nothing() {
    let mut nodes = Nodes::settled(2);
    nodes.put_all("elder");
    // Another one begins elsewhere, and takes writes of its own.
    nodes.nodes.push(None);
    nodes.engines.push(Arc::new(Memory::new()));
    let at = nodes.nodes.len() - 1;
    let elder: Vec<_> = (0..at).map(|at| nodes.nodes[at].take()).collect();
    nodes.start(at, None);
    let mut effects = Vec::new();
    assert!(nodes.node(at).found(nodes.now(), &mut effects));
    nodes.carry_out(at, effects);
    let put = Request::Put {
        key: Bytes::from_static(b"younger"),
        value: Bytes::from_static(b"here"),
        context: None,
    };
    assert!(is_stored(&nodes.ask(at, put)));
    for (at, node) in elder.into_iter().enumerate() {
        nodes.nodes[at] = node;
    }
    nodes.connect();
    nodes.pass(30);
    assert_eq!(nodes.met(|note| *note == Note::Merged), 1);
    nodes.assert_settled();
    nodes.assert_all("elder");
    for at in 0..3 {
        let key = Bytes::from_static(b"younger");
        let value = Some(Bytes::from_static(b"here"));
        assert_eq!(
            nodes.ask(at, Request::Get { key }),
            Some(Reply::Value(value))
        );
    }
}

#[test]
fn a_request_that_no_owner_can_do_is_refused_and_a_lost_one_is_told_of() {
    let mut nodes = Nodes::settled(4);
    nodes.put_all("one");
    let view = nodes.node(0).view();
    let keyspace = nodes.node(0).keyspace();
    let elsewhere = |n: &usize| !view.group(keyspace.partition_of(&key(*n))).is_owner;
    let n = (0..KEYS).find(elsewhere).expect("owned by others");
    let owners = view.group(keyspace.partition_of(&key(n))).owners.clone();
    let owners: Vec<usize> = owners.iter().map(|id| id.0 as usize - 1).collect();

    // The answer is on its way when the owner dies: the write was done or not, a read is asked
    // of the other.
    for is_write in [true, false] {
        let request = match is_write {
            true => Request::Delete {
                key: key(n),
                context: None,
            },
            false => Request::Get { key: key(n) },
        };
        let mut effects = Vec::new();
        let here = Consistency::default();
        let now = nodes.now();
        let reply = nodes.node(0).submit(now, request, here, || 0, &mut effects);
        assert_eq!(reply, None);
        nodes.kill(owners[0]);
        nodes.deliver();
        nodes.carry_out(0, effects);
        nodes.deliver();
        let (_, reply) = nodes.replies.pop().expect("an answer");
        match is_write {
            true => assert!(
                matches!(reply, Reply::Failed(RequestError::OwnerSilent { .. })),
                "{reply:?}"
            ),
            false => assert!(matches!(reply, Reply::Value(_)), "{reply:?}"),
        }
        nodes.start(owners[0], None);
        nodes.pass(20);
    }
    nodes.kill(owners[0]);
    nodes.kill(owners[1]);
    let refused = nodes.ask(0, Request::Get { key: key(n) });
    assert!(
        matches!(
            refused,
            Some(Reply::Failed(RequestError::NoOwner { owners: 2, .. }))
        ),
        "{refused:?}"
    );
}
