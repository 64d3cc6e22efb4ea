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
//! Who is dead: an earlier opening of this node's own; an actor that its own node's present
//! opening has frozen; an actor of a node that is known to have left for good. That a node is
//! unknown says nothing: one that starts on an empty disk knows nobody. Nobody else's word
//! counts, because a live actor that is frozen by mistake is cut off.
//!
//! "All replicas" is a set of *openings*: a replica that restarts has to promise again. Nodes
//! are remembered durably until they leave for good, so that a cluster that starts without
//! one of its nodes does not agree behind its back. Freezing is rare and slow, and nothing but
//! tidiness depends on it.

use std::collections::{BTreeMap, BTreeSet};

use xxhash_rust::xxh3::xxh3_64;

use super::{Advance, Partition, Step};
use crate::clock::{ACTORS_MAX, ActorId, Clock, Dot, DotSet, Entry, NodeId};
use crate::store::engine::Batch;
use crate::store::exchange::Closing;
use crate::store::mutation::Mutation;
use crate::store::{Refusal, StoreError};

/// Holes that are logged as void one by one when an actor is sealed. Of more the floor is
/// raised instead, and who lacks them gets a full sync: a peer may claim 2^60 holes.
const VOIDS_LOGGED_MAX: u64 = 4096;

/// What a replica knows about the closing of actors.
#[derive(Debug, Default)]
pub(super) struct Closings {
    /// The frozen actors, durable.
    frozen: BTreeMap<ActorId, Promise>,
    /// The other replicas as far as is known, durable until they leave for good.
    peers: BTreeSet<NodeId>,
    /// The other replicas as membership last said.
    replicas: BTreeSet<NodeId>,
    /// Nodes that left for good, as membership last said.
    departed: BTreeSet<NodeId>,
    /// Whether membership says that these are all, and can all be reached.
    settled: bool,
    /// The opening of each peer that has spoken last. A late word of an earlier one does no
    /// harm: the present one speaks again.
    openings: BTreeMap<NodeId, ActorId>,
    /// What each peer last said.
    heard: BTreeMap<NodeId, Closing>,
}

/// What this replica says that it holds of a frozen actor.
#[derive(Debug, Default)]
struct Promise {
    /// To be told when it is durable.
    pending: Option<Entry>,
    /// Durable, and told.
    made: Option<Entry>,
}

impl Closings {
    pub(super) fn new(frozen: BTreeSet<ActorId>, peers: BTreeSet<NodeId>) -> Self {
        let unmade = frozen.into_iter().map(|actor| (actor, Promise::default()));
        Self {
            frozen: unmade.collect(),
            peers,
            ..Self::default()
        }
    }

    pub(super) fn is_frozen(&self, actor: ActorId) -> bool {
        self.frozen.contains_key(&actor)
    }

    pub(super) fn frozen(&self) -> impl ExactSizeIterator<Item = ActorId> + '_ {
        self.frozen.keys().copied()
    }

    /// Follows a batch that was committed.
    pub(super) fn install(&mut self, batch: &Batch) {
        for &(actor, is_frozen) in &batch.frozen {
            match is_frozen {
                true => self.frozen.entry(actor).or_default(),
                false => &mut self.frozen.remove(&actor).unwrap_or_default(),
            };
        }
        for &(peer, is_peer) in &batch.peers {
            match is_peer {
                true => self.peers.insert(peer),
                false => self.peers.remove(&peer),
            };
        }
    }

    /// The replicas, each with its present opening, as one number; zero while it is not sure
    /// that these are all.
    fn view(&self, me: ActorId) -> u64 {
        if !self.is_complete() {
            return 0;
        }
        let mut openings = vec![me];
        for peer in &self.replicas {
            match self.openings.get(peer) {
                Some(opening) => openings.push(*opening),
                None => return 0,
            }
        }
        openings.sort_unstable();
        hash_of(openings.into_iter()).max(1)
    }

    /// Whether all replicas are there. Their openings may be unknown yet.
    fn is_complete(&self) -> bool {
        self.settled && self.peers.is_subset(&self.replicas)
    }

    /// What the present openings of the other replicas last said.
    fn voices(&self) -> impl Iterator<Item = &Closing> + '_ {
        self.replicas.iter().filter_map(|peer| {
            let closing = self.heard.get(peer)?;
            (self.openings.get(peer) == Some(&closing.from)).then_some(closing)
        })
    }

    /// Whether all other replicas say that `holds`, in the view that this replica has too.
    fn all(&self, view: u64, holds: impl Fn(&Closing) -> bool) -> bool {
        let agreeing = self.voices().filter(|voice| voice.view == view);
        view != 0 && agreeing.filter(|voice| holds(voice)).count() == self.replicas.len()
    }
}

impl Partition {
    /// Notes that `peer` speaks through `opening`: the asker of a digest or request.
    pub fn note_opening(&mut self, peer: NodeId, opening: ActorId) {
        if opening.node == peer && peer != self.actor.node {
            self.closings.openings.insert(peer, opening);
        }
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
        self.hash() ^ self.fingerprint().rotate_left(32) ^ self.closing_hash()
    }

    /// Zero when there is nothing to say, or no use in saying it because not all replicas are
    /// there.
    fn closing_hash(&self) -> u64 {
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
    fn wanted(&self) -> impl Iterator<Item = ActorId> + '_ {
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
    fn interest(&self) -> BTreeSet<ActorId> {
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
    fn agreed(&self, actor: ActorId) -> Option<Entry> {
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

    /// Closes what can be closed of dead actors, one step further. `replicas` are the
    /// partition's other replicas and `departed` nodes that left for good; `settled` says that
    /// the replicas have been the same for a while and can all be reached.
    ///
    /// Returns whether there are promises to be told once they are durable: sync the engine,
    /// then call [`confirm`](Self::confirm).
    pub fn tend(
        &mut self,
        replicas: &BTreeSet<NodeId>,
        departed: &BTreeSet<NodeId>,
        settled: bool,
    ) -> Result<bool, StoreError> {
        self.closings.replicas.clone_from(replicas);
        self.closings.departed.clone_from(departed);
        self.closings.settled = settled;
        self.closings
            .heard
            .retain(|peer, _| replicas.contains(peer));
        self.closings
            .openings
            .retain(|peer, _| replicas.contains(peer));
        self.remember_peers(replicas, departed)?;
        self.adopt_closed()?;
        if self.closings.is_complete() {
            self.thaw_living()?;
            self.freeze_dead()?;
            self.seal_agreed()?;
        }
        Ok(self.prepare_promises())
    }

    /// Everything that [`tend`](Self::tend) prepared is durable now.
    pub fn confirm(&mut self) {
        for promise in self.closings.frozen.values_mut() {
            if let Some(entry) = promise.pending.take() {
                promise.made = Some(entry);
            }
        }
    }

    fn prepare_promises(&mut self) -> bool {
        let mut any = false;
        for (&actor, promise) in &mut self.closings.frozen {
            let entry = self.clock.entry(actor).cloned().unwrap_or_default();
            if promise.made.as_ref() != Some(&entry) {
                promise.pending = Some(entry);
                any = true;
            }
        }
        any
    }

    fn remember_peers(
        &mut self,
        replicas: &BTreeSet<NodeId>,
        departed: &BTreeSet<NodeId>,
    ) -> Result<(), StoreError> {
        let known = &self.closings.peers;
        let new = replicas.difference(known).map(|peer| (*peer, true));
        let gone = known.intersection(departed).map(|peer| (*peer, false));
        let peers: Vec<_> = new
            .chain(gone.filter(|(peer, _)| !replicas.contains(peer)))
            .collect();
        self.commit_marks(Vec::new(), peers)
    }

    /// Closes actors that a peer has closed and of which everything is here. Their replicas
    /// have agreed, this one among them or before it was one.
    fn adopt_closed(&mut self) -> Result<(), StoreError> {
        let mut advance = Advance::new(&self.clock);
        let differing = self.known.values();
        for clock in differing.filter(|clock| clock.hash() != self.clock.hash()) {
            for (actor, theirs) in clock.entries().filter(|(_, entry)| entry.is_closed()) {
                let own = self.clock.entry(actor).cloned().unwrap_or_default();
                let whole = own.base() == theirs.base() && own.above().is_empty();
                if whole && !own.is_closed() {
                    advance.close(actor);
                }
            }
        }
        if advance.is_empty() {
            return Ok(());
        }
        let step = self.step(Vec::new(), advance, Vec::new());
        self.commit(step)
    }

    /// Takes back the freezing of an actor that turns out to be alive.
    fn thaw_living(&mut self) -> Result<(), StoreError> {
        let living = self.closings.openings.values();
        let thawed = living.filter(|actor| self.closings.is_frozen(**actor));
        let thawed = thawed.map(|actor| (*actor, false)).collect();
        self.commit_marks(thawed, Vec::new())
    }

    /// Freezes dead actors that someone would like closed, once all replicas are known to hold
    /// the same of them: then only what is late is refused. What another has frozen is frozen
    /// at once, because that one refuses what has not been promised.
    fn freeze_dead(&mut self) -> Result<(), StoreError> {
        let view = self.closings.view(self.actor);
        if !self.closings.all(view, |_| true) {
            return Ok(());
        }
        let spreads = |actor| {
            let mut voices = self.closings.voices();
            voices.any(|voice| voice.frozen.contains_key(&actor))
        };
        let dead = self.interest().into_iter().filter(|a| self.is_dead(*a));
        let ready = dead.filter(|&actor| spreads(actor) || self.is_same_everywhere(actor));
        let frozen = ready.map(|actor| (actor, true)).collect();
        self.commit_marks(frozen, Vec::new())
    }

    /// Closes actors of which all replicas have promised to hold the same.
    fn seal_agreed(&mut self) -> Result<(), StoreError> {
        let view = self.closings.view(self.actor);
        let agreed = self.closings.frozen.iter().filter(|(actor, promise)| {
            let own = self.clock.entry(**actor).cloned().unwrap_or_default();
            let promised = |voice: &Closing| voice.frozen.get(actor) == Some(&own);
            promise.made.as_ref() == Some(&own) && self.closings.all(view, promised)
        });
        let mut agreed: Vec<ActorId> = agreed.map(|(actor, _)| *actor).collect();
        if self.options.breaks(Mutation::N17) {
            agreed.extend(self.unfrozen_dead());
        }
        for actor in agreed {
            self.seal(actor)?;
        }
        Ok(())
    }

    /// Fills the holes of a dead actor for good and drops all contexts of it.
    fn seal(&mut self, actor: ActorId) -> Result<(), StoreError> {
        let entry = self.clock.entry(actor).cloned().unwrap_or_default();
        let holes = Entry::up_to(entry.top()).minus(&entry);
        let logs = holes.count() <= VOIDS_LOGGED_MAX;
        let runs = holes.iter().filter(|_| logs);
        let voids = runs.flat_map(|(start, last)| start..=last);
        let logged = voids.map(|n| (Dot { actor, n }, None)).collect();
        let mut advance = Advance::new(&self.clock);
        advance.close(actor);
        let step = self.step(Vec::new(), advance, logged);
        if !logs {
            self.log.raise_floor(actor, entry.top());
        }
        self.commit(step)
    }

    /// See the module's essay. A node's own word for its earlier openings is that its present
    /// one has frozen them.
    fn is_dead(&self, actor: ActorId) -> bool {
        let Closings {
            peers,
            replicas,
            departed,
            ..
        } = &self.closings;
        if actor.node == self.actor.node {
            return actor != self.actor;
        }
        let own_word = self.closings.voices().any(|voice| {
            voice.from.node == actor.node
                && voice.from != actor
                && voice.frozen.contains_key(&actor)
        });
        let is_there = peers.contains(&actor.node) || replicas.contains(&actor.node);
        own_word || departed.contains(&actor.node) && !is_there
    }

    fn is_same_everywhere(&self, actor: ActorId) -> bool {
        let own = self.clock.entry(actor);
        self.closings.replicas.iter().all(|peer| {
            let known = self.known.get(peer);
            known.is_some_and(|clock| clock.entry(actor) == own)
        })
    }

    /// N17: dead actors that would be sealed as soon as all are known to hold the same.
    fn unfrozen_dead(&self) -> Vec<ActorId> {
        let known = self.clock.entries().map(|(actor, _)| actor);
        let candidates = self.interest().into_iter().chain(known);
        candidates
            .filter(|&actor| {
                let presents = &self.closings.openings;
                let present = presents.get(&actor.node).copied().unwrap_or(self.actor);
                present.node == actor.node
                    && present != actor
                    && !self.clock.is_closed(actor)
                    && self.is_same_everywhere(actor)
            })
            .collect()
    }

    fn commit_marks(
        &mut self,
        frozen: Vec<(ActorId, bool)>,
        peers: Vec<(NodeId, bool)>,
    ) -> Result<(), StoreError> {
        if frozen.is_empty() && peers.is_empty() {
            return Ok(());
        }
        self.commit(Step {
            batch: Batch {
                partition: self.id,
                frozen,
                peers,
                ..Batch::default()
            },
            logged: Vec::new(),
        })
    }
}

fn hash_of(actors: impl Iterator<Item = ActorId>) -> u64 {
    let words = actors.flat_map(|actor| [actor.node.0, actor.incarnation]);
    let bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    xxh3_64(&bytes)
}
