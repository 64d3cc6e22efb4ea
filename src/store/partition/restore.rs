//! Taking in a backup: a full sync (PROTOCOL 3.6, R16) whose source is a file.
//!
//! A backup is an earlier state of some replica, whole: every row, and the clock of their
//! snapshot. Merged like the end of a full sync, what this replica has deleted or overwritten
//! since stays so, what it never had comes in under its own dots, and doing it twice changes
//! nothing. It is staged apart from full syncs, so neither gets into the way of the other: both
//! merge with whatever is here at their ends.
//!
//! Two things are different from a full sync, because a file is no replica that took part in
//! what the living agreed on (3.9):
//!
//! - *What it says is closed counts as open.* Its cluster agreed on that, perhaps another one
//!   that went its own way from the same beginnings; here that writer may be alive.
//! - *What is refused here gets another name.* Dots that the replicas have closed the door on
//!   would be refused for ever, whoever offers them, and a backup may be the only one who has
//!   them. Such a dot is taken in as the same counter of another actor, whose incarnation is a
//!   hash of the first one's: so it has the same name whichever replica restores whichever
//!   backup, is known when it comes a second time, and a delete of it is remembered. Contexts
//!   that include the one name include the other too. Nobody issues dots under such a name.
//!
//! What cannot be told apart: a version that was lost and whose dot was then declared void, and
//! one that was deleted. Neither comes back.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::stage::Stage;
use super::{Applied, Partition};
use crate::clock::{
    ActorId, Clock, Dot, DotSet, Entry, MAX_DRIFT_MS, NodeId, RunSet, VersionVector,
};
use crate::object::Row;
use crate::store::exchange::{FullEnd, FullRows};
use crate::store::{Refusal, StoreError};

/// How often a dot is given another name because the one before is closed too: once per
/// restore after which the cluster closed what it had brought.
const RENAMED_MAX: usize = 16;

/// Tells the hash that makes names from every other.
const NAME_SEED: u64 = 0x6e65_7464_625f_7265;

/// A backup of one partition on its way in. Nothing takes effect before its end.
#[derive(Debug)]
pub struct Restore {
    stage: Stage,
}

impl Default for Restore {
    fn default() -> Self {
        Self::new()
    }
}

impl Restore {
    /// One of which nothing has come yet.
    pub fn new() -> Self {
        Self {
            stage: Stage::new(0),
        }
    }
}

/// The end of a backup of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreEnd {
    /// The clock, from the snapshot of the rows.
    pub clock: Clock,
    /// How many rows came before.
    pub rows: u64,
    /// How many versions they have.
    pub versions: u64,
}

/// What became of the versions of a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Versions that came in.
    pub taken: u64,
    /// Versions that were here already.
    pub present: u64,
    /// Versions that were deleted or overwritten here since the backup.
    pub superseded: u64,
    /// Versions here that the backup knew to be deleted or overwritten, and which went.
    pub replaced: u64,
    /// Of the taken: those under another name, because the cluster had closed their writer.
    pub renamed: u64,
    /// Of the taken: those written by a clock that is ahead of this node's. They win over
    /// concurrent writes until that time has come, or somebody writes the key.
    pub ahead: u64,
}

impl Restored {
    /// Its counts by name.
    pub fn fields(&self) -> [(&'static str, u64); 6] {
        [
            ("taken", self.taken),
            ("present", self.present),
            ("superseded", self.superseded),
            ("replaced", self.replaced),
            ("renamed", self.renamed),
            ("ahead", self.ahead),
        ]
    }
}

/// Why a backup was not taken in. Nothing was changed.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// It cannot be.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The engine failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Partition {
    /// Puts some rows of a backup aside.
    ///
    /// # Errors
    /// They cannot be, or are too many; the restore is of no further use.
    pub fn stage_restore(
        &self,
        restore: &mut Restore,
        rows: Vec<(Bytes, Row)>,
    ) -> Result<(), Refusal> {
        for (key, row) in &rows {
            self.check_row(key, row)?;
        }
        let live = live_dots(rows.iter().map(|(_, row)| row));
        let piece = FullRows {
            partition: self.id,
            to: self.actor,
            session: restore.stage.session,
            sequence: restore.stage.next,
            rows,
            live,
        };
        let taken = restore.stage.take(piece, self.options.stage_bytes_max);
        taken.map(|_| ())
    }

    /// Makes a staged backup take effect, in one batch.
    ///
    /// # Errors
    /// It is not whole, contradicts itself, or the engine failed.
    pub fn apply_restore(
        &mut self,
        restore: Restore,
        end: RestoreEnd,
        wall_ms: u64,
    ) -> Result<Restored, RestoreError> {
        let mut stage = restore.stage;
        self.check_clock(&end.clock)?;
        let end = FullEnd {
            partition: self.id,
            to: self.actor,
            session: stage.session,
            rows_total: end.rows,
            live_total: end.versions,
            clock: end.clock,
            vouches: false,
        };
        if !stage.is_whole(&end) {
            return Err(Refusal::Incomplete.into());
        }
        let (clock, names) = self.names_for(&end.clock)?;
        names.rename(&mut stage);
        let all_before = self.table.totals().dots_live;
        let before = self.tally(&stage, &names, wall_ms)?;
        let missing = clock.minus(&self.clock);
        if let Applied::Refused(refusal) = self.take_whole(&stage, &clock, &missing, wall_ms)? {
            return Err(refusal.into());
        }
        // If this fails, it took effect all the same; doing it again changes nothing.
        let after = self.tally(&stage, &names, wall_ms)?;
        let all_after = self.table.totals().dots_live;
        let taken = after.live - before.live;
        Ok(Restored {
            taken,
            present: before.live,
            superseded: end.live_total.saturating_sub(after.live),
            replaced: (all_before + taken).saturating_sub(all_after),
            renamed: after.renamed - before.renamed,
            ahead: after.ahead - before.ahead,
        })
    }

    /// Whether `peer` is known to have everything of `clock`.
    pub fn is_known_to(&self, peer: NodeId, clock: &Clock) -> bool {
        let known = self.known.get(&peer);
        known.is_some_and(|known| known.dominates(clock))
    }

    /// How many versions of the stage are live here.
    fn tally(&self, stage: &Stage, names: &Names, wall_ms: u64) -> Result<Tally, StoreError> {
        let plausible_ms = wall_ms.saturating_add(MAX_DRIFT_MS);
        let mut tally = Tally::default();
        for (key, row) in &stage.rows {
            let here = self.row(key)?;
            for (dot, version) in row.versions.iter() {
                if here.versions.contains(dot) {
                    tally.live += 1;
                    tally.renamed += u64::from(names.given.contains(&dot.actor));
                    tally.ahead += u64::from(version.hlc.wall_ms() > plausible_ms);
                }
            }
        }
        Ok(tally)
    }

    /// The clock of a backup as it may be taken in here, and the names that its dots have then.
    fn names_for(&self, source: &Clock) -> Result<(Clock, Names), Refusal> {
        let mut clock = Clock::new();
        let mut names = Names::default();
        for (actor, entry) in source.entries() {
            let mut name = actor;
            // Open, whatever the source has closed.
            let mut rest = Entry::of_runs(&entry.minus(&Entry::default()));
            for tries in 0.. {
                let refused = self.refused_of(name, &rest);
                let kept = Entry::of_runs(&rest.minus(&Entry::of_runs(&refused)));
                if !kept.is_empty() {
                    let mut taken = clock.entry(name).cloned().unwrap_or_default();
                    taken.join(&kept);
                    clock.set(name, taken);
                }
                if refused.is_empty() {
                    break;
                }
                if tries == RENAMED_MAX {
                    return Err(Refusal::Frozen);
                }
                rest = Entry::of_runs(&refused);
                name = names.add(actor, name, refused);
            }
        }
        // A name made here may be in the backup as well, and may be this very opening's.
        self.check_clock(&clock)?;
        Ok((clock, names))
    }

    /// What of `entry` is news here and is refused.
    fn refused_of(&self, actor: ActorId, entry: &Entry) -> RunSet {
        let Some(agreed) = self.agreed(actor) else {
            return RunSet::new();
        };
        let own = self.clock.entry(actor).cloned().unwrap_or_default();
        Entry::of_runs(&entry.minus(&own)).minus(&agreed)
    }
}

/// Versions of a backup that are live here.
#[derive(Debug, Default)]
struct Tally {
    live: u64,
    renamed: u64,
    ahead: u64,
}

/// The names of dots that are refused under their own.
#[derive(Debug, Default)]
struct Names {
    /// All names that were made.
    given: BTreeSet<ActorId>,
    /// By actor, the counters that are refused and the next name, name after name.
    moved: BTreeMap<ActorId, Vec<(RunSet, ActorId)>>,
}

impl Names {
    /// Notes that `refused` of `actor`, by `name` up to now, needs another one; gives it.
    fn add(&mut self, actor: ActorId, name: ActorId, refused: RunSet) -> ActorId {
        let mut bytes = [0; 16];
        let (node, incarnation) = bytes.split_at_mut(8);
        node.copy_from_slice(&name.node.0.to_le_bytes());
        incarnation.copy_from_slice(&name.incarnation.to_le_bytes());
        let next = ActorId {
            node: name.node,
            incarnation: xxh3_64_with_seed(&bytes, NAME_SEED),
        };
        self.given.insert(next);
        self.moved.entry(actor).or_default().push((refused, next));
        next
    }

    fn of(&self, dot: Dot) -> Dot {
        let mut actor = dot.actor;
        for (refused, next) in self.moved.get(&dot.actor).into_iter().flatten() {
            if !refused.contains(dot.n) {
                break;
            }
            actor = *next;
        }
        Dot { actor, n: dot.n }
    }

    /// Gives the rows and dots of the stage their names.
    fn rename(&self, stage: &mut Stage) {
        if self.moved.is_empty() {
            return;
        }
        for row in stage.rows.values_mut() {
            let versions = row.versions.iter();
            let named = versions.map(|(dot, version)| (self.of(dot), version.clone()));
            row.versions = named.collect();
            row.residual = self.context(&row.residual);
        }
        stage.live = live_dots(stage.rows.values());
    }

    /// A context that includes everything of an actor up to some number includes it by any name.
    fn context(&self, context: &VersionVector) -> VersionVector {
        let mut all = context.clone();
        for (actor, n) in context.iter() {
            for (_, name) in self.moved.get(&actor).into_iter().flatten() {
                all.raise(*name, n);
            }
        }
        all
    }
}

fn live_dots<'a>(rows: impl Iterator<Item = &'a Row>) -> DotSet {
    rows.flat_map(|row| row.versions.dots()).collect()
}
