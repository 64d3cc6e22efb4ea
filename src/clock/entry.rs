//! One actor's line in a clock.

use serde::{Deserialize, Serialize};

use super::runs::{self, RunSet};
use super::{COUNTER_MAX, ClockError};

/// An exact set of one actor's counters: all up to `base`, and the runs above it.
///
/// Normal form: no run starts at `base + 1` or below. The base is what fill and strip may use
/// (PROTOCOL R14); the top is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(u64, RunSet)")]
pub struct Entry {
    base: u64,
    above: RunSet,
}

impl Entry {
    /// The entry that holds exactly `1..=base`.
    pub fn up_to(base: u64) -> Self {
        Self {
            base: base.min(COUNTER_MAX),
            above: RunSet::new(),
        }
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

    /// Adds `n`. False if it was held, or is no counter.
    pub fn add(&mut self, n: u64) -> bool {
        if self.has(n) || n > COUNTER_MAX {
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

    /// Adds all that `other` holds.
    pub fn join(&mut self, other: &Self) {
        if other.base > self.base {
            self.base = other.base;
            self.above.remove_to(other.base);
        }
        for (start, last) in other.above.iter() {
            self.above.insert_run(start.max(self.base + 1), last);
        }
        self.normalize();
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

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.base == 0 && self.above.is_empty()
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

impl TryFrom<(u64, RunSet)> for Entry {
    type Error = ClockError;

    fn try_from((base, above): (u64, RunSet)) -> Result<Self, ClockError> {
        if base > COUNTER_MAX {
            return Err(ClockError::Counter);
        }
        let mut entry = Self::up_to(base);
        entry.join(&Self { base: 0, above });
        Ok(entry)
    }
}
