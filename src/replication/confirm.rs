//! Writes that wait for their replicas.
//!
//! A write is confirmed when as many replicas have applied it as its strength asks for,
//! the coordinator included. The number asked for never rises while a write waits, but it
//! falls when replicas become unreachable: the strength speaks of the reachable ones.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::clock::NodeId;
use crate::machine::Instant;

/// A write that waits, and who waits for it.
#[derive(Debug)]
struct Waiting<W> {
    waiter: W,
    confirmed: BTreeSet<NodeId>,
    needed: usize,
    since: Instant,
}

/// A wait that has ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Progress<W> {
    /// Who waited.
    pub waiter: W,
    /// Replicas that have the write for certain, the coordinator included.
    pub confirmed: usize,
    /// Replicas that were needed.
    pub needed: usize,
    /// How long it took.
    pub waited: Duration,
}

impl<W> Progress<W> {
    /// Whether the write reached its strength.
    pub fn is_met(&self) -> bool {
        self.confirmed >= self.needed
    }
}

/// The writes of one shard that wait for replicas.
#[derive(Debug)]
pub struct Confirmations<W> {
    waiting: BTreeMap<u64, Waiting<W>>,
    timeout: Duration,
    waiting_max: usize,
    next_id: u64,
}

impl<W> Confirmations<W> {
    /// Nothing waits yet; each wait ends after `timeout`, and at most `waiting_max` wait at
    /// once.
    pub fn new(timeout: Duration, waiting_max: usize) -> Self {
        Self {
            waiting: BTreeMap::new(),
            timeout,
            waiting_max,
            next_id: 1,
        }
    }

    /// Whether no further write may wait.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= self.waiting_max
    }

    /// How many may wait at once.
    pub fn limit(&self) -> usize {
        self.waiting_max
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A fresh id for a push that nobody waits for.
    pub fn next_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        id
    }

    /// `waiter` waits until `needed` replicas, the coordinator included, have the push
    /// `id`.
    pub fn wait(&mut self, now: Instant, id: u64, waiter: W, needed: usize) {
        self.waiting.insert(
            id,
            Waiting {
                waiter,
                confirmed: BTreeSet::new(),
                needed,
                since: now,
            },
        );
    }

    /// `peer` has applied push `id`. Returns the wait that this ends, if any.
    pub fn confirm(&mut self, now: Instant, id: u64, peer: NodeId) -> Option<Progress<W>> {
        let waiting = self.waiting.get_mut(&id)?;
        waiting.confirmed.insert(peer);
        if waiting.confirmed.len() + 1 < waiting.needed {
            return None;
        }
        self.end(now, id)
    }

    /// No write can be confirmed by more than `reachable` replicas now, the coordinator
    /// included, so none needs more than `needed`. Returns the waits that this ends.
    pub fn lower(&mut self, now: Instant, needed: usize) -> Vec<Progress<W>> {
        for waiting in self.waiting.values_mut() {
            waiting.needed = waiting.needed.min(needed);
        }
        self.end_where(now, |waiting| waiting.confirmed.len() + 1 >= waiting.needed)
    }

    /// Ends the waits whose time is over.
    pub fn expire(&mut self, now: Instant) -> Vec<Progress<W>> {
        let timeout = self.timeout;
        self.end_where(now, |waiting| now.since(waiting.since) >= timeout)
    }

    /// When the first wait times out. Ids rise with time, so the first is the oldest.
    pub fn deadline(&self) -> Option<Instant> {
        let (_, oldest) = self.waiting.first_key_value()?;
        Some(oldest.since + self.timeout)
    }

    fn end_where(&mut self, now: Instant, over: impl Fn(&Waiting<W>) -> bool) -> Vec<Progress<W>> {
        let ids: Vec<u64> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| over(waiting))
            .map(|(id, _)| *id)
            .collect();
        ids.into_iter().filter_map(|id| self.end(now, id)).collect()
    }

    fn end(&mut self, now: Instant, id: u64) -> Option<Progress<W>> {
        let waiting = self.waiting.remove(&id)?;
        Some(Progress {
            waiter: waiting.waiter,
            confirmed: waiting.confirmed.len() + 1,
            needed: waiting.needed,
            waited: now.since(waiting.since),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(2);

    fn at(ms: u64) -> Instant {
        Instant::from_elapsed(Duration::from_millis(ms))
    }

    fn waiting_for(needed: usize) -> (Confirmations<&'static str>, u64) {
        let mut confirmations = Confirmations::new(TIMEOUT, 2);
        let id = confirmations.next_id();
        confirmations.wait(at(0), id, "client", needed);
        (confirmations, id)
    }

    #[test]
    fn a_write_is_confirmed_by_distinct_peers() {
        let (mut confirmations, id) = waiting_for(3);
        assert_eq!(confirmations.confirm(at(1), id, NodeId(1)), None);
        assert_eq!(
            confirmations.confirm(at(2), id, NodeId(1)),
            None,
            "twice is once"
        );
        let end = confirmations.confirm(at(3), id, NodeId(2)).unwrap();
        assert_eq!((end.confirmed, end.needed, end.is_met()), (3, 3, true));
        assert_eq!(
            confirmations.confirm(at(4), id, NodeId(3)),
            None,
            "answered once"
        );
    }

    #[test]
    fn a_wait_ends_unmet_when_its_time_is_over() {
        let (mut confirmations, _) = waiting_for(2);
        assert_eq!(confirmations.deadline(), Some(at(2_000)));
        assert!(confirmations.expire(at(1_999)).is_empty());
        let ends = confirmations.expire(at(2_000));
        assert_eq!(ends.len(), 1);
        assert!(!ends[0].is_met());
        assert_eq!(ends[0].confirmed, 1, "the coordinator itself");
        assert_eq!(confirmations.deadline(), None);
    }

    #[test]
    fn a_lost_replica_lowers_what_is_needed_and_never_raises_it() {
        let (mut confirmations, id) = waiting_for(3);
        assert!(confirmations.lower(at(1), 4).is_empty());
        assert!(confirmations.lower(at(1), 2).is_empty());
        assert!(
            confirmations
                .confirm(at(2), id, NodeId(1))
                .unwrap()
                .is_met()
        );
        let (mut confirmations, _) = waiting_for(3);
        assert_eq!(confirmations.lower(at(1), 1).len(), 1);
    }

    #[test]
    fn the_number_of_waiting_writes_is_bounded() {
        let (mut confirmations, _) = waiting_for(2);
        assert!(!confirmations.is_full());
        let id = confirmations.next_id();
        confirmations.wait(at(0), id, "other", 2);
        assert!(confirmations.is_full());
    }
}
