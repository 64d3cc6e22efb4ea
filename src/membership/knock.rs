//! When to knock, and at which doors.
//!
//! A node that takes no part knocks at every seed and at a few members that it remembers,
//! first quickly and then less often, for ever. One that takes part knocks at seeds whose
//! address no member has (two clusters that never met become one that way) and at a few
//! failed members (so that the halves of a split find each other). Knocking once, as the
//! bare crate announces, leaves many clusters incomplete under loss.
//!
//! Every HELLO carries a nonce. [`Questions`] remembers why it was asked; an answer without
//! a question has no effect.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;

use super::identity::Identity;
use super::params::Params;
use crate::clock::NodeId;
use crate::machine::Instant;

/// Most seeds: more addresses than this in one list are a mistake, and every one costs a
/// datagram per knock.
pub const SEEDS_MAX: usize = 64;

/// Most unanswered questions that are remembered; beyond, the oldest is forgotten.
const QUESTIONS_MAX: usize = 512;

/// How long an answer is waited for: longer than any round trip worth joining over.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Pause before asking again a seed that turned out to be this node itself: addresses of
/// names change rarely.
const OWN_DOOR_PAUSE: Duration = Duration::from_secs(60);

/// How often to ask again while the name is held by a member that may be an earlier life of
/// this node, soon to be found failed.
const NAME_TAKEN_PAUSE: Duration = Duration::from_secs(1);

/// Why a HELLO was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// To be let in by the seed at this address.
    Seed(SocketAddr),
    /// To be let in, or found again, by a member that is remembered.
    Member,
    /// To see whether another process with this node's name is really there.
    Namesake,
    /// To see whether the holder of a name that a newcomer claims still answers.
    Holder(Identity),
}

/// HELLOs that have no answer yet.
#[derive(Debug, Default)]
pub(super) struct Questions {
    asked: BTreeMap<u64, (Instant, Why)>,
}

impl Questions {
    /// Notes a question and returns its nonce.
    pub(super) fn ask(&mut self, now: Instant, why: Why, rng: &mut SmallRng) -> u64 {
        self.asked
            .retain(|_, (at, _)| now.since(*at) < ANSWER_WITHIN);
        if self.asked.len() >= QUESTIONS_MAX {
            let oldest = self
                .asked
                .iter()
                .min_by_key(|(_, (at, _))| *at)
                .map(|(n, _)| *n);
            oldest.map(|nonce| self.asked.remove(&nonce));
        }
        let nonce = rng.random();
        self.asked.insert(nonce, (now, why));
        nonce
    }

    /// Takes the question that an answer belongs to, if it was asked and not too long ago.
    pub(super) fn answer(&mut self, now: Instant, nonce: u64) -> Option<Why> {
        let (at, why) = self.asked.remove(&nonce)?;
        (now.since(at) < ANSWER_WITHIN).then_some(why)
    }
}

#[derive(Clone, Copy, Debug)]
struct Seed {
    due: Option<Instant>,
    backoff: Duration,
    /// Who answered there last.
    member: Option<NodeId>,
}

/// The schedule of knocks.
#[derive(Debug)]
pub(super) struct Knocker {
    seeds: BTreeMap<SocketAddr, Seed>,
    /// When to knock at members that are remembered.
    members_due: Option<Instant>,
    members_backoff: Duration,
    params: Params,
}

impl Knocker {
    pub(super) fn new(params: &Params, now: Instant) -> Self {
        Self {
            seeds: BTreeMap::new(),
            members_due: params.knocking.then_some(now),
            members_backoff: params.knock_backoff_min,
            params: params.clone(),
        }
    }

    /// Replaces the seeds. Those that stay keep their pace.
    pub(super) fn set_seeds(&mut self, now: Instant, addrs: Vec<SocketAddr>) {
        let fresh = Seed {
            due: Some(now),
            backoff: self.params.knock_backoff_min,
            member: None,
        };
        let known = std::mem::take(&mut self.seeds);
        for addr in addrs.into_iter().take(SEEDS_MAX) {
            self.seeds
                .insert(addr, known.get(&addr).copied().unwrap_or(fresh));
        }
    }

    /// Knock at every door again soon: this node takes no part any more.
    pub(super) fn hurry(&mut self, now: Instant) {
        if !self.params.knocking {
            return;
        }
        for seed in self.seeds.values_mut() {
            seed.backoff = self.params.knock_backoff_min;
            seed.due = Some(now);
        }
        self.members_backoff = self.params.knock_backoff_min;
        self.members_due = Some(now);
    }

    /// When the next knock is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.seeds
            .values()
            .filter_map(|seed| seed.due)
            .chain(self.members_due)
            .min()
    }

    /// The seeds to knock at now. `is_in` says whether a seed's address, or the member that
    /// answered there last, is in the list of active members.
    pub(super) fn due_seeds(
        &mut self,
        now: Instant,
        active: bool,
        rng: &mut SmallRng,
        is_in: impl Fn(SocketAddr, Option<NodeId>) -> bool,
    ) -> Vec<SocketAddr> {
        let params = &self.params;
        let mut due = Vec::new();
        for (addr, seed) in &mut self.seeds {
            if seed.due.is_none_or(|at| at > now) {
                continue;
            }
            let present = active && is_in(*addr, seed.member);
            if !present {
                due.push(*addr);
            }
            let pause = if active {
                params.seed_period
            } else {
                seed.backoff
            };
            seed.backoff = (seed.backoff * 2).min(params.knock_backoff_max);
            seed.due = params.knocking.then(|| now + jittered(pause, rng));
        }
        due
    }

    /// Whether to knock at members that are remembered now.
    pub(super) fn members_due(&mut self, now: Instant, active: bool, rng: &mut SmallRng) -> bool {
        if self.members_due.is_none_or(|at| at > now) {
            return false;
        }
        let pause = if active {
            self.params.failed_knock_period
        } else {
            self.members_backoff
        };
        self.members_backoff = (self.members_backoff * 2).min(self.params.knock_backoff_max);
        self.members_due = Some(now + jittered(pause, rng));
        true
    }

    /// The seed at `addr` is the member `id`.
    pub(super) fn answered(&mut self, addr: SocketAddr, id: NodeId) {
        if let Some(seed) = self.seeds.get_mut(&addr) {
            seed.member = Some(id);
        }
    }

    /// The seed at `addr` is this node itself.
    pub(super) fn is_self(&mut self, now: Instant, addr: SocketAddr) {
        if let Some(seed) = self.seeds.get_mut(&addr) {
            seed.due = seed.due.map(|_| now + OWN_DOOR_PAUSE);
        }
    }

    /// The seed at `addr` said that the name is taken, by somebody who may be gone.
    pub(super) fn name_taken(&mut self, now: Instant, addr: SocketAddr) {
        if let Some(seed) = self.seeds.get_mut(&addr) {
            let soon = now + NAME_TAKEN_PAUSE;
            seed.due = seed.due.map(|at| at.min(soon));
        }
    }
}

/// `period` by up to a quarter shorter or longer, so that nodes started together do not
/// stay in step.
pub(super) fn jittered(period: Duration, rng: &mut SmallRng) -> Duration {
    period.mul_f64(rng.random_range(0.75..1.25))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn knocks_in(active: bool, params: Params, seconds: u64) -> usize {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut knocker = Knocker::new(&params, Instant::ZERO);
        knocker.set_seeds(Instant::ZERO, vec!["10.0.0.9:1".parse().unwrap()]);
        let end = Instant::from_elapsed(Duration::from_secs(seconds));
        let mut knocks = 0;
        while let Some(now) = knocker.next().filter(|at| *at < end) {
            knocks += knocker.due_seeds(now, active, &mut rng, |_, _| false).len();
            knocker.members_due(now, active, &mut rng);
        }
        knocks
    }

    #[test]
    fn knocking_slows_down_but_never_ends() {
        let first_minute = knocks_in(false, Params::lan(), 60);
        let hour = knocks_in(false, Params::lan(), 3_600);
        assert!((12..=22).contains(&first_minute), "{first_minute}");
        assert!((650..=800).contains(&hour), "{hour}");
        assert!((450..=600).contains(&knocks_in(true, Params::lan(), 3_600)));
    }

    #[test]
    fn the_test_switch_leaves_one_knock() {
        let params = Params {
            knocking: false,
            ..Params::lan()
        };
        assert_eq!(knocks_in(false, params, 3_600), 1);
    }

    #[test]
    fn an_answer_counts_once_and_not_for_ever() {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut questions = Questions::default();
        let nonce = questions.ask(Instant::ZERO, Why::Member, &mut rng);
        assert_eq!(questions.answer(Instant::ZERO, nonce), Some(Why::Member));
        assert_eq!(questions.answer(Instant::ZERO, nonce), None);
        let nonce = questions.ask(Instant::ZERO, Why::Member, &mut rng);
        assert_eq!(questions.answer(Instant::ZERO + ANSWER_WITHIN, nonce), None);
        for _ in 0..10_000 {
            questions.ask(Instant::ZERO, Why::Namesake, &mut rng);
        }
        assert_eq!(questions.asked.len(), QUESTIONS_MAX);
    }
}
