//! Which writes of a key no other write is known to include: when a delta needs no row.
//!
//! A replica that missed a push has often had a later write of the key meanwhile, which brought
//! all that it missed. It asks for the missing dot all the same, because that is what its clock
//! lacks, and the row tells it nothing. Whoever answers can know that.
//!
//! *The argument.* `whole(e)` is everything that the coordinator of write `e` knew of the key,
//! `e` and the client's context included (PROTOCOL section 2). It is closed: `d` in `whole(e)`
//! means `whole(d)` within `whole(e)`. By S8 a replica with `e` in its clock has the effect of
//! all of `whole(e)`. So a replica with `e` that takes `d` into its clock, without a row, is
//! where S8 says that it must be. The frontier of a key is those of its logged dots that are
//! not known to be in `whole(f)` of any *other* dot `f` of the clock. If an asker has all of
//! the frontier, it needs no row: any dot `d` that it lacks is in `whole(f)` of some `f` here;
//! the asker has `f`, or lacks it, and then `f` is logged too (else a full sync is due, R10),
//! is not in the frontier, and so in `whole` of some `g`. "Is in `whole` of" has no cycles, so
//! this ends with a dot that the asker has. Which `f` includes `d` need not be remembered.
//!
//! *What shows that `d` is in `whole(f)`:*
//! - the same actor wrote the key later: it knew its own write (any order of arrival);
//! - `f` is written here: the coordinator knows all dots of the key that are in its clock;
//! - `f` is pushed, and its context contains `d`, which is in the log when `f` comes or comes
//!   with it (S4: a context contains those dots of the key that are included, and no others);
//! - `d` comes when the row's own context contains it already (S4 again; some `f` of the clock
//!   brought that, by S8);
//! - a delta takes a version without an end out of the row: then its sender, whose whole state
//!   of the key this is, has a write that replaced it (S3). A version *with* an end may have
//!   ended there instead.
//!
//! A deleted or an ended version is not in the row either, so absence alone shows nothing. The
//! rows of deltas are joins of many writes, so their contexts show nothing about single ones.
//!
//! *What it depends on.* A client's context must be one that a replica gave for this key, or a
//! join of such: one that is cut down or made up is not closed. Dots must mean the same to
//! both: a dot that is void to the asker includes nothing there, so no row is left out for an
//! asker that has closed an actor which is open here, and what closing an actor here may have
//! made untrue is forgotten. Nothing is durable, as the log is not: an opening starts with an
//! empty log, and whoever lacks what was before gets a full sync.
//!
//! *The asker does not trust this.* It takes a dot without a row only where its own context of
//! the key contains the dot (`check::check_delta`), which by S4 is the same fact seen from its
//! side. A mistake here costs a refused delta, not a lost write.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::clock::{ActorId, Dot};

/// The logged dots of one key: nearly always one.
#[derive(Debug)]
pub(super) enum KeyDots {
    One {
        dot: Dot,
        included: bool,
    },
    Many {
        all: BTreeSet<Dot>,
        /// At most one of each actor.
        frontier: Vec<Dot>,
    },
}

impl KeyDots {
    pub(super) fn new(dot: Dot) -> Self {
        Self::One {
            dot,
            included: false,
        }
    }

    /// All dots, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = Dot> + '_ {
        let (one, many) = match self {
            Self::One { dot, .. } => (Some(*dot), None),
            Self::Many { all, .. } => (None, Some(all)),
        };
        one.into_iter().chain(many.into_iter().flatten().copied())
    }

    /// The dots that no other write is known to include.
    pub(super) fn frontier(&self) -> impl Iterator<Item = Dot> + '_ {
        let (one, many) = match self {
            Self::One { dot, included } => ((!included).then_some(*dot), None),
            Self::Many { frontier, .. } => (None, Some(frontier)),
        };
        one.into_iter().chain(many.into_iter().flatten().copied())
    }

    /// Adds `dot`, which its actor's later writes of the key include, as it includes the
    /// earlier ones.
    pub(super) fn insert(&mut self, dot: Dot) {
        if let Self::One { dot: only, .. } = self {
            *self = Self::Many {
                all: BTreeSet::from([*only]),
                frontier: self.frontier().collect(),
            };
        }
        if let Self::Many { all, frontier } = self {
            let later = Dot { n: u64::MAX, ..dot };
            let is_last = all
                .range((Bound::Excluded(dot), Bound::Included(later)))
                .next()
                .is_none();
            all.insert(dot);
            if is_last {
                frontier.retain(|other| other.actor != dot.actor);
                frontier.push(dot);
            }
        }
    }

    /// Takes `dot` out of the frontier.
    pub(super) fn include(&mut self, dot: Dot) {
        match self {
            Self::One {
                dot: only,
                included,
            } => *included |= *only == dot,
            Self::Many { frontier, .. } => frontier.retain(|other| *other != dot),
        }
    }

    /// Puts the last dot of each actor back into the frontier.
    pub(super) fn forget_included(&mut self) {
        match self {
            Self::One { included, .. } => *included = false,
            Self::Many { all, frontier } => {
                let last: BTreeMap<ActorId, Dot> =
                    all.iter().map(|dot| (dot.actor, *dot)).collect();
                *frontier = last.into_values().collect();
            }
        }
    }

    /// Takes `dot` out; true if none is left.
    pub(super) fn remove(&mut self, dot: Dot) -> bool {
        self.include(dot);
        match self {
            Self::One { dot: only, .. } => *only == dot,
            Self::Many { all, .. } => {
                all.remove(&dot);
                all.is_empty()
            }
        }
    }
}
