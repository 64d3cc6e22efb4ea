//! What a caller may count on, beside the counterexamples.

use super::*;
use crate::clock::{Hlc, MAX_DRIFT_MS};
use crate::object::{KEY_BYTES_MAX, SIBLINGS_MAX, VALUE_BYTES_MAX};

fn write(replica: &mut Replica, key: &'static str, op: Write) -> Result<Option<Push>, StoreError> {
    let key = Bytes::from_static(key.as_bytes());
    replica.partition.write(key, op, None, NOON_MS)
}

#[test]
fn a_delete_of_nothing_is_no_write() {
    let mut a = replica(1);
    assert_eq!(a.delete("k"), None);
    assert!(a.partition.clock().is_empty());
    a.put("k", "v");
    assert!(a.delete("k").is_some());
    assert_eq!(a.delete("k"), None);
}

/// A delete with what a client read elsewhere must not be dropped because the value has not
/// arrived here yet.
#[test]
fn a_delete_of_what_is_still_on_its_way_holds() {
    let (mut a, mut b, _) = abc();
    let put = b.put("k", "v");
    let read = b.token("k");
    let delete = a.write("k", Write::Delete, Some(&read));
    assert!(delete.is_some());
    a.take(&put);
    assert!(a.values("k").is_empty());
    let again = a.write("k", Write::Delete, Some(&read));
    assert_eq!(again, None, "all of it is known and gone");
    heal(&mut [&mut a, &mut b]);
    assert!(b.values("k").is_empty());
}

#[test]
fn a_write_replaces_what_its_context_covers_and_nothing_else() {
    let mut a = replica(1);
    let none = VersionVector::new();
    a.put_with("k", "v1", Some(&none));
    let seen = a.token("k");
    a.put_with("k", "v2", Some(&none));
    a.put_with("k", "v3", Some(&seen));
    assert_eq!(a.values("k"), ["v2", "v3"]);
    a.put("k", "v4");
    assert_eq!(a.values("k"), ["v4"]);
}

/// A context that claims writes this actor never made would make its later ones look deleted.
#[test]
fn a_context_from_nowhere_is_refused() {
    let mut a = replica(1);
    let mut context = VersionVector::new();
    context.raise(a.partition.actor(), 1);
    let key = Bytes::from_static(b"k");
    let refused = a.partition.write(key, put("v"), Some(&context), NOON_MS);
    assert!(matches!(refused, Err(StoreError::ForeignContext)));
    let mut context = VersionVector::new();
    let other = ActorId {
        node: NodeId(77),
        incarnation: 1,
    };
    context.raise(other, u64::MAX - 1);
    a.put_with("k", "v", Some(&context));
    assert_eq!(a.values("k"), ["v"]);
}

#[test]
fn too_many_siblings_are_refused_but_never_a_write_that_replaces() {
    let mut a = replica(1);
    let none = VersionVector::new();
    for _ in 0..SIBLINGS_MAX {
        a.put_with("k", "v", Some(&none));
    }
    let key = Bytes::from_static(b"k");
    let refused = a.partition.write(key, put("v"), Some(&none), NOON_MS);
    assert!(matches!(refused, Err(StoreError::TooManySiblings(count)) if count == SIBLINGS_MAX));
    assert_eq!(a.partition.stats().siblings_max, SIBLINGS_MAX);
    a.put("k", "resolved");
    assert_eq!(a.values("k"), ["resolved"]);
}

/// Replicas that were apart bring more siblings together than one may make; all must take
/// them, or they would never be equal.
#[test]
fn more_siblings_from_peers_are_taken() {
    let (mut a, mut b, _) = abc();
    let none = VersionVector::new();
    for _ in 0..SIBLINGS_MAX {
        a.put_with("k", "v", Some(&none));
        b.put_with("k", "w", Some(&none));
    }
    heal(&mut [&mut a, &mut b]);
    assert_eq!(a.partition.stats().siblings_max, 2 * SIBLINGS_MAX);
    let seen = a.token("k");
    a.put_with("k", "resolved", Some(&seen));
    heal(&mut [&mut a, &mut b]);
    assert_eq!(b.values("k"), ["resolved"]);
}

#[test]
fn keys_and_values_have_bounds() {
    let mut a = replica(1);
    let key = Bytes::from(vec![0; KEY_BYTES_MAX]);
    assert!(a.partition.write(key, put("v"), None, NOON_MS).is_ok());
    let key = Bytes::from(vec![0; KEY_BYTES_MAX + 1]);
    let refused = a.partition.write(key, put("v"), None, NOON_MS);
    assert!(matches!(refused, Err(StoreError::KeyTooLong(_))));
    let value = |length| Write::Put {
        value: Bytes::from(vec![0; length]),
        expire_at_ms: None,
    };
    assert!(write(&mut a, "k", value(VALUE_BYTES_MAX)).is_ok());
    let refused = write(&mut a, "k", value(VALUE_BYTES_MAX + 1));
    assert!(matches!(refused, Err(StoreError::ValueTooLong(_))));
}

/// Two large values that were written apart fit no message together. The row stays out of
/// deltas until it is collapsed, and holds nothing else up; who asks on hears that this is not
/// all that there is.
#[test]
fn a_row_that_fits_no_message_is_collapsed() {
    let (mut a, mut b, mut c) = abc();
    let large = || Write::Put {
        value: Bytes::from(vec![1; VALUE_BYTES_MAX]),
        expire_at_ms: None,
    };
    let from_a = write(&mut a, "large", large()).unwrap().unwrap();
    let from_b = write(&mut b, "large", large()).unwrap().unwrap();
    let _ = (a.push(&from_b), b.push(&from_a));
    a.put("small", "v");
    assert_eq!(a.partition.stats().oversized, 1);
    let DeltaAnswer::Delta(delta) = a.partition.delta(&c.partition.digest()) else {
        panic!("the small key is held up");
    };
    assert!(delta.more);
    c.take_delta(delta);
    assert_eq!(c.values("small"), ["v"]);
    let digest = c.partition.digest();
    assert_eq!(a.partition.delta(&digest), DeltaAnswer::Unsure);
    let mut refused = VersionVector::new();
    refused.raise(from_a.dot.actor, 1);
    let key = Bytes::from_static(b"large");
    let pushes = a.partition.collapse(10).unwrap();
    assert_eq!(pushes.len(), 1);
    assert_eq!(
        pushes[0].versions.value_at(0).unwrap().hlc,
        from_b.versions.last_hlc().unwrap()
    );
    assert_eq!(a.partition.stats().oversized, 0);
    heal(&mut [&mut a, &mut b, &mut c]);
    let none = VersionVector::new();
    let refused = a.partition.write(key, large(), Some(&none), NOON_MS);
    assert!(matches!(refused, Err(StoreError::RowTooLarge(_))));
}

#[test]
fn reads_pick_the_last_write_and_filter_what_has_ended() {
    let mut a = replica(1);
    let op = Write::Put {
        value: Bytes::from_static(b"v"),
        expire_at_ms: Some(NOON_MS + 10),
    };
    write(&mut a, "k", op).unwrap();
    assert!(a.partition.read(b"k", NOON_MS + 9).unwrap().is_some());
    assert!(a.partition.read(b"k", NOON_MS + 10).unwrap().is_none());
    let key = Bytes::from_static(b"k");
    let delete = a.partition.write(key, Write::Delete, None, NOON_MS + 10);
    assert_eq!(delete.unwrap(), None, "there is nothing to delete any more");
    assert_eq!(
        a.partition
            .expire(NOON_MS + 10 + MAX_DRIFT_MS, &mut Vec::new())
            .unwrap(),
        1
    );
    assert_eq!(a.partition.stats().rows, 0);
}

/// An ended version stays in the context: a peer that has not dropped it yet cannot bring it
/// back, even above a gap.
#[test]
fn an_ended_version_above_a_gap_does_not_come_back() {
    let (mut a, mut b, mut c) = abc();
    a.put("gap", "v");
    let op = Write::Put {
        value: Bytes::from_static(b"v"),
        expire_at_ms: Some(NOON_MS + 10),
    };
    let ends = write(&mut a, "k", op).unwrap().unwrap();
    b.take(&ends);
    c.take(&ends);
    assert_eq!(
        b.partition
            .expire(NOON_MS + 10 + MAX_DRIFT_MS, &mut Vec::new())
            .unwrap(),
        1
    );
    assert!(b.token("k").contains(ends.dot));
    b.pull(&c);
    b.pull(&a);
    assert!(b.values("k").is_empty());
}

#[test]
fn a_write_is_later_than_what_it_replaces_even_from_a_wrong_clock() {
    let (mut a, mut b, _) = abc();
    let key = Bytes::from_static(b"k");
    let ahead_ms = NOON_MS + 3_600_000;
    let push = b.partition.write(key, put("ahead"), None, ahead_ms);
    a.take(&push.unwrap().unwrap());
    a.put("k", "after");
    let version = a.partition.read(b"k", NOON_MS).unwrap().unwrap();
    assert!(version.hlc > Hlc::at(ahead_ms));
    let other = a.put("other", "v");
    let hlc = other.versions.last_hlc().unwrap();
    assert!(
        hlc < Hlc::at(NOON_MS + MAX_DRIFT_MS),
        "other keys keep the hour"
    );
}

#[test]
fn keys_are_listed_by_hash_without_deleted_ones() {
    let mut a = replica(1);
    for key in ["a", "b", "c", "d"] {
        a.put(key, "v");
    }
    a.delete("b");
    let all = a.partition.keys_from(0, 10).unwrap();
    assert_eq!(all.len(), 3);
    assert!(all.is_sorted());
    for (hash, key) in &all {
        assert_eq!(*hash, options().keyspace.hash(key));
    }
    assert_eq!(a.partition.keys_from(all[1].0, 10).unwrap(), all[1..]);
    assert_eq!(a.partition.keys_from(all[1].0, 1).unwrap(), all[1..2]);
    assert_eq!(a.partition.names(b"", None, 10).unwrap(), ["a", "c", "d"]);
    assert_eq!(a.partition.names(b"", Some(b"a"), 1).unwrap(), ["c"]);
    assert_eq!(a.partition.names(b"d", None, 10).unwrap(), ["d"]);
    assert!(a.partition.has_something(b"d", NOON_MS).unwrap());
}

/// A fresh actor each time, and no trace of those that never wrote.
#[test]
fn an_opening_that_never_wrote_leaves_no_actor() {
    let mut a = replica(1);
    a.put("k", "v");
    for _ in 0..5 {
        a.reopen();
    }
    assert_eq!(a.partition.stats().actors, 1);
    assert_eq!(a.values("k"), ["v"]);
    a.put("k", "w");
    assert_eq!(a.partition.stats().actors, 2);
}

/// A whole partition by full sync, in many pieces, each of which may be repeated.
#[test]
fn a_full_sync_in_many_pieces_brings_everything() {
    let options = Options {
        delta_bytes: 1_000,
        ..options()
    };
    let (mut a, mut b) = (replica_with(1, options), replica(2));
    for at in 0..300u32 {
        let key = Bytes::from(at.to_string());
        let write = a.partition.write(key.clone(), put("value"), None, NOON_MS);
        write.unwrap();
        if at % 3 == 0 {
            let delete = a.partition.write(key, Write::Delete, None, NOON_MS);
            delete.unwrap();
        }
    }
    let mut source = a.partition.full_source(&b.full_request(), 9).unwrap();
    assert_eq!(source.chunk(1).unwrap(), None, "one after the other");
    let first = source.chunk(0).unwrap();
    let mut sequence = 0;
    loop {
        // The snapshot is what it was, and so are pieces that are asked for again.
        let key = Bytes::from(format!("{sequence} later"));
        let write = a.partition.write(key, put("value"), None, NOON_MS);
        write.unwrap();
        assert_eq!(source.chunk(0).unwrap(), first);
        match source.chunk(sequence).unwrap().unwrap() {
            FullChunk::Rows(rows) => {
                let next = b.partition.stage(rows.clone()).unwrap();
                assert_eq!(b.partition.stage(rows).unwrap(), next);
                sequence = next.sequence;
            }
            FullChunk::End(end) => {
                assert_eq!(b.partition.apply_full(end, NOON_MS).unwrap(), Applied::New);
                break;
            }
        }
    }
    assert!(sequence > 10);
    assert_eq!(b.partition.stats().keys, 200);
    assert_eq!(b.partition.stats().log_rows, 0);
    heal(&mut [&mut a, &mut b]);
}

/// Encodings as they will travel.
#[test]
fn everything_comes_back_from_its_bytes() {
    use crate::store::codec::{decode, encode};
    const LIMIT: usize = 1 << 20;
    let (mut a, b, _) = abc();
    a.put("k0", "v0");
    let push = a.put_with("k0", "v1", Some(&VersionVector::new()));
    a.delete("k1");
    let again = decode::<Push, LIMIT>(&encode(&push).unwrap()).unwrap();
    assert_eq!(again, push);
    let digest = a.partition.digest();
    let again = decode::<Digest, LIMIT>(&encode(&digest).unwrap()).unwrap();
    assert_eq!(again, digest);
    let delta = a.delta_for(&b.partition.digest());
    let again = decode::<Delta, LIMIT>(&encode(&delta).unwrap()).unwrap();
    assert_eq!(again, delta);
    let (pieces, end) = full(&a, &b.full_request(), 3);
    let again = decode::<FullRows, LIMIT>(&encode(&pieces[0]).unwrap()).unwrap();
    assert_eq!(again, pieces[0]);
    let again = decode::<FullEnd, LIMIT>(&encode(&end).unwrap()).unwrap();
    assert_eq!(again, end);
}
