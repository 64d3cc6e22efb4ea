//! What this node does of its own accord: knocking, telling suspects, comparing lists,
//! forgetting the gone, yielding its name, leaving.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use foca::Timer;
use rand::rngs::SmallRng;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};

use super::buddy::Buddies;
use super::engine::{Membership, Phase};
use super::event::Event;
use super::farewell::Farewell;
use super::identity::Identity;
use super::knock::Why;
use super::members::State;
use super::packet::{Hello, Packet};
use super::swim::Swim;
use super::view::View;
use crate::clock::NodeId;
use crate::machine::Now;

/// At how many members that are remembered a node knocks that takes no part.
const LOST_KNOCK_FANOUT: usize = 3;

impl Membership {
    /// Sends a HELLO.
    pub(super) fn hello(&mut self, now: Now, to: SocketAddr, why: Why) {
        let hello = Hello {
            nonce: self.questions.ask(now.mono, why, &mut self.rng),
            identity: *self.me(),
            fingerprint: self.fingerprint.clone(),
            active: self.is_active(),
        };
        self.stats.knocks += 1;
        self.send(to, Packet::Hello(hello));
    }

    /// Another process has this node's name and keeps it.
    pub(super) fn conflict(&mut self, now: Now, holder: Identity) {
        if self.reported.is_due(now.mono, holder.addr) {
            self.tell(Event::Conflict { holder });
        }
        if matches!(self.phase, Phase::Conflicted) {
            return;
        }
        let me = *self.me();
        let known = self.active_addrs();
        self.knocker.stand_back(now.mono, known.values().copied());
        for to in known.into_values() {
            self.send(to, Packet::Left(me));
        }
        self.phase = Phase::Conflicted;
        self.swim = Swim::new(me, &self.params, SmallRng::seed_from_u64(self.rng.random()));
        self.view = View::new(me, self.params.remove_down_after, now);
        self.timers.clear();
        self.buddies = Buddies::default();
        self.puller.stop();
    }

    pub(super) fn leave(&mut self, now: Now) {
        if matches!(self.phase, Phase::Running | Phase::Conflicted) {
            self.phase = Phase::Leaving(Farewell::new(now.mono, self.active_addrs()));
            self.timers.clear();
            self.say_farewell(now);
        }
    }

    pub(super) fn say_farewell(&mut self, now: Now) {
        let Phase::Leaving(farewell) = &mut self.phase else {
            return;
        };
        let complete = farewell.is_complete(now.mono, &self.params);
        let due = farewell.due(now.mono, &self.params);
        if complete {
            self.phase = Phase::Gone;
            if let Some(me) = self.view.depart(now) {
                self.tell(Event::Left(me));
            }
            return;
        }
        let me = *self.me();
        for to in due {
            self.send(to, Packet::Left(me));
        }
    }

    fn active_addrs(&self) -> BTreeMap<NodeId, SocketAddr> {
        let active = self.view.others().filter(|member| member.state.is_active());
        active
            .map(|member| (member.identity.id, member.identity.addr))
            .collect()
    }

    pub(super) fn knock(&mut self, now: Now) {
        let active = self.is_active();
        let view = &self.view;
        let seeds = self
            .knocker
            .due_seeds(now.mono, active, &mut self.rng, |addr, member| {
                member.is_some_and(|id| view.is_active(id))
                    || view
                        .iter()
                        .any(|m| m.state.is_active() && m.identity.addr == addr)
            });
        for addr in seeds {
            self.hello(now, addr, Why::Seed(addr));
        }
        if self.knocker.members_due(now.mono, active, &mut self.rng) {
            let fanout = if active {
                self.params.failed_knock_fanout
            } else {
                LOST_KNOCK_FANOUT
            };
            let doors = self.view.others().filter(|member| match member.state {
                State::Failed => true,
                State::Left => false,
                State::Alive | State::Suspect => !active,
            });
            let doors = doors.map(|member| member.identity.addr);
            for addr in doors.sample(&mut self.rng, fanout) {
                self.hello(now, addr, Why::Member);
            }
        }
    }

    pub(super) fn notify_suspects(&mut self, now: Now) {
        let swim = &self.swim;
        let due = self
            .buddies
            .due(now.mono, &self.params, |id, n| swim.is_suspect(id, n));
        for notice in due {
            self.stats.notices += 1;
            let packet = Packet::Suspect {
                target: notice.target,
                incarnation: notice.incarnation,
            };
            self.send(notice.target.addr, packet);
        }
    }

    pub(super) fn compare_rosters(&mut self, now: Now) {
        if self.puller.next().is_none_or(|at| at > now.mono) {
            return;
        }
        let nonce = self.rng.random();
        let digest = self.view.digest();
        let ask = self
            .puller
            .ask(now.mono, nonce, digest, &self.params, &mut self.rng);
        let active = self.view.others().filter(|member| member.state.is_active());
        let peer = active
            .map(|member| member.identity.addr)
            .choose(&mut self.rng);
        if let (Some(ask), Some(peer)) = (ask, peer) {
            self.stats.roster_asks += 1;
            self.send(peer, Packet::RosterAsk(ask));
        }
        self.adopt_orphans(now);
    }

    /// A suspicion whose accuser died before the verdict would stand for ever if its
    /// subject lives and never hears of it. Somebody tells it.
    fn adopt_orphans(&mut self, now: Now) {
        let tellers = u32::try_from(self.view.active_count())
            .unwrap_or(u32::MAX)
            .max(3);
        let old = self.params.suspect_to_failed * 2;
        for member in self.view.others() {
            let is_orphan =
                member.state == State::Suspect && now.mono.since(member.since.mono) > old;
            if is_orphan && self.rng.random_ratio(3, tellers) {
                let incarnation = u16::try_from(member.incarnation).unwrap_or(u16::MAX);
                self.buddies.start(now.mono, member.identity, incarnation);
            }
        }
    }

    pub(super) fn forget_gone(&mut self, now: Now) {
        while let Some((at, identity)) = self.view.next_forgotten() {
            if at > now.mono {
                return;
            }
            self.forget(now, identity);
        }
    }

    /// Forgets a member that is gone.
    pub(super) fn forget(&mut self, now: Now, identity: Identity) {
        self.swim.timer(Timer::RemoveDown(identity));
        self.settle(now);
    }
}
