//! What to do about packets of members.
//!
//! News is judged before foca sees it: about this node's own name (foca would bury every
//! other bearer of it, an earlier life or a namesake alike), about more members than there
//! may be, and demands to change the name too often.

use std::net::SocketAddr;

use foca::Message;

use super::MEMBERS_MAX;
use super::codec::{self, CodecError};
use super::engine::{Membership, Phase};
use super::identity::Identity;
use super::knock::Why;
use super::members::LEFT_INCARNATION;
use super::members::State;
use super::packet::{Packet, ROSTER_ENTRIES_MAX, Roster, RosterAsk, RosterEntry, SWIM_BYTES_MAX};
use crate::machine::Now;

impl Membership {
    pub(super) fn packet(&mut self, now: Now, from: SocketAddr, packet: Packet) {
        self.stats.packets_in += 1;
        match (&mut self.phase, packet) {
            (Phase::Leaving(farewell), Packet::LeftAck { by }) => {
                farewell.confirmed(by);
                self.say_farewell(now);
            }
            (Phase::Leaving(_) | Phase::Gone, _) => {}
            (_, Packet::Hello(hello)) => self.on_hello(now, from, hello),
            (_, Packet::Welcome(welcome)) => self.on_welcome(now, from, welcome),
            (_, Packet::Refused { nonce, refusal }) => self.on_refused(now, from, nonce, refusal),
            (Phase::Conflicted, _) => {}
            (
                _,
                Packet::Suspect {
                    target,
                    incarnation,
                },
            ) => {
                self.on_suspect(now, from, target, incarnation);
            }
            (
                _,
                Packet::Alive {
                    identity,
                    incarnation,
                },
            ) => self.on_alive(identity, incarnation),
            (_, Packet::Swim(bytes)) => self.on_swim(now, &bytes),
            (_, Packet::RosterAsk(ask)) => self.on_roster_ask(now, from, &ask),
            (_, Packet::Roster(roster)) => self.on_roster(now, &roster),
            (_, Packet::Left(identity)) => self.on_left(now, from, identity),
            (_, Packet::LeftAck { .. }) => self.stats.rejected_unasked += 1,
        }
    }

    /// Somebody suspects this node and says so.
    fn on_suspect(&mut self, now: Now, from: SocketAddr, target: Identity, incarnation: u16) {
        let me = *self.me();
        if target.id != me.id {
            self.stats.rejected_own_name += 1;
            return;
        }
        if target == me && incarnation >= self.swim.incarnation() {
            if incarnation >= LEFT_INCARNATION - 1 && !self.may_renew(now) {
                self.stats.rejected_renewal += 1;
                return;
            }
            self.stats.refuted_self += 1;
            self.swim.refute(incarnation);
        }
        // Whoever suspects an earlier name of this node learns the present one.
        let answer = Packet::Alive {
            identity: *self.me(),
            incarnation: self.swim.incarnation(),
        };
        self.send(from, answer);
    }

    /// A suspect says that it lives.
    fn on_alive(&mut self, identity: Identity, incarnation: u16) {
        if identity.check().is_err() || incarnation == LEFT_INCARNATION {
            self.stats.rejected_identity += 1;
        } else if identity.id == self.me().id {
            self.stats.rejected_own_name += 1;
        } else if !self.buddies.answered(identity.id) {
            self.stats.rejected_unasked += 1;
        } else {
            self.stats.refutations += 1;
            self.swim.apply(
                [foca::Member::new(identity, incarnation, foca::State::Alive)],
                true,
            );
        }
    }

    /// A message of SWIM.
    fn on_swim(&mut self, now: Now, bytes: &[u8]) {
        self.stats.swim_in += 1;
        if bytes.len() > SWIM_BYTES_MAX {
            self.stats.rejected_oversize += 1;
            return;
        }
        let mut opened = match codec::open(bytes) {
            Ok(opened) => opened,
            Err(CodecError::Identity(_)) => return self.stats.rejected_identity += 1,
            Err(_) => return self.stats.rejected_malformed += 1,
        };
        let header = &opened.header;
        if header.src.id == self.me().id {
            self.stats.rejected_own_name += 1;
            let src = header.src;
            self.own_news(now, &src, true);
            return;
        }
        if header.message == Message::TurnUndead {
            if header.dst == *self.me() {
                let by = header.src.addr;
                self.on_buried(now, by);
            }
            return;
        }
        let mut room = self.room();
        if !self.admits(now, header.src, true, &mut room) {
            return;
        }
        let count = opened.updates.len();
        opened.updates.retain(|update| {
            let is_active = update.state() != foca::State::Down;
            self.passes(now, update) && self.admits(now, *update.id(), is_active, &mut room)
        });
        if opened.updates.len() == count {
            self.swim.data(bytes);
        } else if let Ok(rest) = codec::close(&opened) {
            self.swim.data(&rest);
        }
        self.settle(now);
        for update in &opened.updates {
            if update.state() == foca::State::Down && update.incarnation() == LEFT_INCARNATION {
                self.view.note_left(*update.id());
            }
        }
    }

    /// A member says that this node was declared failed. foca would take the next name at
    /// once, which need not be enough (the member may know a greater generation) and which
    /// anybody could demand again by replaying the message. The member's WELCOME says what
    /// it knows instead, and `enter` outranks that.
    fn on_buried(&mut self, now: Now, by: SocketAddr) {
        if !self.may_renew(now) || !self.burials_asked.is_due(now.mono, by) {
            self.stats.rejected_renewal += 1;
            return;
        }
        self.hello(now, by, Why::Member);
    }

    /// Whether news about this node's own name may reach foca; other news may.
    fn passes(&mut self, now: Now, update: &foca::Member<Identity>) -> bool {
        if update.id().id != self.me().id {
            return true;
        }
        let forces_renewal = match update.state() {
            foca::State::Alive => false,
            foca::State::Suspect => update.incarnation() >= LEFT_INCARNATION - 1,
            foca::State::Down => true,
        };
        if update.id() == self.me() {
            let passes = !forces_renewal || self.may_renew(now);
            self.stats.rejected_renewal += u64::from(!passes);
            return passes;
        }
        self.own_news(now, update.id(), update.state() != foca::State::Down);
        false
    }

    /// News about this node's name under another identity.
    pub(super) fn own_news(&mut self, now: Now, identity: &Identity, is_active: bool) {
        let me = *self.me();
        if *identity == me {
            return;
        }
        self.stats.dropped_own_news += 1;
        if is_active && identity.addr != me.addr {
            self.ask_namesake(now, identity);
        } else if identity.supersedes(&me) {
            // An earlier life with a greater generation: its clock ran ahead, or what it
            // had stored was lost. It would shut this one out.
            self.outrank(now, identity);
        }
    }

    /// Asks whoever lives at the address of another bearer of this node's name.
    pub(super) fn ask_namesake(&mut self, now: Now, identity: &Identity) {
        if self.namesakes_asked.is_due(now.mono, identity.addr) {
            self.hello(now, identity.addr, Why::Namesake);
        }
    }

    /// How many more members may be remembered.
    fn room(&self) -> usize {
        MEMBERS_MAX.saturating_sub(self.view.len())
    }

    /// Whether there is a place for `identity`. A new active member takes the place of the
    /// member that has been gone for longest, if need be.
    fn admits(&mut self, now: Now, identity: Identity, is_active: bool, room: &mut usize) -> bool {
        if self.view.member(identity.id).is_some() {
            return true;
        }
        if *room > 0 {
            *room -= 1;
            return true;
        }
        match self.view.next_forgotten().filter(|_| is_active) {
            Some((_, gone)) => {
                self.forget(now, gone);
                true
            }
            None => {
                self.stats.rejected_full += 1;
                false
            }
        }
    }

    fn on_roster_ask(&mut self, now: Now, from: SocketAddr, ask: &RosterAsk) {
        let (entries, more) = if ask.after.is_none() && ask.digest == self.view.digest() {
            (Vec::new(), false)
        } else {
            self.view.page(now, ask.after, ROSTER_ENTRIES_MAX)
        };
        self.send(
            from,
            Packet::Roster(Roster {
                nonce: ask.nonce,
                entries,
                more,
            }),
        );
    }

    fn on_roster(&mut self, now: Now, roster: &Roster) {
        self.stats.rosters_in += 1;
        if roster.entries.len() > ROSTER_ENTRIES_MAX {
            self.stats.rejected_oversize += 1;
            return;
        }
        if !roster.entries.iter().all(RosterEntry::is_possible) {
            self.stats.rejected_identity += 1;
            return;
        }
        if !self
            .puller
            .accept(now.mono, roster, &self.params, &mut self.rng)
        {
            self.stats.rejected_unasked += 1;
            return;
        }
        let mut room = self.room();
        let mut news = Vec::with_capacity(roster.entries.len());
        for entry in &roster.entries {
            if entry.identity.id == self.me().id {
                self.own_entry(now, entry);
            } else if self.admits(now, entry.identity, entry.state.is_active(), &mut room) {
                news.push(member_of(entry));
            }
        }
        self.swim.apply(news, false);
        self.settle(now);
        for entry in roster
            .entries
            .iter()
            .filter(|entry| !entry.state.is_active())
        {
            if entry.state == State::Left {
                self.view.note_left(entry.identity);
            }
            self.view.backdate(now, entry.identity.id, entry.age_s);
        }
    }

    /// What another's list says about this node.
    fn own_entry(&mut self, now: Now, entry: &RosterEntry) {
        if entry.identity != *self.me() {
            self.own_news(now, &entry.identity, entry.state.is_active());
        } else if !entry.state.is_active() {
            self.outrank(now, &entry.identity);
        }
    }

    /// A member leaves of its own will.
    fn on_left(&mut self, now: Now, from: SocketAddr, identity: Identity) {
        if identity.check().is_err() {
            self.stats.rejected_identity += 1;
        } else if identity.id == self.me().id {
            self.stats.rejected_own_name += 1;
        } else {
            let mut room = self.room();
            if self.admits(now, identity, false, &mut room) {
                let gone = foca::Member::new(identity, LEFT_INCARNATION, foca::State::Down);
                self.swim.apply([gone], true);
                self.settle(now);
                self.view.note_left(identity);
            }
            let by = self.me().id;
            self.send(from, Packet::LeftAck { by });
        }
    }

    /// Identities from node facts: used where SWIM has no entry at all.
    pub(super) fn heard(&mut self, now: Now, identities: Vec<Identity>) {
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        let mut room = self.room();
        let mut news = Vec::new();
        for identity in identities.into_iter().take(MEMBERS_MAX) {
            if identity.check().is_err() {
                self.stats.rejected_identity += 1;
            } else if identity.id == self.me().id {
                self.own_news(now, &identity, true);
            } else if self.view.member(identity.id).is_none()
                && self.admits(now, identity, true, &mut room)
            {
                news.push(foca::Member::alive(identity));
            }
        }
        self.stats.heard_applied += u64::try_from(news.len()).unwrap_or(u64::MAX);
        self.swim.apply(news, false);
    }
}

fn member_of(entry: &RosterEntry) -> foca::Member<Identity> {
    let (incarnation, state) = match entry.state {
        State::Alive => (entry.incarnation, foca::State::Alive),
        State::Suspect => (entry.incarnation, foca::State::Suspect),
        State::Failed => (entry.incarnation, foca::State::Down),
        State::Left => (LEFT_INCARNATION, foca::State::Down),
    };
    foca::Member::new(entry.identity, incarnation, state)
}
