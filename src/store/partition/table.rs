//! The rows of a partition in the order of their hashes, and what is derived from them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;

use super::slot::{Place, Slot};
use crate::clock::ActorId;
use crate::object::Row;
use crate::placement::Keyspace;
use crate::store::derived::{Index, IndexChange, Totals, index_changes, indexes};
pub(super) use crate::store::derived::{ROW_BYTES_MAX, row_bytes};

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

    pub(super) fn totals(&self) -> &Totals {
        &self.totals
    }

    pub(super) fn fingerprint(&self) -> u64 {
        self.totals.fingerprint
    }

    /// What the sums and indexes are when `rows` are as given here.
    pub(super) fn derive(&self, rows: &[(Bytes, Option<Row>)]) -> (Totals, Vec<IndexChange>) {
        let mut totals = self.totals.clone();
        let mut changes = Vec::new();
        for (key, after) in rows {
            let hash = self.keyspace.hash(key);
            let before = self.get(key);
            if let Some(before) = before {
                totals.remove(hash, key, before);
            }
            if let Some(after) = after {
                totals.add(hash, key, after);
            }
            index_changes(hash, key, before, after.as_ref(), &mut changes);
        }
        (totals, changes)
    }

    fn index(&mut self, slot: &Slot, row: &Row) {
        self.totals.add(slot.hash, &slot.key, row);
        for index in indexes(slot.hash, &slot.key, row) {
            let key = slot.key.clone();
            match index {
                Index::Hash(_) => {}
                Index::Residual(actor, n) => {
                    self.residuals.entry(actor).or_default().insert((n, key));
                }
                Index::Ends(at_ms) => {
                    self.expiries.insert((at_ms, key));
                }
                Index::Oversized => {
                    self.oversized.insert(key);
                }
            }
        }
    }

    fn unindex(&mut self, slot: &Slot, row: &Row) {
        self.totals.remove(slot.hash, &slot.key, row);
        for (actor, n) in row.residual.iter() {
            if let Some(entries) = self.residuals.get_mut(&actor) {
                entries.remove(&(n, slot.key.clone()));
                if entries.is_empty() {
                    self.residuals.remove(&actor);
                }
            }
        }
        for index in indexes(slot.hash, &slot.key, row) {
            if let Index::Ends(at_ms) = index {
                self.expiries.remove(&(at_ms, slot.key.clone()));
            }
        }
        self.oversized.remove(&slot.key);
    }
}
