//! Laws of the merge (PROTOCOL 1.1).
//!
//! Objects are drawn from one history: a write includes the whole state that its coordinator
//! had, and an object is a union of such states. That is what S4 and S8 promise, and merge
//! is only a join on such objects.

use std::collections::BTreeSet;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::clock::{ActorId, Dot, Hlc, NodeId, VersionVector};

/// Replicas that write one key, and hear whole states of each other.
fn any_history() -> impl Strategy<Value = Vec<Object>> {
    let step = (0usize..3, 0usize..3, any::<bool>(), any::<bool>());
    prop::collection::vec(step, 1..14).prop_map(|steps| {
        let mut replicas = vec![Object::default(); 3];
        let mut seen = vec![Object::default()];
        for (at, from, hears, deletes) in steps {
            if hears {
                replicas[at] = replicas[at].merge(&replicas[from].clone());
            } else {
                write(&mut replicas[at], at as u64, deletes);
            }
            seen.push(replicas[at].clone());
        }
        seen
    })
}

fn write(object: &mut Object, at: u64, deletes: bool) {
    let actor = ActorId {
        node: NodeId(at),
        incarnation: at,
    };
    let dot = Dot {
        actor,
        n: object.context.get(actor) + 1,
    };
    object.versions = Versions::new();
    if !deletes {
        object.versions.insert(dot, version(dot.n * 7 % 5, "value"));
    }
    object.context.add(dot);
}

fn version(hlc: u64, value: &'static str) -> Version {
    Version {
        hlc: Hlc(hlc),
        expire_at_ms: None,
        value: Bytes::from_static(value.as_bytes()),
        part: None,
    }
}

fn pick(seen: &[Object], at: prop::sample::Index) -> &Object {
    &seen[at.index(seen.len())]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn merge_is_commutative(seen in any_history(), a: prop::sample::Index, b: prop::sample::Index) {
        let (a, b) = (pick(&seen, a), pick(&seen, b));
        prop_assert_eq!(a.merge(b), b.merge(a));
    }

    #[test]
    fn merge_is_associative(
        seen in any_history(),
        a: prop::sample::Index, b: prop::sample::Index, c: prop::sample::Index,
    ) {
        let (a, b, c) = (pick(&seen, a), pick(&seen, b), pick(&seen, c));
        prop_assert_eq!(a.merge(b).merge(c), a.merge(&b.merge(c)));
    }

    #[test]
    fn merge_is_idempotent(seen in any_history(), a: prop::sample::Index, b: prop::sample::Index) {
        let (a, b) = (pick(&seen, a), pick(&seen, b));
        prop_assert_eq!(&a.merge(a), a);
        let both = a.merge(b);
        prop_assert_eq!(both.merge(a), both.clone());
        prop_assert!(both.context.dominates(&a.context));
    }

    /// Exactly the versions stay that no side knows and lacks (S3), losers of
    /// last-write-wins included (R15).
    #[test]
    fn merge_keeps_what_nobody_replaced(seen in any_history(), a: prop::sample::Index, b: prop::sample::Index) {
        let (a, b) = (pick(&seen, a), pick(&seen, b));
        let all: BTreeSet<Dot> = a.versions.dots().chain(b.versions.dots()).collect();
        let stays = |dot: &Dot| [a, b].iter().all(|side| side.versions.contains(*dot) || !side.context.contains(*dot));
        let expected: Vec<Dot> = all.into_iter().filter(stays).collect();
        prop_assert_eq!(a.merge(b).versions.dots().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_winner_is_the_same_whatever_the_order(seen in any_history(), a: prop::sample::Index, b: prop::sample::Index) {
        let (a, b) = (pick(&seen, a), pick(&seen, b));
        let (one, other) = (a.merge(b), b.merge(a));
        prop_assert_eq!(one.winner(), other.winner());
    }
}

fn dot(node: u64, n: u64) -> Dot {
    Dot {
        actor: ActorId {
            node: NodeId(node),
            incarnation: 1,
        },
        n,
    }
}

#[test]
fn the_last_write_wins_and_equal_times_go_to_the_larger_dot() {
    let versions: Versions = [
        (dot(1, 1), version(5, "early")),
        (dot(2, 1), version(9, "tie, smaller dot")),
        (dot(3, 1), version(9, "tie, larger dot")),
    ]
    .into_iter()
    .collect();
    assert_eq!(versions.value_at(0).unwrap().value, "tie, larger dot");
    assert_eq!(versions.last_hlc(), Some(Hlc(9)));
}

/// An ended winner uncovers the sibling that was never overwritten.
#[test]
fn an_ended_version_does_not_win() {
    let mut ended = version(9, "ended");
    ended.expire_at_ms = Some(1_000);
    let versions: Versions = [(dot(1, 1), version(5, "stays")), (dot(2, 1), ended)]
        .into_iter()
        .collect();
    assert_eq!(versions.value_at(999).unwrap().value, "ended");
    assert_eq!(versions.value_at(1_000).unwrap().value, "stays");
}

/// Two values under one dot never happen; if they do, all replicas take the same one.
#[test]
fn two_values_of_one_dot_merge_to_one() {
    let object = |value| Object {
        versions: [(dot(1, 1), version(1, value))].into_iter().collect(),
        context: [(dot(1, 1).actor, 1)].into_iter().collect(),
    };
    let (a, b) = (object("a"), object("b"));
    assert_eq!(a.merge(&b), b.merge(&a));
}

#[test]
fn rows_know_their_own_context() {
    let row = Row {
        versions: [(dot(1, 4), version(1, "v"))].into_iter().collect(),
        residual: [(dot(1, 1).actor, 2), (dot(2, 1).actor, 7)]
            .into_iter()
            .collect(),
    };
    assert_eq!(row.known(dot(1, 1).actor), 4);
    assert_eq!(row.known(dot(2, 1).actor), 7);
    assert_eq!(row.known(dot(3, 1).actor), 0);
    let expected: VersionVector = [(dot(1, 1).actor, 4), (dot(2, 1).actor, 7)]
        .into_iter()
        .collect();
    assert_eq!(row.own_context(), expected);
}

#[test]
fn versions_out_of_order_are_refused() {
    let ascending = vec![(dot(1, 1), version(1, "a")), (dot(1, 2), version(1, "b"))];
    assert!(Versions::try_from(ascending.clone()).is_ok());
    let twice = vec![ascending[0].clone(), ascending[0].clone()];
    assert!(Versions::try_from(twice).is_err());
    let descending = vec![ascending[1].clone(), ascending[0].clone()];
    assert!(Versions::try_from(descending).is_err());
}
