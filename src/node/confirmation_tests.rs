//! Who is told what: before and after the disk has it, and by which life of a node.

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::request::{Consistency, Reply, Request, RequestError};
use super::tests_support::{at, params, remembering};
use super::{Data, Effect};
use crate::clock::{Dot, NodeId};
use crate::replication::{Durability, Message, Strength};
use crate::store::engine::Memory;

const ME: NodeId = NodeId(1);
const PEER: NodeId = NodeId(2);

fn node(me: NodeId) -> Data<&'static str> {
    opening(me, me.0)
}

/// A node whose actors are drawn from a seed.
fn opening(me: NodeId, seed: u64) -> Data<&'static str> {
    let engine = remembering(Memory::new(), &[ME, PEER]);
    Data::open(&params(me), &engine, SmallRng::seed_from_u64(seed), at(0)).unwrap()
}

fn sees_peer(node: &Data<&'static str>) {
    node.reach(at(0), [PEER].into(), &mut Vec::new());
}

/// The message of that kind among the effects.
fn sent(effects: Vec<Effect<&'static str>>, is_it: impl Fn(&Message) -> bool) -> Message {
    let mut messages = effects.into_iter().filter_map(|effect| match effect {
        Effect::Send { message, .. } => Some(message),
        _ => None,
    });
    messages.find(is_it).expect("it was sent")
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

/// The `n`-th write of a node is answered.
fn stored(node: &Data<&'static str>, n: u64) -> Effect<&'static str> {
    Effect::Reply {
        waiter: "client",
        reply: Reply::Stored(dot(node, n)),
    }
}

/// The `n`-th write of a node's only partition.
fn dot(node: &Data<&'static str>, n: u64) -> Dot {
    let mut dot = Dot::default();
    node.inspect(|partition| {
        let actor = partition.actor();
        dot = Dot { actor, n };
    });
    dot
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
    assert_eq!(sync(&node, true), [stored(&node, 1)]);
    assert!(node.begin_sync().is_none(), "nothing is left");
}

#[test]
fn weaker_levels_are_answered_at_once_and_only_one_is_forced_later() {
    for (level, later) in [(Durability::Interval, true), (Durability::Os, false)] {
        let node = node(ME);
        let mut effects = Vec::new();
        let reply = put(&node, Strength::One, level, &mut effects);
        assert_eq!(
            (reply, effects),
            (Some(Reply::Stored(dot(&node, 1))), vec![])
        );
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
    let all = [1, 2, 3, 4, 5, 6, 7, 8, 9].map(|n| stored(&node, n));
    assert_eq!(sync(&node, true), all);
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
    assert_eq!(effects, [stored(&node, 1)]);
    assert_eq!(sync(&node, true), [stored(&node, 2)]);
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
    sees_peer(&coordinator);
    let level = Durability::Always;
    let reply = put(&coordinator, Strength::Quorum, level, &mut effects);
    assert_eq!(reply, None);
    let push = sent(effects, |message| matches!(message, Message::Push { .. }));
    assert_eq!(sync(&coordinator, true), [], "one of two");
    let mut told = Vec::new();
    replica.receive(at(1), ME, push, &mut told);
    assert_eq!(told, [Effect::SyncNow], "not confirmed yet");
    let confirmed = sync(&replica, true);
    let [Effect::Send { to: ME, message }] = &confirmed[..] else {
        panic!("{confirmed:?}");
    };
    assert!(matches!(message, Message::Pushed { .. }));
    let mut ended = Vec::new();
    coordinator.receive(at(2), PEER, message.clone(), &mut ended);
    assert_eq!(ended, [stored(&coordinator, 1)]);
}

/// Found by the simulator: requests are numbered from one in every life, and a late answer to
/// an earlier life was taken for one to a request of the same number.
#[test]
fn an_answer_to_an_earlier_life_is_none() {
    let replica = node(PEER);
    let mut answers = Vec::new();
    for seed in [1, 2] {
        let coordinator = opening(ME, seed);
        sees_peer(&coordinator);
        let mut effects = Vec::new();
        put(&coordinator, Strength::Quorum, Durability::Os, &mut effects);
        let push = sent(effects, |message| matches!(message, Message::Push { .. }));
        let mut effects = Vec::new();
        replica.receive(at(1), ME, push, &mut effects);
        let pushed = sent(effects, |message| matches!(message, Message::Pushed { .. }));
        let mut effects = Vec::new();
        let consistency = Consistency {
            read: Strength::Quorum,
            ..Consistency::default()
        };
        let request = Request::Get {
            key: Bytes::from_static(b"key"),
        };
        let read = coordinator.submit(at(1), request, consistency, || "reader", &mut effects);
        assert_eq!(read, None);
        let question = sent(effects, |message| matches!(message, Message::Read { .. }));
        let mut effects = Vec::new();
        replica.receive(at(1), ME, question, &mut effects);
        let known = sent(effects, |message| matches!(message, Message::Known { .. }));
        answers.push((coordinator, [pushed, known]));
    }
    let (_, late) = answers.remove(0);
    let (coordinator, own) = answers.remove(0);
    let replies = |messages: [Message; 2]| {
        let mut effects = Vec::new();
        for message in messages {
            coordinator.receive(at(2), PEER, message, &mut effects);
        }
        let is_reply = |effect: &&Effect<_>| matches!(effect, Effect::Reply { .. });
        effects.iter().filter(is_reply).count()
    };
    assert_eq!(replies(late), 0);
    assert_eq!(replies(own), 2);
}
