//! Who is told what before and after the disk has it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::request::{Consistency, Reply, Request, RequestError};
use super::tests_support::params;
use super::{Data, Effect, View};
use crate::clock::NodeId;
use crate::machine::{Instant, Now};
use crate::replication::{Durability, Message, Strength};
use crate::store::engine::{Engine, Memory};

const ME: NodeId = NodeId(1);
const PEER: NodeId = NodeId(2);

fn at(ms: u64) -> Now {
    Now {
        mono: Instant::from_elapsed(Duration::from_millis(ms)),
        wall_ms: 1_000_000 + ms,
    }
}

fn node(me: NodeId) -> Data<&'static str> {
    let engine: Arc<dyn Engine> = Arc::new(Memory::new());
    Data::open(&params(me), &engine, SmallRng::seed_from_u64(me.0), at(0)).unwrap()
}

fn put(
    node: &Data<&'static str>,
    write: Strength,
    durability: Durability,
    effects: &mut Vec<Effect<&'static str>>,
) -> Option<Reply> {
    let request = Request::Put {
        key: Bytes::from_static(b"key"),
        value: Bytes::from_static(b"value"),
        context: None,
    };
    let consistency = Consistency {
        write,
        durability,
        ..Consistency::default()
    };
    node.submit(at(0), request, consistency, || "client", effects)
}

fn stored() -> Effect<&'static str> {
    Effect::Reply {
        waiter: "client",
        reply: Reply::Stored,
    }
}

/// Lets the disk have everything; what that leaves to be done.
fn sync(node: &Data<&'static str>, kept: bool) -> Vec<Effect<&'static str>> {
    let mut effects = Vec::new();
    let syncing = node.begin_sync().expect("something to force");
    node.end_sync(at(5), syncing, kept, &mut effects);
    effects
}

#[test]
fn a_lone_node_answers_once_its_disk_has_the_write() {
    let node = node(ME);
    let mut effects = Vec::new();
    let reply = put(&node, Strength::One, Durability::Always, &mut effects);
    assert_eq!((reply, effects), (None, vec![Effect::SyncNow]));
    assert_eq!(sync(&node, true), [stored()]);
    assert!(node.begin_sync().is_none(), "nothing is left");
}

#[test]
fn weaker_levels_are_answered_at_once_and_only_one_is_forced_later() {
    for (level, later) in [(Durability::Interval, true), (Durability::Os, false)] {
        let node = node(ME);
        let mut effects = Vec::new();
        let reply = put(&node, Strength::One, level, &mut effects);
        assert_eq!((reply, effects), (Some(Reply::Stored), vec![]));
        assert_eq!(node.begin_sync().is_some(), later, "{level:?}");
    }
}

#[test]
fn writes_that_come_together_share_one_sync() {
    let node = node(ME);
    let mut effects = Vec::new();
    for _ in 0..9 {
        put(&node, Strength::One, Durability::Always, &mut effects);
    }
    assert_eq!(sync(&node, true), [(); 9].map(|()| stored()));
}

#[test]
fn what_is_committed_during_a_sync_waits_for_the_next() {
    let node = node(ME);
    let mut effects = Vec::new();
    put(&node, Strength::One, Durability::Always, &mut effects);
    let first = node.begin_sync().unwrap();
    put(&node, Strength::One, Durability::Always, &mut effects);
    effects.clear();
    node.end_sync(at(1), first, true, &mut effects);
    assert_eq!(effects, [stored()]);
    assert_eq!(sync(&node, true), [stored()]);
}

/// The disk may have it or not, so nobody says either; and it is tried again.
#[test]
fn a_failed_sync_confirms_nothing() {
    let node = node(ME);
    let mut effects = Vec::new();
    put(&node, Strength::One, Durability::Always, &mut effects);
    assert_eq!(sync(&node, false), []);
    assert!(node.begin_sync().is_some());
    effects.clear();
    node.handle_timeout(at(10_000), &mut effects);
    let failed = effects.iter().find_map(|effect| match effect {
        Effect::Reply { reply, .. } => Some(reply.clone()),
        _ => None,
    });
    let Some(Reply::Failed(RequestError::Unconfirmed { confirmed, .. })) = failed else {
        panic!("{failed:?}");
    };
    assert_eq!(confirmed, 0);
}

/// A quorum of two: both disks.
#[test]
fn a_replica_confirms_once_its_disk_has_the_write() {
    let (coordinator, replica) = (node(ME), node(PEER));
    let mut effects = Vec::new();
    let view = View {
        replicas: [PEER].into(),
        reachable: [PEER].into(),
    };
    coordinator.view_changed(at(0), view, &mut effects);
    effects.clear();
    let level = Durability::Always;
    let reply = put(&coordinator, Strength::Quorum, level, &mut effects);
    assert_eq!(reply, None);
    let push = effects.into_iter().find_map(|effect| match effect {
        Effect::Send { message, .. } => Some(message),
        _ => None,
    });
    assert_eq!(sync(&coordinator, true), [], "one of two");
    let mut told = Vec::new();
    replica.receive(at(1), ME, push.unwrap(), &mut told);
    assert_eq!(told, [Effect::SyncNow], "not confirmed yet");
    let confirmed = sync(&replica, true);
    let [Effect::Send { to: ME, message }] = &confirmed[..] else {
        panic!("{confirmed:?}");
    };
    assert!(matches!(message, Message::Pushed { .. }));
    let mut ended = Vec::new();
    coordinator.receive(at(2), PEER, message.clone(), &mut ended);
    assert_eq!(ended, [stored()]);
}
