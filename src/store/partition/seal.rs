//! The steps by which a replica closes dead actors: promise, adopt, freeze, seal (PROTOCOL
//! 3.9). When and why is told in `closing`.

use std::collections::BTreeSet;

use super::step::Step;
use super::{Advance, Partition};
use crate::clock::{ActorId, Dot, Entry, NodeId};
use crate::store::StoreError;
use crate::store::engine::Batch;
use crate::store::exchange::Closing;
use crate::store::mutation::Mutation;

/// Holes that are logged as void one by one when an actor is sealed. Of more the floor is
/// raised instead, and who lacks them gets a full sync: a peer may claim 2^60 holes.
const VOIDS_LOGGED_MAX: u64 = 4096;

impl Partition {
    /// Closes what can be closed of dead actors, one step further. `replicas` are the
    /// partition's other replicas; `settled` says that they have been the same for a while and
    /// can all be reached.
    ///
    /// Returns whether there are promises to be told once they are durable: sync the engine,
    /// then call [`confirm`](Self::confirm).
    pub fn tend(&mut self, replicas: &BTreeSet<NodeId>, settled: bool) -> Result<bool, StoreError> {
        self.closings.replicas.clone_from(replicas);
        self.closings.settled = settled;
        self.closings
            .heard
            .retain(|peer, _| replicas.contains(peer));
        self.closings
            .openings
            .retain(|peer, _| replicas.contains(peer));
        self.remember_peers(replicas)?;
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

    fn remember_peers(&mut self, replicas: &BTreeSet<NodeId>) -> Result<(), StoreError> {
        let news = replicas.difference(&self.closings.peers).copied().collect();
        self.commit_marks(Vec::new(), news)
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
        let step = self.step(Vec::new(), &[], advance, Vec::new())?;
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
        let step = self.step(Vec::new(), &[], advance, logged)?;
        if !logs {
            self.log.raise_floor(actor, entry.top());
        }
        self.commit(step)
    }

    /// See the module's essay. A node's own word for its earlier openings is that its present
    /// one has frozen them.
    fn is_dead(&self, actor: ActorId) -> bool {
        if actor.node == self.actor.node {
            return actor != self.actor;
        }
        let mut voices = self.closings.voices();
        voices.any(|voice| {
            let of_its_earlier = voice.from.node == actor.node && voice.from != actor;
            of_its_earlier && voice.frozen.contains_key(&actor)
        })
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
        peers: Vec<NodeId>,
    ) -> Result<(), StoreError> {
        if frozen.is_empty() && peers.is_empty() {
            return Ok(());
        }
        self.commit(Step {
            batch: Batch {
                partition: self.id,
                frozen,
                peers,
                summary: self.summary(),
                ..Batch::default()
            },
            logged: Vec::new(),
        })
    }
}
