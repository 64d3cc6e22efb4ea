//! Exact sets of dots.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ACTORS_MAX, ActorId, ClockError, Dot, RUNS_MAX, RunSet};

/// A set of dots as runs per actor: what a delta covers, what a replica holds live.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<ActorId, RunSet>")]
pub struct DotSet(BTreeMap<ActorId, RunSet>);

impl DotSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Puts `dot` in. False if it was there, or is no dot.
    pub fn insert(&mut self, dot: Dot) -> bool {
        let runs = self.0.entry(dot.actor).or_default();
        let added = runs.insert(dot.n);
        if runs.is_empty() {
            self.0.remove(&dot.actor);
        }
        added
    }

    /// Puts all of `runs` in as dots of `actor`.
    pub fn insert_runs(&mut self, actor: ActorId, runs: &RunSet) {
        if !runs.is_empty() {
            let own = self.0.entry(actor).or_default();
            for (start, last) in runs.iter() {
                own.insert_run(start, last);
            }
        }
    }

    /// Puts everything of `other` in.
    pub fn join(&mut self, other: &Self) {
        for (actor, runs) in other.actors() {
            self.insert_runs(actor, runs);
        }
    }

    /// Whether `dot` is in it.
    pub fn contains(&self, dot: Dot) -> bool {
        self.0
            .get(&dot.actor)
            .is_some_and(|runs| runs.contains(dot.n))
    }

    /// Its actors, each with its counters; none is empty.
    pub fn actors(&self) -> impl ExactSizeIterator<Item = (ActorId, &RunSet)> + '_ {
        self.0.iter().map(|(&actor, runs)| (actor, runs))
    }

    /// Its runs as (actor, first, last), ascending.
    pub fn runs(&self) -> impl Iterator<Item = (ActorId, u64, u64)> + '_ {
        self.actors()
            .flat_map(|(actor, runs)| runs.iter().map(move |(start, last)| (actor, start, last)))
    }

    /// Its dots one by one, ascending. Only for sets whose [`count`](Self::count) is known to
    /// be small: a few bytes can name 2^60 dots.
    pub fn dots(&self) -> impl Iterator<Item = Dot> + '_ {
        self.runs()
            .flat_map(|(actor, start, last)| (start..=last).map(move |n| Dot { actor, n }))
    }

    /// The set as sets of at most `runs_max` runs each.
    pub fn split(&self, runs_max: usize) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut part = Self::new();
        let mut runs = 0;
        for (actor, start, last) in self.runs() {
            if runs == runs_max.max(1) {
                parts.push(std::mem::take(&mut part));
                runs = 0;
            }
            part.0.entry(actor).or_default().insert_run(start, last);
            runs += 1;
        }
        if !part.is_empty() {
            parts.push(part);
        }
        parts
    }

    /// How many dots it holds; the largest number there is if they are more.
    pub fn count(&self) -> u64 {
        self.0
            .values()
            .fold(0, |sum: u64, runs| sum.saturating_add(runs.count()))
    }

    /// How many runs it has.
    pub fn len(&self) -> usize {
        self.0.values().map(RunSet::len).sum()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Dot> for DotSet {
    fn from_iter<I: IntoIterator<Item = Dot>>(dots: I) -> Self {
        let mut set = Self::new();
        for dot in dots {
            set.insert(dot);
        }
        set
    }
}

impl TryFrom<BTreeMap<ActorId, RunSet>> for DotSet {
    type Error = ClockError;

    fn try_from(actors: BTreeMap<ActorId, RunSet>) -> Result<Self, ClockError> {
        if actors.len() > ACTORS_MAX {
            return Err(ClockError::Actors);
        }
        if actors.values().any(RunSet::is_empty) {
            return Err(ClockError::Empty);
        }
        let set = Self(actors);
        if set.len() > RUNS_MAX {
            return Err(ClockError::Runs);
        }
        Ok(set)
    }
}
