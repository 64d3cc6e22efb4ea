//! Timers in the order in which they must be delivered.
//!
//! foca requires order: an indirect probe must be sent before the probe that it belongs to
//! is judged, also when both are late. Timers of equal deadlines keep the order in which
//! they were set.

use std::collections::BTreeMap;

use crate::machine::Instant;

/// A queue of things to do at given times.
#[derive(Debug)]
pub(super) struct Timers<T> {
    queue: BTreeMap<(Instant, u64), T>,
    sequence: u64,
}

impl<T> Timers<T> {
    pub(super) fn new() -> Self {
        Self {
            queue: BTreeMap::new(),
            sequence: 0,
        }
    }

    /// Drops every timer.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
    }

    /// Sets a timer.
    pub(super) fn set(&mut self, deadline: Instant, what: T) {
        self.queue.insert((deadline, self.sequence), what);
        self.sequence += 1;
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.queue
            .first_key_value()
            .map(|((deadline, _), _)| *deadline)
    }

    /// Takes the earliest timer if it is due.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<T> {
        if self.next()? > now {
            return None;
        }
        self.queue.pop_first().map(|(_, what)| what)
    }

    /// Moves timers that are due before `until` and match to `until`, keeping their order.
    /// Returns how many.
    pub(super) fn postpone(&mut self, until: Instant, matches: impl Fn(&T) -> bool) -> u64 {
        let early: Vec<_> = self
            .queue
            .range(..(until, 0))
            .filter(|(_, what)| matches(what))
            .map(|(key, _)| *key)
            .collect();
        let mut moved = 0;
        for key in early {
            if let Some(what) = self.queue.remove(&key) {
                self.set(until, what);
                moved += 1;
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_elapsed(Duration::from_millis(ms))
    }

    #[test]
    fn equal_deadlines_keep_their_order_and_nothing_fires_early() {
        let mut timers = Timers::new();
        timers.set(at(5), 'b');
        timers.set(at(5), 'c');
        timers.set(at(1), 'a');
        assert_eq!(timers.next(), Some(at(1)));
        assert_eq!(timers.pop_due(at(0)), None);
        let order: String = std::iter::from_fn(|| timers.pop_due(at(5))).collect();
        assert_eq!(order, "abc");
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn postponing_moves_only_what_matches() {
        let mut timers = Timers::new();
        timers.set(at(1), 1);
        timers.set(at(2), 2);
        timers.set(at(9), 4);
        assert_eq!(timers.postpone(at(5), |n| n % 2 == 0), 1);
        assert_eq!(timers.pop_due(at(4)), Some(1));
        assert_eq!(timers.pop_due(at(4)), None);
        assert_eq!(timers.pop_due(at(5)), Some(2));
    }
}
