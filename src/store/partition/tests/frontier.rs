//! Which rows a delta may leave out, and which it may not.

use super::*;
use crate::clock::{Entry, MAX_DRIFT_MS};

/// What `asker` is sent by `source`: the number of rows, and of dots covered. A delta whose
/// rows were taken out is refused unless they were superfluous.
fn sent(source: &Replica, asker: &mut Replica) -> (usize, usize) {
    let delta = source.delta_for(&asker.partition.digest());
    let covers = delta.covers.iter().flat_map(|cover| cover.dots.dots());
    let sent = (delta.rows.len(), covers.count());
    if sent.0 > 0 {
        let mut bare = delta.clone();
        bare.rows.clear();
        let before = asker.state();
        assert_eq!(
            asker.apply(bare),
            Applied::Refused(Refusal::CoversMismatch),
            "the row is needed"
        );
        assert_eq!(asker.state(), before);
    }
    asker.take_delta(delta);
    sent
}

/// A put that ends at `expire_at_ms`.
fn put_until(replica: &mut Replica, expire_at_ms: u64) -> Push {
    let op = Write::Put {
        value: Bytes::from_static(b"v"),
        expire_at_ms: Some(expire_at_ms),
    };
    replica.write("k", op, None).unwrap()
}

/// The common case: a push was lost, and the next write of the key by another replica came.
/// Who wrote it, who had it pushed and who was itself told by a bare cover all know.
#[test]
fn what_a_later_write_has_brought_comes_without_a_row() {
    let (mut a, mut b, mut c) = abc();
    let (mut d, mut e) = (replica(4), replica(5));
    b.take(&a.put("k", "lost for some"));
    let later = b.put("k", "later");
    for replica in [&mut a, &mut c, &mut d, &mut e] {
        replica.take(&later);
    }
    assert_eq!(sent(&a, &mut c), (0, 1), "pushed");
    assert_eq!(sent(&b, &mut d), (0, 1), "written");
    assert_eq!(sent(&c, &mut e), (0, 1), "covered");
    heal(&mut [&mut a, &mut b, &mut c, &mut d, &mut e]);
    assert_eq!(e.values("k"), ["later"]);
    // The dot is logged with its key all the same (R9).
    let mut new = replica(6);
    assert_eq!(sent(&e, &mut new), (1, 2));
}

/// Of deletes nothing is ever in a row, but a later write includes them like any other.
#[test]
fn a_delete_that_a_later_write_includes_comes_without_a_row() {
    let (mut a, mut b, mut c) = abc();
    let first = a.put("k", "first");
    b.take(&first);
    c.take(&first);
    let delete = b.delete("k").unwrap();
    a.take(&delete);
    let later = a.put("k", "later");
    b.take(&later);
    c.take(&later);
    assert_eq!(sent(&b, &mut c), (0, 1));
    heal(&mut [&mut a, &mut b, &mut c]);
}

/// Cover-only, as PROTOCOL 3.4 has it: the actor knew its own earlier write, in whatever order
/// they came.
#[test]
fn what_the_same_actor_wrote_later_comes_without_a_row() {
    let (mut a, mut b, mut c) = abc();
    let (first, second) = (a.put("k", "first"), a.put("k", "second"));
    b.take(&second);
    c.take(&second);
    assert_eq!(sent(&a, &mut c), (0, 1));
    b.take(&first);
    let mut d = replica(4);
    d.take(&second);
    assert_eq!(sent(&b, &mut d), (0, 1));
}

/// A write with an old context leaves a sibling beside it, which its push brought too.
#[test]
fn a_sibling_that_came_along_comes_without_a_row() {
    let (mut a, mut b, mut c) = abc();
    let stale = a.token("k");
    a.take(&b.put("k", "b"));
    let beside = a.put_with("k", "a", Some(&stale));
    c.take(&beside);
    assert_eq!(c.values("k"), ["a", "b"]);
    b.take(&beside);
    heal(&mut [&mut a, &mut b, &mut c]);
}

/// The writes are concurrent: neither includes the other.
#[test]
fn a_concurrent_write_comes_with_its_row() {
    let (mut a, mut b, mut c) = abc();
    let (of_a, of_b) = (a.put("k", "a"), b.put("k", "b"));
    a.take(&of_b);
    c.take(&of_b);
    assert_eq!(sent(&a, &mut c), (1, 1));
    assert_eq!(c.values("k"), ["a", "b"]);
    b.take(&of_a);
    heal(&mut [&mut a, &mut b, &mut c]);
}

/// A delete that no later write includes is in no row, and takes effect by it.
#[test]
fn a_delete_comes_with_its_row() {
    let (mut a, mut b, mut c) = abc();
    let (of_a, of_b) = (a.put("k", "a"), b.put("k", "b"));
    a.take(&of_b);
    b.take(&of_a);
    for push in [&of_a, &of_b] {
        c.take(push);
    }
    a.take(&b.delete("k").unwrap());
    assert_eq!(sent(&a, &mut c), (1, 1));
    assert!(c.values("k").is_empty());
}

/// What was replaced is out of the frontier, but the asker lacks what replaced it too.
#[test]
fn what_replaced_it_must_have_come() {
    let (mut a, mut b, mut c) = abc();
    let other = c.put("k", "other");
    b.take(&a.put("k", "first"));
    let second = b.put("k", "second");
    a.take(&second);
    a.take(&other);
    assert_eq!(sent(&a, &mut c), (1, 2));
    assert_eq!(c.values("k"), ["other", "second"]);
}

/// An ended version is in no row and nothing has replaced it, at who removed it and at who
/// heard of that in a delta.
#[test]
fn an_ended_version_comes_with_its_row() {
    let (mut a, mut b, mut c) = abc();
    let beside = c.put("k", "beside");
    let ending = put_until(&mut a, NOON_MS);
    for replica in [&mut a, &mut b] {
        let _ = replica.push(&beside);
    }
    b.take(&ending);
    assert_eq!(
        a.partition
            .expire(NOON_MS + MAX_DRIFT_MS, &mut Vec::new())
            .unwrap(),
        1
    );
    // A delta of another write of the key takes it out of B's row.
    let stale = c.token("k");
    let another = c.put_with("k", "another", Some(&stale));
    a.take(&another);
    assert_eq!(sent(&a, &mut b), (1, 1));
    assert_eq!(b.values("k"), ["another"]);
    assert_eq!(sent(&a, &mut c), (1, 1));
    let mut d = replica(4);
    d.take(&another);
    let missing = sent(&b, &mut d);
    assert_eq!(missing, (1, 2), "A1 and C1, of which C2 includes C1 only");
}

/// A delta's row is the whole state of its sender: what it takes out of a row was replaced
/// there.
#[test]
fn what_a_delta_has_replaced_comes_without_a_row() {
    let (mut a, mut b, mut c) = abc();
    let mut d = replica(4);
    let first = a.put("k", "first");
    b.take(&first);
    c.take(&first);
    let later = b.put("k", "later");
    d.take(&later);
    assert_eq!(sent(&b, &mut c), (1, 1));
    assert_eq!(sent(&c, &mut d), (0, 1));
}

/// The log is memory: who restarted knows nothing of what was before, and a full sync is due.
#[test]
fn an_opening_begins_without_a_frontier() {
    let (mut a, mut b, mut c) = abc();
    b.take(&a.put("k", "lost for some"));
    let later = b.put("k", "later");
    a.take(&later);
    c.take(&later);
    a.sync();
    a.reopen();
    let answer = a.partition.delta(&c.partition.digest());
    assert_eq!(answer, DeltaAnswer::Full);
}

/// The asker has lost its tail, and with it the write that included what it lacks.
#[test]
fn only_what_the_digest_says_is_there_counts() {
    let (mut a, mut b, mut c) = abc();
    b.take(&a.put("k", "first"));
    let later = b.put("k", "later");
    a.take(&later);
    c.take(&later);
    let early = a.delta_for(&c.partition.digest());
    assert!(early.rows.is_empty());
    c.lose_tail();
    assert_eq!(c.apply(early), Applied::Refused(Refusal::Stale), "R17");
    assert_eq!(sent(&a, &mut c), (1, 2));
    assert_eq!(c.values("k"), ["later"]);
}

/// Z was forgotten and comes back with a write that is void to the others: what it replaced
/// at Z is not replaced there.
#[test]
fn what_is_void_to_the_asker_includes_nothing() {
    let (mut a, mut b, _) = abc();
    let (mut z, mut r) = (replica(8), replica(9));
    let replaced = b.put("k", "replaced");
    a.take(&replaced);
    z.take(&replaced);
    z.take(&a.put("k", "void"));
    let mut void = Entry::up_to(1);
    void.close();
    r.partition.clock.set(a.partition.actor(), void);
    let delta = z.delta_for(&r.partition.digest());
    assert_eq!(delta.rows.len(), 1, "not closed at Z");
    z.partition.note_digest(r.node, r.partition.clock());
    z.tend(&[z.node, r.node], false);
    assert!(z.partition.clock().is_closed(a.partition.actor()));
    assert_eq!(sent(&z, &mut r), (1, 1), "closed at Z since");
}

/// A chunk takes groups without rows up to its budget like any other.
#[test]
fn groups_without_rows_are_cut_too() {
    let options = Options {
        delta_bytes: 1,
        ..options()
    };
    let (mut a, mut b, mut c) = (replica_with(1, options), replica(2), replica(3));
    for key in ["k0", "k1", "k2"] {
        b.take(&a.put(key, "first"));
        let later = b.put(key, "later");
        a.take(&later);
        c.take(&later);
    }
    for more in [true, true, false] {
        let delta = a.delta_for(&c.partition.digest());
        assert_eq!(
            (delta.rows.len(), delta.covers.len(), delta.more),
            (0, 1, more)
        );
        c.take_delta(delta);
    }
    assert_eq!(c.partition.clock(), a.partition.clock());
}
