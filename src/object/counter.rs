//! Counters: numbers to which several nodes add at once, and every addition counts.
//!
//! A counter is a value like any other (the *base*; nothing counts as zero), and beside it one
//! version per actor that has added to it, the sum of all that this actor added (the design of
//! PN-counters, Shapiro et al. 2011, section 3.1, in a row of dotted versions). An addition
//! replaces its own actor's sum and nobody else's (PROTOCOL R23), so sums of different actors
//! never conflict, and what a key shows is base and sums together.
//!
//! Each sum names the write that began its counter (the *epoch*). A `SET` begins another one,
//! to which sums that it did not see do not belong: it wins over them as it would over a value.
//! Choosing when a counter ends keeps the epoch. Sums whose base is gone, because somebody
//! deleted it without having seen them, are a counter of their own.

use bytes::Bytes;

use super::amount::Amount;
use super::part::Part;
use super::versions::{Version, Versions};
use crate::clock::{ActorId, Dot, Hlc};

/// What a key shows: a value, or a counter's base and sums together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// As one value.
    pub version: Version,
    /// The write that began it, none if it began from nothing.
    epoch: Option<Dot>,
    /// The version that is its base, if there is one.
    base: Option<Dot>,
}

/// A write that leaves part of a key as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amendment {
    /// The versions that stay.
    pub kept: Versions,
    /// The value of the new version; nothing for a sum.
    pub value: Bytes,
    /// When it ends by itself.
    pub expire_at_ms: Option<u64>,
    /// What it is to a counter.
    pub part: Option<Part>,
}

impl Versions {
    /// What the key shows at `wall_ms`; the same on every replica that has the same versions.
    ///
    /// The last write wins: the base with the largest timestamp, among equals the largest dot,
    /// of those that have not ended. Where there is none, the sums of the counter that was
    /// last added to.
    pub fn current_at(&self, wall_ms: u64) -> Option<Current> {
        let bases = self.iter().filter(|(_, version)| !version.is_sum());
        let alive = bases.filter(|(_, version)| !version.has_ended(wall_ms));
        let Some((dot, base)) = alive.max_by_key(|&(dot, version)| (version.hlc, dot)) else {
            return self.sums_at(wall_ms);
        };
        let epoch = base.begun_by(dot);
        let mut version = Version {
            part: None,
            expire_at_ms: base.ends_at_ms(),
            ..base.clone()
        };
        if let Some((sum, last)) = self.sum_of(epoch) {
            let base = Amount::parse(&version.value).unwrap_or_default();
            version.value = text(base.saturating_add(sum));
            version.hlc = version.hlc.max(last);
        }
        Some(Current {
            version,
            epoch,
            base: Some(dot),
        })
    }

    /// The counter without a base that was last added to, of those that have not ended.
    fn sums_at(&self, wall_ms: u64) -> Option<Current> {
        // Where there is a base, that says when its counter ends: it has ended.
        let bases = self.iter().filter(|(_, version)| !version.is_sum());
        let based: Vec<_> = bases.map(|(dot, base)| base.begun_by(dot)).collect();
        let sums = self.iter().filter_map(|(dot, version)| {
            let (epoch, _) = version.sum()?;
            let is_alive = !version.has_ended(wall_ms) && !based.contains(&epoch);
            is_alive.then_some((version.hlc, dot, epoch, version.ends_at_ms()))
        });
        let (_, _, epoch, expire_at_ms) = sums.max()?;
        let (sum, hlc) = self.sum_of(epoch)?;
        Some(Current {
            version: Version {
                hlc,
                expire_at_ms,
                value: text(sum),
                part: None,
            },
            epoch,
            base: None,
        })
    }

    /// The sum of one counter's sums, and when the last of them was written.
    fn sum_of(&self, of: Option<Dot>) -> Option<(Amount, Hlc)> {
        let sums = self.iter().filter_map(|(_, version)| match version.sum() {
            Some((epoch, sum)) if epoch == of => Some((sum, version.hlc)),
            _ => None,
        });
        sums.reduce(|(one, first), (other, second)| (one.saturating_add(other), first.max(second)))
    }

    /// How `actor` adds `amount`: its sum so far takes that in, and what lost to the counter
    /// goes. Sums of others stay, also of the dead: two nodes that both took one over, or one
    /// that did so twice because its disk forgot, would count it twice.
    ///
    /// None if a sum is out of range, or what the key shows is no number.
    pub fn adding(&self, wall_ms: u64, actor: ActorId, amount: Amount) -> Option<Amendment> {
        let Some(current) = self.current_at(wall_ms) else {
            let part = Part::Sum {
                epoch: None,
                sum: amount,
                ends_at_ms: None,
            };
            return Some(Amendment::of(Self::new(), part));
        };
        Amount::parse(&current.version.value)?;
        let mut sum = amount;
        let mut kept = Self::new();
        for (dot, version) in self.iter() {
            match version.sum() {
                Some((epoch, more)) if epoch == current.epoch => {
                    if dot.actor == actor {
                        sum = sum.checked_add(more)?;
                    } else {
                        kept.insert(dot, version.clone());
                    }
                }
                None if Some(dot) == current.base => kept.insert(dot, version.clone()),
                _ => {}
            }
        }
        let part = Part::Sum {
            epoch: current.epoch,
            sum,
            ends_at_ms: current.version.expire_at_ms,
        };
        Some(Amendment::of(kept, part))
    }

    /// How what the key shows gets another end; none if it shows nothing. A number keeps what
    /// was added to it, and what others add to it now.
    pub fn ending(&self, wall_ms: u64, ends_at_ms: Option<u64>) -> Option<Amendment> {
        let current = self.current_at(wall_ms)?;
        let base = current.base.and_then(|dot| self.get(dot));
        let value = match base {
            Some(base) => base.value.clone(),
            None => text(Amount::default()),
        };
        if Amount::parse(&value).is_none() {
            return Some(Amendment {
                kept: Self::new(),
                value,
                expire_at_ms: ends_at_ms,
                part: None,
            });
        }
        let of_it = |version: &Version| version.sum().is_some_and(|(of, _)| of == current.epoch);
        let kept = self.iter().filter(|(_, version)| of_it(version));
        let part = Part::Base {
            epoch: current.epoch,
            ends_at_ms,
        };
        Some(Amendment {
            kept: kept.map(|(dot, sum)| (dot, sum.clone())).collect(),
            value,
            expire_at_ms: None,
            part: Some(part),
        })
    }

    /// Whether all that is here has ended at `wall_ms`, and something must be deleted for it to
    /// go: a counter does not go by itself as a value does, since its parts would not go
    /// together.
    pub fn ended_counter(&self, wall_ms: u64) -> bool {
        self.iter().any(|(_, version)| version.is_of_counter())
            && self.current_at(wall_ms).is_none()
    }

    /// The versions that have not ended at `wall_ms`, as values: of a counter what it shows,
    /// since its sums say by their dots whose they are.
    pub fn values_at(&self, wall_ms: u64) -> Vec<Version> {
        let has_parts = self.iter().any(|(_, version)| version.part.is_some());
        if has_parts {
            return self.value_at(wall_ms).into_iter().collect();
        }
        let alive = self.iter().filter(|(_, version)| !version.expired(wall_ms));
        alive.map(|(_, version)| version.clone()).collect()
    }

    /// How many actors have added.
    pub fn sums(&self) -> usize {
        self.iter().filter(|(_, version)| version.is_sum()).count()
    }
}

impl Current {
    /// Whether it is made of this version, among others.
    pub fn is_of(&self, dot: Dot, version: &Version) -> bool {
        match version.sum() {
            Some((epoch, _)) => epoch == self.epoch,
            None => Some(dot) == self.base,
        }
    }
}

impl Amendment {
    fn of(kept: Versions, part: Part) -> Self {
        Self {
            kept,
            value: Bytes::new(),
            expire_at_ms: None,
            part: Some(part),
        }
    }
}

impl Version {
    /// Which counter it is a sum of, and how much.
    fn sum(&self) -> Option<(Option<Dot>, Amount)> {
        match self.part.as_deref()? {
            Part::Sum { epoch, sum, .. } => Some((*epoch, *sum)),
            Part::Base { .. } | Part::End { .. } => None,
        }
    }

    /// The write that began the counter of which this, a base, is one.
    fn begun_by(&self, dot: Dot) -> Option<Dot> {
        match self.part.as_deref() {
            Some(Part::Base { epoch, .. }) => *epoch,
            _ => Some(dot),
        }
    }

    fn is_sum(&self) -> bool {
        self.sum().is_some()
    }

    fn is_of_counter(&self) -> bool {
        matches!(
            self.part.as_deref(),
            Some(Part::Base { .. } | Part::Sum { .. })
        )
    }

    /// When what it stands for ends: itself, or its counter.
    pub fn ends_at_ms(&self) -> Option<u64> {
        let counter = self.part.as_deref().and_then(Part::ends_at_ms);
        self.expire_at_ms.or(counter)
    }

    fn has_ended(&self, wall_ms: u64) -> bool {
        self.ends_at_ms().is_some_and(|at_ms| at_ms <= wall_ms)
    }
}

fn text(amount: Amount) -> Bytes {
    amount.text().into()
}

#[cfg(test)]
#[path = "counter_tests.rs"]
mod tests;
