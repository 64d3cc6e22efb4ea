//! Changes of a key on whole nodes: they wait like any write, and values end.

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::change::{Change, Changed, Ends, EndsIf, OnlyIf};
use super::request::{Consistency, Reply, Request, RequestError};
use super::tests_support::{START_MS, at, params, remembering};
use super::{Data, Effect};
use crate::clock::{Dot, NodeId};
use crate::machine::Now;
use crate::object::VALUE_BYTES_MAX;
use crate::placement::PartitionId;
use crate::replication::{Input, Message, Strength};
use crate::store::engine::Memory;

/// The owner that decides, where both can be reached.
const ME: NodeId = NodeId(2);
const PEER: NodeId = NodeId(1);

/// A node that has a peer, within reach or not.
fn node(me: NodeId, peer: NodeId, reachable: bool) -> Data<&'static str> {
    let engine = remembering(Memory::new(), &[me, peer]);
    let rng = SmallRng::seed_from_u64(me.0);
    let node = Data::open(&params(me), &engine, rng, at(0)).unwrap();
    let reachable = reachable.then_some(peer).into_iter().collect();
    node.reach(at(0), reachable, &mut Vec::new());
    node
}

/// How many keys have a value.
fn count(node: &Data<&'static str>, now: Now) -> u64 {
    let count = Request::Count {
        partition: PartitionId(0),
    };
    let here = Consistency::default();
    match node.submit(now, count, here, || "", &mut Vec::new()) {
        Some(Reply::Count(count)) => count,
        other => panic!("{other:?}"),
    }
}

fn change(
    node: &Data<&'static str>,
    now: Now,
    write: Strength,
    change: Change,
    effects: &mut Vec<Effect<&'static str>>,
) -> Option<Reply> {
    let request = Request::Update {
        key: Bytes::from_static(b"key"),
        change,
    };
    let consistency = Consistency {
        write,
        ..Consistency::default()
    };
    node.submit(now, request, consistency, || "client", effects)
}

fn get(node: &Data<&'static str>, now: Now) -> Option<Bytes> {
    let request = Request::Get {
        key: Bytes::from_static(b"key"),
    };
    let consistency = Consistency::default();
    match node.submit(now, request, consistency, || "reader", &mut Vec::new()) {
        Some(Reply::Value(value)) => value,
        other => panic!("{other:?}"),
    }
}

fn set(value: &'static str, ends: Ends, only_if: OnlyIf) -> Change {
    Change::Set {
        value: Bytes::from_static(value.as_bytes()),
        ends,
        only_if,
        is_swap: false,
    }
}

/// What the `n`-th write of a node did.
fn done(node: &Data<&'static str>, n: u64, before: Option<&'static str>, length: usize) -> Reply {
    let mut dot = None;
    node.inspect(|partition| {
        let actor = partition.actor();
        dot = Some(Dot { actor, n });
    });
    Reply::Changed(Changed {
        done: true,
        before: before.map(|value| Bytes::from_static(value.as_bytes())),
        length,
        sum: None,
        dot,
    })
}

/// Brings what one node sent to the other, and says what that one has to say.
fn deliver(
    effects: Vec<Effect<&'static str>>,
    from: NodeId,
    to: &Data<&'static str>,
    now: Now,
) -> Vec<Effect<&'static str>> {
    let mut answers = Vec::new();
    for effect in effects {
        if let Effect::Send { message, .. } = effect {
            to.receive(now, from, message, &mut answers);
        }
    }
    answers
}

#[test]
fn a_change_takes_effect_at_once_and_is_answered_when_the_replicas_have_it() {
    let (one, two) = (node(ME, PEER, true), node(PEER, ME, true));
    // Before it has compared itself it would leave the decision to the other.
    one.tell_sync(at(0), Input::Same(PEER), &mut Vec::new());
    let mut effects = Vec::new();
    let first = set("a", Ends::At(START_MS + 500), OnlyIf::Absent);
    let reply = change(&one, at(0), Strength::Quorum, first.clone(), &mut effects);
    assert_eq!(reply, None);
    assert_eq!(get(&one, at(1)), Some(Bytes::from_static(b"a")));
    let told = deliver(effects, ME, &two, at(1));
    let ended = deliver(told, PEER, &one, at(2));
    let answer = |reply| Effect::Reply {
        waiter: "client",
        reply,
    };
    assert_eq!(ended, [answer(done(&one, 1, None, 1))]);

    // What is not done waits for nobody.
    assert_eq!(get(&two, at(2)), Some(Bytes::from_static(b"a")));
    let mut effects = Vec::new();
    let again = change(&one, at(2), Strength::All, first, &mut effects);
    let Some(Reply::Changed(changed)) = again else {
        panic!("{again:?}");
    };
    assert!(!changed.done && effects.is_empty());
    let tail = Bytes::from_static(b"bc");
    let append = Change::Append { tail };
    let appended = change(&one, at(3), Strength::One, append, &mut effects);
    assert_eq!(appended, Some(done(&one, 2, Some("a"), 3)));
    deliver(effects, ME, &two, at(4));

    // With its end, which is not said again.
    for node in [&one, &two] {
        assert_eq!(get(node, at(499)), Some(Bytes::from_static(b"abc")));
        assert_eq!(count(node, at(499)), 1);
        assert_eq!(get(node, at(500)), None);
        assert_eq!(count(node, at(500)), 0);
        assert_eq!(node.stats().ending, 1, "it is not removed yet");
        node.handle_timeout(at(5_000), &mut Vec::new());
        assert_eq!((node.stats().ending, node.stats().keys), (0, 0));
    }
}

#[test]
fn a_change_that_may_not_be_made_leaves_everything_as_it_was() {
    let node = node(ME, PEER, false);
    let mut effects = Vec::new();
    let put = set("a", Ends::Never, OnlyIf::Always);
    let refused = change(&node, at(0), Strength::StrictQuorum, put, &mut effects);
    assert!(
        matches!(
            refused,
            Some(Reply::Failed(RequestError::NoReplicas { .. }))
        ),
        "{refused:?}"
    );
    let far = Change::Overwrite {
        offset: VALUE_BYTES_MAX,
        bytes: Bytes::from_static(b"x"),
    };
    let refused = change(&node, at(0), Strength::One, far, &mut effects);
    let too_long = RequestError::ValueTooLong {
        length: VALUE_BYTES_MAX + 1,
        limit: VALUE_BYTES_MAX,
    };
    assert_eq!(refused, Some(Reply::Failed(too_long)));
    assert_eq!((get(&node, at(0)), effects.len()), (None, 0));
    assert_eq!(node.stats().dots_live, 0);
}

/// Concurrent writes of a value and of an end: one of both, the same on both nodes.
#[test]
fn an_end_and_a_value_written_at_once_do_not_mix() {
    let (one, two) = (node(ME, PEER, true), node(PEER, ME, true));
    let mut effects = Vec::new();
    let first = set("old", Ends::Never, OnlyIf::Always);
    change(&one, at(0), Strength::One, first, &mut effects);
    deliver(std::mem::take(&mut effects), ME, &two, at(1));

    let end = Change::End {
        at_ms: START_MS + 500,
        only_if: EndsIf::Any,
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    change(&one, at(10), Strength::One, end, &mut ours);
    let new = set("new", Ends::Never, OnlyIf::Always);
    change(&two, at(20), Strength::One, new, &mut theirs);
    deliver(ours, ME, &two, at(30));
    deliver(theirs, PEER, &one, at(30));
    for node in [&one, &two] {
        assert_eq!(get(node, at(40)), Some(Bytes::from_static(b"new")));
        assert_eq!(get(node, at(600)), Some(Bytes::from_static(b"new")));
        assert_eq!(count(node, at(600)), 1);
    }
}

#[test]
fn a_lookup_asks_as_many_replicas_as_a_read() {
    let (one, two) = (node(ME, PEER, true), node(PEER, ME, true));
    let there = set("a", Ends::At(START_MS + 500), OnlyIf::Always);
    change(&two, at(0), Strength::One, there, &mut Vec::new());
    let consistency = Consistency {
        read: Strength::All,
        ..Consistency::default()
    };
    let lookup = Request::Lookup {
        key: Bytes::from_static(b"key"),
    };
    let mut effects = Vec::new();
    let reply = one.submit(at(1), lookup, consistency, || "reader", &mut effects);
    assert_eq!(reply, None);
    let known = deliver(effects, ME, &two, at(2));
    let is_known = |effect: &Effect<_>| {
        matches!(
            effect,
            Effect::Send {
                message: Message::Known { .. },
                ..
            }
        )
    };
    assert!(known.iter().any(is_known));
    let found = deliver(known, PEER, &one, at(3));
    let version = found.into_iter().find_map(|effect| match effect {
        Effect::Reply {
            reply: Reply::Version(version),
            ..
        } => version,
        _ => None,
    });
    assert_eq!(version.unwrap().expire_at_ms, Some(START_MS + 500));
}

/// Data that is in memory only has a bound: what would add to more is refused, and room can be
/// made.
#[test]
fn memory_that_is_full_refuses_what_adds() {
    let (me, peer) = (NodeId(1), NodeId(2));
    let engine = remembering(Memory::within(10_000), &[me, peer]);
    let rng = SmallRng::seed_from_u64(1);
    let node = Data::open(&params(me), &engine, rng, at(0)).unwrap();
    let one = Consistency {
        write: Strength::One,
        ..Consistency::default()
    };
    let submit = |request| node.submit(at(1), request, one, || "client", &mut Vec::new());
    let key = |n: usize| Bytes::from(format!("key {n}"));
    let put = |n| Request::Put {
        key: key(n),
        value: Bytes::from(vec![b'x'; 3_000]),
        context: None,
    };
    let is_full = |reply: &Option<Reply>| {
        matches!(
            reply,
            Some(Reply::Failed(RequestError::OutOfMemory {
                bytes_max: 10_000,
                ..
            }))
        )
    };
    let stored = (0..9).take_while(|n| !is_full(&submit(put(*n)))).count();
    assert_eq!(stored, 3);
    let add = Request::Update {
        key: key(0),
        change: Change::Append {
            tail: Bytes::from_static(b"x"),
        },
    };
    assert!(is_full(&submit(add)));
    assert!(matches!(
        submit(Request::Get { key: key(0) }),
        Some(Reply::Value(Some(_)))
    ));
    let delete = Request::Delete {
        key: key(0),
        context: None,
    };
    assert!(matches!(submit(delete), Some(Reply::Deleted(Some(_)))));
    assert!(matches!(submit(put(9)), Some(Reply::Stored(_))));
}
