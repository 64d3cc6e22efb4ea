//! Nodes whose partition was damaged and set aside: who vouches for whom.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::request::{Consistency, Reply, Request, RequestError, Strength};
use super::tests_support::params;
use super::{Data, DataParams, Effect, Note, settled};
use crate::clock::NodeId;
use crate::machine::{Instant, Now};
use crate::placement::{PartitionId, Phase};
use crate::replication::Message;
use crate::store::Options;
use crate::store::engine::{Batch, Engine, Memory, Simulated};

/// Nodes with one partition each, and the messages between them.
struct Nodes {
    nodes: Vec<Data<()>>,
    elapsed: Duration,
    queue: VecDeque<(usize, usize, Message)>,
    notes: Vec<(usize, Note)>,
    replies: Vec<Reply>,
}

impl Nodes {
    /// One node for each engine.
    fn on(engines: &[Arc<dyn Engine>]) -> Self {
        let nodes = engines.iter().enumerate();
        let members: Vec<NodeId> = (0..engines.len()).map(id).collect();
        for engine in engines {
            engine.keep_note(&settled(&members).unwrap()).unwrap();
        }
        Self {
            nodes: nodes.map(|(at, engine)| node(at, engine, 0)).collect(),
            elapsed: Duration::ZERO,
            queue: VecDeque::new(),
            notes: Vec::new(),
            replies: Vec::new(),
        }
    }

    fn now(&self) -> Now {
        Now {
            mono: Instant::from_elapsed(self.elapsed),
            wall_ms: 1_000_000 + self.elapsed.as_millis() as u64,
        }
    }

    fn ask(&mut self, at: usize, request: Request) -> Reply {
        let consistency = Consistency {
            write: Strength::One,
            ..Consistency::default()
        };
        let mut effects = Vec::new();
        let now = self.now();
        let reply = self.nodes[at].submit(now, request, consistency, || (), &mut effects);
        self.carry_out(at, effects);
        reply.expect("nobody is waited for")
    }

    fn put(&mut self, at: usize, key: &'static str) {
        let key = Bytes::from_static(key.as_bytes());
        let value = key.clone();
        let reply = self.ask(
            at,
            Request::Put {
                key,
                value,
                context: None,
            },
        );
        assert!(matches!(reply, Reply::Stored(_)), "{reply:?}");
    }

    /// A read is answered, in the end, with that nobody can.
    fn refuses(&mut self, at: usize, key: &'static str) {
        let key = Bytes::from_static(key.as_bytes());
        let mut effects = Vec::new();
        let (now, strength) = (self.now(), Consistency::default());
        let request = Request::Get { key };
        let reply = self.nodes[at].submit(now, request, strength, || (), &mut effects);
        assert_eq!(reply, None, "another owner is asked");
        self.carry_out(at, effects);
        self.replies.clear();
        self.pass(1);
        assert_eq!(self.replies, [LOADING]);
    }

    fn get(&mut self, at: usize, key: &'static str) -> Reply {
        let key = Bytes::from_static(key.as_bytes());
        self.ask(at, Request::Get { key })
    }

    /// These, and no others, reach each other.
    fn connect(&mut self, linked: &[usize]) {
        for &at in linked {
            let others = linked.iter().filter(|other| **other != at);
            let peers = others.map(|other| id(*other)).collect();
            let mut effects = Vec::new();
            self.nodes[at].reach(self.now(), peers, &mut effects);
            self.carry_out(at, effects);
        }
    }

    fn carry_out(&mut self, at: usize, effects: Vec<Effect<()>>) {
        for effect in effects {
            match effect {
                Effect::Send { to, message } => {
                    let to = usize::try_from(to.0 - 1).unwrap();
                    self.queue.push_back((at, to, message));
                }
                Effect::Note(note) => self.notes.push((at, note)),
                Effect::Reply { reply, .. } => self.replies.push(reply),
                Effect::SyncNow | Effect::Published { .. } | Effect::Expired { .. } => {}
            }
        }
    }

    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds * 10 {
            self.elapsed += Duration::from_millis(100);
            for at in 0..self.nodes.len() {
                let mut effects = Vec::new();
                self.nodes[at].handle_timeout(self.now(), &mut effects);
                self.carry_out(at, effects);
            }
            while let Some((from, to, message)) = self.queue.pop_front() {
                let mut effects = Vec::new();
                self.nodes[to].receive(self.now(), id(from), message, &mut effects);
                self.carry_out(to, effects);
            }
        }
    }

    fn rebuilding(&self, at: usize) -> u64 {
        self.nodes[at].stats().rebuilding
    }
}

fn id(at: usize) -> NodeId {
    NodeId(at as u64 + 1)
}

fn node(at: usize, engine: &Arc<dyn Engine>, opening: u64) -> Data<()> {
    let params = DataParams {
        options: Options {
            log_rows_max: 4,
            ..Options::default()
        },
        ..params(id(at))
    };
    let rng = SmallRng::seed_from_u64(at as u64 * 100 + opening);
    Data::open(&params, engine, rng, Now::default()).unwrap()
}

fn whole() -> Arc<dyn Engine> {
    Arc::new(Memory::new())
}

/// What a repair leaves of a partition that could not be kept.
fn damaged() -> Arc<dyn Engine> {
    let engine = Memory::new();
    engine
        .commit(&Batch {
            partition: PartitionId(0),
            rebuilding: Some(true),
            ..Batch::default()
        })
        .unwrap();
    Arc::new(engine)
}

const LOADING: Reply = Reply::Failed(RequestError::Rebuilding(0));

#[test]
fn a_damaged_partition_answers_once_it_was_compared_with_a_whole_one() {
    for keys in [&["a"][..], &["a", "b", "c", "d", "e", "f", "g"], &[]] {
        let mut nodes = Nodes::on(&[damaged(), whole()]);
        for key in keys {
            nodes.put(1, key);
        }
        assert_eq!(nodes.get(0, "a"), LOADING);
        nodes.put(0, "new");
        assert_eq!(nodes.get(0, "new"), LOADING);
        let key = Bytes::from_static(b"a");
        let delete = Request::Delete { key, context: None };
        assert_eq!(nodes.ask(0, delete), LOADING);
        nodes.connect(&[0, 1]);
        nodes.pass(5);
        assert_eq!(nodes.rebuilding(0), 0, "{keys:?}");
        for key in keys.iter().chain(&["new"]) {
            for at in [0, 1] {
                let value = Bytes::from_static(key.as_bytes());
                assert_eq!(nodes.get(at, key), Reply::Value(Some(value)));
            }
        }
        assert_eq!(nodes.get(0, "never"), Reply::Value(None));
        let rebuilt =
            |(at, note): &&(usize, Note)| *at == 0 && matches!(note, Note::Rebuilt { .. });
        assert_eq!(nodes.notes.iter().filter(rebuilt).count(), 1);
        // Nothing differs any more: the cheap comparison is enough.
        nodes.notes.clear();
        nodes.pass(5);
        assert_eq!(nodes.notes, []);
    }
}

/// Neither of two that lost what they had may take the other for the truth, however equal they
/// are; what they are told meanwhile they share.
#[test]
fn two_damaged_partitions_do_not_vouch_for_each_other() {
    let mut nodes = Nodes::on(&[damaged(), damaged(), whole()]);
    nodes.put(2, "before");
    nodes.put(0, "from 0");
    nodes.put(1, "from 1");
    nodes.connect(&[0, 1]);
    nodes.pass(10);
    assert_eq!([nodes.rebuilding(0), nodes.rebuilding(1)], [1, 1]);
    nodes.refuses(0, "from 1");
    assert_eq!(nodes.nodes[0].stats().dots_live, 2, "writes are passed on");
    assert_eq!(nodes.nodes[1].stats().dots_live, 2);

    nodes.connect(&[0, 1, 2]);
    nodes.pass(10);
    for at in 0..3 {
        assert_eq!(nodes.rebuilding(at), 0);
        for key in ["before", "from 0", "from 1"] {
            let value = Bytes::from_static(key.as_bytes());
            assert_eq!(nodes.get(at, key), Reply::Value(Some(value)));
        }
    }
}

/// When all members are there, none has a whole copy and none ever had more than what it has,
/// then that is what is left; not where something was set aside.
#[test]
fn what_no_member_has_whole_is_taken_for_whole_when_all_are_there() {
    for hidden in [false, true] {
        let mut nodes = Nodes::on(&[damaged(), damaged(), damaged()]);
        if hidden {
            let node = nodes.nodes.remove(1);
            nodes.nodes.insert(1, node.beside_a_quarantine());
        }
        nodes.put(1, "left");
        nodes.connect(&[0, 1]);
        nodes.pass(30);
        assert_eq!([nodes.rebuilding(0), nodes.rebuilding(1)], [1, 1]);
        nodes.connect(&[0, 1, 2]);
        nodes.pass(60);
        for at in 0..3 {
            assert_eq!(nodes.rebuilding(at), u64::from(hidden), "node {at}");
        }
        if !hidden {
            let value = Bytes::from_static(b"left");
            assert_eq!(nodes.get(2, "left"), Reply::Value(Some(value)));
        }
    }
}

/// A peer's read is not answered either: "nothing here" would count as an answer.
#[test]
fn a_damaged_partition_does_not_answer_the_reads_of_peers() {
    let mut nodes = Nodes::on(&[damaged(), whole()]);
    let read = Message::Read {
        partition: PartitionId(0),
        id: 1,
        asker: crate::clock::ActorId {
            node: id(1),
            incarnation: 1,
        },
        key: Bytes::from_static(b"a"),
    };
    let mut effects = Vec::new();
    nodes.nodes[0].receive(nodes.now(), id(1), read.clone(), &mut effects);
    assert_eq!(effects, []);
    nodes.nodes[1].receive(nodes.now(), id(0), read, &mut effects);
    assert_eq!(effects.len(), 1);
    nodes.carry_out(1, effects);
}

/// A disk that silently lost the end of what it had: peers know, and are asked.
#[test]
fn writes_of_this_node_that_only_a_peer_still_has_are_told_of_once() {
    let disk = Arc::new(Simulated::new());
    let shared: Arc<dyn Engine> = disk.clone();
    let mut nodes = Nodes::on(&[shared.clone(), whole()]);
    nodes.connect(&[0, 1]);
    nodes.put(0, "kept");
    nodes.pass(3);
    disk.sync().unwrap();
    nodes.put(0, "lost");
    nodes.put(0, "lost too");
    nodes.pass(3);
    disk.crash_losing_tail();
    nodes.nodes[0] = node(0, &shared, 1);
    nodes.notes.clear();
    nodes.connect(&[0, 1]);
    nodes.pass(10);
    let lost = |(_, note): &(usize, Note)| match note {
        Note::OwnWritesLost {
            peer,
            partitions,
            writes,
        } => Some((*peer, *partitions, *writes)),
        _ => None,
    };
    let told: Vec<_> = nodes.notes.iter().filter_map(lost).collect();
    assert_eq!(told, [(id(1), 1, 2)]);
    assert_eq!(nodes.nodes[0].stats().own_writes_lost, 2);
    let value = Reply::Value(Some(Bytes::from_static(b"lost")));
    assert_eq!(nodes.get(0, "lost"), value, "it is back");
}

/// Halves of a cluster that removed each other: nobody is a member any more. One founds the
/// cluster anew with what it has, the others join it again with what they have.
#[test]
fn members_that_removed_each_other_own_again_what_they_had() {
    let mut nodes = Nodes::on(&[whole(), whole(), whole()]);
    nodes.connect(&[0, 1, 2]);
    for key in ["a", "b", "c", "d", "e", "f"] {
        nodes.put(0, key);
    }
    nodes.pass(5);
    let mut roster = nodes.nodes[0].roster();
    for at in 0..3 {
        roster.depart(id(at)).unwrap();
    }
    for at in 0..3 {
        let records = roster.records().map(|(id, r)| (id, r.clone())).collect();
        let message = Message::Roster {
            founding: None,
            fingerprint: roster.fingerprint(),
            records,
            mutual: false,
        };
        let mut effects = Vec::new();
        let from = id((at + 1) % 3);
        nodes.nodes[at].receive(nodes.now(), from, message, &mut effects);
        nodes.carry_out(at, effects);
    }
    nodes.pass(5);
    for at in 0..3 {
        assert_eq!(nodes.nodes[at].phase(), None);
    }
    let mut effects = Vec::new();
    assert!(nodes.nodes[0].found(nodes.now(), &mut effects));
    nodes.carry_out(0, effects);
    nodes.pass(60);
    for at in 0..3 {
        assert_eq!(nodes.nodes[at].phase(), Some(Phase::Active));
        assert_eq!(nodes.rebuilding(at), 0);
        let value = Bytes::from_static(b"f");
        assert_eq!(nodes.get(at, "f"), Reply::Value(Some(value)));
    }
}
