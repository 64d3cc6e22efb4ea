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

use std::collections::VecDeque;

use crate::clock::Dot;

/// The logged dots of one key: nearly always one or a few.
#[derive(Debug)]
pub(super) enum KeyDots {
    One {
        dot: Dot,
        included: bool,
    },
    /// In the order of actors.
    Many(Vec<ActorDots>),
}

/// The logged dots of one key and actor.
#[derive(Debug)]
pub(super) struct ActorDots {
    last: Dot,
    /// Whether another write is known to include the last one: of the actor's others its later
    /// writes do, so no other can be in the frontier.
    included: bool,
    /// The counters before the last one, ascending. They come at the end and go at the front,
    /// nearly always.
    earlier: VecDeque<u64>,
}

impl ActorDots {
    fn new(last: Dot, included: bool) -> Self {
        Self {
            last,
            included,
            earlier: VecDeque::new(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = Dot> + '_ {
        let earlier = self.earlier.iter();
        let earlier = earlier.map(|&n| Dot { n, ..self.last });
        earlier.chain(std::iter::once(self.last))
    }

    fn frontier(&self) -> Option<Dot> {
        (!self.included).then_some(self.last)
    }

    fn insert(&mut self, n: u64) {
        if self.last.n < n {
            self.earlier.push_back(self.last.n);
            self.last.n = n;
            self.included = false;
        } else if self.last.n > n
            && let Err(at) = self.earlier.binary_search(&n)
        {
            self.earlier.insert(at, n);
        }
    }

    /// Takes a counter out; true if none is left.
    fn remove(&mut self, n: u64) -> bool {
        if self.last.n == n {
            let Some(last) = self.earlier.pop_back() else {
                return true;
            };
            self.last.n = last;
            // By the one that goes.
            self.included = true;
        } else if self.earlier.front() == Some(&n) {
            self.earlier.pop_front();
        } else if let Ok(at) = self.earlier.binary_search(&n) {
            self.earlier.remove(at);
        }
        false
    }
}

impl KeyDots {
    pub(super) fn new(dot: Dot, included: bool) -> Self {
        Self::One { dot, included }
    }

    /// All dots, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = Dot> + '_ {
        let (one, many) = self.parts();
        let one = one.map(|(dot, _)| dot);
        one.into_iter().chain(many.iter().flat_map(ActorDots::iter))
    }

    /// The dots that no other write is known to include: at most one of each actor.
    pub(super) fn frontier(&self) -> impl Iterator<Item = Dot> + '_ {
        let (one, many) = self.parts();
        let one = one.and_then(|(dot, included)| (!included).then_some(dot));
        let many = many.iter().filter_map(ActorDots::frontier);
        one.into_iter().chain(many)
    }

    fn parts(&self) -> (Option<(Dot, bool)>, &[ActorDots]) {
        match self {
            Self::One { dot, included } => (Some((*dot, *included)), &[]),
            Self::Many(many) => (None, many),
        }
    }

    /// Adds `dot`, which its actor's later writes of the key include, as it includes the
    /// earlier ones.
    pub(super) fn insert(&mut self, dot: Dot) {
        if let Self::One {
            dot: only,
            included,
        } = *self
        {
            *self = Self::Many(vec![ActorDots::new(only, included)]);
        }
        let Self::Many(many) = self else {
            return;
        };
        match many.binary_search_by_key(&dot.actor, |of| of.last.actor) {
            Ok(at) => many[at].insert(dot.n),
            Err(at) => many.insert(at, ActorDots::new(dot, false)),
        }
    }

    /// Takes `dot` out of the frontier.
    pub(super) fn include(&mut self, dot: Dot) {
        self.include_all(|other| other == dot);
    }

    /// Takes out of the frontier what `is_included` says.
    pub(super) fn include_all(&mut self, is_included: impl Fn(Dot) -> bool) {
        match self {
            Self::One { dot, included } => *included = *included || is_included(*dot),
            Self::Many(many) => {
                for of in many.iter_mut() {
                    of.included |= of.frontier().is_some_and(&is_included);
                }
            }
        }
    }

    /// Puts the last dot of each actor back into the frontier.
    pub(super) fn forget_included(&mut self) {
        match self {
            Self::One { included, .. } => *included = false,
            Self::Many(many) => many.iter_mut().for_each(|of| of.included = false),
        }
    }

    /// Takes `dot` out; true if none is left.
    pub(super) fn remove(&mut self, dot: Dot) -> bool {
        let many = match self {
            Self::One { dot: only, .. } => return *only == dot,
            Self::Many(many) => many,
        };
        if let Ok(at) = many.binary_search_by_key(&dot.actor, |of| of.last.actor)
            && many[at].remove(dot.n)
        {
            many.remove(at);
        }
        if let [only] = &many[..]
            && only.earlier.is_empty()
        {
            let (dot, included) = (only.last, only.included);
            *self = Self::One { dot, included };
            return false;
        }
        many.is_empty()
    }
}
