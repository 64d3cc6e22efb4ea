//! What is decided on one owner: by which one, who follows it, and what the asking node sees.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::change::{Change, Ends, OnlyIf};
use super::request::{Consistency, Reply, Request, RequestError};
use super::tests_support::{params, remembering};
use super::{Data, Effect};
use crate::clock::NodeId;
use crate::machine::{Instant, Machine, Now};
use crate::placement::PartitionId;
use crate::replication::{Input, Message};
use crate::store::engine::Memory;

const ONE: PartitionId = PartitionId(0);

/// Nodes that all own the only partition, in the order in which they are preferred, and the
/// messages between them. Waiters are numbers.
struct Nodes {
    nodes: Vec<Data<usize>>,
    queue: VecDeque<(usize, usize, Message)>,
    replies: Vec<(usize, Reply)>,
    elapsed: Duration,
}

impl Nodes {
    fn new(count: u64) -> Self {
        let ids: Vec<NodeId> = (1..=count).map(NodeId).collect();
        let mut nodes = Self {
            nodes: Vec::new(),
            queue: VecDeque::new(),
            replies: Vec::new(),
            elapsed: Duration::ZERO,
        };
        for id in &ids {
            let engine = remembering(Memory::new(), &ids);
            let rng = SmallRng::seed_from_u64(id.0);
            let node = Data::open(&params(*id), &engine, rng, nodes.now()).unwrap();
            nodes.nodes.push(node);
        }
        let order = nodes.nodes[0].view().placement.current(ONE).to_vec();
        nodes
            .nodes
            .sort_by_key(|node| order.iter().position(|id| *id == node.view().me));
        for at in 0..nodes.nodes.len() {
            nodes.reach(at, &[]);
        }
        nodes.pass_a_round();
        nodes
    }

    /// All compare themselves with each other.
    fn pass_a_round(&mut self) {
        for _ in 0..50 {
            self.elapsed += Duration::from_millis(100);
            for at in 0..self.nodes.len() {
                let mut effects = Vec::new();
                self.nodes[at].handle_timeout(self.now(), &mut effects);
                self.carry_out(at, effects);
            }
            self.deliver();
        }
    }

    fn id(&self, at: usize) -> NodeId {
        self.nodes[at].view().me
    }

    fn at(&self, id: NodeId) -> usize {
        let mut nodes = self.nodes.iter();
        nodes.position(|node| node.view().me == id).unwrap()
    }

    fn now(&self) -> Now {
        Now {
            mono: Instant::from_elapsed(self.elapsed),
            wall_ms: 1_000_000 + self.elapsed.as_millis() as u64,
        }
    }

    /// A node reaches everyone but these.
    fn reach(&mut self, at: usize, without: &[usize]) {
        let others = (0..self.nodes.len()).filter(|other| *other != at && !without.contains(other));
        let reachable: BTreeSet<NodeId> = others.map(|other| self.id(other)).collect();
        let mut effects = Vec::new();
        self.nodes[at].reach(self.now(), reachable, &mut effects);
        self.carry_out(at, effects);
    }

    fn carry_out(&mut self, at: usize, effects: Vec<Effect<usize>>) {
        for effect in effects {
            match effect {
                Effect::Send { to, message } => self.queue.push_back((at, self.at(to), message)),
                Effect::Reply { waiter, reply } => self.replies.push((waiter, reply)),
                _ => {}
            }
        }
    }

    /// Delivers all messages, and what they make others say.
    fn deliver(&mut self) {
        while let Some(next) = self.queue.pop_front() {
            self.deliver_one(next);
        }
    }

    fn deliver_one(&mut self, (from, to, message): (usize, usize, Message)) {
        let mut effects = Vec::new();
        self.nodes[to].receive(self.now(), self.id(from), message, &mut effects);
        self.carry_out(to, effects);
    }

    /// Takes the messages of one kind off the queue.
    fn intercept(&mut self, is_it: impl Fn(&Message) -> bool) -> Vec<(usize, usize, Message)> {
        let (taken, left) = self
            .queue
            .drain(..)
            .partition(|(_, _, message)| is_it(message));
        self.queue = left;
        Vec::from_iter::<VecDeque<_>>(taken)
    }

    /// Asks a node to do a change; the waiter has the node's number.
    fn change(&mut self, at: usize, change: Change) {
        let request = Request::Update {
            key: Bytes::from_static(b"key"),
            change,
        };
        let mut effects = Vec::new();
        let consistency = Consistency::default();
        let reply = self.nodes[at].submit(self.now(), request, consistency, || at, &mut effects);
        self.carry_out(at, effects);
        self.replies.extend(reply.map(|reply| (at, reply)));
    }

    fn get(&self, at: usize) -> Option<Bytes> {
        let request = Request::Get {
            key: Bytes::from_static(b"key"),
        };
        let consistency = Consistency::default();
        match self.nodes[at].submit(self.now(), request, consistency, || 0, &mut Vec::new()) {
            Some(Reply::Value(value)) => value,
            other => panic!("{other:?}"),
        }
    }

    /// Who was told that a change was made, and the node whose write it was.
    fn winners(&self) -> Vec<(usize, usize)> {
        let won = |(waiter, reply): &(usize, Reply)| match reply {
            Reply::Changed(changed) if changed.done => {
                Some((*waiter, self.at(changed.dot.unwrap().actor.node)))
            }
            _ => None,
        };
        self.replies.iter().filter_map(won).collect()
    }
}

fn claim(value: &'static str) -> Change {
    Change::Set {
        value: Bytes::from_static(value.as_bytes()),
        ends: Ends::Never,
        only_if: OnlyIf::Absent,
        is_swap: false,
    }
}

fn is_forward(message: &Message) -> bool {
    matches!(message, Message::Forward { .. })
}

fn is_push(message: &Message) -> bool {
    matches!(message, Message::Push { .. })
}

/// The answer of an owner that does not serve.
fn declined(forward: &Message) -> Message {
    let Message::Forward { partition, id, .. } = forward else {
        panic!("{forward:?}");
    };
    Message::Forwarded {
        partition: *partition,
        id: *id,
        reply: None,
    }
}

#[test]
fn of_callers_on_all_nodes_at_once_one_wins() {
    let mut nodes = Nodes::new(3);
    for (at, value) in [(2, "c"), (1, "b"), (0, "a")] {
        nodes.change(at, claim(value));
    }
    nodes.deliver();
    assert_eq!(nodes.replies.len(), 3);
    // The preferred owner was itself asked before the others' requests had come.
    assert_eq!(nodes.winners(), [(0, 0)]);
    for at in 0..3 {
        assert_eq!(nodes.get(at), Some(Bytes::from_static(b"a")));
    }
}

#[test]
fn what_merges_or_depends_on_nothing_is_done_where_it_is_asked() {
    let mut nodes = Nodes::new(3);
    let set = Change::Set {
        value: Bytes::from_static(b"1"),
        ends: Ends::Never,
        only_if: OnlyIf::Always,
        is_swap: false,
    };
    let add = Change::Add {
        amount: 1.into(),
        whole: true,
    };
    for change in [set, add] {
        nodes.change(2, change);
        assert!(nodes.intercept(is_forward).is_empty());
    }
    nodes.deliver();
    assert_eq!(nodes.winners(), [(2, 2), (2, 2)]);
    let tail = Bytes::from_static(b"0");
    nodes.change(2, Change::Append { tail });
    nodes.deliver();
    assert_eq!(nodes.winners().last(), Some(&(2, 0)));
    assert_eq!(nodes.get(1), Some(Bytes::from_static(b"20")));
}

#[test]
fn the_next_owner_decides_while_the_preferred_is_away() {
    let mut nodes = Nodes::new(3);
    for at in [1, 2] {
        nodes.reach(at, &[0]);
    }
    nodes.change(2, claim("c"));
    nodes.change(1, claim("b"));
    nodes.deliver();
    assert_eq!(nodes.winners(), [(1, 1)]);

    // It comes back, and decides by what it has.
    for at in [1, 2] {
        nodes.reach(at, &[]);
    }
    nodes.replies.clear();
    let set = Change::Set {
        value: Bytes::from_static(b"d"),
        ends: Ends::Never,
        only_if: OnlyIf::Present,
        is_swap: false,
    };
    nodes.pass_a_round();
    nodes.change(2, set);
    nodes.deliver();
    assert_eq!(nodes.winners(), [(2, 0)]);
}

/// Nobody before it does it, for whatever reason: its own turn comes in the end, and its client
/// is answered as if it had been its own from the beginning.
#[test]
fn an_owner_decides_itself_when_those_before_it_do_not() {
    let mut nodes = Nodes::new(3);
    nodes.change(2, claim("c"));
    let [(2, 0, forward)] = &nodes.intercept(is_forward)[..] else {
        panic!("{:?}", nodes.queue);
    };
    nodes.queue.push_back((0, 2, declined(forward)));
    nodes.nodes[1].gate.close("its disk is full");
    nodes.deliver();
    assert_eq!(nodes.winners(), [(2, 2)]);
    assert_eq!(nodes.get(0), Some(Bytes::from_static(b"c")));

    // What cannot be sent was not begun.
    nodes.replies.clear();
    nodes.change(2, Change::Take);
    let [(2, 0, forward)] = &nodes.intercept(is_forward)[..] else {
        panic!("{:?}", nodes.queue);
    };
    let mut effects = Vec::new();
    nodes.nodes[2].dropped(nodes.now(), nodes.id(0), forward, &mut effects);
    nodes.carry_out(2, effects);
    nodes.deliver();
    assert_eq!(nodes.winners(), [(2, 2)]);
    assert_eq!(nodes.get(1), None);

    // It is refused here like anything else that it may not do.
    nodes.replies.clear();
    for node in &nodes.nodes {
        node.gate.close("its disk is full");
    }
    nodes.change(2, claim("d"));
    nodes.deliver();
    let [(2, Reply::Failed(RequestError::WritesStopped(_)))] = &nodes.replies[..] else {
        panic!("{:?}", nodes.replies);
    };
}

/// It was perhaps done, and is not done again elsewhere.
#[test]
fn a_decision_of_an_owner_that_fell_silent_is_not_known() {
    let mut nodes = Nodes::new(3);
    nodes.change(2, claim("c"));
    assert_eq!(nodes.intercept(is_forward).len(), 1);
    nodes.reach(2, &[0]);
    let [(2, Reply::Failed(RequestError::OwnerSilent { .. }))] = &nodes.replies[..] else {
        panic!("{:?}", nodes.replies);
    };
    nodes.deliver();
    assert_eq!(nodes.get(2), None);
}

#[test]
fn who_asked_sees_what_was_decided_when_it_is_told() {
    for asker in [1, 2] {
        let mut nodes = Nodes::new(3);
        nodes.change(asker, claim("mine"));
        while nodes.replies.is_empty() {
            let next = nodes.queue.pop_front().expect("an answer comes");
            nodes.deliver_one(next);
        }
        assert_eq!(nodes.winners(), [(asker, 0)]);
        assert_eq!(nodes.get(asker), Some(Bytes::from_static(b"mine")));
    }
}

#[test]
fn a_decision_whose_push_was_lost_is_fetched_at_once() {
    let mut nodes = Nodes::new(3);
    nodes.change(2, claim("mine"));
    let forward = nodes.intercept(is_forward).remove(0);
    nodes.deliver_one(forward);
    let pushes = nodes.intercept(is_push);
    let of_others = pushes.into_iter().filter(|(_, to, _)| *to != 2);
    nodes.queue.extend(of_others);
    nodes.deliver();
    assert_eq!(nodes.winners(), [(2, 0)]);
    assert_eq!(nodes.get(2), Some(Bytes::from_static(b"mine")));
}

#[test]
fn each_owner_says_for_itself_what_its_copy_has() {
    let mut nodes = Nodes::new(3);
    nodes.change(0, claim("a"));
    let pushes = nodes.intercept(is_push);
    let to_next = pushes.into_iter().filter(|(_, to, _)| *to == 1);
    nodes.queue.extend(to_next);
    nodes.deliver();
    let Reply::Changed(changed) = nodes.replies.remove(0).1 else {
        panic!("{:?}", nodes.replies);
    };
    let dot = changed.dot.unwrap();
    let partition = ONE;
    let progress = |on_disk| Request::Progress { partition, on_disk };
    for (owner, has_it) in [(0, true), (1, true), (2, false)] {
        let (now, id) = (nodes.now(), nodes.id(owner));
        let mut effects = Vec::new();
        let reply = nodes.nodes[1].ask_owner(now, id, progress(false), || 7, &mut effects);
        nodes.carry_out(1, effects);
        nodes.replies.extend(reply.map(|reply| (7, reply)));
        nodes.deliver();
        let Some((7, Reply::Progress(clock))) = nodes.replies.pop() else {
            panic!("{:?}", nodes.replies);
        };
        assert_eq!(clock.contains(dot), has_it, "node {owner}");
    }

    // Nobody else can say it.
    let (now, id) = (nodes.now(), nodes.id(2));
    let mut effects = Vec::new();
    let reply = nodes.nodes[1].ask_owner(now, id, progress(false), || 7, &mut effects);
    assert_eq!(reply, None);
    assert_eq!(nodes.nodes[1].decider(now, ONE), Some(nodes.id(0)));
    nodes.reach(1, &[2]);
    let silent = nodes.replies.pop();
    let is_silence = |reply| matches!(reply, Reply::Failed(RequestError::OwnerSilent { .. }));
    assert!(silent.is_some_and(|(waiter, reply)| waiter == 7 && is_silence(reply)));
    nodes.reach(1, &[0, 2]);
    assert_eq!(nodes.nodes[1].decider(now, ONE), Some(nodes.id(1)));
    let reply = nodes.nodes[1].ask_owner(now, nodes.id(1), progress(true), || 7, &mut effects);
    assert_eq!(reply, Some(Reply::Failed(RequestError::InMemory)));
}

/// It may not have heard of what was decided while it did not run.
#[test]
fn one_that_has_just_started_leaves_it_to_others_until_it_has_compared_itself() {
    let mut nodes = Nodes::new(3);
    nodes.nodes[0].sync.lock().fall_back();
    nodes.change(0, claim("a"));
    nodes.change(2, claim("c"));
    nodes.deliver();
    let deciders: Vec<usize> = nodes.winners().iter().map(|(_, at)| *at).collect();
    assert_eq!(deciders, [1]);
    nodes.pass_a_round();
    nodes.change(2, Change::Take);
    nodes.deliver();
    assert_eq!(nodes.winners().last(), Some(&(2, 0)));
}

/// What was decided meanwhile more than half of the others have: one of them may lack it.
#[test]
fn one_that_has_just_started_compares_itself_with_half_of_the_others() {
    let mut nodes = Nodes::new(5);
    nodes.nodes[0].sync.lock().fall_back();
    for (other, decider) in [(1, 1), (2, 0)] {
        let (now, even) = (nodes.now(), Input::Same(nodes.id(other)));
        nodes.nodes[0].sync.lock().handle(now, even);
        nodes.change(
            4,
            Change::Append {
                tail: Bytes::from_static(b"x"),
            },
        );
        nodes.deliver();
        assert_eq!(
            nodes.winners().pop(),
            Some((4, decider)),
            "even with {other}"
        );
    }
}

/// They have found it, and it has not found them.
#[test]
fn one_that_has_just_started_decides_alone_only_when_it_is_sure_to_be_alone() {
    let mut nodes = Nodes::new(3);
    nodes.reach(0, &[1, 2]);
    nodes.nodes[0].sync.lock().fall_back();
    nodes.change(2, claim("c"));
    nodes.deliver();
    assert_eq!(nodes.winners(), [(2, 1)]);

    // Nobody else is there for the one that asks either.
    nodes.reach(2, &[1]);
    nodes.replies.clear();
    nodes.change(2, Change::Take);
    nodes.deliver();
    assert_eq!(nodes.winners(), [(2, 2)]);
    nodes.replies.clear();
    nodes.pass_a_round();
    nodes.change(2, claim("d"));
    nodes.deliver();
    assert_eq!(nodes.winners(), [(2, 0)]);
}
