//! The rows of a partition in the order of their hashes, and what is derived from them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::slot::{Place, Slot};
use crate::clock::{ActorId, Dot};
use crate::object::Row;
use crate::placement::Keyspace;

/// The most bytes of one row that fit a peer frame of 4 MiB, with room for the frame's own
/// fields and contexts.
pub(super) const ROW_BYTES_MAX: usize = 3_584 * 1024;

/// The rows and their indexes. [`Table::set`] is the one way in.
#[derive(Debug)]
pub(super) struct Table {
    keyspace: Keyspace,
    rows: BTreeMap<Slot, Row>,
    /// By actor and counter, the keys with such a residual entry: what to strip when a base
    /// advances (the `nsk` set of PROTOCOL section 1, with its reason).
    residuals: BTreeMap<ActorId, BTreeSet<(u64, Bytes)>>,
    /// By time, the keys with a version that ends then.
    expiries: BTreeSet<(u64, Bytes)>,
    /// Keys with several versions that together do not fit a peer frame.
    oversized: BTreeSet<Bytes>,
    totals: Totals,
}

/// Sums over all rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    /// Rows with versions.
    pub keys: usize,
    /// Rows with a residual context.
    pub residual_rows: usize,
    /// Live versions.
    pub dots_live: usize,
    /// Bytes of keys and values.
    pub bytes: usize,
    /// Number of versions to number of rows that have as many, from two on.
    pub siblings: BTreeMap<usize, usize>,
    fingerprint: u64,
}

impl Table {
    pub(super) fn new(keyspace: Keyspace) -> Self {
        Self {
            keyspace,
            rows: BTreeMap::new(),
            residuals: BTreeMap::new(),
            expiries: BTreeSet::new(),
            oversized: BTreeSet::new(),
            totals: Totals::default(),
        }
    }

    /// The row of `key`.
    pub(super) fn get(&self, key: &[u8]) -> Option<&Row> {
        let place = (self.keyspace.hash(key), key);
        self.rows.get(&place as &dyn Place)
    }

    /// The stored form of `key`, to share its allocation.
    pub(super) fn key(&self, key: &[u8]) -> Option<&Bytes> {
        let place = (self.keyspace.hash(key), key);
        let (slot, _) = self.rows.get_key_value(&place as &dyn Place)?;
        Some(&slot.key)
    }

    /// Replaces the row of `key`; none removes it.
    pub(super) fn set(&mut self, key: Bytes, row: Option<Row>) {
        let slot = Slot {
            hash: self.keyspace.hash(&key),
            key,
        };
        if let Some(old) = self.rows.remove(&slot) {
            self.unindex(&slot, &old);
        }
        if let Some(row) = row {
            self.index(&slot, &row);
            self.rows.insert(slot, row);
        }
    }

    /// All rows, by hash.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Bytes, &Row)> + '_ {
        self.rows.iter().map(|(slot, row)| (&slot.key, row))
    }

    /// The rows from `hash` on.
    pub(super) fn iter_from(&self, hash: u64) -> impl Iterator<Item = (u64, &Bytes, &Row)> + '_ {
        let from = (hash, &[][..]);
        let bounds = (Bound::Included(&from as &dyn Place), Bound::Unbounded);
        self.rows
            .range::<dyn Place, _>(bounds)
            .map(|(slot, row)| (slot.hash, &slot.key, row))
    }

    /// The keys with a residual entry of `actor` at or below `base`.
    pub(super) fn residual_up_to(
        &self,
        actor: ActorId,
        base: u64,
    ) -> impl Iterator<Item = Bytes> + '_ {
        let end = (base.saturating_add(1), Bytes::new());
        let entries = self.residuals.get(&actor);
        entries
            .into_iter()
            .flat_map(move |entries| entries.range(..end.clone()))
            .map(|(_, key)| key.clone())
    }

    /// The actors that residual contexts name.
    pub(super) fn residual_actors(&self) -> impl ExactSizeIterator<Item = ActorId> + '_ {
        self.residuals.keys().copied()
    }

    /// At most `count` keys with a version that ends at or before `until_ms`.
    pub(super) fn ending(&self, until_ms: u64, count: usize) -> BTreeSet<Bytes> {
        self.expiries
            .iter()
            .take_while(|(at_ms, _)| *at_ms <= until_ms)
            .take(count)
            .map(|(_, key)| key.clone())
            .collect()
    }

    /// The keys with several versions that together do not fit a peer frame.
    pub(super) fn oversized(&self) -> &BTreeSet<Bytes> {
        &self.oversized
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn totals(&self) -> &Totals {
        &self.totals
    }

    pub(super) fn fingerprint(&self) -> u64 {
        self.totals.fingerprint
    }

    fn index(&mut self, slot: &Slot, row: &Row) {
        for (actor, n) in row.residual.iter() {
            let entries = self.residuals.entry(actor).or_default();
            entries.insert((n, slot.key.clone()));
        }
        for at_ms in expiries(row) {
            self.expiries.insert((at_ms, slot.key.clone()));
        }
        if row.versions.len() > 1 {
            *self.totals.siblings.entry(row.versions.len()).or_default() += 1;
            if row_bytes(&slot.key, row) > ROW_BYTES_MAX {
                self.oversized.insert(slot.key.clone());
            }
        }
        self.totals.keys += usize::from(!row.versions.is_empty());
        self.totals.residual_rows += usize::from(!row.residual.is_empty());
        self.totals.dots_live += row.versions.len();
        self.totals.bytes += slot.key.len() + row.versions.value_bytes();
        self.totals.fingerprint = self
            .totals
            .fingerprint
            .wrapping_add(fingerprint(slot.hash, row));
    }

    fn unindex(&mut self, slot: &Slot, row: &Row) {
        for (actor, n) in row.residual.iter() {
            if let Some(entries) = self.residuals.get_mut(&actor) {
                entries.remove(&(n, slot.key.clone()));
                if entries.is_empty() {
                    self.residuals.remove(&actor);
                }
            }
        }
        for at_ms in expiries(row) {
            self.expiries.remove(&(at_ms, slot.key.clone()));
        }
        if row.versions.len() > 1 {
            if let Some(rows) = self.totals.siblings.get_mut(&row.versions.len()) {
                *rows -= 1;
                if *rows == 0 {
                    self.totals.siblings.remove(&row.versions.len());
                }
            }
            self.oversized.remove(&slot.key);
        }
        self.totals.keys -= usize::from(!row.versions.is_empty());
        self.totals.residual_rows -= usize::from(!row.residual.is_empty());
        self.totals.dots_live -= row.versions.len();
        self.totals.bytes -= slot.key.len() + row.versions.value_bytes();
        self.totals.fingerprint = self
            .totals
            .fingerprint
            .wrapping_sub(fingerprint(slot.hash, row));
    }
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

fn expiries(row: &Row) -> impl Iterator<Item = u64> + '_ {
    row.versions
        .iter()
        .filter_map(|(_, version)| version.expire_at_ms)
}

/// The sum over a row's versions, without those that end: replicas drop them at moments of
/// their own (PROTOCOL 5j).
fn fingerprint(hash: u64, row: &Row) -> u64 {
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
