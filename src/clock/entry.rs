//! One actor's line in a clock.

use serde::{Deserialize, Serialize, Serializer};

use super::runs::{self, RunSet};
use super::{COUNTER_MAX, ClockError};

/// An exact set of one actor's counters: all up to `base`, and the runs above it.
///
/// Normal form: no run starts at `base + 1` or below. The base is what fill and strip may use
/// (PROTOCOL R14); the top is not.
///
/// A *closed* entry is final: its actor is dead, and all replicas have agreed that it wrote
/// nothing above the base (PROTOCOL 3.9). It has no runs and never grows again. As bytes it
/// says so by one run that no counter can be in, so that an open entry costs nothing more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "(u64, Vec<(u64, u64)>)")]
pub struct Entry {
    base: u64,
    above: RunSet,
    closed: bool,
}

/// The encoded runs of a closed entry: beyond every counter, so no set of counters has them.
const CLOSED: [(u64, u64); 1] = [(u64::MAX, 0)];

impl Entry {
    /// The entry that holds exactly `1..=base`.
    pub fn up_to(base: u64) -> Self {
        Self {
            base: base.min(COUNTER_MAX),
            above: RunSet::new(),
            closed: false,
        }
    }

    /// The entry that holds exactly the counters of `runs`.
    pub fn of_runs(runs: &RunSet) -> Self {
        let mut entry = Self::default();
        entry.join(&Self {
            above: runs.clone(),
            ..Self::default()
        });
        entry
    }

    /// The counter up to which nothing is missing.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// What is held above the first gap.
    pub fn above(&self) -> &RunSet {
        &self.above
    }

    /// The largest counter held.
    pub fn top(&self) -> u64 {
        self.above.last().unwrap_or(self.base)
    }

    /// Whether `n` is held. Zero always is: nothing has that number.
    pub fn has(&self, n: u64) -> bool {
        n <= self.base || self.above.contains(n)
    }

    /// Whether it is final: see [`Entry`].
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Fills its holes and makes it final. Only for a dead actor whose counters all replicas
    /// have agreed on: whatever a hole stood for is lost for good (PROTOCOL R19).
    pub fn close(&mut self) {
        *self = Self {
            closed: true,
            ..Self::up_to(self.top())
        };
    }

    /// Adds `n`. False if it was held, is no counter, or the entry is closed.
    pub fn add(&mut self, n: u64) -> bool {
        if self.closed || self.has(n) || n > COUNTER_MAX {
            return false;
        }
        if n == self.base + 1 && self.above.is_empty() {
            self.base = n;
        } else {
            self.above.insert(n);
            self.normalize();
        }
        true
    }

    /// Adds all that `other` holds, and closes if `other` is closed and holds all of this. A
    /// closed entry stays as it is.
    pub fn join(&mut self, other: &Self) {
        if self.closed {
            return;
        }
        if other.base > self.base {
            self.base = other.base;
            self.above.remove_to(other.base);
        }
        for (start, last) in other.above.iter() {
            self.above.insert_run(start.max(self.base + 1), last);
        }
        self.normalize();
        self.closed = other.closed && self.top() <= other.base;
    }

    /// What it holds and `other` does not.
    pub fn minus(&self, other: &Self) -> RunSet {
        runs::difference(self.runs(), other.runs())
    }

    /// Whether it holds all that `other` holds.
    pub fn covers(&self, other: &Self) -> bool {
        other.minus(self).is_empty()
    }

    /// Everything it holds as ascending runs (first, last).
    pub fn runs(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let base = (self.base > 0).then_some((1, self.base));
        base.into_iter().chain(self.above.iter())
    }

    /// Whether it holds nothing and says nothing.
    pub fn is_empty(&self) -> bool {
        self.base == 0 && self.above.is_empty() && !self.closed
    }

    /// Moves the base over the run that touches it.
    fn normalize(&mut self) {
        if let Some((start, last)) = self.above.first_run()
            && start <= self.base + 1
        {
            self.above.take(start);
            self.base = self.base.max(last);
        }
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.closed {
            true => (self.base, CLOSED.as_slice()).serialize(serializer),
            false => (self.base, &self.above).serialize(serializer),
        }
    }
}

impl TryFrom<(u64, Vec<(u64, u64)>)> for Entry {
    type Error = ClockError;

    fn try_from((base, runs): (u64, Vec<(u64, u64)>)) -> Result<Self, ClockError> {
        if base > COUNTER_MAX {
            return Err(ClockError::Counter);
        }
        let mut entry = Self::up_to(base);
        if runs == CLOSED {
            entry.closed = true;
            return Ok(entry);
        }
        entry.join(&Self::of_runs(&RunSet::try_from(runs)?));
        Ok(entry)
    }
}
