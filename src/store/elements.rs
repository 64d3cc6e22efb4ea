//! What the elements of a set or hash are together: derived from their rows, and durable with
//! them, so that how many there are is known without counting them.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::{BufMut, Bytes, BytesMut};

use super::derived::{Index, IndexChange, Totals, fingerprint};
use super::engine::{EngineError, Reader};
use crate::object::{Name, Row};
use crate::placement::{Keyspace, PartitionId};

/// What the elements of one collection are together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Elements {
    /// How many there are: rows with versions.
    pub rows: u64,
    /// A sum over their live versions: another one, if any of them was written or deleted.
    pub fingerprint: u64,
}

impl Elements {
    /// Bytes that the index has behind the name of a collection.
    pub(super) const ENTRY_BYTES: usize = 16;

    fn of(keyspace: &Keyspace, name: &[u8], row: Option<&Row>) -> Self {
        let Some(row) = row.filter(|row| !row.versions.is_empty()) else {
            return Self::default();
        };
        Self {
            rows: 1,
            fingerprint: fingerprint(keyspace.hash(name), row),
        }
    }

    fn with(self, more: Self) -> Self {
        Self {
            rows: self.rows.saturating_add(more.rows),
            fingerprint: self.fingerprint.wrapping_add(more.fingerprint),
        }
    }

    fn without(self, less: Self) -> Self {
        debug_assert!(
            self.rows >= less.rows,
            "sums hold every row that is removed"
        );
        Self {
            rows: self.rows.saturating_sub(less.rows),
            fingerprint: self.fingerprint.wrapping_sub(less.fingerprint),
        }
    }

    /// What the index has of a collection.
    fn entry(self, collection: &[u8]) -> Bytes {
        let length = collection.len().saturating_add(Self::ENTRY_BYTES);
        let mut entry = BytesMut::with_capacity(length);
        entry.put_slice(collection);
        entry.put_u64(self.rows);
        entry.put_u64(self.fingerprint);
        entry.freeze()
    }

    /// The collection of an entry of the index, and what its elements are together.
    pub(super) fn of_entry(entry: &Bytes) -> Option<(Bytes, Self)> {
        let at = entry.len().checked_sub(Self::ENTRY_BYTES)?;
        let (rows, fingerprint) = entry.get(at..)?.split_first_chunk::<8>()?;
        let elements = Self {
            rows: u64::from_be_bytes(*rows),
            fingerprint: u64::from_be_bytes(fingerprint.try_into().ok()?),
        };
        Some((entry.slice(..at), elements))
    }

    /// Those of a collection, as `reader` has them.
    pub(super) fn read(
        reader: &dyn Reader,
        partition: PartitionId,
        collection: &[u8],
    ) -> Result<Self, EngineError> {
        let from = Bound::Included((Index::Elements, collection));
        let found = reader.indexed(partition, from, Index::Elements, 1)?;
        let entry = found.first().and_then(|(_, entry)| Self::of_entry(entry));
        Ok(match entry {
            Some((name, elements)) if name == collection => elements,
            _ => Self::default(),
        })
    }
}

/// Collections of which it is in memory what their elements are together. More than are written
/// to at a time, and little memory beside the rows.
const GATHERED_MAX: usize = 256;

/// What is in memory of what elements are together: of the collections asked for lately.
#[derive(Debug, Default)]
pub(super) struct Gathered(BTreeMap<Bytes, Elements>);

impl Gathered {
    pub(super) fn get(&self, collection: &[u8]) -> Option<Elements> {
        self.0.get(collection).copied()
    }

    pub(super) fn note(&mut self, collection: &[u8], elements: Elements) {
        if self.0.len() >= GATHERED_MAX {
            self.0.clear();
        }
        self.0.insert(Bytes::copy_from_slice(collection), elements);
    }

    /// Follows a change of the index. The entry that goes comes before the one that takes its
    /// place.
    pub(super) fn follow(&mut self, change: &IndexChange) {
        let Some((collection, elements)) = Elements::of_entry(&change.key) else {
            return;
        };
        match change.is_set {
            true => self.note(&collection, elements),
            false => drop(self.0.remove(&collection)),
        }
    }
}

/// What becomes of collections when rows change.
#[derive(Debug, Default)]
pub(super) struct Gathering(BTreeMap<Bytes, (Elements, Elements)>);

impl Gathering {
    /// `after` takes the place of `before`.
    pub(super) fn replace(
        &mut self,
        keyspace: &Keyspace,
        name: &[u8],
        before: Option<&Row>,
        after: Option<&Row>,
    ) {
        let Some(collection) = Name::collection_of(name) else {
            return;
        };
        let (gone, new) = match self.0.get_mut(collection) {
            Some(known) => known,
            None => self
                .0
                .entry(Bytes::copy_from_slice(collection))
                .or_default(),
        };
        *gone = gone.with(Elements::of(keyspace, name, before));
        *new = new.with(Elements::of(keyspace, name, after));
    }

    /// Adds what that changes in sums and indexes; `known` gives what there was.
    pub(super) fn finish<E>(
        self,
        keyspace: &Keyspace,
        mut known: impl FnMut(&[u8]) -> Result<Elements, E>,
        totals: &mut Totals,
        changes: &mut Vec<IndexChange>,
    ) -> Result<(), E> {
        for (collection, (gone, new)) in self.0 {
            let before = known(&collection)?;
            let after = before.with(new).without(gone);
            if before == after {
                continue;
            }
            let mut change = |index, key, is_set| {
                changes.push(IndexChange { index, key, is_set });
            };
            for (elements, is_set) in [(before, false), (after, true)] {
                if elements.rows > 0 {
                    change(Index::Elements, elements.entry(&collection), is_set);
                }
            }
            if (before.rows == 0) != (after.rows == 0) {
                totals.count_collection(after.rows > 0);
                let hash = keyspace.hash_of_row(&collection);
                change(Index::Hash(hash), collection, after.rows > 0);
            }
        }
        Ok(())
    }
}
