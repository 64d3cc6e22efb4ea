//! The partition clock: the exact set of dots whose effect a replica has applied.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_64;

use super::runs;
use super::{ACTORS_MAX, ActorId, ClockError, Dot, DotSet, Entry, RUNS_MAX, VersionVector};

/// The exact set of dots whose effect one replica of one partition has applied
/// (PROTOCOL section 1; a server-wide clock cut down to one partition).
///
/// Its hash is a sum over its entries that is kept up to date with each change: comparing two
/// clocks costs eight bytes.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<ActorId, Entry>")]
pub struct Clock {
    /// No entry is empty.
    entries: BTreeMap<ActorId, Entry>,
    /// Runs above a base, over all entries.
    runs: usize,
    /// Wrapping sum of the hashes of the entries.
    hash: u64,
}

impl Clock {
    /// The clock of a replica that has applied nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether `dot` was applied.
    pub fn contains(&self, dot: Dot) -> bool {
        dot.n == 0
            || self
                .entries
                .get(&dot.actor)
                .is_some_and(|entry| entry.has(dot.n))
    }

    /// Notes that `dot` was applied. False if it was known, or is no dot.
    pub fn add(&mut self, dot: Dot) -> bool {
        let mut added = false;
        self.update(dot.actor, |entry| added = entry.add(dot.n));
        added
    }

    /// Adds all that `other` holds.
    pub fn join(&mut self, other: &Self) {
        for (actor, entry) in other.entries() {
            self.update(actor, |own| own.join(entry));
        }
    }

    /// Replaces the entry of `actor`.
    pub fn set(&mut self, actor: ActorId, entry: Entry) {
        self.update(actor, |own| *own = entry);
    }

    /// Replaces entries, each of another actor. `hash` is what [`hash_with`](Self::hash_with) says
    /// of them: it is known by then, and most of what this would cost.
    pub fn install(&mut self, entries: Vec<(ActorId, Entry)>, hash: u64) {
        debug_assert_eq!(
            hash,
            self.hash_with(entries.iter().map(|(actor, entry)| (*actor, entry)))
        );
        for (actor, entry) in entries {
            let runs = entry.above().len();
            let before = match entry.is_empty() {
                true => self.entries.remove(&actor),
                false => self.entries.insert(actor, entry),
            };
            let runs_before = before.map_or(0, |entry| entry.above().len());
            self.runs = self.runs - runs_before + runs;
        }
        self.hash = hash;
    }

    /// The entry of `actor`, unless nothing of it was applied.
    pub fn entry(&self, actor: ActorId) -> Option<&Entry> {
        self.entries.get(&actor)
    }

    /// Up to which of `actor`'s dots none is missing.
    pub fn base(&self, actor: ActorId) -> u64 {
        self.entry(actor).map_or(0, Entry::base)
    }

    /// The largest counter of `actor` that was applied.
    pub fn top(&self, actor: ActorId) -> u64 {
        self.entry(actor).map_or(0, Entry::top)
    }

    /// Whether the dots of `actor` are final: it is dead, and nothing above its base will ever
    /// be accepted (PROTOCOL 3.9).
    pub fn is_closed(&self, actor: ActorId) -> bool {
        self.entry(actor).is_some_and(Entry::is_closed)
    }

    /// What is known of *every* key: the bases (PROTOCOL R14: not the maxima).
    pub fn base_vector(&self) -> VersionVector {
        let bases = self.entries().map(|(actor, entry)| (actor, entry.base()));
        VersionVector::of_ordered(bases)
    }

    /// The dots that it holds and `other` does not.
    pub fn minus(&self, other: &Self) -> DotSet {
        let mut missing = DotSet::new();
        for (actor, entry) in self.entries() {
            match other.entry(actor) {
                Some(theirs) if theirs == entry => {}
                Some(theirs) => missing.insert_runs(actor, &entry.minus(theirs)),
                None => missing.insert_runs(actor, &entry.minus(&Entry::default())),
            }
        }
        missing
    }

    /// Whether it holds all that `other` holds.
    pub fn dominates(&self, other: &Self) -> bool {
        other.entries().all(|(actor, theirs)| {
            self.entry(actor)
                .is_some_and(|entry| entry == theirs || entry.covers(theirs))
        })
    }

    /// Whether it holds all of `dots`.
    pub fn covers(&self, dots: &DotSet) -> bool {
        dots.actors().all(|(actor, runs)| {
            self.entry(actor)
                .is_some_and(|entry| runs::difference(runs.iter(), entry.runs()).is_empty())
        })
    }

    /// A canonical hash: equal for equal clocks, whatever their history. O(1).
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// What its hash will be once the entries of `changed`, each of another actor, are these.
    pub fn hash_with<'a>(&self, changed: impl IntoIterator<Item = (ActorId, &'a Entry)>) -> u64 {
        changed.into_iter().fold(self.hash, |hash, (actor, entry)| {
            let before = self.entry(actor).map_or(0, |own| entry_hash(actor, own));
            hash.wrapping_sub(before)
                .wrapping_add(entry_hash(actor, entry))
        })
    }

    /// Its entries in the order of actors; none is empty.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (ActorId, &Entry)> + '_ {
        self.entries.iter().map(|(&actor, entry)| (actor, entry))
    }

    /// How many actors it names.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many runs it holds above its bases: its holes that sync has yet to close.
    pub fn runs(&self) -> usize {
        self.runs
    }

    /// Whether nothing was applied.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The one place where an entry changes, so that the sums follow.
    fn update(&mut self, actor: ActorId, change: impl FnOnce(&mut Entry)) {
        let entry = self.entries.entry(actor).or_default();
        let before = entry_hash(actor, entry);
        let runs_before = entry.above().len();
        change(entry);
        self.hash = self
            .hash
            .wrapping_sub(before)
            .wrapping_add(entry_hash(actor, entry));
        self.runs = self.runs - runs_before + entry.above().len();
        if entry.is_empty() {
            self.entries.remove(&actor);
        }
    }
}

/// Zero for the empty entry, which normal form leaves out.
fn entry_hash(actor: ActorId, entry: &Entry) -> u64 {
    if entry.is_empty() {
        return 0;
    }
    // A closed entry has no runs, so their hash is free to say so.
    let above = match entry.is_closed() {
        true => u64::MAX,
        false => entry.above().hash(),
    };
    let words = [actor.node.0, actor.incarnation, entry.base(), above];
    let mut bytes = [0; 32];
    for (slot, word) in bytes.chunks_exact_mut(8).zip(words) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    xxh3_64(&bytes)
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.entries()).finish()
    }
}

impl Serialize for Clock {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.entries())
    }
}

impl TryFrom<BTreeMap<ActorId, Entry>> for Clock {
    type Error = ClockError;

    fn try_from(entries: BTreeMap<ActorId, Entry>) -> Result<Self, ClockError> {
        if entries.len() > ACTORS_MAX {
            return Err(ClockError::Actors);
        }
        if entries.values().any(Entry::is_empty) {
            return Err(ClockError::Empty);
        }
        let runs = entries.values().map(|entry| entry.above().len()).sum();
        if runs > RUNS_MAX {
            return Err(ClockError::Runs);
        }
        let hash = entries
            .iter()
            .map(|(&actor, entry)| entry_hash(actor, entry))
            .fold(0, u64::wrapping_add);
        Ok(Self {
            entries,
            runs,
            hash,
        })
    }
}

impl FromIterator<Dot> for Clock {
    fn from_iter<I: IntoIterator<Item = Dot>>(dots: I) -> Self {
        let mut clock = Self::new();
        for dot in dots {
            clock.add(dot);
        }
        clock
    }
}
