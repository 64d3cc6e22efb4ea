//! The counterexamples of PROTOCOL section 13 about writes, pushes and restarts, each as the
//! shortest schedule that broke a naive variant. A1 is the first dot of A.
//!
//! Not here, because what they break does not exist: N30 and N31 (there are no delete
//! markers), N15 (nothing drops a copy), N18 (there are no hints). N35 is what counters do. N17 is
//! with the tests of closing.

use super::*;

/// N01: B re-issued B1 after losing its tail, and two values lived under one dot for ever.
/// R1: the second B1 is of another actor.
#[test]
pub(super) fn n01_a_restart_after_a_lost_tail_issues_no_dot_twice() {
    let (mut a, mut b, _) = abc();
    let first = b.put("k0", "first");
    a.take(&first);
    b.lose_tail();
    let second = b.put("k0", "second");
    assert_eq!((first.dot.n, second.dot.n), (1, 1));
    assert_ne!(first.dot, second.dot);
    assert_eq!(a.push(&second), Applied::New);
    heal(&mut [&mut a, &mut b]);
    assert_eq!(a.values("k0"), ["first", "second"]);
}

/// N01w: the same after the disk was lost.
#[test]
pub(super) fn n01w_a_restart_with_an_empty_disk_issues_no_dot_twice() {
    let (mut a, mut b, _) = abc();
    let first = a.put("k0", "first");
    a.sync();
    b.take(&first);
    a.disk.wipe();
    a.reopen();
    let second = a.put("k0", "second");
    assert_ne!(first.dot, second.dot);
    heal(&mut [&mut a, &mut b]);
    assert_eq!(b.values("k0"), ["first", "second"]);
}

/// N16: a partition was dropped after hand-off, came back under its old actor, and re-issued
/// B1. Coming back is an opening like any other.
#[test]
pub(super) fn n16_a_partition_that_comes_back_issues_no_dot_twice() {
    let (mut a, mut b, _) = abc();
    let first = b.put("k0", "first");
    a.take(&first);
    b.drop_copy();
    let second = b.put_with("k0", "second", Some(&a.token("k0")));
    assert_ne!(first.dot, second.dot);
    heal(&mut [&mut a, &mut b]);
    assert_eq!(a.values("k0"), ["second"]);
}

/// N02: the push of k1 brought B's base along, so k0's B1 counted as seen and never came.
/// R2: only the pushed dot and the live dots enter the clock.
#[test]
pub(super) fn n02_a_push_says_nothing_of_other_keys() {
    let (mut a, mut b, _) = abc();
    let other = b.put("k0", "v0");
    let push = b.put("k1", "v1");
    a.take(&push);
    assert!(!a.partition.clock().contains(other.dot));
    heal(&mut [&mut a, &mut b]);
    assert_eq!(a.values("k0"), ["v0"]);
}

/// N03: a push of A2 alone had a context that covers A1, and deleted it. R3: the whole row.
#[test]
pub(super) fn n03_a_push_carries_siblings() {
    let (mut a, mut b, _) = abc();
    let old = b.token("k0");
    a.put("k0", "v1");
    let push = a.put_with("k0", "v2", Some(&old));
    b.take(&push);
    assert_eq!(b.values("k0"), ["v1", "v2"]);
    heal(&mut [&mut a, &mut b]);
}

/// N04: a token's dots entered the coordinator's clock, which then claimed A1 without having
/// applied it; C1 and C2 both lived at C. R4: they enter the row's context only.
#[test]
pub(super) fn n04_a_context_says_nothing_to_the_clock() {
    let (mut a, _, mut c) = abc();
    let first = c.put("k1", "c1");
    a.take(&first);
    let unseen = a.put("k1", "a1");
    c.put_with("k1", "c2", Some(&a.token("k1")));
    assert!(!c.partition.clock().contains(unseen.dot));
    assert_eq!(c.values("k1"), ["c2"]);
    c.take(&unseen);
    assert_eq!(c.values("k1"), ["c2"], "the context knew a1 before it came");
    heal(&mut [&mut a, &mut c]);
}

/// N08: C dropped the loser A1 when the winner B1 came; the delete of B1 then left A1 alive
/// at A and gone at C. R15: merge keeps losers, readers choose.
#[test]
pub(super) fn n08_losers_of_last_write_wins_stay() {
    let (mut a, mut b, mut c) = abc();
    let loser = a.put("k1", "a1");
    let winner = b.put("k1", "b1");
    c.take(&loser);
    c.take(&winner);
    assert_eq!(c.values("k1"), ["a1", "b1"]);
    assert_eq!(
        c.partition.read(b"k1", NOON_MS).unwrap().unwrap().value,
        "b1"
    );
    let delete = b.delete("k1").unwrap();
    c.take(&delete);
    assert_eq!(c.values("k1"), ["a1"], "the delete had not seen a1");
    heal(&mut [&mut a, &mut b, &mut c]);
    assert_eq!(a.values("k1"), ["a1"]);
}

/// N12: A's entry was pruned and a late push revived what A' had overwritten. R12: entries
/// stay, so the late push is known.
#[test]
pub(super) fn n12_a_late_push_of_a_dead_actor_revives_nothing() {
    let (mut a, mut b, _) = abc();
    let late = a.put("k0", "old");
    a.sync();
    a.lose_tail();
    let push = a.put("k0", "new");
    assert_eq!(a.push(&late), Applied::Duplicate, "it has been applied");
    b.take(&push);
    assert_eq!(b.push(&late), Applied::New);
    assert_eq!(b.values("k0"), ["new"]);
    heal(&mut [&mut a, &mut b]);
}

/// N14: the clock was on disk before the rows, so a crash in between turned a live value into
/// a delete everywhere. R13: whatever tail is lost, the rest is a state that once was.
#[test]
pub(super) fn n14_a_crash_leaves_rows_and_clock_together() {
    for lost in 0..5 {
        let (mut a, mut b, _) = abc();
        for push in [a.put("k0", "v0"), a.put("k1", "v1")] {
            b.take(&push);
        }
        let push = a.delete("k0").unwrap();
        b.take(&push);
        b.disk.crash_losing(lost);
        b.reopen();
        for dot in b.partition.object(b"k1").unwrap().versions.dots() {
            assert!(b.partition.clock().contains(dot));
        }
        heal(&mut [&mut a, &mut b]);
        assert_eq!((b.values("k0").len(), b.values("k1").len()), (0, 1));
    }
}

/// N19: the context of k0 was stripped of B2 because the clock's *maximum* was B2, though B1
/// was missing; A forgot that A1 replaced B2. R14: strip by the base.
#[test]
pub(super) fn n19_strip_forgets_nothing_above_a_gap() {
    let (mut a, mut b, _) = abc();
    b.put("k1", "b1");
    let push = b.put("k0", "b2");
    a.take(&push);
    let replaced = a.put("k0", "a1");
    assert!(a.token("k0").contains(push.dot));
    assert_eq!(a.partition.stats().residual_rows, 1);
    b.take(&replaced);
    assert_eq!(b.values("k0"), ["a1"]);
    heal(&mut [&mut a, &mut b]);
    assert_eq!(a.partition.stats().residual_rows, 0, "the gap is closed");
}

/// N20: contexts were filled up to the *maximum* of the clock, so C claimed to know A1 of k0,
/// having seen only A2 of k1, and refused it. R14: fill by the base.
#[test]
pub(super) fn n20_fill_claims_nothing_above_a_gap() {
    let (mut a, _, mut c) = abc();
    let first = a.put("k0", "a1");
    let second = a.put("k1", "a2");
    c.take(&second);
    assert!(!c.token("k0").contains(first.dot));
    assert_eq!(c.push(&first), Applied::New);
    assert_eq!(c.values("k0"), ["a1"]);
    heal(&mut [&mut a, &mut c]);
}

/// N36: an addition removed, by a vector, all that its actor had written, and the number that it
/// was added to with it. R23: it replaces its own actor's sum, and nothing else.
#[test]
pub(super) fn n36_an_addition_leaves_what_it_is_added_to() {
    let (mut a, mut b, _) = abc();
    let number = a.put("k0", "5");
    b.take(&number);
    let mut add = |amount: i64| {
        let op = Write::Add {
            amount: amount.into(),
            gone_before_ms: 0,
        };
        let key = Bytes::from_static(b"k0");
        let added = a.partition.write(key, op, None, NOON_MS + 1);
        let added = added.unwrap().unwrap();
        b.take(&added);
    };
    add(10);
    add(20);
    for node in [&a, &b] {
        let shown = node.partition.read(b"k0", NOON_MS + 2).unwrap();
        assert_eq!(shown.unwrap().value, "35");
    }
}

/// N21: an ending winner took its older siblings along at one replica and not at another.
/// R22: exactly the version that ended goes.
#[test]
pub(super) fn n21_an_ending_version_takes_no_sibling_along() {
    let (mut a, mut b, _) = abc();
    let stays = a.put("k0", "stays");
    let key = Bytes::from_static(b"k0");
    let op = Write::Put {
        value: Bytes::from_static(b"ends"),
        expire_at_ms: Some(NOON_MS + 1_000),
    };
    let ends = b
        .partition
        .write(key, op, None, NOON_MS + 1)
        .unwrap()
        .unwrap();
    a.take(&ends);
    b.take(&stays);
    assert_eq!(
        a.partition.read(b"k0", NOON_MS).unwrap().unwrap().value,
        "ends"
    );
    let later_ms = NOON_MS + 1_000;
    assert_eq!(
        a.partition.read(b"k0", later_ms).unwrap().unwrap().value,
        "stays"
    );
    assert_eq!(
        a.partition.expire(later_ms, &mut Vec::new()).unwrap(),
        0,
        "clocks may differ"
    );
    assert_eq!(
        a.partition.expire(later_ms + 500, &mut Vec::new()).unwrap(),
        1
    );
    assert_eq!(a.values("k0"), ["stays"]);
    assert_eq!(a.partition.hash(), b.partition.hash());
    assert_eq!(a.partition.fingerprint(), b.partition.fingerprint());
    assert_eq!(a.push(&ends), Applied::Duplicate, "it does not come back");
    assert_eq!(
        b.partition.expire(later_ms + 500, &mut Vec::new()).unwrap(),
        1
    );
    heal(&mut [&mut a, &mut b]);
}

/// R11: a delete is a write with a dot and no version. Without one it would be invisible to
/// sync, and the value would come back (N11).
#[test]
pub(super) fn n11_a_delete_is_not_undone_by_a_sync() {
    let (mut a, mut b, _) = abc();
    let push = a.put("k0", "v");
    b.take(&push);
    let delete = a.delete("k0");
    heal(&mut [&mut a, &mut b]);
    assert!(b.values("k0").is_empty());
    assert_eq!(delete.unwrap().dot.n, 2);
    assert_eq!(
        a.partition.stats().rows,
        0,
        "nothing is kept of a deleted key"
    );
}
