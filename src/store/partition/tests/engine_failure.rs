//! Commit, then install: what a failing engine leaves behind.

use super::*;
use crate::clock::MAX_DRIFT_MS;
use crate::store::RowBudget;
use crate::store::engine::EngineError;

/// A failed commit changes nothing that can be read, and nothing may follow: whether the
/// batch is on disk is unknown, and its dot must not be issued again for another value.
#[test]
fn after_a_failed_commit_nothing_has_changed_and_nothing_will() {
    let (mut a, mut b, _) = abc();
    a.put("k", "before");
    let other = b.put("other", "from b");
    let before = a.state();
    a.disk.fail(true);
    let key = Bytes::from_static(b"k");
    let failed = a.partition.write(key.clone(), put("after"), None, NOON_MS);
    assert!(matches!(
        failed,
        Err(StoreError::Engine(EngineError::Injected))
    ));
    assert_eq!(a.state(), before);
    a.disk.fail(false);
    let refused = a.partition.write(key, put("after"), None, NOON_MS);
    assert!(matches!(refused, Err(StoreError::Poisoned(_))));
    let refused = a.partition.apply_push(other.clone(), NOON_MS);
    assert!(matches!(refused, Err(StoreError::Poisoned(_))));
    assert_eq!(a.state(), before);
    assert_eq!(a.values("k"), ["before"], "reads go on");
    a.reopen();
    assert_eq!(a.push(&other), Applied::New);
    a.put("k", "after");
    heal(&mut [&mut a, &mut b]);
}

/// Each step of each kind leaves memory and disk as they were.
#[test]
fn failed_steps_of_all_kinds_leave_no_trace() {
    let (mut a, mut b, mut c) = abc();
    let push = a.put("k", "v");
    a.put("l", "w");
    c.write("ends", put("x"), None);
    let delta = a.delta_for(&b.partition.digest());
    let (pieces, end) = full(&a, &c.full_request(), 1);
    b.disk.fail(true);
    assert!(b.partition.apply_push(push.clone(), NOON_MS).is_err());
    b.reopen_failing();
    assert!(b.partition.apply_delta(delta, NOON_MS).is_err_or_refused());
    for piece in pieces {
        c.partition.stage(piece).unwrap();
    }
    let before = c.state();
    c.disk.fail(true);
    assert!(c.partition.apply_full(end, NOON_MS).is_err());
    assert_eq!(c.state(), before);
    assert!(b.state().1.is_empty() && b.state().0.is_empty());
}

impl Replica {
    fn reopen_failing(&mut self) {
        self.reopen();
        self.disk.fail(true);
    }
}

trait ErrOrRefused {
    fn is_err_or_refused(&self) -> bool;
}

impl ErrOrRefused for Result<Applied, StoreError> {
    fn is_err_or_refused(&self) -> bool {
        matches!(self, Err(_) | Ok(Applied::Refused(_)))
    }
}

#[test]
fn a_used_actor_is_refused() {
    let mut a = replica(1);
    a.put("k", "v");
    let actor = a.partition.actor();
    let again = Partition::open(PartitionId(0), actor, a.disk.clone(), options());
    assert!(matches!(again, Err(StoreError::ActorReused(found)) if found == actor));
}

/// A version that the clock does not know was not written by this program, and neither was a
/// clock with sums of another moment.
#[test]
fn contradictions_on_disk_are_refused() {
    let mut a = replica(1);
    a.put("k", "v");
    let rows = a.disk.rows(PartitionId(0), None, ALL).unwrap().into_iter();
    let mut batch = Batch {
        partition: PartitionId(0),
        rows: rows.map(|(key, row)| (key, Some(row))).collect(),
        summary: a.partition.summary(),
        ..Batch::default()
    };
    batch.summary.clock = 0;
    let disk = Arc::new(Simulated::new());
    disk.commit(&batch).unwrap();
    let actor = ActorId {
        node: NodeId(1),
        incarnation: 99,
    };
    let mut opened = Partition::open(PartitionId(0), actor, disk.clone(), options()).unwrap();
    let read = opened.object(b"k");
    assert!(matches!(read, Err(StoreError::Damaged { .. })), "{read:?}");
    let key = Bytes::from_static(b"k");
    let written = opened.write(key, put("w"), None, NOON_MS);
    assert!(matches!(written, Err(StoreError::Damaged { .. })));
    let verified = verify(&*disk, PartitionId(0), options().keyspace);
    assert!(matches!(verified, Err(StoreError::Damaged { .. })));
    batch.summary.clock = 1;
    disk.commit(&batch).unwrap();
    let opened = Partition::open(PartitionId(0), actor, disk, options());
    assert!(matches!(opened, Err(StoreError::Damaged { .. })));
}

/// A replica that keeps no row in memory: every read is one of the disk.
fn forgetful(node: u64) -> Replica {
    let disk = Simulated::with_row_budget(RowBudget::none());
    replica_on(node, options(), disk)
}

fn is_unreadable<T>(result: Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unreadable { .. }))
}

/// What cannot be read is not absent (R26): whatever needs it fails and changes nothing, and
/// all else goes on.
#[test]
fn a_damaged_row_stops_what_needs_it_and_nothing_else() {
    let (mut a, mut b) = (forgetful(1), replica(2));
    let first = a.put("damaged", "v");
    b.take(&first);
    a.put("k", "v");
    a.write("ends", ending("v", NOON_MS + 1), None);
    let push = b.put("damaged", "w");
    let other = b.put("other", "w");
    let question = a.partition.digest();
    let delta = b.delta_for(&question);
    a.disk.damage(PartitionId(0), b"damaged");
    let before = (a.partition.clock().clone(), a.partition.summary());
    let key = Bytes::from_static(b"damaged");
    for op in [put("x"), Write::Delete] {
        assert!(is_unreadable(a.partition.write(
            key.clone(),
            op,
            None,
            NOON_MS
        )));
    }
    assert!(is_unreadable(a.partition.read(&key, NOON_MS)));
    assert!(is_unreadable(a.partition.object(&key)));
    assert!(is_unreadable(a.partition.apply_push(push, NOON_MS)));
    assert!(is_unreadable(a.partition.apply_delta(delta, NOON_MS)));
    let after = (a.partition.clock().clone(), a.partition.summary());
    assert_eq!(before, after);
    assert!(a.partition.stats().unread >= 6);
    a.take(&other);
    a.put("k", "again");
    assert_eq!(a.values("k"), ["again"]);
    let later_ms = NOON_MS + 10 * MAX_DRIFT_MS;
    assert_eq!(a.partition.expire(later_ms, &mut Vec::new()).unwrap(), 1);
    // Peers get the others, and never that it is gone.
    let fresh = replica(3);
    let delta = a.delta_for(&fresh.partition.digest());
    let keys: Vec<_> = delta.rows.iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(keys, ["k", "ends", "other"]);
    let mut source = a.partition.full_source(&fresh.full_request(), 1).unwrap();
    assert!(is_unreadable(source.chunk(0)));
    assert!(verify(&*a.disk, PartitionId(0), options().keyspace).is_err());
}

/// A row that cannot be read keeps no other from ending.
#[test]
fn a_damaged_row_that_ends_keeps_no_other_from_ending() {
    let mut a = forgetful(1);
    for key in ["a", "b", "c"] {
        a.write(key, ending("v", NOON_MS + 1), None);
    }
    a.disk.damage(PartitionId(0), b"b");
    let later_ms = NOON_MS + 10 * MAX_DRIFT_MS;
    assert!(is_unreadable(a.partition.expire(later_ms, &mut Vec::new())));
    assert_eq!(a.partition.stats().keys, 1);
}

/// A full sync reads all rows of its receiver too, and none is taken for absent.
#[test]
fn a_full_sync_over_a_damaged_row_changes_nothing() {
    let (mut a, mut b) = (forgetful(1), replica(2));
    a.put("damaged", "v");
    b.put("k", "w");
    a.disk.damage(PartitionId(0), b"damaged");
    let (pieces, end) = full(&b, &a.full_request(), 1);
    for piece in pieces {
        a.partition.stage(piece).unwrap();
    }
    let before = (a.partition.clock().clone(), a.partition.summary());
    assert!(is_unreadable(a.partition.apply_full(end, NOON_MS)));
    assert_eq!(before, (a.partition.clock().clone(), a.partition.summary()));
    assert_eq!(a.values("k"), Vec::<String>::new());
}

/// When a commit has failed, what was committed before can be read, from the disk too, and be
/// had by others: an engine shows nothing of a batch that it did not keep.
#[test]
fn what_was_committed_is_read_after_a_failed_commit() {
    let mut a = forgetful(1);
    a.put("k", "v");
    let fresh = replica(2);
    a.disk.fail(true);
    let key = Bytes::from_static(b"k");
    assert!(a.partition.write(key, put("w"), None, NOON_MS).is_err());
    a.disk.fail(false);
    assert_eq!(a.values("k"), ["v"]);
    assert_eq!(a.partition.keys_from(0, 9).unwrap().len(), 1);
    let answer = a.partition.delta(&fresh.partition.digest());
    assert!(matches!(answer, DeltaAnswer::Delta(_)), "{answer:?}");
    let mut source = a.partition.full_source(&fresh.full_request(), 1).unwrap();
    assert!(source.chunk(0).is_ok());
    a.reopen();
    assert_eq!(a.values("k"), ["v"]);
}

/// An opening that is over is not read: what a later one holds is of another clock. What is in
/// memory stays, and the next opening has another actor.
#[test]
fn a_partition_of_an_opening_that_is_over_reads_no_other() {
    let mut a = forgetful(1);
    a.put("k", "v");
    let fresh = replica(2);
    let again = a.disk.reopen().unwrap().engine;
    assert!(is_unreadable(a.partition.object(b"k")));
    assert!(is_unreadable(a.partition.keys_from(0, 9)));
    assert!(is_unreadable(
        a.partition.full_source(&fresh.full_request(), 1)
    ));
    let answer = a.partition.delta(&fresh.partition.digest());
    assert_eq!(answer, DeltaAnswer::Unsure);
    let actor = ActorId {
        node: NodeId(1),
        incarnation: 77,
    };
    let before = a.partition.clock().clone();
    let mut opened = a.partition.reopened(actor, again).unwrap();
    assert_eq!(opened.clock(), &before);
    assert_eq!(opened.object(b"k").unwrap().versions.iter().count(), 1);
    let key = Bytes::from_static(b"k");
    let push = opened.write(key, put("w"), None, NOON_MS).unwrap().unwrap();
    assert_eq!(push.dot, Dot { actor, n: 1 });
}

fn ending(value: &'static str, at_ms: u64) -> Write {
    Write::Put {
        value: Bytes::from_static(value.as_bytes()),
        expire_at_ms: Some(at_ms),
    }
}
