//! Commit, then install: what a failing engine leaves behind.

use super::*;
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

/// A version that the clock does not know was not written by this program.
#[test]
fn contradictions_on_disk_are_refused() {
    let mut a = replica(1);
    a.put("k", "v");
    let rows = a.disk.rows(PartitionId(0), None, ALL).unwrap().into_iter();
    let disk = Simulated::new();
    disk.commit(&Batch {
        partition: PartitionId(0),
        rows: rows.map(|(key, row)| (key, Some(row))).collect(),
        ..Batch::default()
    })
    .unwrap();
    let actor = ActorId {
        node: NodeId(1),
        incarnation: 99,
    };
    let opened = Partition::open(PartitionId(0), actor, Arc::new(disk), options());
    assert!(matches!(opened, Err(StoreError::Damaged { .. })));
}
