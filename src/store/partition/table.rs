//! The rows of a partition, those in memory over those in the engine, and what is derived
//! from them.
//!
//! The engine holds every row; the [`Cache`] above it as many as the budget allows, all of
//! them while they fit. Sums are kept here, indexes in the engine: nothing here grows with the
//! number of keys but the cache.
//!
//! A read takes `&self` and may change which rows are in memory: whoever reads holds the one
//! lock that the partition lies under.

mod found;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
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
use crate::store::engine::{Batch, Engine, EngineError, Piece};

/// What is read of the rows at once when all of them are.
const PIECE: Piece = Piece {
    rows: 1024,
    bytes: 1024 * 1024,
};

/// What is here of a key.
pub(super) struct Local {
    /// The form of the key that is in memory: rows and log share its bytes.
    pub(super) key: Option<Bytes>,
    /// Its row as it is stored; empty if there is none.
    pub(super) row: Row,
}

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
        if self.cache.borrow().is_off() {
            return self.look(clock, key, |_, row| read(row));
        }
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

    /// The row of `key`, and the form of the key that is in memory, found at once.
    pub(super) fn local(&self, clock: &Clock, key: &[u8]) -> Result<Local, StoreError> {
        if self.cache.borrow().is_off() {
            return self.look(clock, key, |key, row| Local {
                key: key.cloned(),
                row: row.cloned().unwrap_or_default(),
            });
        }
        let row = self.row(clock, key)?;
        let key = self.key(key);
        Ok(Local { key, row })
    }

    /// The row of `key`, empty if there is none.
    pub(super) fn row(&self, clock: &Clock, key: &[u8]) -> Result<Row, StoreError> {
        self.read(clock, key, |row| row.cloned().unwrap_or_default())
    }

    /// The form of `key` that is in memory, to share its allocation.
    pub(super) fn key(&self, key: &[u8]) -> Option<Bytes> {
        if self.cache.borrow().is_off() {
            return None;
        }
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

    /// The actors that residual contexts name.
    pub(super) fn residual_actors(&self) -> impl ExactSizeIterator<Item = ActorId> + '_ {
        self.totals.residuals.keys().copied()
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

    /// What the sums and indexes are when `rows` are as given here. `before` are the first of them
    /// as they are, empty where there is none; the others are read.
    pub(super) fn derive(
        &self,
        clock: &Clock,
        rows: &[(Bytes, Option<Row>)],
        before: &[&Row],
    ) -> Result<(Totals, Vec<IndexChange>), StoreError> {
        let mut totals = self.totals.clone();
        let mut changes = Vec::new();
        let mut gathering = Gathering::default();
        for (n, (key, after)) in rows.iter().enumerate() {
            let hash = self.keyspace.hash_of_row(key);
            let mut replace = |before: Option<&Row>| {
                gathering.replace(&self.keyspace, key, before, after.as_ref());
                if let Some(before) = before {
                    totals.remove(hash, key, before);
                }
                if let Some(after) = after {
                    totals.add(hash, key, after);
                }
                index_changes(hash, key, before, after.as_ref(), &mut changes);
            };
            match before.get(n) {
                Some(before) => replace(Some(*before).filter(|row| !row.is_empty())),
                None => self.read(clock, key, replace)?,
            }
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
        if cache.is_off() {
            return;
        }
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

    /// Whether no row is in memory here.
    pub(super) fn keeps_no_rows(&self) -> bool {
        self.cache.borrow().is_off()
    }

    /// Whether a key that is not in memory has no row.
    fn is_all_in_memory(&self) -> bool {
        self.cache.borrow().len() as u64 == self.totals.rows
    }

    /// What `read` makes of the row of `key` where the engine has it.
    fn look<T>(
        &self,
        clock: &Clock,
        key: &[u8],
        read: impl FnOnce(Option<&Bytes>, Option<&Row>) -> T,
    ) -> Result<T, StoreError> {
        let (mut read, mut found) = (Some(read), None);
        let mut look = |here: Option<&Bytes>, row: Option<&Row>| {
            let checked = row.map_or(Ok(()), |row| self.check(clock, key, row));
            found = Some(checked.map(|()| read.take().map(|read| read(here, row))));
        };
        let looked = self.engine.reader().look(self.id, key, &mut look);
        let found = looked
            .map_err(|error| self.unreadable(error))
            .and(found.transpose());
        match found
            .inspect_err(|_| self.unread.set(self.unread.get() + 1))?
            .flatten()
        {
            Some(result) => Ok(result),
            None => Err(self.unreadable(EngineError::Damaged("a row that is not shown"))),
        }
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

    fn unreadable(&self, source: EngineError) -> StoreError {
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
