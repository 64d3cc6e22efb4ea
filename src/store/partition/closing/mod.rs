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
//! opening has frozen; an actor of a node that is known to have left for good; an actor of an
//! unknown node that all other replicas have frozen. One other replica's word does not count,
//! because a live actor that is frozen by mistake is cut off.
//!
//! "All replicas" is a set of *openings*: a replica that restarts has to promise again. Nodes
//! are remembered durably until they leave for good, so that a cluster that starts without
//! one of its nodes does not agree behind its back. Freezing is rare and slow, and nothing but
//! tidiness depends on it.

mod agreed;
mod steps;
mod talk;

use std::collections::{BTreeMap, BTreeSet};

use xxhash_rust::xxh3::xxh3_64;

use crate::clock::{ActorId, Entry, NodeId};
use crate::store::engine::Batch;
use crate::store::exchange::Closing;

/// What a replica knows about the closing of actors.
#[derive(Debug, Default)]
pub(super) struct Closings {
    /// The frozen actors, durable.
    frozen: BTreeMap<ActorId, Promise>,
    /// Of other nodes, whether they are replicas or left for good, as far as is known. Durable.
    peers: BTreeMap<NodeId, bool>,
    /// The other replicas as membership last said.
    replicas: BTreeSet<NodeId>,
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
    pub(super) fn new(frozen: BTreeSet<ActorId>, peers: BTreeMap<NodeId, bool>) -> Self {
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
        self.peers.extend(batch.peers.iter().copied());
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
        let mut peers = self.peers.iter().filter(|(_, is_replica)| **is_replica);
        self.settled && peers.all(|(peer, _)| self.replicas.contains(peer))
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

fn hash_of(actors: impl Iterator<Item = ActorId>) -> u64 {
    let words = actors.flat_map(|actor| [actor.node.0, actor.incarnation]);
    let bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    xxh3_64(&bytes)
}
