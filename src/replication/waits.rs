//! Requests that wait for replicas: writes for waits, reads for answers.
//!
//! A wait is met when as many replicas as its strength asks for have answered, the
//! coordinator included: it answers itself at once, or when its disk has the write. The number asked for never rises while a request waits, but unless
//! it is strict it falls when replicas become unreachable: the strength speaks of the
//! reachable ones.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::NodeId;
use crate::machine::Instant;

/// A network that is slower than this is of no use to who stores values of many megabytes.
const SLOWEST_BYTES_PER_SECOND: usize = 8 * 1024 * 1024;

/// How much longer a request may take of which so many bytes go to another node, or come.
pub fn patience(bytes: usize) -> Duration {
    let seconds = bytes / SLOWEST_BYTES_PER_SECOND;
    Duration::from_secs(seconds.try_into().unwrap_or(u64::MAX))
}

/// A request that waits.
#[derive(Debug)]
struct Waiting<P> {
    payload: P,
    /// Each once; a handful.
    answered: Vec<NodeId>,
    needs: Needs,
    since: Instant,
}

impl<P> Waiting<P> {
    fn answered(&self) -> usize {
        self.answered.len() + usize::from(self.needs.own)
    }

    fn is_met(&self) -> bool {
        self.answered() >= self.needs.replicas
    }
}

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// How many replicas, the coordinator included.
    pub replicas: usize,
    /// Whether that stays so when replicas become unreachable.
    pub strict: bool,
    /// Whether the coordinator's own answer is there already.
    pub own: bool,
    /// How many bytes each replica gets or gives, which takes its [time](patience).
    pub bytes: usize,
}

/// A wait that has ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended<P> {
    /// What waited.
    pub payload: P,
    /// Replicas that answered, the coordinator included.
    pub answered: usize,
    /// Replicas that were needed.
    pub needed: usize,
    /// How long it took.
    pub waited: Duration,
}

impl<P> Ended<P> {
    /// Whether it reached its strength.
    pub fn is_met(&self) -> bool {
        self.answered >= self.needed
    }
}

/// The requests of one kind and shard that wait for replicas.
#[derive(Debug)]
pub struct Waits<P> {
    waiting: BTreeMap<u64, Waiting<P>>,
    timeout: Duration,
    waiting_max: usize,
    next_id: u64,
}

impl<P> Waits<P> {
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

    /// What waits.
    pub fn payloads(&self) -> impl Iterator<Item = &P> {
        self.waiting.values().map(|waiting| &waiting.payload)
    }

    /// A fresh id for something that nobody waits for.
    pub fn next_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        id
    }

    /// `payload` waits until what it `needs` has come of what was asked under `id`.
    pub fn wait(&mut self, now: Instant, id: u64, payload: P, needs: Needs) {
        self.waiting.insert(
            id,
            Waiting {
                payload,
                answered: Vec::new(),
                needs,
                since: now,
            },
        );
    }

    /// What waits under `id`.
    pub fn payload_mut(&mut self, id: u64) -> Option<&mut P> {
        Some(&mut self.waiting.get_mut(&id)?.payload)
    }

    /// `peer` has answered what was asked under `id`. Returns the wait that this ends, if any.
    pub fn answer(&mut self, now: Instant, id: u64, peer: NodeId) -> Option<Ended<P>> {
        let waiting = self.waiting.get_mut(&id)?;
        if !waiting.answered.contains(&peer) {
            waiting.answered.push(peer);
        }
        let is_met = waiting.is_met();
        is_met.then(|| self.end(now, id)).flatten()
    }

    /// The coordinator itself has what was asked under `id`. Returns the wait that this ends,
    /// if any.
    pub fn confirm(&mut self, now: Instant, id: u64) -> Option<Ended<P>> {
        let waiting = self.waiting.get_mut(&id)?;
        waiting.needs.own = true;
        let is_met = waiting.is_met();
        is_met.then(|| self.end(now, id)).flatten()
    }

    /// The coordinator may lose what it has: no wait counts its own answer any more.
    pub fn retract(&mut self) {
        for waiting in self.waiting.values_mut() {
            waiting.needs.own = false;
        }
    }

    /// Only so many replicas of what waits can answer now, the coordinator included, so no
    /// wait that is not strict needs more. Returns the waits that this ends.
    pub fn lower(&mut self, now: Instant, reachable: impl Fn(&P) -> usize) -> Vec<Ended<P>> {
        for waiting in self.waiting.values_mut().filter(|w| !w.needs.strict) {
            let reachable = reachable(&waiting.payload);
            waiting.needs.replicas = waiting.needs.replicas.min(reachable);
        }
        self.end_where(now, Waiting::is_met)
    }

    /// Ends the waits whose time is over.
    pub fn expire(&mut self, now: Instant) -> Vec<Ended<P>> {
        let timeout = self.timeout;
        self.end_where(now, |waiting| {
            now.since(waiting.since) >= timeout + patience(waiting.needs.bytes)
        })
    }

    /// When the oldest wait times out, if it is not a long one: those behind it are over first
    /// then, and are found when their shard is next looked after.
    pub fn deadline(&self) -> Option<Instant> {
        let (_, oldest) = self.waiting.first_key_value()?;
        Some(oldest.since + self.timeout + patience(oldest.needs.bytes))
    }

    fn end_where(&mut self, now: Instant, over: impl Fn(&Waiting<P>) -> bool) -> Vec<Ended<P>> {
        let ids: Vec<u64> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| over(waiting))
            .map(|(id, _)| *id)
            .collect();
        ids.into_iter().filter_map(|id| self.end(now, id)).collect()
    }

    fn end(&mut self, now: Instant, id: u64) -> Option<Ended<P>> {
        let waiting = self.waiting.remove(&id)?;
        Some(Ended {
            answered: waiting.answered(),
            needed: waiting.needs.replicas,
            waited: now.since(waiting.since),
            payload: waiting.payload,
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

    fn waiting_for(needed: usize) -> (Waits<&'static str>, u64) {
        let mut waits = Waits::new(TIMEOUT, 2);
        let id = waits.next_id();
        waits.wait(at(0), id, "client", needs(needed));
        (waits, id)
    }

    fn needs(replicas: usize) -> Needs {
        Needs {
            replicas,
            strict: false,
            own: true,
            bytes: 0,
        }
    }

    #[test]
    fn what_is_long_may_take_longer_and_holds_up_nothing_else() {
        let mut waits = Waits::new(TIMEOUT, 9);
        let long = Needs {
            bytes: 3 * SLOWEST_BYTES_PER_SECOND,
            ..needs(2)
        };
        waits.wait(at(0), 1, "long", long);
        waits.wait(at(0), 2, "short", needs(2));
        let over = waits.expire(at(2_000));
        assert_eq!((over.len(), over[0].payload), (1, "short"));
        assert_eq!(waits.deadline(), Some(at(5_000)));
        assert!(waits.expire(at(4_999)).is_empty());
        assert_eq!(waits.expire(at(5_000)).len(), 1);
    }

    #[test]
    fn a_coordinator_counts_once_its_disk_has_the_write() {
        let mut waits = Waits::new(TIMEOUT, 9);
        let later = Needs {
            own: false,
            ..needs(2)
        };
        for id in [1, 2, 3] {
            waits.wait(at(0), id, "client", later);
        }
        assert_eq!(waits.confirm(at(1), 1), None);
        assert!(waits.answer(at(2), 1, NodeId(1)).unwrap().is_met());
        assert_eq!(waits.answer(at(1), 2, NodeId(1)), None);
        assert!(waits.confirm(at(2), 2).unwrap().is_met());
        let ended = waits.expire(at(2_000));
        assert_eq!((ended[0].answered, ended[0].is_met()), (0, false));
    }

    #[test]
    fn a_coordinator_that_may_lose_the_write_does_not_count() {
        let (mut waits, id) = waiting_for(2);
        waits.retract();
        assert_eq!(waits.answer(at(1), id, NodeId(1)), None);
        assert!(waits.answer(at(2), id, NodeId(2)).unwrap().is_met());
    }

    #[test]
    fn a_write_is_confirmed_by_distinct_peers() {
        let (mut waits, id) = waiting_for(3);
        assert_eq!(waits.answer(at(1), id, NodeId(1)), None);
        assert_eq!(waits.answer(at(2), id, NodeId(1)), None, "twice is once");
        let end = waits.answer(at(3), id, NodeId(2)).unwrap();
        assert_eq!((end.answered, end.needed, end.is_met()), (3, 3, true));
        assert_eq!(waits.answer(at(4), id, NodeId(3)), None, "answered once");
    }

    #[test]
    fn a_wait_ends_unmet_when_its_time_is_over() {
        let (mut waits, _) = waiting_for(2);
        assert_eq!(waits.deadline(), Some(at(2_000)));
        assert!(waits.expire(at(1_999)).is_empty());
        let ends = waits.expire(at(2_000));
        assert_eq!(ends.len(), 1);
        assert!(!ends[0].is_met());
        assert_eq!(ends[0].answered, 1, "the coordinator itself");
        assert_eq!(waits.deadline(), None);
    }

    #[test]
    fn a_lost_replica_lowers_what_is_needed_and_never_raises_it() {
        let (mut waits, id) = waiting_for(3);
        assert!(waits.lower(at(1), |_| 4).is_empty());
        assert!(waits.lower(at(1), |_| 2).is_empty());
        assert!(waits.answer(at(2), id, NodeId(1)).unwrap().is_met());
        let (mut waits, _) = waiting_for(3);
        assert_eq!(waits.lower(at(1), |_| 1).len(), 1);
    }

    #[test]
    fn a_strict_wait_is_not_lowered() {
        let mut waits = Waits::new(TIMEOUT, 2);
        let id = waits.next_id();
        let strict = Needs {
            strict: true,
            ..needs(3)
        };
        waits.wait(at(0), id, "client", strict);
        assert!(waits.lower(at(1), |_| 1).is_empty());
        assert!(!waits.expire(at(2_000))[0].is_met());
    }

    #[test]
    fn the_number_of_waiting_writes_is_bounded() {
        let (mut waits, _) = waiting_for(2);
        assert!(!waits.is_full());
        let id = waits.next_id();
        waits.wait(at(0), id, "other", needs(2));
        assert!(waits.is_full());
    }
}
