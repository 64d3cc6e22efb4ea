//! What a replica knows about the closing of actors: its own promises, and what others say.

use std::collections::{BTreeMap, BTreeSet};

use xxhash_rust::xxh3::xxh3_64;

use crate::clock::{ActorId, Entry, NodeId};
use crate::store::engine::Batch;
use crate::store::exchange::Closing;

/// What a replica knows about the closing of actors.
#[derive(Debug, Default)]
pub(super) struct Closings {
    /// The frozen actors, durable.
    pub(super) frozen: BTreeMap<ActorId, Promise>,
    /// The other nodes that ever were replicas, as far as is known. Durable.
    pub(super) peers: BTreeSet<NodeId>,
    /// The other replicas as membership last said.
    pub(super) replicas: BTreeSet<NodeId>,
    /// Whether membership says that these are all, and can all be reached.
    pub(super) settled: bool,
    /// The opening of each peer that has spoken last. A late word of an earlier one does no
    /// harm: the present one speaks again.
    pub(super) openings: BTreeMap<NodeId, ActorId>,
    /// What each peer last said.
    pub(super) heard: BTreeMap<NodeId, Closing>,
}

/// What this replica says that it holds of a frozen actor.
#[derive(Debug, Default)]
pub(super) struct Promise {
    /// To be told when it is durable.
    pub(super) pending: Option<Entry>,
    /// Durable, and told.
    pub(super) made: Option<Entry>,
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
        self.peers.extend(batch.peers.iter().copied());
    }

    /// The replicas, each with its present opening, as one number; zero while it is not sure
    /// that these are all.
    pub(super) fn view(&self, me: ActorId) -> u64 {
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
    ///
    /// Never for a replica that knows no other: it may be alone in the world, or have lost its
    /// disk and be cut off from those who remember.
    pub(super) fn is_complete(&self) -> bool {
        self.settled && !self.replicas.is_empty() && self.peers.is_subset(&self.replicas)
    }

    /// What the present openings of the other replicas last said.
    pub(super) fn voices(&self) -> impl Iterator<Item = &Closing> + '_ {
        self.replicas.iter().filter_map(|peer| {
            let closing = self.heard.get(peer)?;
            (self.openings.get(peer) == Some(&closing.from)).then_some(closing)
        })
    }

    /// Whether all other replicas say that `holds`, in the view that this replica has too.
    pub(super) fn all(&self, view: u64, holds: impl Fn(&Closing) -> bool) -> bool {
        let agreeing = self.voices().filter(|voice| voice.view == view);
        view != 0 && agreeing.filter(|voice| holds(voice)).count() == self.replicas.len()
    }
}

pub(super) fn hash_of(actors: impl Iterator<Item = ActorId>) -> u64 {
    let words = actors.flat_map(|actor| [actor.node.0, actor.incarnation]);
    let bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    xxh3_64(&bytes)
}
