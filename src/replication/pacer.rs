//! How fast a node fetches what it missed.
//!
//! Catching up competes with clients for disks, links and locks, on both sides. It is driven
//! by whoever is behind: one piece per question. So it is enough to ask later: each piece is
//! charged at the rate, and the next question waits until that is paid off. Idle time is not
//! saved up beyond [`BURST`].

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

use crate::clock::NodeId;
use crate::machine::Instant;
use crate::placement::PartitionId;

/// What may be fetched at once after a pause, as time at the rate: timers are coarse, and
/// short differences should not wait.
const BURST: Duration = Duration::from_millis(100);

/// A question that may be asked later: who to ask for more of which partition.
pub type Question = (PartitionId, NodeId);

/// Decides when a node may ask for the next piece of what it missed.
#[derive(Debug)]
pub struct Pacer {
    bytes_per_second: NonZeroU64,
    /// When everything fetched so far is paid off.
    paid_at: Instant,
    /// One per partition and peer, so bounded.
    waiting: BTreeMap<Question, Instant>,
}

impl Pacer {
    /// A pacer that lets through `bytes_per_second`.
    pub const fn new(bytes_per_second: NonZeroU64) -> Self {
        Self {
            bytes_per_second,
            paid_at: Instant::ZERO,
            waiting: BTreeMap::new(),
        }
    }

    /// Charges `bytes` that have just come. Returns when the next question may be asked.
    pub fn charge(&mut self, now: Instant, bytes: u64) -> Instant {
        let seconds = bytes as f64 / self.bytes_per_second.get() as f64;
        let idle_from = Instant::from_elapsed(now.elapsed().saturating_sub(BURST));
        let cost = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        self.paid_at = self.paid_at.max(idle_from) + cost;
        self.paid_at.max(now)
    }

    /// Remembers a question that may be asked at `due`.
    pub fn wait(&mut self, question: Question, due: Instant) {
        self.waiting.insert(question, due);
    }

    /// Takes out the questions that may be asked now.
    pub fn take_due(&mut self, now: Instant) -> Vec<Question> {
        let due = self.waiting.extract_if(.., |_, due| *due <= now);
        due.map(|(question, _)| question).collect()
    }

    /// Forgets questions to peers for which `can_answer` is false.
    pub fn retain(&mut self, can_answer: impl Fn(NodeId) -> bool) {
        self.waiting.retain(|(_, peer), _| can_answer(*peer));
    }

    /// When the next question may be asked.
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.values().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_elapsed(Duration::from_millis(ms))
    }

    fn rate(bytes_per_second: u64) -> NonZeroU64 {
        NonZeroU64::new(bytes_per_second).unwrap()
    }

    #[test]
    fn questions_wait_until_what_came_is_paid_off() {
        let mut pacer = Pacer::new(rate(1_000));
        let question = (PartitionId(1), NodeId(2));
        assert_eq!(pacer.charge(at(10_000), 50), at(10_000), "within the burst");
        assert_eq!(pacer.charge(at(10_000), 1_050), at(11_000));
        pacer.wait(question, at(11_000));
        assert_eq!(pacer.deadline(), Some(at(11_000)));
        assert_eq!(pacer.take_due(at(10_999)), []);
        assert_eq!(pacer.take_due(at(11_000)), [question]);
        assert_eq!(pacer.deadline(), None);
    }

    #[test]
    fn nobody_waits_for_a_peer_that_is_gone() {
        let mut pacer = Pacer::new(rate(1));
        pacer.wait((PartitionId(1), NodeId(2)), at(1));
        pacer.wait((PartitionId(1), NodeId(3)), at(2));
        pacer.retain(|peer| peer == NodeId(3));
        assert_eq!(pacer.take_due(at(9)), [(PartitionId(1), NodeId(3))]);
    }

    #[test]
    fn no_number_overflows() {
        let mut pacer = Pacer::new(rate(1));
        for _ in 0..3 {
            pacer.charge(at(1), u64::MAX);
        }
        assert!(pacer.charge(at(1), 1) > at(u64::MAX / 2_000));
    }

    proptest! {
        /// Whoever asks no earlier than told never gets more than the rate, the burst and
        /// one piece.
        #[test]
        fn what_comes_keeps_to_the_rate(
            pieces in prop::collection::vec((0u64..300_000, 0u64..500), 1..50),
        ) {
            let mut pacer = Pacer::new(rate(1_000_000));
            let (mut now, mut sum, mut longest) = (at(5_000), 0, 0);
            let began = now;
            for (bytes, pause) in pieces {
                sum += bytes;
                longest = longest.max(bytes);
                let elapsed = now.since(began) + BURST;
                prop_assert!(sum - longest <= elapsed.as_millis() as u64 * 1_000 + longest);
                now = pacer.charge(now, bytes).max(now + Duration::from_millis(pause));
            }
        }
    }
}
