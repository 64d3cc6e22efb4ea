//! Version vectors: "everything of this key up to n", per actor.

use std::collections::BTreeMap;
use std::vec;

use serde::{Deserialize, Serialize, Serializer};

use super::{ACTORS_MAX, ActorId, COUNTER_MAX, ClockError, Dot};

/// For each actor the number up to which all its writes of one key are included.
///
/// An actor at zero is not stored. In the order of actors, of whom there are few: every write
/// makes some vectors of one or two, and a tree for those costs more than all else of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<ActorId, u64>")]
pub struct VersionVector(Vec<(ActorId, u64)>);

impl VersionVector {
    /// The vector that includes nothing.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The vector of entries that come in the order of actors, each once.
    pub(super) fn of_ordered(entries: impl Iterator<Item = (ActorId, u64)>) -> Self {
        let (least, _) = entries.size_hint();
        let mut vector = Vec::with_capacity(least);
        vector.extend(entries.filter(|(_, n)| *n > 0));
        Self(vector)
    }

    /// Up to which of `actor`'s writes everything is included.
    pub fn get(&self, actor: ActorId) -> u64 {
        self.position(actor).map_or(0, |at| self.0[at].1)
    }

    /// Includes `dot` and all that its actor wrote before it.
    pub fn add(&mut self, dot: Dot) {
        self.raise(dot.actor, dot.n);
    }

    /// Includes everything that `actor` wrote up to `n`.
    pub fn raise(&mut self, actor: ActorId, n: u64) {
        if n == 0 {
            return;
        }
        match self.position(actor) {
            Ok(at) => self.0[at].1 = n.max(self.0[at].1),
            Err(at) => self.0.insert(at, (actor, n)),
        }
    }

    /// Forgets `actor`.
    pub fn remove(&mut self, actor: ActorId) {
        if let Ok(at) = self.position(actor) {
            self.0.remove(at);
        }
    }

    /// Includes everything that `other` includes.
    pub fn join(&mut self, other: &Self) {
        let known = self.len();
        for (actor, n) in other.iter() {
            let of_known = self.0.get(..known).unwrap_or_default();
            match of_known.binary_search_by_key(&actor, |(known, _)| *known) {
                Ok(at) => self.0[at].1 = n.max(self.0[at].1),
                Err(_) => self.0.push((actor, n)),
            }
        }
        // Two runs in order, which the sort finds and merges.
        self.0.sort_by_key(|(actor, _)| *actor);
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
        self.0.iter().copied()
    }

    /// Keeps the entries for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(ActorId, u64) -> bool) {
        self.0.retain(|&(actor, n)| keep(actor, n));
    }

    /// Whether it includes nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many actors it names.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    fn position(&self, actor: ActorId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&actor, |(known, _)| *known)
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
    type IntoIter = vec::IntoIter<(ActorId, u64)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Serialize for VersionVector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
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
        Ok(Self(entries.into_iter().collect()))
    }
}
