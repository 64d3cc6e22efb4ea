//! Which keys there are: by hash, for scans with a cursor, and by name, for those with a
//! common beginning. Both read the engine's order of keys, not the rows.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::Partition;
use super::upkeep::EXPIRE_KEYS_MAX;
use crate::object::{BEHIND_OTHERS, Kind, Name, key_of, shared_key_of, value_prefix};
use crate::store::StoreError;

impl Partition {
    /// The next `count` rows of values with versions and collections with elements, from the
    /// hash `from_hash` of their keys on, in the order of these, and with the last of them all
    /// that share its hash. Fewer when there are no more.
    ///
    /// Those whose last version has ended are listed until they are removed.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn keys_from(&self, from_hash: u64, count: usize) -> Result<Vec<(u64, Bytes)>, StoreError> {
        self.check_readable()?;
        self.table.by_hash(from_hash, count)
    }

    /// The next `count` keys after `after` that begin with `prefix` and may have a value or
    /// elements, in ascending order. Fewer when there are no more.
    ///
    /// Not each of them [has something](Self::has_something).
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn names(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        count: usize,
    ) -> Result<Vec<Bytes>, StoreError> {
        self.check_readable()?;
        let mut names = self.value_names(prefix, after, count)?;
        if self.table.totals().collections > 0 {
            for kind in Kind::ALL {
                let after = after.map(|after| kind.collection(after));
                let prefix = kind.prefix(prefix);
                let found = self.table.collections(&prefix, after.as_deref(), count)?;
                names.extend(found.iter().map(shared_key_of));
            }
        }
        Ok(names.into_iter().take(count).collect())
    }

    /// The same of values alone.
    fn value_names(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        count: usize,
    ) -> Result<BTreeSet<Bytes>, StoreError> {
        let prefix = value_prefix(prefix);
        let after = after.map(value_prefix);
        let found = self.table.by_name(&prefix, after.as_deref(), count)?;
        let is_value = |name: &Bytes| Name::of(name) == Name::Value;
        let others = found.iter().filter(|name| !is_value(name)).count();
        let is_all = found.len() < count;
        let values = found.into_iter().filter(is_value);
        let mut keys: BTreeSet<Bytes> = values.map(|name| shared_key_of(&name)).collect();
        if others > 0 && !is_all {
            // Behind those that begin with a NUL, and before the rest, lie all other rows.
            let rest = self.table.by_name(&prefix, Some(BEHIND_OTHERS), count)?;
            keys.extend(rest.iter().map(shared_key_of));
        }
        Ok(keys)
    }

    /// The next `count` rows of a collection after a place in the order of their names.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn element_names(
        &self,
        collection: &[u8],
        after: &[u8],
        count: usize,
    ) -> Result<Vec<Bytes>, StoreError> {
        self.check_readable()?;
        self.table.by_name(collection, Some(after), count)
    }

    /// Number of keys that have a value, or elements, at `wall_ms`; one that has both, which
    /// takes concurrent writes, counts twice.
    ///
    /// Costs the keys that have ended and are not removed yet. Of those at most
    /// [`EXPIRE_KEYS_MAX`] are looked at, as many as are removed per turn; only after a larger
    /// burst of endings does the number hold some that have no value, until they are removed.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn key_count(&self, wall_ms: u64) -> Result<u64, StoreError> {
        self.check_readable()?;
        let mut ended = 0;
        for row in self.table.ending(wall_ms, EXPIRE_KEYS_MAX)? {
            ended += match Name::of(&row) {
                Name::End => self.count_ended(&row, wall_ms)?,
                _ => u64::from(!self.has_something(&row, wall_ms)?),
            };
        }
        Ok(self.table.totals().keys.saturating_sub(ended))
    }

    /// Whether a key that [`names`](Self::names) gave shows anything at `wall_ms`.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn has_key(&self, named: &Bytes, wall_ms: u64) -> Result<bool, StoreError> {
        Ok(self.table.is_plain() || self.shown(named, wall_ms)?.is_some())
    }

    /// Whether a listed row has a value, or a listed collection elements, at `wall_ms`. Nearly
    /// always that is known without reading a row.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn has_something(&self, listed: &[u8], wall_ms: u64) -> Result<bool, StoreError> {
        if self.table.is_plain() {
            return Ok(true);
        }
        if let Name::Collection(kind) = Name::of(listed) {
            let key = key_of(listed);
            let lifetime = self.lifetime(&key, wall_ms)?;
            return self.has_elements(kind, &key, &lifetime);
        }
        self.table.read(&self.clock, listed, |row| {
            row.is_some_and(|row| row.versions.value_at(wall_ms).is_some())
        })
    }

    /// How many collections have ended with an end that has come.
    fn count_ended(&self, end: &[u8], wall_ms: u64) -> Result<u64, StoreError> {
        let key = key_of(end);
        let lifetime = self.lifetime(&key, wall_ms)?;
        let mut ended = 0;
        for kind in Kind::ALL {
            let is_there = self.elements(kind, &key)?.rows > 0;
            ended += u64::from(is_there && !self.has_elements(kind, &key, &lifetime)?);
        }
        Ok(ended)
    }
}
