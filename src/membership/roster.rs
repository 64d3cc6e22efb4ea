//! Comparing whole member lists.
//!
//! Gossip passes news on a limited number of times, so a newcomer hears of old members
//! slowly (with 100 members it took 92 s, with 500 it took 480 s) and some news is missed
//! altogether. A node therefore asks a random member for its whole list as soon as it takes
//! part, and compares lists with a random member from time to time: the question carries a
//! digest, and equal lists are not sent. The list comes page by page, each page asked for,
//! so a page lost costs one repeated question and nobody is flooded.

use std::time::Duration;

use rand::rngs::SmallRng;

use super::knock::jittered;
use super::packet::{Roster, RosterAsk};
use super::params::Params;
use crate::clock::NodeId;
use crate::machine::Instant;

/// Most questions of one round that may go unanswered before it is given up until the next.
const SILENT_MAX: u32 = 16;

/// How soon after joining the lists are compared a second time: others join at the same
/// moment.
const SECOND_ROUND: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
struct Round {
    nonce: u64,
    after: Option<NodeId>,
    silent: u32,
}

/// The asking side.
#[derive(Debug)]
pub(super) struct Puller {
    due: Option<Instant>,
    round: Option<Round>,
    rounds: u64,
}

impl Puller {
    pub(super) fn new() -> Self {
        Self {
            due: None,
            round: None,
            rounds: 0,
        }
    }

    /// Starts a round at once: this node has just begun to take part.
    pub(super) fn start(&mut self, now: Instant) {
        *self = Self {
            due: Some(now),
            round: None,
            rounds: 0,
        };
    }

    /// Stops asking: this node takes no part any more.
    pub(super) fn stop(&mut self) {
        *self = Self::new();
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.due
    }

    /// The question to put to some member now, if one is due.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        nonce: u64,
        digest: u64,
        params: &Params,
        rng: &mut SmallRng,
    ) -> Option<RosterAsk> {
        self.due.filter(|at| *at <= now)?;
        let mut round = self.round.unwrap_or(Round {
            nonce,
            after: None,
            silent: 0,
        });
        if round.silent >= SILENT_MAX {
            self.end_round(now, params, rng);
            return None;
        }
        round.nonce = nonce;
        round.silent += 1;
        self.round = Some(round);
        self.due = Some(now + params.roster_timeout);
        Some(RosterAsk {
            nonce,
            after: round.after,
            digest,
        })
    }

    /// Whether `roster` answers the question asked last. Prepares the next one.
    pub(super) fn accept(
        &mut self,
        now: Instant,
        roster: &Roster,
        params: &Params,
        rng: &mut SmallRng,
    ) -> bool {
        let Some(round) = self
            .round
            .as_mut()
            .filter(|round| round.nonce == roster.nonce)
        else {
            return false;
        };
        let last = roster.entries.last().map(|entry| entry.identity.id);
        // A page that does not lead on ends the round, whatever it says: no endless lists.
        if roster.more && last > round.after {
            *round = Round {
                nonce: 0,
                after: last,
                silent: 0,
            };
            self.due = Some(now);
        } else {
            self.end_round(now, params, rng);
        }
        true
    }

    fn end_round(&mut self, now: Instant, params: &Params, rng: &mut SmallRng) {
        self.rounds += 1;
        self.round = None;
        let period = if self.rounds == 1 {
            SECOND_ROUND
        } else {
            params.roster_period
        };
        self.due = Some(now + jittered(period, rng));
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::super::identity::Identity;
    use super::super::members::State;
    use super::super::packet::RosterEntry;
    use super::*;

    fn page(nonce: u64, last: u64, more: bool) -> Roster {
        let addr = "10.0.0.1:1".parse().unwrap();
        let identity = Identity {
            id: NodeId(last),
            generation: 1,
            bump: 0,
            addr,
        };
        let entry = RosterEntry {
            identity,
            incarnation: 0,
            state: State::Alive,
            age_s: 0,
        };
        Roster {
            nonce,
            entries: vec![entry],
            more,
        }
    }

    #[test]
    fn pages_are_asked_for_one_after_the_other() {
        let (params, mut rng) = (Params::lan(), SmallRng::seed_from_u64(1));
        let mut puller = Puller::new();
        puller.start(Instant::ZERO);
        let ask = puller.ask(Instant::ZERO, 11, 0, &params, &mut rng).unwrap();
        assert_eq!(ask.after, None);
        assert!(!puller.accept(Instant::ZERO, &page(10, 5, true), &params, &mut rng));
        assert!(puller.accept(Instant::ZERO, &page(11, 5, true), &params, &mut rng));
        let ask = puller.ask(Instant::ZERO, 12, 0, &params, &mut rng).unwrap();
        assert_eq!(ask.after, Some(NodeId(5)));
        // The answer is lost: the same page is asked for again, under a new nonce.
        let later = puller.next().unwrap();
        let ask = puller.ask(later, 13, 0, &params, &mut rng).unwrap();
        assert_eq!(ask.after, Some(NodeId(5)));
        assert!(!puller.accept(later, &page(12, 9, false), &params, &mut rng));
        assert!(puller.accept(later, &page(13, 9, false), &params, &mut rng));
        assert!(puller.next().unwrap() > later);
    }

    #[test]
    fn silence_and_lists_that_lead_nowhere_end_a_round() {
        let (params, mut rng) = (Params::lan(), SmallRng::seed_from_u64(1));
        let mut puller = Puller::new();
        puller.start(Instant::ZERO);
        let mut asked = 0;
        while puller.rounds == 0 {
            let now = puller.next().unwrap();
            asked += u32::from(puller.ask(now, 1, 0, &params, &mut rng).is_some());
        }
        assert_eq!(asked, SILENT_MAX);

        puller.start(Instant::ZERO);
        puller.ask(Instant::ZERO, 1, 0, &params, &mut rng).unwrap();
        assert!(puller.accept(Instant::ZERO, &page(1, 5, true), &params, &mut rng));
        puller.ask(Instant::ZERO, 2, 0, &params, &mut rng).unwrap();
        assert!(puller.accept(Instant::ZERO, &page(2, 5, true), &params, &mut rng));
        assert_eq!(puller.rounds, 1);
    }
}
