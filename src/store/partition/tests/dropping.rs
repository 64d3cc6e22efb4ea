//! A copy that was dropped, and what becomes of it when it comes back (PROTOCOL 3.11).

use super::*;
use crate::store::engine::EngineError;

impl Replica {
    /// Drops the copy, whoever has it beside this one.
    pub(super) fn drop_copy(&mut self) {
        self.openings += 1;
        let actor = ActorId {
            node: self.node,
            incarnation: self.openings,
        };
        self.partition = self.partition.dropped(actor).unwrap();
    }
}

/// A and B with values, overwritten and deleted ones of both, even.
fn filled() -> (Replica, Replica) {
    let (mut a, mut b, _) = abc();
    for push in [b.put("k", "1"), b.put("l", "2"), b.put("m", "3")] {
        a.take(&push);
    }
    let pushes = [a.put("k", "4"), a.delete("l").unwrap()];
    pushes.iter().for_each(|push| b.take(push));
    b.tend(&[NodeId(1), NodeId(2)], false);
    assert_eq!(a.state(), b.state());
    (a, b)
}

#[track_caller]
fn assert_empty(b: &Replica) {
    let (clock, rows) = b.state();
    assert!(clock.is_empty() && rows.is_empty());
    assert!(b.partition.is_rebuilding());
    let stats = b.partition.stats();
    assert_eq!((stats.keys, stats.bytes, stats.actors), (0, 0, 0));
    assert_eq!(b.disk.load(PartitionId(0)).unwrap().peers, [].into());
    let read = b.partition.read(b"k", NOON_MS);
    assert!(matches!(read, Err(StoreError::Rebuilding(_))), "{read:?}");
}

#[test]
fn a_dropped_copy_is_empty_and_filled_again_it_is_as_its_source() {
    for by_full_sync in [true, false] {
        let (a, mut b) = filled();
        b.drop_copy();
        assert_empty(&b);
        assert_ne!(a.partition.sync_hash(), b.partition.sync_hash());
        match by_full_sync {
            true => assert_eq!(b.pull_full(&a), Applied::New),
            false => b.pull(&a),
        }
        assert_eq!(a.state(), b.state());
        assert!(b.partition.is_rebuilding(), "nobody has vouched yet");
        assert!(b.partition.rebuilt().unwrap());
        assert_eq!(b.values("k"), ["4"]);
        assert!(b.values("l").is_empty());
        assert_eq!(a.partition.sync_hash(), b.partition.sync_hash());
        verify(&*b.disk, PartitionId(0), options().keyspace).unwrap();
    }
}

/// Nothing is known of the dots of the opening before, so they are no forgeries and no losses.
#[test]
fn own_dots_of_before_come_back_like_any_other() {
    let (mut a, mut b, _) = abc();
    let pushes = [b.put("k", "1"), b.put("l", "2")];
    pushes.iter().for_each(|push| a.take(push));
    b.drop_copy();
    let theirs = a.partition.digest().clock;
    assert_eq!(b.partition.note_lost(&theirs), 0, "it was not lost");
    assert_eq!(b.push(&pushes[1]), Applied::New);
    assert_eq!(b.push(&pushes[1]), Applied::Duplicate);
    assert_eq!(b.partition.note_lost(&theirs), 0);
    let delta = a.delta_for(&b.partition.digest());
    assert_eq!(b.partition.note_lost_in(&delta.covers), 0);
    let (pieces, end) = full(&a, &b.full_request(), session());
    for piece in pieces {
        b.partition.stage(piece).unwrap();
    }
    assert_eq!(b.partition.note_lost(&end.clock), 0);
    let applied = b.partition.apply_full(end, NOON_MS).unwrap();
    assert_eq!(applied, Applied::New);
    b.partition.rebuilt().unwrap();
    assert_eq!(b.partition.note_lost(&theirs), 0, "it has come back");
    assert_eq!(b.partition.writes_lost(), 0);
    let written = b.put("k", "3");
    assert!(pushes.iter().all(|push| push.dot != written.dot));
    a.take(&written);
    heal(&mut [&mut a, &mut b]);
    assert_eq!(a.values("k"), ["3"]);
}

/// The clock of timestamps is no part of the copy: a write after the drop is the later one,
/// although the wall clock was put back.
#[test]
fn a_write_after_a_drop_is_later_than_those_before() {
    let mut b = replica(2);
    let hlc = |push: &Push| push.versions.last_hlc().unwrap();
    let before = hlc(&b.put("k", "before"));
    b.drop_copy();
    let key = Bytes::from_static(b"k");
    let after = b.partition.write(key, put("after"), None, NOON_MS - 1_000);
    assert!(hlc(&after.unwrap().unwrap()) > before);
}

#[test]
fn a_crash_that_loses_the_drop_brings_the_copy_back() {
    let (_, mut b) = filled();
    b.sync();
    let before = b.state();
    b.drop_copy();
    b.put("k", "after the drop");
    b.lose_tail();
    assert_eq!(b.state(), before);
    assert!(!b.partition.is_rebuilding());
    b.drop_copy();
    b.sync();
    b.lose_tail();
    assert_empty(&b);
}

/// Whether the copy is there is unknown, so nothing is written to it, and it can be read.
#[test]
fn a_drop_that_fails_is_followed_by_nothing() {
    let (_, mut b) = filled();
    let before = b.state();
    let fresh = ActorId {
        node: b.node,
        incarnation: 99,
    };
    b.disk.fail(true);
    let failed = b.partition.dropped(fresh).err();
    assert!(matches!(
        failed,
        Some(StoreError::Engine(EngineError::Injected))
    ));
    b.disk.fail(false);
    let again = b.partition.dropped(fresh).err();
    assert!(matches!(again, Some(StoreError::Poisoned(_))));
    let key = Bytes::from_static(b"k");
    let written = b.partition.write(key, put("5"), None, NOON_MS);
    assert!(matches!(written, Err(StoreError::Poisoned(_))));
    assert_eq!(b.values("k"), ["4"]);
    b.reopen();
    assert_eq!(b.state(), before);
}

#[test]
fn the_opening_that_was_dropped_is_over() {
    let (_, mut b) = filled();
    let own = b.partition.actor();
    let before = b.state();
    let reused = b.partition.dropped(own).err();
    assert!(matches!(reused, Some(StoreError::ActorReused(actor)) if actor == own));
    assert_eq!(b.state(), before);
    b.put("k", "5");
    let mut fresh = b.partition.dropped(ActorId {
        incarnation: 99,
        ..own
    });
    let fresh = fresh.as_mut().unwrap();
    let read = b.partition.read(b"k", NOON_MS);
    assert!(matches!(read, Err(StoreError::Rebuilding(_))));
    let key = Bytes::from_static(b"k");
    let written = b.partition.write(key.clone(), put("6"), None, NOON_MS);
    assert!(matches!(written, Err(StoreError::Poisoned(_))));
    fresh.write(key, put("6"), None, NOON_MS).unwrap();
}

#[test]
fn a_partition_waits_for_others_as_it_is_told() {
    let mut a = replica(1);
    a.put("k", "1");
    let (before, unsynced) = (a.state(), a.disk.unsynced());
    a.partition.set_rebuilding(false).unwrap();
    assert_eq!(a.disk.unsynced(), unsynced, "it was so already");
    for rebuilding in [true, false] {
        a.partition.set_rebuilding(rebuilding).unwrap();
        a.partition.set_rebuilding(rebuilding).unwrap();
        a.reopen();
        assert_eq!(a.partition.is_rebuilding(), rebuilding, "durable");
        assert_eq!(a.partition.read(b"k", NOON_MS).is_err(), rebuilding);
    }
    assert_eq!(a.disk.unsynced(), unsynced + 2);
    assert_eq!(a.state(), before);
    a.disk.fail(true);
    assert!(a.partition.set_rebuilding(true).is_err());
    assert!(!a.partition.is_rebuilding());
}
