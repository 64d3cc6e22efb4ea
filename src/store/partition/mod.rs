//! One replica of one partition (PROTOCOL sections 1 to 3).
//!
//! The clock says exactly which writes took effect here; the rows are a function of the clock
//! (the central invariant, S8 and S9: equal clocks have equal rows). Every operation below is
//! one step of that function: it computes the rows and clock entries that change from one
//! snapshot, commits them as one batch, and only then changes memory.
//!
//! | file | rules |
//! |---|---|
//! | `write` | 3.1: R4, R11, R21 |
//! | `absorb` | 3.3 and 3.4, receiving: R2, R5, R6, R8, R9, R17, R25 |
//! | `check` | what a peer may not say |
//! | `delta` | 3.4, answering: R3, R6, R7, R10, R18 |
//! | `source`, `full` | 3.6, answering and asking: R7, R16 |
//! | `upkeep` | 3.5, TTL (R22), collapse |
//! | `log`, `table`, `slot`, `advance` | the parts: dot log and floor, rows and their indexes, the clock after a step |

mod absorb;
mod advance;
mod check;
mod closing;
mod closings;
mod delta;
mod full;
mod log;
mod naive;
mod options;
mod seal;
mod slot;
mod source;
mod stage;
mod stats;
mod table;
#[cfg(test)]
mod tests;
mod upkeep;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

pub use self::delta::DeltaAnswer;
pub use self::log::LOG_ROW_BYTES;
pub use self::options::Options;
pub use self::source::{FullChunk, FullSource};
pub use self::stats::PartitionStats;
pub use self::upkeep::EXPIRE_KEYS_MAX;
pub use self::write::Write;

use self::advance::Advance;
use self::closings::Closings;
use self::log::DotLog;
use self::stage::Stage;
use self::table::Table;
use super::engine::{Batch, Engine};
use super::exchange::Digest;
use super::mutation::Mutation;
use super::{Refusal, StoreError};
use crate::clock::{ActorId, Clock, Dot, HybridClock, NodeId, RUNS_MAX, VersionVector};
use crate::object::{Object, Row, Version, Versions};
use crate::placement::PartitionId;

/// What became of something that a peer sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Applied {
    /// It took effect and was committed.
    New,
    /// All its effect was here already.
    Duplicate,
    /// It was not applied, and nothing was changed.
    Refused(Refusal),
}

/// One replica of one partition.
pub struct Partition {
    id: PartitionId,
    actor: ActorId,
    engine: Arc<dyn Engine>,
    options: Options,
    clock: Clock,
    table: Table,
    log: DotLog,
    hlc: HybridClock,
    /// The last clock that each peer said it had. Only to shorten the log.
    known: BTreeMap<NodeId, Clock>,
    stage: Option<Stage>,
    closings: Closings,
    /// A commit failed: what is on disk is unknown, so nothing may follow.
    poisoned: bool,
    dot_conflicts: u64,
}

impl Partition {
    /// Opens a partition with what `engine` holds of it.
    ///
    /// `actor` must be fresh: 64 random bits drawn for this opening (R1). A reused actor
    /// re-issues dots after a lost tail, and two values under one dot are never reconciled
    /// (N01, N01w, N16). It becomes durable with its first write, not before.
    ///
    /// The log is memory only: a peer that is behind what was there at the opening gets a
    /// full sync.
    pub fn open(
        id: PartitionId,
        actor: ActorId,
        engine: Arc<dyn Engine>,
        options: Options,
    ) -> Result<Self, StoreError> {
        let loaded = engine.load(id)?;
        let lost = loaded.clock.is_empty();
        let reuses = options.breaks(Mutation::N01)
            || lost && (options.breaks(Mutation::N01w) || options.breaks(Mutation::N16));
        let actor = match reuses {
            // N01, N01w and N16: the actor that every opening of this node's would take.
            true => ActorId {
                incarnation: 0,
                ..actor
            },
            false => actor,
        };
        if loaded.clock.entry(actor).is_some() && !reuses {
            return Err(StoreError::ActorReused(actor));
        }
        let damaged = |what| StoreError::Damaged {
            partition: id,
            what,
        };
        let mut table = Table::new(options.keyspace);
        for (key, row) in loaded.rows {
            if options.keyspace.partition_of(&key) != id {
                return Err(damaged("a key of another partition"));
            }
            if !row.versions.dots().all(|dot| loaded.clock.contains(dot)) {
                return Err(damaged("a version that the clock does not know"));
            }
            table.set(key, Some(row));
        }
        let mut log = DotLog::new();
        for (actor, entry) in loaded.clock.entries() {
            log.raise_floor(actor, entry.top());
        }
        Ok(Self {
            id,
            actor,
            engine,
            options,
            clock: loaded.clock,
            table,
            log,
            hlc: HybridClock::new(),
            known: BTreeMap::new(),
            stage: None,
            closings: Closings::new(loaded.frozen, loaded.peers),
            poisoned: false,
            dot_conflicts: 0,
        })
    }

    /// Which partition it is.
    pub fn id(&self) -> PartitionId {
        self.id
    }

    /// The actor of this opening: issuer of its dots, and nonce of its digests.
    pub fn actor(&self) -> ActorId {
        self.actor
    }

    /// The exact set of dots whose effect is here.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The hash of the clock. O(1).
    pub fn hash(&self) -> u64 {
        self.clock.hash()
    }

    /// A sum over the live versions without expiry. Replicas with equal clocks have equal
    /// fingerprints, or something is broken. O(1).
    pub fn fingerprint(&self) -> u64 {
        self.table.fingerprint()
    }

    /// The last write of `key` among the versions that have not ended at `wall_ms`.
    pub fn read(&self, key: &[u8], wall_ms: u64) -> Option<&Version> {
        let row = self.table.get(key)?;
        row.versions.winner_at(wall_ms).map(|(_, version)| version)
    }

    /// Everything that this replica knows of `key`; its context is what a client passes back
    /// to replace exactly what it read.
    pub fn object(&self, key: &[u8]) -> Object {
        let row = self.table.get(key).cloned().unwrap_or_default();
        let mut context = self.clock.base_vector();
        if self.options.breaks(Mutation::N20) {
            let tops = self.clock.entries().map(|(actor, e)| (actor, e.top()));
            context = tops.collect();
        }
        context.join(&row.own_context());
        Object {
            versions: row.versions,
            context,
        }
    }

    /// The question to a peer: what do you have that I lack?
    pub fn digest(&self) -> Digest {
        Digest {
            partition: self.id,
            asker: self.actor,
            clock: self.clock.clone(),
        }
    }

    /// Keys with versions, from the hash `from_hash` on, in the order of their hashes. Keys
    /// whose last version has ended are listed until they are removed.
    pub fn keys_from(&self, from_hash: u64) -> impl Iterator<Item = (u64, &Bytes)> + '_ {
        self.table
            .iter_from(from_hash)
            .filter(|(_, _, row)| !row.versions.is_empty())
            .map(|(hash, key, _)| (hash, key))
    }

    /// The row of `key` as stored; empty if there is none.
    fn row(&self, key: &[u8]) -> Row {
        self.table.get(key).cloned().unwrap_or_default()
    }

    /// The form of a key in which rows and log share one allocation.
    fn shared_key(&self, key: &Bytes) -> Bytes {
        self.table.key(key).unwrap_or(key).clone()
    }

    /// Puts together what a step changes: `rows` and the clock entries of `advance`, and the
    /// rows whose residual context the new bases cover (PROTOCOL 1.1).
    fn step(
        &self,
        mut rows: Vec<(Bytes, Option<Row>)>,
        advance: Advance<'_>,
        logged: Vec<(Dot, Option<Bytes>)>,
    ) -> Step {
        let mut keys = BTreeSet::new();
        for (actor, base) in advance.new_bases() {
            keys.extend(self.table.residual_up_to(actor, base));
        }
        if !keys.is_empty() {
            for (key, _) in &rows {
                keys.remove(key);
            }
        }
        for key in keys {
            let row = self.row(&key);
            let stripped = self.strip(row.versions, row.residual, &advance);
            rows.push((key, stripped));
        }
        let entries = advance.into_entries();
        let closed = entries.iter().filter(|(_, entry)| entry.is_closed());
        let thawed = closed.filter(|(actor, _)| self.closings.is_frozen(*actor));
        let batch = Batch {
            partition: self.id,
            frozen: thawed.map(|(actor, _)| (*actor, false)).collect(),
            peers: Vec::new(),
            rows,
            entries,
        };
        Step { batch, logged }
    }

    /// Commits rows and clock entries as one batch (R13), then installs them and logs the
    /// dots with their keys (R9).
    ///
    /// On an error nothing changes in memory, and nothing will until the partition is opened
    /// again: the batch may be on disk all the same, and issuing its dot a second time would
    /// be N01 without a crash.
    fn commit(&mut self, step: Step) -> Result<(), StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned(self.id));
        }
        let committed = match self.options.breaks(Mutation::N14) {
            true => self.commit_clock_first(&step.batch),
            false => self.engine.commit(&step.batch),
        };
        if let Err(error) = committed {
            self.poisoned = true;
            return Err(error.into());
        }
        self.closings.install(&step.batch);
        for (actor, entry) in step.batch.entries {
            self.clock.set(actor, entry);
        }
        for (key, row) in step.batch.rows {
            self.table.set(key, row);
        }
        for (dot, key) in step.logged {
            self.log.insert(dot, key);
        }
        if self.options.breaks(Mutation::N12) {
            self.prune();
        }
        let rows_max = self.options.log_rows_max.clamp(2, RUNS_MAX);
        self.log.bound(rows_max, self.options.log_bytes_max);
        Ok(())
    }

    /// The stored form of a key after the step that leads to `advance` (PROTOCOL 1.1): of the
    /// context only what lies above the *base* of the clock (R14, N19), is not live, and is not
    /// of a closed actor (3.9). None if there is nothing left to store.
    fn strip(
        &self,
        versions: Versions,
        mut context: VersionVector,
        advance: &Advance<'_>,
    ) -> Option<Row> {
        let by_maximum = self.options.breaks(Mutation::N19);
        context.retain(|actor, n| {
            let implied = match by_maximum {
                true => advance.entry(actor).is_some_and(|entry| n <= entry.top()),
                false => advance.implies(actor, n),
            };
            !implied && !versions.contains(Dot { actor, n })
        });
        let row = Row {
            versions,
            residual: context,
        };
        (!row.is_empty()).then_some(row)
    }
}

/// What one step changes.
struct Step {
    batch: Batch,
    /// The new dots of the clock, each with its key.
    logged: Vec<(Dot, Option<Bytes>)>,
}
