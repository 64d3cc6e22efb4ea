//! The state of one key: stored and filled.

use std::cmp::max;

use serde::{Deserialize, Serialize};

use super::{Version, Versions};
use crate::clock::{ActorId, Dot, VersionVector};

/// What a replica stores of a key: its versions, and of its context only what the replica's
/// clock does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The live versions.
    pub versions: Versions,
    /// The rest of the context: no entry is at or below the base of the replica's clock, and
    /// none is a live dot. Empty in a quiet, healthy cluster.
    pub residual: VersionVector,
}

impl Row {
    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.versions.is_empty() && self.residual.is_empty()
    }

    /// Up to which of `actor`'s writes the row itself says that all are included; the clock
    /// may say more.
    pub fn known(&self, actor: ActorId) -> u64 {
        self.versions
            .dots()
            .filter(|dot| dot.actor == actor)
            .map(|dot| dot.n)
            .fold(self.residual.get(actor), max)
    }

    /// Everything that the row itself says is included: residual and live dots.
    pub fn own_context(&self) -> VersionVector {
        let mut context = self.residual.clone();
        for dot in self.versions.dots() {
            context.add(dot);
        }
        context
    }
}

/// The state of a key with its full causal context. It is never stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// The live versions.
    pub versions: Versions,
    /// Every write of the key that this state includes, replaced ones too.
    pub context: VersionVector,
}

impl Object {
    /// The join of two states (PROTOCOL 1.1): a version stays if both have it, or if the side
    /// without it does not know it. Commutative, associative, idempotent; no version leaves
    /// for having lost last-write-wins (R15).
    pub fn merge(&self, other: &Self) -> Self {
        let mut versions = Versions::new();
        self.survivors_into(other, &mut versions);
        other.survivors_into(self, &mut versions);
        let mut context = self.context.clone();
        context.join(&other.context);
        Self { versions, context }
    }

    /// The last write: the largest timestamp, among equals the largest dot. Expired versions
    /// count; readers use [`Versions::value_at`].
    pub fn winner(&self) -> Option<(Dot, &Version)> {
        self.versions
            .iter()
            .max_by_key(|&(dot, version)| (version.hlc, dot))
    }

    /// Adds those of its versions that `other` has too or does not know.
    fn survivors_into(&self, other: &Self, versions: &mut Versions) {
        for (dot, version) in self.versions.iter() {
            match other.versions.get(dot) {
                // Two values under one dot are a broken actor (N01). Taking the same one
                // everywhere keeps that from becoming a divergence as well.
                Some(theirs) => versions.insert(dot, max(version, theirs).clone()),
                None if !other.context.contains(dot) => versions.insert(dot, version.clone()),
                None => {}
            }
        }
    }
}
