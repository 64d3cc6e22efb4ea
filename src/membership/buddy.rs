//! Telling a suspect that it is suspected (Lifeguard's buddy system, made reliable).
//!
//! SWIM lets a suspect learn of its suspicion by gossip, which under loss often comes too
//! late: the bare crate buries live members at 10 % loss. Whoever starts the clock on a
//! suspect therefore tells it directly and repeats until the suspicion is refuted, the
//! verdict falls, or the notices are used up.

use std::collections::BTreeMap;

use super::identity::Identity;
use super::params::Params;
use crate::clock::NodeId;
use crate::machine::Instant;

/// One suspicion of ours whose subject has not yet answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) target: Identity,
    pub(super) incarnation: u16,
    sent: u32,
    due: Instant,
}

/// The notices under way: at most one per member.
#[derive(Debug, Default)]
pub(super) struct Buddies {
    notices: BTreeMap<NodeId, Notice>,
}

impl Buddies {
    /// Starts telling `target`, at once; goes on as before if it is being told already.
    pub(super) fn start(&mut self, now: Instant, target: Identity, incarnation: u16) {
        let notice = Notice {
            target,
            incarnation,
            sent: 0,
            due: now,
        };
        let under_way = self.notices.get(&target.id);
        if !under_way.is_some_and(|n| n.target == target && n.incarnation == incarnation) {
            self.notices.insert(target.id, notice);
        }
    }

    /// Whether an answer from `id` was asked for. Ends the notices to it.
    pub(super) fn answered(&mut self, id: NodeId) -> bool {
        self.notices.remove(&id).is_some()
    }

    /// When the next notice is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.notices.values().map(|notice| notice.due).min()
    }

    /// The notices to send now. Those whose suspicion does not hold any more, or that were
    /// sent often enough, are dropped.
    pub(super) fn due(
        &mut self,
        now: Instant,
        params: &Params,
        holds: impl Fn(&Identity, u16) -> bool,
    ) -> Vec<Notice> {
        let mut due = Vec::new();
        self.notices.retain(|_, notice| {
            if notice.due > now {
                return true;
            }
            if notice.sent >= params.suspect_notices_max
                || !holds(&notice.target, notice.incarnation)
            {
                return false;
            }
            due.push(*notice);
            notice.sent += 1;
            notice.due = now + params.suspect_notice_period;
            true
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspect_is_told_until_it_answers_and_not_for_ever() {
        let params = Params::lan();
        let target = Identity {
            id: NodeId(2),
            generation: 1,
            bump: 0,
            addr: "10.0.0.2:1".parse().unwrap(),
        };
        let mut buddies = Buddies::default();
        buddies.start(Instant::ZERO, target, 0);
        let mut sent = 0;
        while let Some(now) = buddies.next() {
            sent += buddies.due(now, &params, |_, _| true).len();
            buddies.start(now, target, 0);
            assert!(sent <= 8);
            if sent == 8 {
                break;
            }
        }
        let late = Instant::from_elapsed(std::time::Duration::from_secs(60));
        assert!(buddies.due(late, &params, |_, _| true).is_empty());
        assert_eq!(buddies.next(), None);

        buddies.start(late, target, 1);
        assert!(buddies.answered(target.id));
        assert!(!buddies.answered(target.id));

        buddies.start(late, target, 1);
        assert!(buddies.due(late, &params, |_, _| false).is_empty());
        assert_eq!(buddies.next(), None);
    }
}
