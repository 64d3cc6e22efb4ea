//! The counterexamples of PROTOCOL section 13 about digests, deltas and full syncs.

use super::*;

/// One group per delta.
fn cut_small(node: u64) -> Replica {
    replica_with(
        node,
        Options {
            delta_bytes: 1,
            ..options()
        },
    )
}

/// N05: the receiver of the first piece merged the whole clock, and k1 never came. R5:
/// exactly the covers.
#[test]
pub(super) fn n05_a_piece_of_a_delta_covers_itself_only() {
    let (mut a, mut b) = (replica(1), cut_small(2));
    let first = b.put("k0", "b1");
    let second = b.put("k1", "b2");
    let delta = b.delta_for(&a.partition.digest());
    assert!(delta.more);
    assert_eq!(delta.covers.len(), 1);
    a.take_delta(delta);
    assert!(a.partition.clock().contains(first.dot));
    assert!(!a.partition.clock().contains(second.dot));
    heal(&mut [&mut a, &mut b]);
    assert_eq!(a.values("k1"), ["b2"]);
}

/// N07: a delta's rows were filled with a clock read after them; A2 was in the context
/// without its value and was refused for ever. R7: one snapshot, carried in the delta.
#[test]
pub(super) fn n07_a_delta_is_one_snapshot() {
    let (mut a, mut b, _) = abc();
    a.put("k0", "a1");
    let delta = a.delta_for(&b.partition.digest());
    let second = a.put("k0", "a2");
    b.take_delta(delta);
    assert!(!b.token("k0").contains(second.dot));
    assert_eq!(b.push(&second), Applied::New);
    assert_eq!(b.values("k0"), ["a2"]);
    heal(&mut [&mut a, &mut b]);
}

/// N09: C logged only live dots of what it had received, so it could not pass the delete on.
/// R9: every covered dot is logged with its key.
#[test]
pub(super) fn n09_a_delete_is_passed_on_by_those_who_received_it() {
    let (mut a, mut b, mut c) = abc();
    let put = a.put("k1", "a1");
    b.take(&put);
    let delete = b.delete("k1").unwrap();
    c.take(&delete);
    a.pull(&c);
    assert!(a.values("k1").is_empty());
    assert!(a.partition.clock().contains(delete.dot));
    heal(&mut [&mut a, &mut b, &mut c]);
}

/// N10: dots missing in a truncated log were answered as void, and A1 never reached B. R10:
/// below the floor only a full sync tells.
#[test]
pub(super) fn n10_below_the_floor_a_delta_is_no_answer() {
    let (mut a, mut b, _) = abc();
    a.put("k0", "a1");
    a.partition.collect(&BTreeSet::new());
    assert_eq!(a.partition.stats().log_rows, 0);
    let answer = a.partition.delta(&b.partition.digest());
    assert_eq!(answer, DeltaAnswer::Full);
    heal(&mut [&mut a, &mut b]);
    assert_eq!(b.values("k0"), ["a1"]);
}

/// The log is memory only: after a restart everything older is below the floor.
#[test]
pub(super) fn n10_a_restart_raises_the_floor() {
    let (mut a, mut b, _) = abc();
    a.put("k0", "a1");
    a.sync();
    a.reopen();
    a.put("k1", "a2");
    let answer = a.partition.delta(&b.partition.digest());
    assert_eq!(answer, DeltaAnswer::Full);
    heal(&mut [&mut a, &mut b]);
}

/// N22: the clock of a full sync took effect though its rows were lost. R16: only with all
/// of its rows.
#[test]
pub(super) fn n22_a_full_sync_without_its_rows_has_no_effect() {
    let (mut a, mut b, _) = abc();
    b.put("k0", "b1");
    let (pieces, end) = full(&b, &a.full_request(), 1);
    let alone = a.partition.apply_full(end.clone(), NOON_MS).unwrap();
    assert_eq!(alone, Applied::Refused(Refusal::UnknownSession));
    let mut cut = pieces[0].clone();
    cut.rows.clear();
    a.partition.stage(cut).unwrap();
    let cut = a.partition.apply_full(end.clone(), NOON_MS).unwrap();
    assert_eq!(cut, Applied::Refused(Refusal::Incomplete));
    assert!(a.partition.clock().is_empty());
    for piece in pieces {
        a.partition.stage(piece).unwrap();
    }
    assert_eq!(a.partition.apply_full(end, NOON_MS).unwrap(), Applied::New);
    heal(&mut [&mut a, &mut b]);
}

/// N33: rows of a full sync took effect before its end; the source died, and B had the effect
/// of A1 without the dot. R16: rows are staged.
#[test]
pub(super) fn n33_rows_of_a_full_sync_take_no_effect_before_its_end() {
    let (mut a, mut b, mut c) = abc();
    b.put("k0", "b1");
    a.pull(&b);
    c.pull(&b);
    a.delete("k0");
    a.put("k1", "residual");
    let (pieces, _) = full(&a, &b.full_request(), 1);
    let before = b.state();
    for piece in pieces {
        b.partition.stage(piece).unwrap();
    }
    a.lose_tail();
    assert_eq!(b.state(), before);
    heal(&mut [&mut a, &mut b, &mut c]);
    assert_eq!(b.values("k0"), ["b1"], "the lost delete is lost everywhere");
}

/// N23: the set of live dots held only those of the asker's digest; a delta landed meanwhile,
/// and what it brought was taken for deleted. R16: all live dots.
#[test]
pub(super) fn n23_a_full_sync_spares_what_came_meanwhile() {
    let (mut a, mut b, _) = abc();
    a.put("k0", "a1");
    let delta = a.delta_for(&b.partition.digest());
    let (pieces, end) = full(&a, &b.full_request(), 1);
    b.take_delta(delta);
    for piece in pieces {
        b.partition.stage(piece).unwrap();
    }
    let _ = b.partition.apply_full(end, NOON_MS).unwrap();
    assert_eq!(b.values("k0"), ["a1"]);
    heal(&mut [&mut a, &mut b]);
}

/// What the source has known and no longer holds goes at the asker too, in one step with the
/// clock; what it never knew stays.
#[test]
pub(super) fn a_full_sync_removes_what_the_source_saw_die() {
    let (mut a, mut b, _) = abc();
    a.put("dead", "v");
    a.put("overwritten", "old");
    b.pull(&a);
    a.delete("dead");
    a.put("overwritten", "new");
    b.put("unsynced", "w");
    a.partition.collect(&BTreeSet::new());
    assert_eq!(b.pull_full(&a), Applied::New);
    assert!(b.values("dead").is_empty());
    assert_eq!(b.values("overwritten"), ["new"]);
    assert_eq!(b.values("unsynced"), ["w"]);
    assert!(b.partition.clock().dominates(a.partition.clock()));
    assert_eq!(b.pull_full(&a), Applied::Duplicate);
    heal(&mut [&mut a, &mut b]);
}

/// N24: a void dot was covered before the write that superseded it had come. R18: voids come
/// with the last piece only.
#[test]
pub(super) fn n24_voids_come_last() {
    let (a, mut b) = (replica(1), cut_small(2));
    let void = b.put("k9", "void").dot;
    b.put("k0", "b2");
    b.put("k1", "b3");
    // As sealing will leave it.
    b.partition.log.insert(void, None);
    let mut asker = a;
    for last in [false, true] {
        let delta = b.delta_for(&asker.partition.digest());
        assert_eq!(delta.more, !last);
        let voids = delta.covers.iter().any(|cover| cover.key.is_none());
        assert_eq!(voids, last);
        assert_eq!(asker.apply(delta), Applied::New);
    }
    assert!(asker.partition.clock().contains(void));
}

/// N26: covers entered the clock before the rows were merged, the receiver's own filled
/// context then knew the new version, and it was dropped. R8.
#[test]
pub(super) fn n26_rows_are_filled_with_the_clock_before_the_message() {
    let (mut a, mut b, mut c) = abc();
    let push = a.put("k0", "a1");
    let delta = a.delta_for(&c.partition.digest());
    b.take(&push);
    c.take_delta(delta);
    assert_eq!(b.values("k0"), ["a1"]);
    assert_eq!(c.values("k0"), ["a1"]);
    heal(&mut [&mut a, &mut b, &mut c]);
}

/// N27: a full sync for the clock from before a crash was accepted: it left out a row that B
/// had had and lost. R16: it echoes the actor.
#[test]
pub(super) fn n27_a_full_sync_for_an_earlier_opening_is_refused() {
    let (mut a, mut b, _) = abc();
    let first = a.put("k0", "a1");
    b.take(&first);
    a.put("k1", "a2");
    let (pieces, end) = full(&a, &b.full_request(), 1);
    b.lose_tail();
    for piece in pieces {
        assert_eq!(b.partition.stage(piece), Err(Refusal::Stale));
    }
    let late = b.partition.apply_full(end, NOON_MS).unwrap();
    assert_eq!(late, Applied::Refused(Refusal::Stale));
    heal(&mut [&mut a, &mut b]);
    assert_eq!(b.values("k0"), ["a1"]);
}

/// N28: a whole clock for the digest from before a crash was merged: B then claimed A1, which
/// it had had and lost. R5, R17: exact covers, and none for an earlier opening.
#[test]
pub(super) fn n28_a_whole_clock_for_an_earlier_opening_is_refused() {
    let (mut a, mut b, _) = abc();
    let first = a.put("k0", "a1");
    b.take(&first);
    a.put("k1", "a2");
    let delta = a.delta_for(&b.partition.digest());
    b.lose_tail();
    let _ = b.apply(delta);
    heal(&mut [&mut a, &mut b]);
    assert_eq!(b.values("k0"), ["a1"]);
}

/// N29: a delta for the digest from before a crash was accepted: B had the effect of B1,
/// which was in the row, without the dot, which had been in its digest. R17: it echoes the
/// actor.
#[test]
pub(super) fn n29_a_delta_for_an_earlier_opening_is_refused() {
    let (mut a, mut b, _) = abc();
    a.put("k0", "a1");
    b.write("k0", Write::Delete, Some(&a.token("k0"))).unwrap();
    a.pull(&b);
    let delta = a.delta_for(&b.partition.digest());
    b.lose_tail();
    assert_eq!(b.apply(delta), Applied::Refused(Refusal::Stale));
    assert!(b.partition.clock().is_empty());
    heal(&mut [&mut a, &mut b]);
    assert!(b.values("k0").is_empty());
}

/// N34: a piece ended within a group: C got the row with the effect of the delete but not its
/// dot; the delete was then lost with B's tail, and no clock showed the difference. R6: all
/// missing dots of the key.
#[test]
pub(super) fn n34_a_row_brings_all_dots_of_its_key() {
    let (mut a, mut b, mut c) = (replica(1), cut_small(2), replica(3));
    let put = a.put("k0", "a1");
    b.take(&put);
    b.put("k1", "other");
    let delete = b.delete("k0").unwrap();
    let delta = b.delta_for(&c.partition.digest());
    let dots: Vec<Dot> = delta.covers[0].dots.dots().collect();
    assert_eq!(dots, [put.dot, delete.dot]);
    c.take_delta(delta);
    b.lose_tail();
    heal(&mut [&mut a, &mut b, &mut c]);
    assert!(a.values("k0").is_empty());
}
