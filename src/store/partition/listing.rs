//! Which keys there are: by hash, for scans with a cursor, and by name, for those with a
//! common beginning. Both read the engine's order of keys, not the rows.

use bytes::Bytes;

use super::Partition;
use super::upkeep::EXPIRE_KEYS_MAX;
use crate::store::StoreError;

impl Partition {
    /// The next `count` keys with versions, from the hash `from_hash` on, in the order of their
    /// hashes, and with the last of them all that share its hash. Fewer when there are no more.
    ///
    /// Keys whose last version has ended are listed until they are removed.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn keys_from(&self, from_hash: u64, count: usize) -> Result<Vec<(u64, Bytes)>, StoreError> {
        self.check_readable()?;
        self.table.by_hash(from_hash, count)
    }

    /// The next `count` names of rows after `after` that begin with `prefix`, in ascending
    /// order. Fewer when there are no more.
    ///
    /// Not each of them [has a value](Self::has_value).
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
        self.table.by_name(prefix, after, count)
    }

    /// Number of keys that have a value at `wall_ms`.
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
        for key in self.table.ending(wall_ms, EXPIRE_KEYS_MAX)? {
            ended += u64::from(!self.has_value(&key, wall_ms)?);
        }
        Ok(self.table.totals().keys.saturating_sub(ended))
    }

    /// Whether a listed key has a value at `wall_ms`. Nearly always that is known without
    /// reading its row.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn has_value(&self, listed: &[u8], wall_ms: u64) -> Result<bool, StoreError> {
        if self.table.is_plain() {
            return Ok(true);
        }
        self.table.read(&self.clock, listed, |row| {
            row.is_some_and(|row| row.versions.value_at(wall_ms).is_some())
        })
    }
}
