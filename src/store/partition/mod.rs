//! One replica of one partition (PROTOCOL sections 1 to 3).
//!
//! The clock says exactly which writes took effect here; the rows are a function of the clock
//! (the central invariant, S8 and S9: equal clocks have equal rows). Every operation below is
//! one step of that function: it computes the rows and clock entries that change from one
//! snapshot, commits them as one batch, and only then changes memory.
//!
//! From rule to code to test (a test holds this table to the sources). Rules without a place
//! here: R20 (`reopened` drops a copy when it is told to). `random` checks them all at once, and `mutations` shows which test notices each of them broken.
//!
//! | rule | says | code | test |
//! |---|---|---|---|
//! | R1 | a new actor for every opening | `mod::open` | `n01_a_restart_after_a_lost_tail_issues_no_dot_twice`, `a_used_actor_is_refused` |
//! | R2 | a push adds its dot and live dots | `absorb::apply_push` | `n02_a_push_says_nothing_of_other_keys` |
//! | R3 | whole rows | `write::replace`, `delta::take_group` | `n03_a_push_carries_siblings` |
//! | R4 | a token's dots never enter the clock | `write::replace` | `n04_a_context_says_nothing_to_the_clock` |
//! | R5 | a delta merges its covers | `absorb::apply_delta`, `check::check_delta` | `n05_a_piece_of_a_delta_covers_itself_only` |
//! | R6 | a row comes with all missing dots of its key | `delta::take_group` | `n34_a_row_brings_all_dots_of_its_key` |
//! | R7 | answers are one snapshot | `delta::delta`, `source::full_source` | `n07_a_delta_is_one_snapshot` |
//! | R8 | rows are filled before the clock moves | `absorb::merge` | `n26_rows_are_filled_with_the_clock_before_the_message` |
//! | R9 | every covered dot is logged | `absorb::note`, `log::insert` | `n09_a_delete_is_passed_on_by_those_who_received_it` |
//! | R10 | below the floor a full sync | `log::reaches`, `log::bound`, `log::age` | `n10_below_the_floor_a_delta_is_no_answer` |
//! | R11 | a delete has a dot | `write::write` | `n11_a_delete_is_not_undone_by_a_sync` |
//! | R12 | clock entries are never pruned | `step::commit` | `n12_a_late_push_of_a_dead_actor_revives_nothing` |
//! | R13 | rows and clock in one batch | `step::commit` | `n14_a_crash_leaves_rows_and_clock_together`, `after_a_failed_commit_nothing_has_changed_and_nothing_will` |
//! | R14 | strip and fill by the base | `step::strip`, `absorb::fill_for` | `n19_strip_forgets_nothing_above_a_gap`, `n20_fill_claims_nothing_above_a_gap` |
//! | R15 | merge keeps losers | `absorb::merge` | `n08_losers_of_last_write_wins_stay` |
//! | R16 | a full sync is staged, whole, echoed, with all live dots | `full::apply_full`, `stage::is_whole` | `n22_a_full_sync_without_its_rows_has_no_effect`, `n23_a_full_sync_spares_what_came_meanwhile`, `n27_a_full_sync_for_an_earlier_opening_is_refused`, `n33_rows_of_a_full_sync_take_no_effect_before_its_end` |
//! | R17 | a delta echoes the asker's actor | `check::check_address` | `n28_a_whole_clock_for_an_earlier_opening_is_refused`, `n29_a_delta_for_an_earlier_opening_is_refused` |
//! | R18 | voids come last | `delta::close` | `n24_voids_come_last` |
//! | R19 | holes are filled when all have frozen | `seal::freeze_dead`, `seal::seal_agreed`, `closing::refuses` | `n17_nothing_is_sealed_before_all_have_frozen_it` |
//! | R21 | a write gets its dot once, where it is accepted | `write::replace` | `three_replicas_with_all_faults` |
//! | R22 | expiry removes the ended version | `upkeep::expire` | `n21_an_ending_version_takes_no_sibling_along` |
//! | R23 | an addition replaces its actor's sum only | `write::amend` | `an_addition_takes_no_other_actors_sum` |
//! | R24 | nothing is dropped for being stable | `upkeep::collect` | `three_replicas_with_all_faults` |
//! | R25 | a push whose dot is known is ignored | `absorb::apply_push` | `n12_a_late_push_of_a_dead_actor_revives_nothing`, `a_hole_of_a_lost_write_is_filled` |
//! | R26 | what cannot be read is an error | `table::read`, `mod::open` | `a_damaged_row_stops_what_needs_it_and_nothing_else`, `contradictions_on_disk_are_refused`, `a_database_behind_what_was_synced_is_refused` |
//!
//! Rows are in the engine; some or all of them are in memory too. Nothing of a partition's size
//! is held in memory beside that, and an opening reads the clock and the sums, not the rows.
//!
//! Sets and hashes are rows of their elements ([`crate::object::Name`]); `collection` reads them as
//! one. `restore` takes in backups, as `full` does full syncs; `recovery` is what a damaged disk has
//! lost. `table` over `cache` and `slot`,
//! `advance`, `frontier`, `stage` and `closings` are the parts: rows and what is derived from them, the clock after a step, when a delta needs no row, pieces
//! of a full sync, what is known of dead actors. `naive` is what breaks the rules in tests.

mod absorb;
mod advance;
mod cache;
mod check;
mod closing;
mod closings;
mod collection;
mod delta;
mod frontier;
mod full;
mod listing;
mod log;
mod loss;
mod naive;
mod options;
mod recovery;
mod reopened;
mod restore;
mod seal;
mod slot;
mod source;
mod stage;
mod stats;
mod step;
mod table;
#[cfg(test)]
mod tests;
mod upkeep;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

pub use self::collection::{Page, PageSize, Shown};
pub use self::delta::DeltaAnswer;
pub use self::log::LOG_ROW_BYTES;
pub use self::options::Options;
pub use self::restore::{Restore, RestoreEnd, RestoreError, Restored};
pub use self::source::{FullChunk, FullSource};
pub use self::stats::PartitionStats;
pub use self::upkeep::EXPIRE_KEYS_MAX;
pub use self::write::Write;

use self::advance::Advance;
use self::closings::Closings;
use self::log::DotLog;
use self::loss::Recovery;
use self::stage::Stage;
use self::table::{Local, Table};
use super::engine::Engine;
use super::mutation::Mutation;
use super::{Refusal, StoreError};
use crate::clock::{ActorId, Clock, Dot, HybridClock, NodeId};
use crate::object::{Object, Row, Version};
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
    /// No other replica is known: there is nobody to log for.
    is_alone: bool,
    stage: Option<Stage>,
    closings: Closings,
    recovery: Recovery,
    dot_conflicts: u64,
    /// A commit has failed: see [`StoreError::Poisoned`].
    poisoned: bool,
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
        let loaded = engine.reader().load(id)?;
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
        if loaded.clock.hash() != loaded.summary.clock {
            return Err(damaged("a clock that is not of the last batch"));
        }
        let table = Table::new(id, options.keyspace, engine.clone(), loaded.summary.totals);
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
            is_alone: false,
            stage: None,
            closings: Closings::new(loaded.frozen, loaded.peers),
            recovery: Recovery::new(loaded.rebuilding),
            dot_conflicts: 0,
            poisoned: false,
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
        self.table.totals().fingerprint
    }

    /// Half of the fingerprint: enough to notice that two differ.
    pub fn half_fingerprint(&self) -> u32 {
        self.fingerprint() as u32
    }

    /// What `key` shows at `wall_ms`: its last write that has not ended, or a counter's sum.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`], which is not the same as none (R26).
    pub fn read(&self, key: &[u8], wall_ms: u64) -> Result<Option<Version>, StoreError> {
        self.check_readable()?;
        self.table
            .read(&self.clock, key, |row| row?.versions.value_at(wall_ms))
    }

    /// Everything that this replica knows of `key`; its context is what a client passes back
    /// to replace exactly what it read.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`], which is not the same as nothing (R26).
    pub fn object(&self, key: &[u8]) -> Result<Object, StoreError> {
        self.check_readable()?;
        let row = self.row(key)?;
        let mut context = self.clock.base_vector();
        if self.options.breaks(Mutation::N20) {
            let tops = self.clock.entries().map(|(actor, e)| (actor, e.top()));
            context = tops.collect();
        }
        context.join(&row.own_context());
        Ok(Object {
            versions: row.versions,
            context,
        })
    }

    /// The row of `key` as stored; empty if there is none.
    fn row(&self, key: &[u8]) -> Result<Row, StoreError> {
        self.table.row(&self.clock, key)
    }

    /// What is here of `key`.
    fn local(&self, key: &[u8]) -> Result<Local, StoreError> {
        self.table.local(&self.clock, key)
    }

    /// Whether the context of `key` contains `dot`, which the clock does not: it arrived with a
    /// later write.
    fn row_includes(&self, key: &[u8], dot: Dot) -> Result<bool, StoreError> {
        self.table.read(&self.clock, key, |row| {
            row.is_some_and(|row| row.known(dot.actor) >= dot.n)
        })
    }

    /// The form of a key in which rows and log share one allocation.
    fn shared_key(&self, key: &Bytes) -> Bytes {
        self.table.key(key).unwrap_or_else(|| key.clone())
    }
}
