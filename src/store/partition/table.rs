//! The rows of a partition, those in memory over those in the engine, and what is derived
//! from them.
//!
//! The engine holds every row; the [`Cache`] above it as many as the budget allows, all of
//! them while they fit. Sums are kept here, indexes in the engine: nothing here grows with the
//! number of keys but the cache.
//!
//! A read takes `&self` and may change which rows are in memory: whoever reads holds the one
//! lock that the partition lies under.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::cache::Cache;
use crate::clock::{ActorId, Clock};
use crate::object::Row;
use crate::placement::{Keyspace, PartitionId};
use crate::store::StoreError;
use crate::store::derived::{Index, IndexChange, Totals, index_changes};
pub(super) use crate::store::derived::{ROW_BYTES_MAX, ROW_MERGED_BYTES_MAX, row_bytes};
use crate::store::elements::{Elements, Gathered, Gathering};
use crate::store::engine::{Batch, Engine, Piece};

/// What is read of the rows at once when all of them are.
const PIECE: Piece = Piece {
    rows: 1024,
    bytes: 1024 * 1024,
};

/// The rows and what is derived from them.
pub(super) struct Table {
    id: PartitionId,
    keyspace: Keyspace,
    engine: Arc<dyn Engine>,
    cache: RefCell<Cache>,
    totals: Totals,
    /// By collection, what its elements are together; of those that were asked for lately.
    gathered: RefCell<Gathered>,
    /// No version ends before that.
    ends_from: Cell<u64>,
    /// By actor, the counter below which no residual context names it; nothing is known of
    /// one that is absent.
    residuals_from: RefCell<BTreeMap<ActorId, u64>>,
    /// Reads that failed.
    unread: Cell<u64>,
}

impl Table {
    /// The rows of `id` as `engine` holds them, and their sums.
    pub(super) fn new(
        id: PartitionId,
        keyspace: Keyspace,
        engine: Arc<dyn Engine>,
        totals: Totals,
    ) -> Self {
        Self {
            id,
            keyspace,
            cache: RefCell::new(Cache::new(engine.row_budget().share())),
            engine,
            totals,
            gathered: RefCell::default(),
            ends_from: Cell::new(0),
            residuals_from: RefCell::default(),
            unread: Cell::new(0),
        }
    }

    /// What `read` makes of the row of `key`, none if there is none. `clock` is that of the
    /// rows: one that it does not know was not written by this program.
    ///
    /// An error is one of the engine, and says nothing about the row (R26).
    pub(super) fn read<T>(
        &self,
        clock: &Clock,
        key: &[u8],
        read: impl FnOnce(Option<&Row>) -> T,
    ) -> Result<T, StoreError> {
        let hash = self.keyspace.hash(key);
        if let Some(row) = self.cache.borrow().get((hash, key)) {
            return Ok(read(Some(row)));
        }
        if self.is_all_in_memory() {
            return Ok(read(None));
        }
        let found = self.fetch(clock, key);
        let found = found.inspect_err(|_| self.unread.set(self.unread.get() + 1))?;
        let result = read(found.as_ref());
        if let Some(row) = found {
            let key = Bytes::copy_from_slice(key);
            self.cache.borrow_mut().put(hash, key, row);
        }
        Ok(result)
    }

    /// The row of `key`, empty if there is none.
    pub(super) fn row(&self, clock: &Clock, key: &[u8]) -> Result<Row, StoreError> {
        self.read(clock, key, |row| row.cloned().unwrap_or_default())
    }

    /// The form of `key` that is in memory, to share its allocation.
    pub(super) fn key(&self, key: &[u8]) -> Option<Bytes> {
        let place = (self.keyspace.hash(key), key);
        self.cache.borrow().key(place).cloned()
    }

    /// Gives every row to `each`, from the engine and in pieces.
    pub(super) fn scan(
        &self,
        clock: &Clock,
        mut each: impl FnMut(Bytes, Row),
    ) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let reader = self.engine.reader();
            let rows = reader.rows(self.id, after.as_deref(), PIECE);
            let rows = rows.map_err(|error| self.unreadable(error))?;
            let Some((last, _)) = rows.last() else {
                return Ok(());
            };
            after = Some(last.clone());
            for (key, row) in rows {
                self.check(clock, &key, &row)?;
                each(key, row);
            }
        }
    }

    /// What the elements of a collection are together.
    pub(super) fn elements(&self, collection: &[u8]) -> Result<Elements, StoreError> {
        if self.totals.collections == 0 {
            return Ok(Elements::default());
        }
        if let Some(elements) = self.gathered.borrow().get(collection) {
            return Ok(elements);
        }
        let elements = Elements::read(self.engine.reader(), self.id, collection);
        let elements = elements.map_err(|error| self.unreadable(error))?;
        self.gathered.borrow_mut().note(collection, elements);
        Ok(elements)
    }

    /// The next `count` collections after `after` whose names begin with `prefix`.
    pub(super) fn collections(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        count: usize,
    ) -> Result<Vec<Bytes>, StoreError> {
        let mut behind;
        let from = match after {
            // Behind the name comes what its elements are together.
            Some(after) if after >= prefix => {
                behind = after.to_vec();
                behind.extend_from_slice(&[u8::MAX; Elements::ENTRY_BYTES]);
                Bound::Excluded((Index::Elements, &behind[..]))
            }
            _ => Bound::Included((Index::Elements, prefix)),
        };
        let found = self.indexed(from, Index::Elements, count)?;
        let names = found
            .iter()
            .filter_map(|(_, entry)| Some(Elements::of_entry(entry)?.0));
        Ok(names.take_while(|name| name.starts_with(prefix)).collect())
    }

    /// The next `count` keys with versions, and collections, after a place in the order of
    /// hashes, and with the last of them all that share its hash.
    pub(super) fn by_hash(&self, from: u64, count: usize) -> Result<Vec<(u64, Bytes)>, StoreError> {
        let first = Bound::Included((Index::Hash(from), &[][..]));
        let mut found = self.indexed(first, Index::Hash(u64::MAX), count)?;
        if let Some((index, key)) = found.last()
            && found.len() == count
        {
            let more = Bound::Excluded((*index, key.as_ref()));
            let more = self.indexed(more, *index, usize::MAX)?;
            found.extend(more);
        }
        let hash = |index| match index {
            Index::Hash(hash) => Some(hash),
            _ => None,
        };
        let found = found.into_iter();
        Ok(found
            .filter_map(|(index, key)| Some((hash(index)?, key)))
            .collect())
    }

    /// The next `count` keys of rows after `after` that begin with `prefix`.
    pub(super) fn by_name(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        count: usize,
    ) -> Result<Vec<Bytes>, StoreError> {
        let names = self.engine.reader().names(self.id, prefix, after, count);
        names.map_err(|error| self.unreadable(error))
    }

    /// Whether every row is that of a key that has a value, or of an element, now and later.
    pub(super) fn is_plain(&self) -> bool {
        self.holds_nothing_else() && self.totals.ending == 0
    }

    /// Whether every row is that of a key that has a value, or of an element: none says when
    /// elements end.
    pub(super) fn holds_nothing_else(&self) -> bool {
        let values = self.totals.keys.saturating_sub(self.totals.collections);
        self.totals.rows == values.saturating_add(self.totals.elements)
    }

    /// The keys with a residual entry of `actor` at or below `base`.
    pub(super) fn residual_up_to(
        &self,
        actor: ActorId,
        base: u64,
    ) -> Result<Vec<Bytes>, StoreError> {
        let hints = &self.residuals_from;
        let none_below = hints.borrow().get(&actor).copied().unwrap_or(0);
        if !self.totals.residuals.contains_key(&actor) || none_below > base {
            return Ok(Vec::new());
        }
        let entry = |n| Index::Residual(actor, n);
        let first = Bound::Included((entry(0), &[][..]));
        let found = self.indexed(first, entry(base), usize::MAX)?;
        if found.is_empty() {
            let next = self.indexed(first, entry(u64::MAX), 1)?;
            if let Some((Index::Residual(_, n), _)) = next.first() {
                hints.borrow_mut().insert(actor, *n);
            }
        }
        Ok(found.into_iter().map(|(_, key)| key).collect())
    }

    /// The actors that residual contexts name.
    pub(super) fn residual_actors(&self) -> impl ExactSizeIterator<Item = ActorId> + '_ {
        self.totals.residuals.keys().copied()
    }

    /// The keys of at most `count` versions that end at or before `until_ms`.
    pub(super) fn ending(
        &self,
        until_ms: u64,
        count: usize,
    ) -> Result<BTreeSet<Bytes>, StoreError> {
        if self.totals.ending == 0 || self.ends_from.get() > until_ms {
            return Ok(BTreeSet::new());
        }
        let first = Bound::Included((Index::Ends(0), &[][..]));
        let found = self.indexed(first, Index::Ends(until_ms), count)?;
        if found.is_empty() {
            let next = self.indexed(first, Index::Ends(u64::MAX), 1)?;
            if let Some((Index::Ends(at_ms), _)) = next.first() {
                self.ends_from.set(*at_ms);
            }
        }
        Ok(found.into_iter().map(|(_, key)| key).collect())
    }

    /// At most `count` keys with several versions that together do not fit a peer frame.
    pub(super) fn oversized(&self, count: usize) -> Result<Vec<Bytes>, StoreError> {
        if self.totals.oversized == 0 || count == 0 {
            return Ok(Vec::new());
        }
        let first = Bound::Included((Index::Oversized, &[][..]));
        let found = self.indexed(first, Index::Oversized, count)?;
        Ok(found.into_iter().map(|(_, key)| key).collect())
    }

    pub(super) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// About how many bytes the rows in memory take.
    pub(super) fn cached_bytes(&self) -> usize {
        self.cache.borrow().bytes()
    }

    /// How many reads have failed.
    pub(super) fn unread(&self) -> u64 {
        self.unread.get()
    }

    /// What the sums and indexes are when `rows` are as given here.
    pub(super) fn derive(
        &self,
        clock: &Clock,
        rows: &[(Bytes, Option<Row>)],
    ) -> Result<(Totals, Vec<IndexChange>), StoreError> {
        let mut totals = self.totals.clone();
        let mut changes = Vec::new();
        let mut gathering = Gathering::default();
        for (key, after) in rows {
            let hash = self.keyspace.hash_of_row(key);
            self.read(clock, key, |before| {
                gathering.replace(&self.keyspace, key, before, after.as_ref());
                if let Some(before) = before {
                    totals.remove(hash, key, before);
                }
                if let Some(after) = after {
                    totals.add(hash, key, after);
                }
                index_changes(hash, key, before, after.as_ref(), &mut changes);
            })?;
        }
        let known = |collection: &[u8]| self.elements(collection);
        gathering.finish(&self.keyspace, known, &mut totals, &mut changes)?;
        Ok((totals, changes))
    }

    /// Follows a batch that was committed.
    pub(super) fn install(&mut self, batch: Batch) {
        for change in &batch.indexes {
            match change.index {
                Index::Elements => self.gathered.get_mut().follow(change),
                Index::Ends(at_ms) if change.is_set => {
                    self.ends_from.set(at_ms.min(self.ends_from.get()));
                }
                Index::Residual(actor, n) if change.is_set => {
                    let is_first = !self.totals.residuals.contains_key(&actor);
                    let hints = self.residuals_from.get_mut();
                    match hints.get_mut(&actor) {
                        Some(none_below) => *none_below = n.min(*none_below),
                        None if is_first => drop(hints.insert(actor, n)),
                        None => {}
                    }
                }
                _ => {}
            }
        }
        self.totals = batch.summary.totals;
        let residuals = &self.totals.residuals;
        let hints = self.residuals_from.get_mut();
        hints.retain(|actor, _| residuals.contains_key(actor));
        let cache = self.cache.get_mut();
        for (key, row) in batch.rows {
            let hash = self.keyspace.hash(&key);
            match row {
                Some(row) => cache.put(hash, key, row),
                None => cache.remove((hash, &key)),
            }
        }
    }

    /// Drops rows from memory if the partition takes more than its part.
    pub(super) fn trim(&mut self) {
        self.cache.get_mut().trim();
    }

    /// Whether a key that is not in memory has no row.
    fn is_all_in_memory(&self) -> bool {
        self.cache.borrow().len() as u64 == self.totals.rows
    }

    fn fetch(&self, clock: &Clock, key: &[u8]) -> Result<Option<Row>, StoreError> {
        let found = self.engine.reader().row(self.id, key);
        let found = found.map_err(|error| self.unreadable(error))?;
        if let Some(row) = &found {
            self.check(clock, key, row)?;
        }
        Ok(found)
    }

    fn check(&self, clock: &Clock, key: &[u8], row: &Row) -> Result<(), StoreError> {
        let damaged = |what| StoreError::Damaged {
            partition: self.id,
            what,
        };
        if self.keyspace.partition_of_row(key) != self.id {
            return Err(damaged("a key of another partition"));
        }
        match row.versions.dots().all(|dot| clock.contains(dot)) {
            true => Ok(()),
            false => Err(damaged("a version that the clock does not know")),
        }
    }

    fn indexed(
        &self,
        from: Bound<(Index, &[u8])>,
        last: Index,
        count: usize,
    ) -> Result<Vec<(Index, Bytes)>, StoreError> {
        let found = self.engine.reader().indexed(self.id, from, last, count);
        found.map_err(|error| self.unreadable(error))
    }

    fn unreadable(&self, source: crate::store::engine::EngineError) -> StoreError {
        StoreError::Unreadable {
            partition: self.id,
            source,
        }
    }

    #[cfg(test)]
    pub(super) fn cached(&self) -> Vec<(Bytes, Row)> {
        let cache = self.cache.borrow();
        let rows = cache.iter();
        rows.map(|(key, row)| (key.clone(), row.clone())).collect()
    }
}
