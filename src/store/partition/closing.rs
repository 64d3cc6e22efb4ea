//! Closing of dead actors: freeze, agree, seal (PROTOCOL 3.9, R19).
//!
//! An unclean crash loses dots that other replicas may refer to: holes in the clock, and
//! residual contexts that no base will ever cover. They are closed in three steps, each
//! replica for itself and only while all replicas of the partition are there:
//!
//! 1. *Freeze*: from now on no dot of the dead actor is taken in that no replica has promised
//!    to hold. The mark is durable before it is told.
//! 2. *Agree*: each replica tells what it holds of the actor, durably. Anti-entropy makes it
//!    the same everywhere.
//! 3. *Seal*: when all replicas have promised the same, the holes are void for ever, the entry
//!    is closed, and contexts of the actor are dropped.
//!
//! Without the first step a message that is still on its way brings the hole's dot to one
//! replica after another has filled it (N17).
//!
//! Who is dead: an earlier opening of this node's own, and an actor that its own node's present
//! opening has frozen. Nobody else's word counts, because a live actor that is frozen by
//! mistake is cut off.
//!
//! "All replicas" is a set of *openings*: a replica that restarts has to promise again. Every
//! node that was ever a replica is remembered durably and has to be there. One that left
//! counts too, because its disk may hold writes that nobody else has and would be refused for
//! ever once it comes back. So a node that never comes back keeps what crashes left: a gap in
//! the clock and a few residual contexts. A replica that knows no other closes nothing.
//! Freezing is rare and slow, and nothing but tidiness depends on it.
//!
//! What no rule here can see: all replicas that are there lost their disks, and with them the
//! memory of one that is not, which alone holds a write that a client has told them of. Then
//! they agree without it.

use std::collections::BTreeSet;

use super::Partition;
use super::closings::hash_of;
use crate::clock::{ACTORS_MAX, ActorId, Clock, Dot, DotSet, Entry, NodeId};
use crate::store::Refusal;
use crate::store::exchange::Closing;

impl Partition {
    /// Notes that `peer` speaks through `opening`: the asker of a digest or request.
    pub fn note_opening(&mut self, peer: NodeId, opening: ActorId) {
        if opening.node == peer && peer != self.actor.node {
            self.closings.openings.insert(peer, opening);
        }
    }

    /// Whether dead actors are frozen and not closed yet. A copy is not dropped meanwhile: the
    /// other replicas may wait for what this one has promised of them.
    pub fn is_closing(&self) -> bool {
        !self.closings.frozen.is_empty()
    }

    /// What to say about dead actors beside a digest; none when there is nothing to say.
    pub fn closing(&self) -> Option<Closing> {
        let quiet = self.closings.frozen.is_empty() && self.interest().is_empty();
        (!quiet).then(|| self.closing_answer())
    }

    /// What to say about dead actors to a peer that has said something about them.
    pub fn closing_answer(&self) -> Closing {
        let made = self.closings.frozen.iter().filter_map(|(actor, promise)| {
            let entry = promise.made.clone()?;
            Some((*actor, entry))
        });
        Closing {
            partition: self.id,
            from: self.actor,
            view: self.closings.view(self.actor),
            frozen: made.collect(),
            wanted: self.wanted().collect(),
        }
    }

    /// Takes in what `peer` says about dead actors.
    pub fn note_closing(&mut self, peer: NodeId, closing: Closing) -> Result<(), Refusal> {
        if closing.partition != self.id {
            return Err(Refusal::WrongPartition);
        }
        if closing.frozen.len() + closing.wanted.len() > ACTORS_MAX {
            return Err(Refusal::TooManyDots);
        }
        if closing.frozen.contains_key(&self.actor) {
            return Err(Refusal::ForgedDot);
        }
        self.note_opening(peer, closing.from);
        if self.closings.openings.get(&peer) == Some(&closing.from) {
            self.closings.heard.insert(peer, closing);
        }
        Ok(())
    }

    /// Notes that `peer` has the same [`sync_hash`](Self::sync_hash): the same clock, and if
    /// there is something to say about dead actors, the same view and promises.
    pub fn note_even(&mut self, peer: NodeId) {
        self.known.insert(peer, self.clock.clone());
        if self.closing_hash() == 0 {
            return;
        }
        let mine = self.closing_answer();
        let Some(&from) = self.closings.openings.get(&peer) else {
            return;
        };
        let before = self.closings.heard.remove(&peer);
        let wanted = before.filter(|before| before.from == from);
        let wanted = wanted.map(|before| before.wanted).unwrap_or_default();
        let heard = Closing {
            from,
            wanted,
            ..mine
        };
        self.closings.heard.insert(peer, heard);
    }

    /// What two replicas compare to see whether they have something to say to each other:
    /// equal clocks, equal rows, and the same to say about dead actors.
    pub fn sync_hash(&self) -> u64 {
        let state = self.hash() ^ self.fingerprint().rotate_left(32);
        state ^ self.closing_hash() ^ self.recovery_hash()
    }

    /// Zero when there is nothing to say, or no use in saying it because not all replicas are
    /// there.
    pub(super) fn closing_hash(&self) -> u64 {
        if !self.closings.is_complete() {
            return 0;
        }
        let interest = self.interest();
        if self.closings.frozen.is_empty() && interest.is_empty() {
            return 0;
        }
        let view = match self.closings.view(self.actor) {
            0 => hash_of(std::iter::once(self.actor)),
            view => view,
        };
        let promised = self.closings.frozen.iter().filter_map(|(&actor, promise)| {
            let mut clock = Clock::new();
            clock.set(actor, promise.made.clone()?);
            Some(clock.hash() ^ hash_of(std::iter::once(actor)))
        });
        promised
            .fold(hash_of(interest.into_iter()) ^ view, u64::wrapping_add)
            .max(1)
    }

    /// Actors that left residual contexts or holes here. Those of the living go by themselves,
    /// when the dots come that they speak of.
    pub(super) fn wanted(&self) -> impl Iterator<Item = ActorId> + '_ {
        let openings = &self.closings.openings;
        let lives = |actor: ActorId| openings.get(&actor.node) == Some(&actor);
        // Nearly always there are no runs, and the entries need not be looked at.
        let holed = (self.clock.runs() > 0).then(|| self.clock.entries());
        let holed = holed.into_iter().flatten();
        let holed = holed.filter(|(_, entry)| !entry.above().is_empty());
        self.table
            .residual_actors()
            .chain(holed.map(|(actor, _)| actor))
            .filter(move |&actor| actor != self.actor && !lives(actor))
    }

    /// The actors that this replica or another would like closed, or another has frozen, and
    /// that are open here.
    pub(super) fn interest(&self) -> BTreeSet<ActorId> {
        let heard = self.closings.voices();
        let heard = heard.flat_map(|voice| voice.wanted.iter().chain(voice.frozen.keys()));
        self.wanted()
            .chain(heard.copied())
            .filter(|&actor| !self.clock.is_closed(actor) && !self.closings.is_frozen(actor))
            .collect()
    }

    /// Whether `dot` must not be taken in: it is news of a dead actor beyond what its replicas
    /// agreed on, or are agreeing on (PROTOCOL 3.9).
    pub(super) fn refuses(&self, dot: Dot) -> bool {
        !self.clock.contains(dot)
            && self
                .agreed(dot.actor)
                .is_some_and(|entry| !entry.has(dot.n))
    }

    /// The same for the clock of a full sync. A source that has closed an actor is right about
    /// it.
    pub(super) fn refuses_clock(&self, source: &Clock, missing: &DotSet) -> bool {
        missing.actors().any(|(actor, runs)| {
            let agreed = self.agreed(actor);
            let beyond = |entry: Entry| {
                let mut both = entry.clone();
                both.join(&Entry::of_runs(runs));
                both != entry
            };
            !source.is_closed(actor) && agreed.is_some_and(beyond)
        })
    }

    /// What may be taken in of an actor that is frozen or closed; none if anything may.
    pub(super) fn agreed(&self, actor: ActorId) -> Option<Entry> {
        if self.clock.is_closed(actor) {
            return self.clock.entry(actor).cloned();
        }
        if !self.closings.is_frozen(actor) {
            return None;
        }
        let mut agreed = Entry::default();
        for entry in self.closings.voices().filter_map(|v| v.frozen.get(&actor)) {
            agreed.join(entry);
        }
        Some(agreed)
    }
}
