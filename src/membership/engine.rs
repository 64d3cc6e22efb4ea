//! The machine: one value that is told what happened and says what to do.
//!
//! This file holds its state, its clockwork and the acts that concern this node itself.
//! What to do about packets is in `joining` (HELLO and its answers) and `inbound` (the
//! rest). Every step ends in `settle`, which carries foca's wishes out and brings the view
//! up to date.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use foca::Timer;
use rand::rngs::SmallRng;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};

use super::buddy::Buddies;
use super::event::{Event, Input, Output};
use super::farewell::Farewell;
use super::fingerprint::Fingerprint;
use super::identity::{Identity, is_reachable};
use super::knock::{Knocker, Questions, Why};
use super::members::{Member, State, View};
use super::namesake::Holders;
use super::packet::{Hello, Packet};
use super::params::Params;
use super::reported::Reported;
use super::roster::Puller;
use super::stats::Stats;
use super::swim::Swim;
use super::timers::Timers;
use crate::machine::{Instant, Machine, Now};

/// A node that has come this far renews its identity: the highest incarnation marks
/// departed members, and one that is suspected at the highest could not refute.
const INCARNATION_RENEW: u16 = 1 << 15;

/// How soon after a change of name this node can be made to change it again. Repeated or
/// replayed demands, and the answers to messages under the old name, fall into it.
const RENEWAL_PAUSE: Duration = Duration::from_millis(100);

/// Longest stall that is believed: a machine that slept for a night does not postpone its
/// verdicts by a night.
const STALL_MAX: Duration = Duration::from_secs(30);

/// At how many members that are remembered a node knocks that takes no part.
const LOST_KNOCK_FANOUT: usize = 3;

/// Where this node is in its own life.
#[derive(Debug)]
pub(super) enum Phase {
    /// It joins, or takes part.
    Running,
    /// Another process has its name: it takes no part, and asks again from time to time.
    Conflicted,
    /// It says farewell.
    Leaving(Farewell),
    /// It has left and does nothing any more.
    Gone,
}

/// SWIM and everything built around it, as one value.
pub struct Membership {
    pub(super) fingerprint: Fingerprint,
    pub(super) params: Params,
    pub(super) rng: SmallRng,
    pub(super) phase: Phase,
    pub(super) swim: Swim,
    pub(super) view: View,
    timers: Timers<Timer<Identity>>,
    pub(super) knocker: Knocker,
    pub(super) questions: Questions,
    pub(super) buddies: Buddies,
    pub(super) puller: Puller,
    pub(super) holders: Holders,
    pub(super) reported: Reported,
    pub(super) namesake_asked: Option<Instant>,
    renewed: Option<Instant>,
    pub(super) stats: Stats,
    outputs: VecDeque<Output>,
}

impl Membership {
    /// A member that knows nobody yet. Give it [`Input::Seeds`].
    ///
    /// `identity.generation` must be greater than at any earlier start of the node:
    /// `max(stored + 1, unix milliseconds)`. `rng` must be seeded differently on every node.
    pub fn new(
        identity: Identity,
        fingerprint: Fingerprint,
        params: Params,
        mut rng: SmallRng,
        now: Now,
    ) -> Self {
        let params = params.bounded();
        let swim = Swim::new(identity, &params, SmallRng::seed_from_u64(rng.random()));
        Self {
            fingerprint,
            phase: Phase::Running,
            swim,
            view: View::new(identity, params.remove_down_after, now),
            timers: Timers::new(),
            knocker: Knocker::new(&params, now.mono),
            questions: Questions::default(),
            buddies: Buddies::default(),
            puller: Puller::new(),
            holders: Holders::default(),
            reported: Reported::default(),
            namesake_asked: None,
            renewed: None,
            stats: Stats::default(),
            outputs: VecDeque::new(),
            params,
            rng,
        }
    }

    /// This node's identity now: the generation and bump change when it is renewed.
    pub fn me(&self) -> &Identity {
        self.swim.identity()
    }

    /// Every member that is remembered, this node, failed and departed ones included,
    /// ordered by id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.view.iter()
    }

    /// Counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// This node's SWIM incarnation: how often it refuted a suspicion under this identity.
    pub fn incarnation(&self) -> u64 {
        u64::from(self.swim.incarnation())
    }

    /// Whether it takes part: it knows an active member, and probes.
    pub fn is_active(&self) -> bool {
        self.swim.is_active()
    }

    pub(super) fn send(&mut self, to: SocketAddr, packet: Packet) {
        self.stats.packets_out += 1;
        self.outputs.push_back(Output::Send { to, packet });
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

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

    /// Whether this node may be made to change its name now.
    pub(super) fn may_renew(&self, now: Now) -> bool {
        self.renewed
            .is_none_or(|at| now.mono.since(at) >= RENEWAL_PAUSE)
    }

    /// Takes a name that supersedes both the present one and `other`.
    pub(super) fn outrank(&mut self, now: Now, other: &Identity) {
        if !self.may_renew(now) {
            self.stats.rejected_renewal += 1;
        } else if let Some(identity) = self.me().outranking(other) {
            self.swim.rename(identity);
        }
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
        for to in self.active_addrs().into_values() {
            self.send(to, Packet::Left(me));
        }
        self.phase = Phase::Conflicted;
        self.swim = Swim::new(me, &self.params, SmallRng::seed_from_u64(self.rng.random()));
        self.view = View::new(me, self.params.remove_down_after, now);
        self.timers.clear();
        self.buddies = Buddies::default();
        self.puller.stop();
    }

    fn leave(&mut self, now: Now) {
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

    fn active_addrs(&self) -> BTreeMap<crate::clock::NodeId, SocketAddr> {
        let active = self.view.others().filter(|member| member.state.is_active());
        active
            .map(|member| (member.identity.id, member.identity.addr))
            .collect()
    }

    /// This node was away: answers may lie unread, so nobody is buried for a while.
    fn stalled(&mut self, now: Now, lag: Duration) {
        self.stats.stalls += 1;
        let until = now.mono + lag.min(STALL_MAX).max(self.params.stall_grace);
        self.stats.verdicts_postponed += self.timers.postpone(until, |timer| {
            matches!(timer, Timer::ChangeSuspectToDown { .. })
        });
    }

    /// Delivers one timer to foca. A verdict is dropped unless the suspicion still stands:
    /// foca 2.0.0 makes a healthy member renew its identity otherwise.
    fn fire(&mut self, timer: Timer<Identity>) {
        if let Timer::ChangeSuspectToDown {
            member_id,
            incarnation,
            ..
        } = &timer
        {
            if !self.swim.is_suspect(member_id, *incarnation) {
                self.stats.verdicts_dropped += 1;
                return;
            }
            self.stats.verdicts += 1;
        }
        self.swim.timer(timer);
    }

    fn forget_gone(&mut self, now: Now) {
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

    fn knock(&mut self, now: Now) {
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

    fn notify_suspects(&mut self, now: Now) {
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

    fn compare_rosters(&mut self, now: Now) {
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

    /// Carries out what foca wants and brings the view up to date.
    pub(super) fn settle(&mut self, now: Now) {
        if self.swim.incarnation() >= INCARNATION_RENEW {
            let me = *self.me();
            self.outrank(now, &me);
        }
        if self.params.knocking {
            self.swim.resume();
        }
        let effects = self.swim.take_effects();
        for (to, bytes) in effects.sends {
            self.stats.swim_out += 1;
            self.send(to, Packet::Swim(bytes));
        }
        for (after, timer) in effects.timers {
            if let Timer::ChangeSuspectToDown {
                member_id,
                incarnation,
                ..
            } = &timer
            {
                self.buddies.start(now.mono, *member_id, *incarnation);
            }
            self.timers.set(now.mono + after, timer);
        }
        self.stats.swim_errors += effects.errors;
        self.stats.suspicions += effects.probe_failures;
        self.stats.renewals += effects.renewals;
        if effects.renewals > 0 {
            self.renewed = Some(now.mono);
            self.tell(Event::Renewed(*self.me()));
        }
        if effects.became_active && self.is_active() && self.params.knocking {
            self.puller.start(now.mono);
        }
        if effects.became_inactive && !self.is_active() {
            self.knocker.hurry(now.mono);
            self.puller.stop();
        }
        self.refresh(now);
    }

    fn refresh(&mut self, now: Now) {
        self.view
            .set_me(*self.swim.identity(), self.swim.incarnation());
        for event in self.view.refresh(now, || self.swim.members()) {
            self.stats.departures += u64::from(matches!(event, Event::Left(_)));
            self.tell(event);
        }
    }
}

impl Machine for Membership {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Now, input: Input) {
        if matches!(self.phase, Phase::Gone) {
            return;
        }
        match input {
            Input::Packet { from, packet } => self.packet(now, from, packet),
            Input::Seeds(mut addrs) => {
                addrs.retain(is_reachable);
                self.knocker.set_seeds(now.mono, addrs);
            }
            Input::Heard(identities) => self.heard(now, identities),
            Input::Leave => self.leave(now),
            Input::LocalStall(lag) => self.stalled(now, lag),
        }
        if matches!(self.phase, Phase::Running | Phase::Conflicted) {
            self.settle(now);
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        match self.phase {
            Phase::Gone => return,
            Phase::Leaving(_) => return self.say_farewell(now),
            Phase::Running | Phase::Conflicted => {}
        }
        let lag = self
            .poll_timeout()
            .map_or(Duration::ZERO, |due| now.mono.since(due));
        if lag > self.params.stall_threshold {
            self.stalled(now, lag);
        }
        while let Some(timer) = self.timers.pop_due(now.mono) {
            self.fire(timer);
            self.settle(now);
        }
        self.forget_gone(now);
        self.knock(now);
        self.compare_rosters(now);
        self.notify_suspects(now);
        self.settle(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Gone => None,
            Phase::Leaving(farewell) => Some(farewell.next()),
            Phase::Running | Phase::Conflicted => [
                self.timers.next(),
                self.knocker.next(),
                self.buddies.next(),
                self.puller.next(),
                self.view.next_forgotten().map(|(at, _)| at),
            ]
            .into_iter()
            .flatten()
            .min(),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}
