//! Requests that come one behind the other do what they would do one by one.

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::request::{Consistency, Reply, Request};
use super::tests_support::{at, params, remembering};
use super::{Data, Effect};
use crate::clock::NodeId;
use crate::replication::{Message, Strength};
use crate::store::engine::Memory;

const ME: NodeId = NodeId(1);
const PEER: NodeId = NodeId(2);

fn node() -> Data<&'static str> {
    let engine = remembering(Memory::new(), &[ME, PEER]);
    let node = Data::open(&params(ME), &engine, SmallRng::seed_from_u64(1), at(0)).unwrap();
    node.reach(at(0), [PEER].into(), &mut Vec::new());
    node
}

fn put(value: &'static str) -> Request {
    Request::Put {
        key: Bytes::from_static(b"key"),
        value: Bytes::from_static(value.as_bytes()),
        context: None,
    }
}

fn get() -> Request {
    let key = Bytes::from_static(b"key");
    Request::Get { key }
}

#[test]
fn each_request_sees_those_before_it_and_leaves_its_push() {
    let node = node();
    let mut effects = Vec::new();
    let one = Consistency {
        read: Strength::One,
        write: Strength::One,
        ..Consistency::default()
    };
    let mut streak = node.streak();
    for value in ["a", "b", "c"] {
        let stored = streak.submit(at(1), put(value), one, || "", &mut effects);
        assert!(matches!(stored, Some(Reply::Stored(_))), "{stored:?}");
        let read = streak.submit(at(1), get(), one, || "", &mut effects);
        assert_eq!(read, Some(Reply::Value(Some(value.into()))));
        assert!(streak.is_held());
    }
    let is_push = |effect: &Effect<_>| {
        matches!(
            effect,
            Effect::Send {
                message: Message::Push { .. },
                ..
            }
        )
    };
    assert_eq!(effects.iter().filter(|effect| is_push(effect)).count(), 3);
}

#[test]
fn a_write_that_waits_is_answered_after_the_streak() {
    let node = node();
    let mut effects = Vec::new();
    let all = Consistency {
        write: Strength::All,
        ..Consistency::default()
    };
    let mut streak = node.streak();
    let waits = streak.submit(at(1), put("a"), all, || "waits", &mut effects);
    assert_eq!(waits, None);
    streak.release();
    assert!(!streak.is_held());
    let id = effects.iter().find_map(|effect| match effect {
        Effect::Send {
            message: Message::Push { id, push, .. },
            ..
        } => Some((*id, push.partition, push.dot.actor)),
        _ => None,
    });
    let (id, partition, to) = id.unwrap();
    let pushed = Message::Pushed { partition, id, to };
    effects.clear();
    node.receive(at(2), PEER, pushed, &mut effects);
    let told = |effect: &Effect<_>| {
        matches!(
            effect,
            Effect::Reply {
                waiter: "waits",
                ..
            }
        )
    };
    assert!(effects.iter().any(told), "{}", effects.len());
}

/// Others wait for the shard meanwhile.
#[test]
fn a_shard_is_given_back_after_some_requests() {
    let node = node();
    let mut streak = node.streak();
    let mut effects = Vec::new();
    let mut held = 0;
    for _ in 0..1_000 {
        streak.submit(at(1), get(), Consistency::default(), || "", &mut effects);
        held += usize::from(streak.is_held());
    }
    assert!((900..1_000).contains(&held), "{held}");
}
