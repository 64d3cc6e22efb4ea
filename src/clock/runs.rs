//! Sets of counters as sorted, disjoint, non-touching runs.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_64;

use super::{COUNTER_MAX, ClockError, RUNS_MAX};

/// A set of counters, each in `1..=COUNTER_MAX`, kept as maximal runs.
///
/// As bytes each run is its distance from the run before and its length, both less what
/// normal form implies: there is no encoding of a set that is not in normal form.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<(u64, u64)>")]
pub struct RunSet {
    /// First counter of a run to its last.
    runs: BTreeMap<u64, u64>,
    /// How many counters the runs hold.
    count: u64,
    /// Wrapping sum of the hashes of the runs: canonical, as the runs are.
    hash: u64,
}

impl RunSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts `n` in. False if it was there, or is no counter.
    pub fn insert(&mut self, n: u64) -> bool {
        let before = self.count;
        self.insert_run(n, n);
        self.count != before
    }

    /// Puts all of `start..=last` in; what of it is no counter is left out.
    pub fn insert_run(&mut self, start: u64, last: u64) {
        let (mut start, mut last) = (start.max(1), last.min(COUNTER_MAX));
        if start > last {
            return;
        }
        if let Some((s, l)) = self.run_before(start)
            && l >= start - 1
        {
            if l >= last {
                return;
            }
            self.take(s);
            start = s;
        }
        while let Some((&s, &l)) = self.runs.range(start..=last + 1).next() {
            self.take(s);
            last = last.max(l);
        }
        self.put(start, last);
    }

    /// Takes every counter up to `n` out.
    pub fn remove_to(&mut self, n: u64) {
        while let Some((start, last)) = self.first_run()
            && start <= n
        {
            self.take(start);
            if last > n {
                self.put(n + 1, last);
            }
        }
    }

    /// Whether `n` is in it.
    pub fn contains(&self, n: u64) -> bool {
        self.run_before(n).is_some_and(|(_, last)| last >= n)
    }

    /// Its runs as (first, last), ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u64, u64)> + '_ {
        self.runs.iter().map(|(&start, &last)| (start, last))
    }

    /// Its smallest counter.
    pub fn first(&self) -> Option<u64> {
        self.first_run().map(|(start, _)| start)
    }

    /// Its largest counter.
    pub fn last(&self) -> Option<u64> {
        self.runs.last_key_value().map(|(_, &last)| last)
    }

    /// How many runs it has.
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// How many counters it holds.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// A hash of the set, in constant time.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// The first run.
    pub(super) fn first_run(&self) -> Option<(u64, u64)> {
        self.runs
            .first_key_value()
            .map(|(&start, &last)| (start, last))
    }

    /// The run that starts last among those that start at or before `n`.
    fn run_before(&self, n: u64) -> Option<(u64, u64)> {
        let (&start, &last) = self.runs.range(..=n).next_back()?;
        Some((start, last))
    }

    /// Adds a run that touches no other.
    pub(super) fn put(&mut self, start: u64, last: u64) {
        self.runs.insert(start, last);
        self.count += last - start + 1;
        self.hash = self.hash.wrapping_add(run_hash(start, last));
    }

    /// Removes the run that starts at `start`.
    pub(super) fn take(&mut self, start: u64) {
        if let Some(last) = self.runs.remove(&start) {
            self.count -= last - start + 1;
            self.hash = self.hash.wrapping_sub(run_hash(start, last));
        }
    }
}

/// The counters of the ascending runs `left` that are in none of the ascending runs `right`.
pub(super) fn difference(
    left: impl Iterator<Item = (u64, u64)>,
    right: impl Iterator<Item = (u64, u64)>,
) -> RunSet {
    let mut out = RunSet::default();
    let mut right = right.peekable();
    for (start, last) in left {
        let mut from = start;
        while let Some(&(s, l)) = right.peek() {
            if l < from {
                right.next();
                continue;
            }
            if s > last {
                break;
            }
            if s > from {
                out.put(from, s - 1);
            }
            from = l.saturating_add(1);
            if l >= last {
                break;
            }
        }
        if from <= last {
            out.put(from, last);
        }
    }
    out
}

fn run_hash(start: u64, last: u64) -> u64 {
    let mut bytes = [0; 16];
    let (low, high) = bytes.split_at_mut(8);
    low.copy_from_slice(&start.to_le_bytes());
    high.copy_from_slice(&last.to_le_bytes());
    xxh3_64(&bytes)
}

impl fmt::Debug for RunSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(|(start, last)| start..=last))
            .finish()
    }
}

impl Serialize for RunSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The smallest start that the next run can have.
        let mut next = 1;
        serializer.collect_seq(self.iter().map(|(start, last)| {
            let run = (start - next, last - start);
            next = last.saturating_add(2);
            run
        }))
    }
}

impl TryFrom<Vec<(u64, u64)>> for RunSet {
    type Error = ClockError;

    fn try_from(encoded: Vec<(u64, u64)>) -> Result<Self, ClockError> {
        if encoded.len() > RUNS_MAX {
            return Err(ClockError::Runs);
        }
        let mut set = Self::default();
        let mut next = 1u64;
        for (skip, more) in encoded {
            let start = next.checked_add(skip).ok_or(ClockError::Counter)?;
            let last = start.checked_add(more).ok_or(ClockError::Counter)?;
            if last > COUNTER_MAX {
                return Err(ClockError::Counter);
            }
            set.put(start, last);
            next = last.saturating_add(2);
        }
        Ok(set)
    }
}

impl FromIterator<u64> for RunSet {
    fn from_iter<I: IntoIterator<Item = u64>>(counters: I) -> Self {
        let mut set = Self::default();
        for n in counters {
            set.insert(n);
        }
        set
    }
}
