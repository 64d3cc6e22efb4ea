//! A node whose disk fails: what it refuses meanwhile, and who it is afterwards.

use std::sync::Arc;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::request::{Consistency, Reply, Request, RequestError};
use super::tests_support::params;
use super::transfer::{TransferError, TransferRequest};
use super::{Data, Effect, Gate, settled};
use crate::clock::{ActorId, NodeId};
use crate::machine::Now;
use crate::replication::{Durability, Message, Strength};
use crate::store::engine::{Engine, Simulated};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

type Node = Data<&'static str>;

fn node(me: NodeId, disk: &Arc<Simulated>, gate: &Arc<Gate>) -> Node {
    let engine: Arc<dyn Engine> = disk.clone();
    engine.keep_note(&settled(&[A, B]).unwrap()).unwrap();
    let rng = SmallRng::seed_from_u64(me.0);
    let node = Data::open(&params(me), &engine, rng, Now::default()).unwrap();
    let node = node.behind(gate.clone());
    let peers = [NodeId(3 - me.0)].into();
    node.reach(Now::default(), peers, &mut Vec::new());
    node
}

fn put(
    node: &Node,
    value: &'static str,
    strength: Strength,
    effects: &mut Vec<Effect<&'static str>>,
) -> Option<Reply> {
    let request = Request::Put {
        key: Bytes::from_static(b"key"),
        value: Bytes::from_static(value.as_bytes()),
        context: None,
    };
    let consistency = Consistency {
        write: strength,
        durability: Durability::Os,
        ..Consistency::default()
    };
    node.submit(Now::default(), request, consistency, || "client", effects)
}

fn get(node: &Node) -> Reply {
    let key = Bytes::from_static(b"key");
    let consistency = Consistency::default();
    let request = Request::Get { key };
    let reply = node.submit(Now::default(), request, consistency, || "", &mut Vec::new());
    reply.expect("answered at once")
}

fn value(value: &'static str) -> Reply {
    Reply::Value(Some(Bytes::from_static(value.as_bytes())))
}

fn actor(node: &Node) -> ActorId {
    let mut actor = None;
    node.inspect(|partition| actor = Some(partition.actor()));
    actor.unwrap()
}

/// Gives `to` what `from` left for it; what that leaves.
fn deliver(
    from: NodeId,
    effects: Vec<Effect<&'static str>>,
    to: &Node,
) -> Vec<Effect<&'static str>> {
    let mut left = Vec::new();
    for effect in effects {
        if let Effect::Send { message, .. } = effect {
            to.receive(Now::default(), from, message, &mut left);
        }
    }
    left
}

#[test]
fn a_closed_gate_lets_nothing_in_and_answers() {
    let (gate, open) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
    let a = node(A, &Arc::default(), &gate);
    let b = node(B, &Arc::default(), &open);
    let mut effects = Vec::new();
    put(&a, "before", Strength::One, &mut effects);
    deliver(A, effects, &b);

    gate.close("disk is full");
    let refused = put(&a, "refused", Strength::One, &mut Vec::new());
    let stopped = RequestError::WritesStopped("disk is full".into());
    assert_eq!(refused, Some(Reply::Failed(stopped)));
    assert_eq!(get(&a), value("before"));
    let mut effects = Vec::new();
    assert!(put(&b, "after", Strength::All, &mut effects).is_none());
    assert_eq!(deliver(B, effects, &a), [], "nothing is confirmed");
    assert_eq!(get(&a), value("before"));
    let restore = TransferRequest::BeginRestore {
        partitions: 1,
        hash_seed: 0,
    };
    let refused = a.transfer(Now::default(), 1, restore, &mut Vec::new());
    assert!(matches!(refused, Err(TransferError::WritesStopped(_))));
    // Its peer is told what it lacks, and it does not ask for what it cannot keep.
    let mut asked = Vec::new();
    b.inspect(|partition| {
        asked.push(Effect::Send {
            to: A,
            message: Message::Digest {
                digest: partition.digest(),
                fingerprint: partition.half_fingerprint(),
                mutual: true,
            },
        });
    });
    let answers = deliver(B, asked, &a);
    assert!(!answers.iter().any(|effect| matches!(
        effect,
        Effect::Send {
            message: Message::Digest { .. },
            ..
        }
    )));

    gate.open();
    let mut effects = Vec::new();
    assert!(put(&b, "later", Strength::All, &mut effects).is_none());
    assert_eq!(deliver(B, effects, &a).len(), 1, "it is confirmed");
    assert_eq!(get(&a), value("later"));
}

/// The story of a disk that forgot its tail: what it lost comes back from the peer, and the
/// dots of the lost writes are not issued again (R1, N01).
#[test]
fn a_node_goes_on_under_fresh_actors_with_what_its_disk_has() {
    let (gate, disk) = (Arc::new(Gate::default()), Arc::new(Simulated::new()));
    let a = node(A, &disk, &gate);
    let b = node(B, &Arc::default(), &Arc::default());
    let mut pushes = Vec::new();
    put(&a, "kept", Strength::One, &mut pushes);
    deliver(A, pushes, &b);
    disk.sync().unwrap();
    let mut pushes = Vec::new();
    put(&a, "lost", Strength::One, &mut pushes);
    deliver(A, pushes, &b);
    let before = actor(&a);

    disk.fail(true);
    gate.close("disk failed");
    a.distrust();
    disk.crash_losing_tail();
    let again = disk.reopen().unwrap().engine;
    a.reopen(&again, SmallRng::seed_from_u64(77)).unwrap();
    gate.open();

    assert_ne!(actor(&a), before);
    assert_eq!(get(&a), value("kept"));
    let mut asked = Vec::new();
    a.inspect(|partition| {
        asked.push(Effect::Send {
            to: B,
            message: Message::Digest {
                digest: partition.digest(),
                fingerprint: partition.half_fingerprint(),
                mutual: false,
            },
        });
    });
    deliver(B, deliver(A, asked, &b), &a);
    assert_eq!(get(&a), value("lost"));
    let mut pushes = Vec::new();
    put(&a, "new", Strength::One, &mut pushes);
    deliver(A, pushes, &b);
    assert_eq!((get(&a), get(&b)), (value("new"), value("new")));
    for node in [&a, &b] {
        assert_eq!(node.stats().dot_conflicts, 0);
    }
    let mut clocks = Vec::new();
    for node in [&a, &b] {
        node.inspect(|partition| clocks.push(partition.clock().clone()));
    }
    assert_eq!(clocks[0], clocks[1]);
}

/// A write that waits when the disk fails does not count the copy that may be lost.
#[test]
fn a_copy_that_may_be_lost_is_not_counted() {
    let a = node(A, &Arc::default(), &Arc::default());
    let b = node(B, &Arc::default(), &Arc::default());
    let mut pushes = Vec::new();
    assert!(put(&a, "v", Strength::All, &mut pushes).is_none());
    a.distrust();
    let told = deliver(A, pushes, &b);
    assert_eq!(deliver(B, told, &a), [], "one of two");
}

/// A partition that cannot be opened leaves all of them as they were.
#[test]
fn an_engine_that_cannot_be_read_replaces_none() {
    let disk = Arc::new(Simulated::new());
    let a = node(A, &disk, &Arc::default());
    put(&a, "v", Strength::One, &mut Vec::new());
    let before = actor(&a);
    let again = disk.reopen().unwrap().engine;
    disk.fail_reads(true);
    assert!(a.reopen(&again, SmallRng::seed_from_u64(77)).is_err());
    assert_eq!((actor(&a), get(&a)), (before, value("v")));
    disk.fail_reads(false);
    a.reopen(&again, SmallRng::seed_from_u64(77)).unwrap();
    assert_eq!(get(&a), value("v"));
    assert_eq!(a.stats().keys, 1);
}
