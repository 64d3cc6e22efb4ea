//! HELLO, WELCOME, REFUSED: who is let in.

use std::net::SocketAddr;

use super::MEMBERS_MAX;
use super::engine::{Membership, Phase};
use super::event::{Event, RefusedReason};
use super::fingerprint::Mismatch;
use super::identity::Identity;
use super::knock::Why;
use super::namesake::keeps_name;
use super::packet::{Hello, Packet, Refusal, Welcome};
use crate::machine::Now;

impl Membership {
    /// Somebody knocks.
    pub(super) fn on_hello(&mut self, now: Now, from: SocketAddr, hello: Hello) {
        self.stats.hellos_in += 1;
        if !self.is_believable(&hello.identity, hello.fingerprint.is_bounded()) {
            return;
        }
        if hello.identity.id == self.me().id {
            return self.on_own_name(now, from, &hello);
        }
        if matches!(self.phase, Phase::Conflicted) {
            return;
        }
        let refusal = self.refusal(now, from, &hello);
        let packet = match refusal {
            Some(refusal) => {
                self.stats.refusals_out += 1;
                Packet::Refused {
                    nonce: hello.nonce,
                    refusal,
                }
            }
            None => Packet::Welcome(Welcome {
                nonce: hello.nonce,
                identity: *self.me(),
                fingerprint: self.fingerprint.clone(),
                known: self
                    .view
                    .member(hello.identity.id)
                    .map(|m| self.view.entry(now, m)),
            }),
        };
        self.send(from, packet);
    }

    fn is_believable(&mut self, identity: &Identity, bounded: bool) -> bool {
        let is_identity = identity.check().is_ok();
        self.stats.rejected_identity += u64::from(!is_identity);
        self.stats.rejected_oversize += u64::from(!bounded);
        is_identity && bounded
    }

    /// Why the node that knocks may not join, if it may not.
    fn refusal(&mut self, now: Now, from: SocketAddr, hello: &Hello) -> Option<Refusal> {
        if let Some(mismatch) = self.fingerprint.mismatch(&hello.fingerprint) {
            self.report(now, from, mismatch.into());
            return Some(Refusal::Fingerprint(self.fingerprint.clone()));
        }
        if let Some(known) = self.view.member(hello.identity.id) {
            let holder = known.identity;
            let is_elsewhere = holder.addr != hello.identity.addr && known.state.is_active();
            return is_elsewhere.then(|| self.dispute(now, from, holder));
        }
        let is_full = self.view.len() >= MEMBERS_MAX && self.view.next_forgotten().is_none();
        is_full.then(|| {
            let members_max = u32::try_from(MEMBERS_MAX).unwrap_or(u32::MAX);
            self.report(now, from, RefusedReason::Full(members_max));
            Refusal::Full { members_max }
        })
    }

    /// A node claims the name of a member that is active elsewhere.
    fn dispute(&mut self, now: Now, from: SocketAddr, holder: Identity) -> Refusal {
        let claim = self.holders.claim(now.mono, holder);
        if claim.ask {
            self.hello(now, holder.addr, Why::Holder(holder));
        }
        if claim.answering {
            self.report(now, from, RefusedReason::NameTaken(holder));
        }
        Refusal::NameTaken {
            holder,
            answering: claim.answering,
        }
    }

    fn report(&mut self, now: Now, from: SocketAddr, reason: RefusedReason) {
        if self.reported.is_due(now.mono, from) {
            self.tell(Event::Refused { from, reason });
        }
    }

    /// A HELLO in this node's own name: from itself, by way of a seed, or from a namesake.
    fn on_own_name(&mut self, now: Now, from: SocketAddr, hello: &Hello) {
        let me = *self.me();
        let is_self = hello.identity.generation == me.generation && hello.identity.addr == me.addr;
        if is_self {
            if let Some(Why::Seed(addr)) = self.questions.answer(now.mono, hello.nonce) {
                self.knocker.is_self(now.mono, addr);
            }
        } else if matches!(self.phase, Phase::Conflicted) {
            // We have yielded the name and do not claim it.
        } else if hello.identity.addr == me.addr {
            // Two processes cannot have one address: it is late, of an earlier life of this
            // node that was its own seed.
            self.own_news(now, &hello.identity, true);
        } else if self.fingerprint.mismatch(&hello.fingerprint).is_some() {
            let refusal = Refusal::Fingerprint(self.fingerprint.clone());
            self.send(
                from,
                Packet::Refused {
                    nonce: hello.nonce,
                    refusal,
                },
            );
        } else if keeps_name((&me, self.is_active()), (&hello.identity, hello.active)) {
            self.stats.refusals_out += 1;
            self.report(now, from, RefusedReason::NameTaken(me));
            let refusal = Refusal::NameTaken {
                holder: me,
                answering: true,
            };
            self.send(
                from,
                Packet::Refused {
                    nonce: hello.nonce,
                    refusal,
                },
            );
        } else {
            self.conflict(now, hello.identity);
        }
    }

    /// A door opens.
    pub(super) fn on_welcome(&mut self, now: Now, from: SocketAddr, welcome: Welcome) {
        if !self.is_believable(&welcome.identity, welcome.fingerprint.is_bounded()) {
            return;
        }
        let Some(why) = self.questions.answer(now.mono, welcome.nonce) else {
            self.stats.rejected_unasked += 1;
            return;
        };
        self.stats.welcomes_in += 1;
        if let Some(mismatch) = self.fingerprint.mismatch(&welcome.fingerprint) {
            return self.report(now, from, mismatch.into());
        }
        match why {
            Why::Holder(_) => self.holders.answered(now.mono, &welcome.identity),
            // A namesake refuses or yields; whoever else lives at its address is no answer.
            Why::Namesake => {}
            Why::Seed(addr) => {
                self.knocker.answered(addr, welcome.identity.id);
                self.enter(now, &welcome);
            }
            Why::Member => self.enter(now, &welcome),
        }
    }

    fn enter(&mut self, now: Now, welcome: &Welcome) {
        if welcome.identity.id == self.me().id {
            self.stats.rejected_own_name += 1;
            return;
        }
        self.phase = Phase::Running;
        let known = welcome
            .known
            .filter(|k| k.is_possible() && k.identity.id == self.me().id);
        if let Some(known) = known {
            let is_buried = known.identity == *self.me() && !known.state.is_active();
            if is_buried || known.identity.supersedes(self.me()) {
                self.outrank(now, &known.identity);
            }
        }
        let knows_me = known.is_some_and(|k| k.identity == *self.me() && k.state.is_active());
        let is_known = self
            .view
            .member(welcome.identity.id)
            .is_some_and(|member| member.identity == welcome.identity && member.state.is_active());
        if !(knows_me && is_known && self.is_active()) {
            self.swim.announce(welcome.identity);
        }
    }

    /// A door stays shut.
    pub(super) fn on_refused(&mut self, now: Now, from: SocketAddr, nonce: u64, refusal: Refusal) {
        let Some(why) = self.questions.answer(now.mono, nonce) else {
            self.stats.rejected_unasked += 1;
            return;
        };
        self.stats.refusals_in += 1;
        match refusal {
            Refusal::Fingerprint(theirs) if !theirs.is_bounded() => {
                self.stats.rejected_oversize += 1;
            }
            Refusal::Fingerprint(theirs) => {
                let mismatch: Option<Mismatch> = self.fingerprint.mismatch(&theirs);
                if let Some(mismatch) = mismatch {
                    self.report(now, from, mismatch.into());
                }
            }
            Refusal::NameTaken { holder, answering } => {
                self.on_name_taken(now, from, why, holder, answering);
            }
            Refusal::Full { members_max } => {
                self.report(now, from, RefusedReason::Full(members_max));
            }
        }
    }

    fn on_name_taken(
        &mut self,
        now: Now,
        from: SocketAddr,
        why: Why,
        holder: Identity,
        answering: bool,
    ) {
        let me = *self.me();
        let is_other = holder.check().is_ok()
            && holder.id == me.id
            && (holder.generation, holder.addr) != (me.generation, me.addr);
        if !is_other {
            self.stats.rejected_own_name += 1;
        } else if !answering {
            if let Why::Seed(addr) = why {
                self.knocker.name_taken(now.mono, addr);
            }
        } else if why == Why::Namesake || !self.is_active() {
            self.conflict(now, holder);
        } else {
            // A stranger's word does not end a member that takes part: the two of us settle it.
            self.report(now, from, RefusedReason::NameTaken(holder));
            self.ask_namesake(now, &holder);
        }
    }
}
