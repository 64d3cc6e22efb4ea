//! Version vectors: "everything of this key up to n", per actor.

use std::collections::{BTreeMap, btree_map};

use serde::{Deserialize, Serialize};

use super::{ACTORS_MAX, ActorId, COUNTER_MAX, ClockError, Dot};

/// For each actor the number up to which all its writes of one key are included.
///
/// An actor at zero is not stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<ActorId, u64>")]
pub struct VersionVector(BTreeMap<ActorId, u64>);

impl VersionVector {
    /// The vector that includes nothing.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Up to which of `actor`'s writes everything is included.
    pub fn get(&self, actor: ActorId) -> u64 {
        self.0.get(&actor).copied().unwrap_or(0)
    }

    /// Includes `dot` and all that its actor wrote before it.
    pub fn add(&mut self, dot: Dot) {
        self.raise(dot.actor, dot.n);
    }

    /// Includes everything that `actor` wrote up to `n`.
    pub fn raise(&mut self, actor: ActorId, n: u64) {
        if n > 0 {
            let known = self.0.entry(actor).or_insert(0);
            *known = n.max(*known);
        }
    }

    /// Forgets `actor`.
    pub fn remove(&mut self, actor: ActorId) {
        self.0.remove(&actor);
    }

    /// Includes everything that `other` includes.
    pub fn join(&mut self, other: &Self) {
        for (actor, n) in other.iter() {
            self.raise(actor, n);
        }
    }

    /// Whether it includes everything that `other` includes.
    pub fn dominates(&self, other: &Self) -> bool {
        other.iter().all(|(actor, n)| self.get(actor) >= n)
    }

    /// Whether it includes `dot`.
    pub fn contains(&self, dot: Dot) -> bool {
        dot.n <= self.get(dot.actor)
    }

    /// Its entries in the order of actors; all counters are at least 1.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ActorId, u64)> + '_ {
        self.0.iter().map(|(&actor, &n)| (actor, n))
    }

    /// Keeps the entries for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(ActorId, u64) -> bool) {
        self.0.retain(|&actor, &mut n| keep(actor, n));
    }

    /// Whether it includes nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many actors it names.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl FromIterator<(ActorId, u64)> for VersionVector {
    fn from_iter<I: IntoIterator<Item = (ActorId, u64)>>(entries: I) -> Self {
        let mut vector = Self::new();
        for (actor, n) in entries {
            vector.raise(actor, n);
        }
        vector
    }
}

impl IntoIterator for VersionVector {
    type Item = (ActorId, u64);
    type IntoIter = btree_map::IntoIter<ActorId, u64>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl TryFrom<BTreeMap<ActorId, u64>> for VersionVector {
    type Error = ClockError;

    fn try_from(entries: BTreeMap<ActorId, u64>) -> Result<Self, ClockError> {
        if entries.len() > ACTORS_MAX {
            return Err(ClockError::Actors);
        }
        if entries.values().any(|n| !(1..=COUNTER_MAX).contains(n)) {
            return Err(ClockError::Counter);
        }
        Ok(Self(entries))
    }
}
