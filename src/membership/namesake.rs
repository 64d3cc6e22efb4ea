//! Two processes with one name.
//!
//! The name of a node must be its own: SWIM keeps one entry per name, and two live owners
//! would bury each other for ever. But a restart of a node also looks like a second owner
//! for a while. The rules, from the asked member's side, when a node knocks whose name the
//! list has under another identity:
//!
//! - the same address: the same node, restarted. Let in at once.
//! - the known one has failed or left: the same node, moved. Let in at once.
//! - the known one is active elsewhere: refuse, and ask that one directly whether it is
//!   there ([`Holders`]). If it answers, two processes have the name; the knocking one is
//!   told so and reports a conflict. If it does not, the knocking one is told to wait: it
//!   asks again every second, and is let in when SWIM has found its earlier life failed. A
//!   crashed node that restarts **at a new address** so waits for the time of detection
//!   plus one second, 4 to 6 s with the `lan` preset; one that left gracefully does not.
//!
//! Two that join through different seeds at the same moment pass all this; each then hears
//! of the other in SWIM news, asks it directly, and by [`keeps_name`] the same one of them
//! stands down.

use std::collections::BTreeMap;
use std::time::Duration;

use super::identity::Identity;
use crate::clock::NodeId;
use crate::machine::Instant;

/// Most names under dispute at once; more are a flood, and wait.
const DISPUTES_MAX: usize = 32;

/// How often the holder of a disputed name is asked.
const ASK_PERIOD: Duration = Duration::from_millis(500);

/// How long an answer of the holder proves that it is there.
const ANSWER_HOLDS: Duration = Duration::from_secs(5);

/// Whether the process `mine` keeps the name against `other`: one that takes part keeps it
/// against one that does not, otherwise the earlier start does.
pub(super) fn keeps_name(
    (mine, my_active): (&Identity, bool),
    (other, other_active): (&Identity, bool),
) -> bool {
    if my_active == other_active {
        other.supersedes(mine)
    } else {
        my_active
    }
}

#[derive(Clone, Copy, Debug)]
struct Dispute {
    holder: Identity,
    asked: Instant,
    answered: Option<Instant>,
}

/// Holders of names that somebody else claims.
#[derive(Debug, Default)]
pub(super) struct Holders {
    disputes: BTreeMap<NodeId, Dispute>,
}

/// What is known about a holder when its name is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// It has just answered.
    pub(super) answering: bool,
    /// It should be asked now.
    pub(super) ask: bool,
}

impl Holders {
    /// Somebody claims the name of `holder`.
    pub(super) fn claim(&mut self, now: Instant, holder: Identity) -> Claim {
        self.disputes.retain(|_, d| {
            now.since(d.asked.max(d.answered.unwrap_or(d.asked))) < ANSWER_HOLDS * 2
        });
        let known = self
            .disputes
            .get(&holder.id)
            .copied()
            .filter(|d| d.holder == holder);
        let answering = known
            .and_then(|dispute| dispute.answered)
            .is_some_and(|at| now.since(at) < ANSWER_HOLDS);
        let ask = known.is_none_or(|dispute| now.since(dispute.asked) >= ASK_PERIOD)
            && (known.is_some() || self.disputes.len() < DISPUTES_MAX);
        if ask {
            let answered = known.and_then(|dispute| dispute.answered);
            self.disputes.insert(
                holder.id,
                Dispute {
                    holder,
                    asked: now,
                    answered,
                },
            );
        }
        Claim { answering, ask }
    }

    /// The holder that was asked answered as `by`.
    pub(super) fn answered(&mut self, now: Instant, by: &Identity) {
        if let Some(dispute) = self.disputes.get_mut(&by.id)
            && dispute.holder.generation == by.generation
            && dispute.holder.addr == by.addr
        {
            dispute.answered = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_elapsed(Duration::from_millis(ms))
    }

    fn identity(id: u64, generation: u64) -> Identity {
        Identity {
            id: NodeId(id),
            generation,
            bump: 0,
            addr: "10.0.0.1:7000".parse().unwrap(),
        }
    }

    #[test]
    fn a_claim_is_held_against_only_by_a_fresh_answer() {
        let (mut holders, holder) = (Holders::default(), identity(1, 1));
        assert_eq!(
            holders.claim(at(0), holder),
            Claim {
                answering: false,
                ask: true
            }
        );
        assert_eq!(
            holders.claim(at(100), holder),
            Claim {
                answering: false,
                ask: false
            }
        );
        holders.answered(at(150), &identity(1, 2));
        assert_eq!(
            holders.claim(at(600), holder),
            Claim {
                answering: false,
                ask: true
            }
        );
        holders.answered(at(700), &holder);
        assert_eq!(
            holders.claim(at(1_200), holder),
            Claim {
                answering: true,
                ask: true
            }
        );
        assert_eq!(
            holders.claim(at(6_000), holder),
            Claim {
                answering: false,
                ask: true
            }
        );
    }

    #[test]
    fn disputes_are_bounded() {
        let mut holders = Holders::default();
        for id in 1..1_000 {
            holders.claim(at(0), identity(id, 1));
        }
        assert_eq!(holders.disputes.len(), DISPUTES_MAX);
    }

    #[test]
    fn exactly_one_of_two_keeps_the_name() {
        let (a, b) = (identity(1, 1), identity(1, 2));
        for a_active in [false, true] {
            for b_active in [false, true] {
                let a_keeps = keeps_name((&a, a_active), (&b, b_active));
                let b_keeps = keeps_name((&b, b_active), (&a, a_active));
                assert_ne!(a_keeps, b_keeps);
            }
        }
        assert!(keeps_name((&a, true), (&b, true)));
    }
}
