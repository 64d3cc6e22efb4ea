//! The live versions of one key.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::part::Part;
use crate::clock::{Dot, Hlc};

/// One value that a key was given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// When, for last-write-wins among concurrent writes.
    pub hlc: Hlc,
    /// When it ends, in milliseconds since the Unix epoch, if it does. Part of the version:
    /// expiry is the same on all replicas (PROTOCOL R22).
    pub expire_at_ms: Option<u64>,
    /// The value.
    pub value: Bytes,
    /// What it is to a counter, if it is not a plain value.
    pub part: Option<Box<Part>>,
}

impl Version {
    /// Whether it has ended at `wall_ms`.
    pub fn expired(&self, wall_ms: u64) -> bool {
        self.expire_at_ms.is_some_and(|at_ms| at_ms <= wall_ms)
    }
}

/// Versions by the dot that wrote them, in the order of dots.
///
/// A sorted vector, not a map: nearly always there is exactly one, and a tree node for one
/// costs ten times its size.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(Dot, Version)>")]
pub struct Versions(Vec<(Dot, Version)>);

impl Versions {
    /// No version.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The version that `dot` wrote.
    pub fn get(&self, dot: Dot) -> Option<&Version> {
        let at = self.position(dot).ok()?;
        self.0.get(at).map(|(_, version)| version)
    }

    /// Whether `dot`'s version is here.
    pub fn contains(&self, dot: Dot) -> bool {
        self.position(dot).is_ok()
    }

    /// Puts a version in; what the dot had before is replaced.
    pub fn insert(&mut self, dot: Dot, version: Version) {
        match self.position(dot) {
            Ok(at) => {
                if let Some(slot) = self.0.get_mut(at) {
                    slot.1 = version;
                }
            }
            Err(at) => {
                self.0.reserve_exact(1);
                self.0.insert(at, (dot, version));
            }
        }
    }

    /// Keeps the versions for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(Dot, &Version) -> bool) {
        self.0.retain(|(dot, version)| keep(*dot, version));
    }

    /// The versions in the order of their dots.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Dot, &Version)> + '_ {
        self.0.iter().map(|(dot, version)| (*dot, version))
    }

    /// Their dots, ascending.
    pub fn dots(&self) -> impl ExactSizeIterator<Item = Dot> + '_ {
        self.0.iter().map(|(dot, _)| *dot)
    }

    /// What the key shows at `wall_ms` as one value, the same on every replica that has the
    /// same versions: that of the last write, or a counter's.
    pub fn value_at(&self, wall_ms: u64) -> Option<Version> {
        // The common case asks no more than this.
        if let [(_, only)] = &self.0[..]
            && only.part.is_none()
        {
            return (!only.expired(wall_ms)).then(|| only.clone());
        }
        self.current_at(wall_ms).map(|current| current.version)
    }

    /// The largest timestamp.
    pub fn last_hlc(&self) -> Option<Hlc> {
        self.iter().map(|(_, version)| version.hlc).max()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of all values.
    pub fn value_bytes(&self) -> usize {
        self.iter().map(|(_, version)| version.value.len()).sum()
    }

    fn position(&self, dot: Dot) -> Result<usize, usize> {
        self.0.binary_search_by_key(&dot, |(dot, _)| *dot)
    }
}

impl FromIterator<(Dot, Version)> for Versions {
    fn from_iter<I: IntoIterator<Item = (Dot, Version)>>(versions: I) -> Self {
        let mut all = Self::new();
        for (dot, version) in versions {
            all.insert(dot, version);
        }
        all
    }
}

/// The versions of a row did not come in the order of their dots, each once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("versions are not in ascending order of dots")]
pub struct Unordered;

impl TryFrom<Vec<(Dot, Version)>> for Versions {
    type Error = Unordered;

    fn try_from(versions: Vec<(Dot, Version)>) -> Result<Self, Unordered> {
        let ascending = versions.is_sorted_by(|(left, _), (right, _)| left < right);
        ascending.then_some(Self(versions)).ok_or(Unordered)
    }
}
