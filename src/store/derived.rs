//! What is derived from the rows of a partition: sums over them, and by what else than its
//! name a key is found.
//!
//! Both are durable, changed in the same batch as the rows (PROTOCOL R13), so that a
//! partition knows them at its opening without reading its rows.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::clock::{ActorId, Dot};
use crate::object::{Name, Row};

/// The most bytes of one row that fit a peer's frame of 65 MiB, with room for the frame's own
/// fields and contexts.
pub(super) const ROW_BYTES_MAX: usize = 64 * 1024 * 1024 + 512 * 1024;

/// The most bytes of one row that are kept after a merge: some of the longest values that were
/// written at the same time. Each replica soon rewrites a row of more than [`ROW_BYTES_MAX`] as
/// one value; what it refuses until then comes again, and fits.
pub(super) const ROW_MERGED_BYTES_MAX: usize = 8 * ROW_BYTES_MAX;

/// By what a key is found, beside its name. The order is that of the indexes on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Index {
    /// It has versions, or is a collection that has elements, and this is the hash of its key:
    /// the order of scans.
    Hash(u64),
    /// Its residual context has this entry: what to strip when a base advances (the `nsk` set
    /// of PROTOCOL section 1, with its reason).
    Residual(ActorId, u64),
    /// It has a version that ends then, in milliseconds since the Unix epoch.
    Ends(u64),
    /// It has several versions that together do not fit a peer frame.
    Oversized,
    /// It is a collection that has elements, followed by what they are together.
    Elements,
}

impl Index {
    /// The last one.
    pub const LAST: Self = Self::Elements;
}

/// An entry of the indexes that comes, or goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexChange {
    /// By what the key is found.
    pub index: Index,
    /// The key.
    pub key: Bytes,
    /// Whether it is, from now on.
    pub is_set: bool,
}

/// Sums over all rows of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Stored rows.
    pub rows: u64,
    /// Keys with versions: rows of values that have some, and collections that have elements.
    pub keys: u64,
    /// Collections that have elements.
    pub collections: u64,
    /// Rows of elements that have versions.
    pub elements: u64,
    /// Rows with a residual context.
    pub residual_rows: u64,
    /// Live versions.
    pub dots_live: u64,
    /// Live versions that will end.
    pub ending: u64,
    /// Keys with several versions that together do not fit a peer frame.
    pub oversized: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Number of versions to number of rows that have as many, from two on.
    pub siblings: BTreeMap<u64, u64>,
    /// How many residual contexts name each actor.
    pub residuals: BTreeMap<ActorId, u64>,
    /// A sum over the live versions without those that end: replicas drop those at moments of
    /// their own (PROTOCOL 5j).
    pub fingerprint: u64,
}

/// What a partition knows of itself without reading its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Sums over all rows.
    pub totals: Totals,
    /// The hash of the clock: a clock with another one is not of the same batch.
    pub clock: u64,
}

impl Totals {
    /// The row of the key that has this hash is there from now on.
    pub(super) fn add(&mut self, hash: u64, key: &[u8], row: &Row) {
        self.count(key, row, |sum, more| sum.saturating_add(more));
        self.fingerprint = self.fingerprint.wrapping_add(fingerprint(hash, row));
    }

    /// It is there no longer.
    pub(super) fn remove(&mut self, hash: u64, key: &[u8], row: &Row) {
        self.count(key, row, |sum, less| {
            debug_assert!(sum >= less, "sums hold every row that is removed");
            sum.saturating_sub(less)
        });
        self.fingerprint = self.fingerprint.wrapping_sub(fingerprint(hash, row));
    }

    /// A collection has elements from now on, or none.
    pub(super) fn count_collection(&mut self, has_elements: bool) {
        for sum in [&mut self.keys, &mut self.collections] {
            *sum = match has_elements {
                true => sum.saturating_add(1),
                false => sum.saturating_sub(1),
            };
        }
    }

    fn count(&mut self, key: &[u8], row: &Row, change: impl Fn(u64, u64) -> u64) {
        let versions = row.versions.len() as u64;
        let ending = ends(row).count() as u64;
        let bytes = (key.len() + row.versions.value_bytes()) as u64;
        let oversized = is_oversized(key, row);
        let name = Name::of(key);
        let (is_value, is_element) = (name == Name::Value, matches!(name, Name::Element { .. }));
        for (sum, part) in [
            (&mut self.rows, 1),
            (&mut self.keys, u64::from(is_value && versions > 0)),
            (&mut self.elements, u64::from(is_element && versions > 0)),
            (&mut self.residual_rows, u64::from(!row.residual.is_empty())),
            (&mut self.dots_live, versions),
            (&mut self.ending, ending),
            (&mut self.oversized, u64::from(oversized)),
            (&mut self.bytes, bytes),
        ] {
            *sum = change(*sum, part);
        }
        if versions > 1 {
            count_of(&mut self.siblings, versions, &change);
        }
        for (actor, _) in row.residual.iter() {
            count_of(&mut self.residuals, actor, &change);
        }
    }
}

/// One more or less of `what`; none is not stored.
fn count_of<T: Ord>(counts: &mut BTreeMap<T, u64>, what: T, change: impl Fn(u64, u64) -> u64) {
    let entry = counts.entry(what).or_default();
    *entry = change(*entry, 1);
    if *entry == 0 {
        counts.retain(|_, count| *count > 0);
    }
}

/// By what the key of `row` is found.
pub(super) fn indexes(hash: u64, key: &[u8], row: &Row) -> BTreeSet<Index> {
    let residual = row.residual.iter();
    let mut indexes: BTreeSet<Index> = residual
        .map(|(actor, n)| Index::Residual(actor, n))
        .collect();
    indexes.extend(ends(row).map(Index::Ends));
    if !row.versions.is_empty() && Name::of(key) == Name::Value {
        indexes.insert(Index::Hash(hash));
    }
    if is_oversized(key, row) {
        indexes.insert(Index::Oversized);
    }
    indexes
}

/// What changes in the indexes when `after` takes the place of `before`.
pub(super) fn index_changes(
    hash: u64,
    key: &Bytes,
    before: Option<&Row>,
    after: Option<&Row>,
    changes: &mut Vec<IndexChange>,
) {
    // Nearly always one value takes the place of another, and nothing changes.
    if let (Some(before), Some(after)) = (before, after)
        && is_plain(before)
        && is_plain(after)
    {
        return;
    }
    let of = |row: Option<&Row>| row.map(|row| indexes(hash, key, row)).unwrap_or_default();
    let (before, after) = (of(before), of(after));
    let change = |index: &Index, is_set| IndexChange {
        index: *index,
        key: key.clone(),
        is_set,
    };
    let gone = before.difference(&after);
    changes.extend(gone.map(|index| change(index, false)));
    let new = after.difference(&before);
    changes.extend(new.map(|index| change(index, true)));
}

/// Whether a row is found by its hash and nothing else.
fn is_plain(row: &Row) -> bool {
    row.versions.len() == 1 && row.residual.is_empty() && ends(row).next().is_none()
}

/// About how many bytes a row takes in a message.
pub fn row_bytes(key: &[u8], row: &Row) -> usize {
    const PER_ROW: usize = 64;
    const PER_VERSION: usize = 64;
    const PER_ENTRY: usize = 32;
    PER_ROW
        + key.len()
        + row.versions.value_bytes()
        + row.versions.len() * PER_VERSION
        + row.residual.len() * PER_ENTRY
}

fn is_oversized(key: &[u8], row: &Row) -> bool {
    row.versions.len() > 1 && row_bytes(key, row) > ROW_BYTES_MAX
}

fn ends(row: &Row) -> impl Iterator<Item = u64> + '_ {
    row.versions
        .iter()
        .filter_map(|(_, version)| version.ends_at_ms())
}

/// A sum over the versions that do not end by themselves, for the key that has this hash.
pub(super) fn fingerprint(hash: u64, row: &Row) -> u64 {
    row.versions
        .iter()
        .filter(|(_, version)| version.expire_at_ms.is_none())
        .map(|(dot, _)| dot_hash(hash, dot))
        .fold(0, u64::wrapping_add)
}

fn dot_hash(seed: u64, dot: Dot) -> u64 {
    let words = [dot.actor.node.0, dot.actor.incarnation, dot.n];
    let mut bytes = [0; 24];
    for (slot, word) in bytes.chunks_exact_mut(8).zip(words) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    xxh3_64_with_seed(&bytes, seed)
}
