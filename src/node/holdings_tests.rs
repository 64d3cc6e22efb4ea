//! Copies that a node gives up, and what it must not believe of its disk.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::tests_support::{params, remembering};
use super::{Data, DataParams, Effect, Note, settled};
use crate::clock::{ActorId, NodeId};
use crate::machine::{Instant, Now};
use crate::placement::{Founding, PartitionId, Phase, Profile, Roster};
use crate::replication::{Message, Reply, Request};
use crate::store::engine::{Engine, Memory, Simulated};
use crate::store::exchange::Push;
use crate::store::{Options, Partition, Write};

const IDS: [NodeId; 2] = [NodeId(1), NodeId(2)];

fn now(seconds: u64) -> Now {
    let elapsed = Duration::from_secs(seconds);
    Now {
        mono: Instant::from_elapsed(elapsed),
        wall_ms: 1_000_000 + seconds * 1_000,
    }
}

fn node(me: NodeId, engine: &Arc<dyn Engine>, opening: u64) -> Data<()> {
    let params = DataParams {
        replicas: 1,
        ..params(me)
    };
    let rng = SmallRng::seed_from_u64(me.0 * 100 + opening);
    Data::open(&params, engine, rng, now(0)).unwrap()
}

/// Lets both do what is due, and carries their messages, until nothing is left to be said.
/// Returns how many copies were given up.
fn pass(nodes: &[Data<()>], seconds: u64) -> usize {
    let mut dropped = 0;
    let mut queue = Vec::new();
    let mut carry = |from: usize, effects: Vec<Effect<()>>, queue: &mut Vec<_>| {
        for effect in effects {
            match effect {
                Effect::Send { to, message } => queue.push((IDS[from], to, message)),
                Effect::Note(Note::Dropped { .. }) => dropped += 1,
                _ => {}
            }
        }
    };
    for (at, node) in nodes.iter().enumerate() {
        let mut effects = Vec::new();
        node.handle_timeout(now(seconds), &mut effects);
        carry(at, effects, &mut queue);
    }
    while let Some((from, to, message)) = queue.pop() {
        let at = usize::try_from(to.0 - 1).unwrap();
        let mut effects = Vec::new();
        nodes[at].receive(now(seconds), from, message, &mut effects);
        if let Some(syncing) = nodes[at].begin_sync() {
            nodes[at].end_sync(now(seconds), syncing, true, &mut effects);
        }
        carry(at, effects, &mut queue);
    }
    dropped
}

/// A write of an actor that no node here has.
fn push() -> Push {
    let actor = ActorId {
        node: NodeId(9),
        incarnation: 1,
    };
    let options = Options {
        keyspace: params(IDS[0]).keyspace,
        ..Options::default()
    };
    let engine = Arc::new(Memory::new());
    let mut partition = Partition::open(PartitionId(0), actor, engine, options).unwrap();
    let write = Write::Put {
        value: Bytes::from_static(b"value"),
        expire_at_ms: None,
    };
    let push = partition.write(Bytes::from_static(b"key"), write, None, 1_000_000);
    push.unwrap().unwrap()
}

fn is_rebuilding(node: &Data<()>) -> bool {
    let mut found = false;
    node.inspect(|partition| found |= partition.is_rebuilding());
    found
}

/// Two members, and which of them does not own the only partition.
fn pair() -> (Vec<Data<()>>, usize) {
    let engines = IDS.map(|_| remembering(Memory::new(), &IDS));
    let nodes: Vec<Data<()>> = (IDS.iter().zip(&engines))
        .map(|(id, engine)| node(*id, engine, 0))
        .collect();
    for (at, data) in nodes.iter().enumerate() {
        let other = [IDS[1 - at]].into();
        data.reach(now(0), other, &mut Vec::new());
    }
    let is_owner = |data: &Data<()>| data.view().group(PartitionId(0)).is_owner;
    let other = nodes.iter().position(|data| !is_owner(data)).unwrap();
    (nodes, other)
}

/// A write of another member comes to all.
fn write_to(nodes: &[Data<()>], seconds: u64) {
    for data in nodes {
        let message = Message::Push {
            id: 1,
            push: Arc::new(push()),
            durability: Default::default(),
        };
        data.receive(now(seconds), NodeId(9), message, &mut Vec::new());
    }
}

/// What was said of a copy that went says nothing of the next one, however alike they are: it
/// would be waited for what was heard already.
#[test]
fn a_copy_that_comes_back_as_it_was_is_given_up_again() {
    let (nodes, other) = pair();
    assert_eq!(pass(&nodes, 2), 0, "there is nothing to be given up");
    for (round, at) in [(1, 4), (2, 8)] {
        write_to(&nodes, at - 1);
        assert_eq!(nodes[other].stats().keys, 1);
        assert_eq!(pass(&nodes, at), 1, "round {round}");
        assert_eq!(nodes[other].stats().keys, 0);
    }
}

/// The client of a node that forwards hears the answer, whatever becomes meanwhile of what that
/// node holds itself.
#[test]
fn an_answer_to_a_forwarded_request_outlives_the_copy() {
    let (nodes, other) = pair();
    write_to(&nodes, 1);
    let key = Bytes::from_static(b"key");
    let mut effects = Vec::new();
    let request = Request::Get { key };
    let waits = nodes[other].submit(now(2), request, Default::default(), || (), &mut effects);
    let Some(Effect::Send { message, .. }) = effects.pop() else {
        panic!("{waits:?} and nothing is asked");
    };
    nodes[1 - other].receive(now(2), IDS[other], message, &mut effects);
    let Some(Effect::Send { message, .. }) = effects.pop() else {
        panic!("no answer");
    };
    assert_eq!(pass(&nodes, 3), 1);
    nodes[other].receive(now(3), IDS[1 - other], message, &mut effects);
    let [Effect::Reply { reply, .. }] = &effects[..] else {
        panic!("{effects:?}");
    };
    let value = Bytes::from_static(b"value");
    assert_eq!(*reply, Reply::Value(Some(value)));
}

/// The news of the cluster outlives what the disk had not synced. So must the mark of what is
/// not whole, or an empty copy is taken for all that there is.
#[test]
fn a_copy_that_is_not_whole_is_not_after_a_loss_of_power_either() {
    let me = IDS[1];
    let mut roster = Roster::default();
    roster.join(IDS[0], 1, Profile::new(IDS[0], "1")).unwrap();
    roster.advance(IDS[0], Phase::Active).unwrap();
    roster.join(me, 1, Profile::new(me, "2")).unwrap();
    roster.depart(me).unwrap();
    for is_new in [true, false] {
        let disk = Arc::new(Simulated::new());
        if !is_new {
            disk.keep_note(&settled(&IDS).unwrap()).unwrap();
        }
        let engine: Arc<dyn Engine> = disk.clone();
        let data = node(me, &engine, 0);
        assert_eq!(is_rebuilding(&data), is_new);
        let message = Message::Roster {
            founding: Some(Founding {
                at_ms: 0,
                by: IDS[0],
            }),
            fingerprint: roster.fingerprint(),
            records: roster.records().map(|(id, r)| (id, r.clone())).collect(),
            mutual: false,
        };
        data.receive(now(1), IDS[0], message, &mut Vec::new());
        data.handle_timeout(now(2), &mut Vec::new());
        assert_eq!(data.phase(), Some(Phase::Joining), "new: {is_new}");
        disk.crash_losing_tail();
        let data = node(me, &engine, 1);
        assert_eq!(data.phase(), Some(Phase::Joining));
        assert!(is_rebuilding(&data), "new: {is_new}");
    }
}
