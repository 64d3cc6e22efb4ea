//! Replicas of one partition as values in one thread.
//!
//! `random` drives them with arbitrary schedules against the ghost truth of PROTOCOL section
//! 2; `stories` are the counterexamples of section 13, one test each, and `mutations` shows
//! that each story would notice; `hostile` is what a peer may not say; `frontier` which rows a
//! delta leaves out; `dropping` is a copy that goes and comes back; `counters` is what many add
//! to; `rules` is the rest.

mod closing;
mod counters;
mod dropping;
mod engine_failure;
mod frontier;
mod hostile;
mod leftovers;
mod log_floor;
mod mutations;
mod on_disk;
mod random;
mod repair;
mod replacing;
mod restore;
mod rule_table;
mod rules;
mod stories;
mod stories_sync;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::*;
use crate::clock::{NodeId, VersionVector};
use crate::object::Versions;
use crate::placement::Keyspace;
use crate::store::derived::Summary;
use crate::store::engine::{Batch, Piece, Reader, Simulated};
use crate::store::exchange::{Closing, Delta, Digest, FullEnd, FullRequest, FullRows, Push};
use crate::store::verify;

/// The wall clock of tests that do not care, in milliseconds.
const NOON_MS: u64 = 43_200_000;

/// More than any test writes.
const ALL: Piece = Piece {
    rows: usize::MAX,
    bytes: usize::MAX,
};

/// A replica, its disk, and the count of its openings.
struct Replica {
    node: NodeId,
    disk: Arc<Simulated>,
    openings: u64,
    options: Options,
    partition: Partition,
}

thread_local! {
    /// The rule that replicas of this thread break; none outside of `mutations`.
    static BROKEN: Cell<Option<Mutation>> = const { Cell::new(None) };
}

fn options() -> Options {
    Options {
        mutation: BROKEN.get(),
        keyspace: Keyspace {
            partitions: 1,
            hash_seed: 7,
        },
        ..Options::default()
    }
}

fn replica(node: u64) -> Replica {
    replica_with(node, options())
}

fn replica_with(node: u64, options: Options) -> Replica {
    replica_on(node, options, Simulated::new())
}

fn replica_on(node: u64, options: Options, disk: Simulated) -> Replica {
    let disk = Arc::new(disk);
    let node = NodeId(node);
    Replica {
        node,
        partition: open(node, 1, &disk, options),
        disk,
        openings: 1,
        options,
    }
}

fn open(node: NodeId, opening: u64, disk: &Arc<Simulated>, options: Options) -> Partition {
    let actor = ActorId {
        node,
        incarnation: opening,
    };
    Partition::open(PartitionId(0), actor, disk.clone(), options).unwrap()
}

/// Three replicas: the A, B and C of the stories.
fn abc() -> (Replica, Replica, Replica) {
    (replica(1), replica(2), replica(3))
}

impl Replica {
    /// Starts again from what the disk holds, with a fresh actor.
    fn reopen(&mut self) {
        self.openings += 1;
        self.partition = open(self.node, self.openings, &self.disk, self.options);
    }

    /// Loses power: what was not synced is gone.
    fn lose_tail(&mut self) {
        self.disk.crash_losing_tail();
        self.reopen();
    }

    fn sync(&self) {
        self.disk.sync().unwrap();
    }

    fn put(&mut self, key: &'static str, value: &'static str) -> Push {
        self.put_with(key, value, None)
    }

    fn put_with(
        &mut self,
        key: &'static str,
        value: &'static str,
        context: Option<&VersionVector>,
    ) -> Push {
        self.write(key, put(value), context).unwrap()
    }

    fn delete(&mut self, key: &'static str) -> Option<Push> {
        self.write(key, Write::Delete, None)
    }

    fn write(
        &mut self,
        key: &'static str,
        op: Write,
        context: Option<&VersionVector>,
    ) -> Option<Push> {
        let key = Bytes::from_static(key.as_bytes());
        self.partition.write(key, op, context, NOON_MS).unwrap()
    }

    fn token(&self, key: &str) -> VersionVector {
        self.partition.object(key.as_bytes()).unwrap().context
    }

    fn push(&mut self, push: &Push) -> Applied {
        self.partition.apply_push(push.clone(), NOON_MS).unwrap()
    }

    /// A push that must be news.
    fn take(&mut self, push: &Push) {
        assert_eq!(self.push(push), Applied::New);
    }

    /// A delta that must be news.
    fn take_delta(&mut self, delta: Delta) {
        assert_eq!(self.apply(delta), Applied::New);
    }

    fn delta_for(&self, digest: &Digest) -> Delta {
        match self.partition.delta(digest) {
            DeltaAnswer::Delta(delta) => delta,
            other => panic!("expected a delta, got {other:?}"),
        }
    }

    fn apply(&mut self, delta: Delta) -> Applied {
        self.partition.apply_delta(delta, NOON_MS).unwrap()
    }

    /// Takes from `source` what it has more, by deltas or a full sync, until there is no more.
    fn pull(&mut self, source: &Replica) {
        for _ in 0..10_000 {
            let applied = match source.partition.delta(&self.partition.digest()) {
                DeltaAnswer::Nothing | DeltaAnswer::Unsure => return,
                DeltaAnswer::Delta(delta) => self.apply(delta),
                DeltaAnswer::Full => self.pull_full(source),
            };
            assert_eq!(applied, Applied::New);
        }
        panic!("sync does not come to an end");
    }

    /// The same, but it may refuse news of dead actors.
    fn pull_permitted(&mut self, source: &Replica) {
        for _ in 0..10_000 {
            let applied = match source.partition.delta(&self.partition.digest()) {
                DeltaAnswer::Nothing | DeltaAnswer::Unsure => return,
                DeltaAnswer::Delta(delta) => self.apply(delta),
                DeltaAnswer::Full => self.pull_full(source),
            };
            if applied == Applied::Refused(Refusal::Frozen) {
                return;
            }
            assert_eq!(applied, Applied::New);
        }
        panic!("sync does not come to an end");
    }

    fn pull_full(&mut self, source: &Replica) -> Applied {
        let (pieces, end) = full(source, &self.full_request(), session());
        for piece in pieces {
            self.partition.stage(piece).unwrap();
        }
        self.partition.apply_full(end, NOON_MS).unwrap()
    }

    fn full_request(&self) -> FullRequest {
        FullRequest {
            partition: PartitionId(0),
            asker: self.partition.actor(),
            clock: self.partition.clock().clone(),
        }
    }

    /// All live values of `key`, sorted.
    fn values(&self, key: &str) -> Vec<String> {
        let object = self.partition.object(key.as_bytes()).unwrap();
        let mut values: Vec<String> = object
            .versions
            .iter()
            .map(|(_, version)| String::from_utf8_lossy(&version.value).into_owned())
            .collect();
        values.sort();
        values
    }

    /// Clock and live versions, to compare replicas. Residual contexts may differ for good
    /// where they refer to dots that were lost with a tail, until the actor is sealed.
    fn live(&self) -> (Clock, Vec<(Bytes, Versions)>) {
        let (_, rows) = self.state();
        let live = rows
            .into_iter()
            .filter(|(_, row)| !row.versions.is_empty())
            .map(|(key, row)| (key, row.versions))
            .collect();
        (self.partition.clock().clone(), live)
    }

    /// Clock and rows. Those in memory are those on disk.
    fn state(&self) -> (Clock, Vec<(Bytes, Row)>) {
        let rows = self.disk.rows(PartitionId(0), None, ALL).unwrap();
        for cached in self.partition.table.cached() {
            assert!(rows.contains(&cached), "only in memory: {cached:?}");
        }
        (self.partition.clock().clone(), rows)
    }
}

fn put(value: &'static str) -> Write {
    Write::Put {
        value: Bytes::from_static(value.as_bytes()),
        expire_at_ms: None,
    }
}

/// The name of a full sync that no other has.
fn session() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// All pieces of a full sync.
fn full(source: &Replica, request: &FullRequest, session: u64) -> (Vec<FullRows>, FullEnd) {
    let mut source = source.partition.full_source(request, session).unwrap();
    let mut pieces = Vec::new();
    for sequence in 0.. {
        match source.chunk(sequence).unwrap().unwrap() {
            FullChunk::Rows(rows) => pieces.push(rows),
            FullChunk::End(end) => {
                assert_eq!(source.chunk(sequence + 1).unwrap(), None);
                return (pieces, end);
            }
        }
    }
    unreachable!()
}

/// Each pulls from each until all are equal; then they hold the same.
fn heal(replicas: &mut [&mut Replica]) {
    let count = replicas.len();
    for _ in 0..count {
        for to in 0..count {
            for from in 0..count {
                if from < to {
                    let (sources, askers) = replicas.split_at_mut(to);
                    askers[0].pull(sources[from]);
                } else if from > to {
                    let (askers, sources) = replicas.split_at_mut(from);
                    askers[to].pull(sources[0]);
                }
            }
        }
    }
    for pair in replicas.windows(2) {
        assert_eq!(pair[0].live(), pair[1].live(), "replicas have diverged");
        let fingerprints = [
            pair[0].partition.fingerprint(),
            pair[1].partition.fingerprint(),
        ];
        assert_eq!(fingerprints[0], fingerprints[1]);
        assert_eq!(pair[0].partition.hash(), pair[1].partition.hash());
    }
}
