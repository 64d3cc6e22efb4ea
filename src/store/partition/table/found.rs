//! Keys by what else than their whole name they are found by: the indexes, in the engine.

use std::collections::BTreeSet;
use std::ops::Bound;

use bytes::Bytes;

use super::Table;
use crate::clock::ActorId;
use crate::store::StoreError;
use crate::store::derived::Index;
use crate::store::elements::Elements;

impl Table {
    /// The next `count` collections after `after` whose names begin with `prefix`.
    pub(in crate::store::partition) fn collections(
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
    pub(in crate::store::partition) fn by_hash(
        &self,
        from: u64,
        count: usize,
    ) -> Result<Vec<(u64, Bytes)>, StoreError> {
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
    pub(in crate::store::partition) fn by_name(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        count: usize,
    ) -> Result<Vec<Bytes>, StoreError> {
        let names = self.engine.reader().names(self.id, prefix, after, count);
        names.map_err(|error| self.unreadable(error))
    }

    /// The keys with a residual entry of `actor` at or below `base`.
    pub(in crate::store::partition) fn residual_up_to(
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

    /// The keys of at most `count` versions that end at or before `until_ms`.
    pub(in crate::store::partition) fn ending(
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
    pub(in crate::store::partition) fn oversized(
        &self,
        count: usize,
    ) -> Result<Vec<Bytes>, StoreError> {
        if self.totals.oversized == 0 || count == 0 {
            return Ok(Vec::new());
        }
        let first = Bound::Included((Index::Oversized, &[][..]));
        let found = self.indexed(first, Index::Oversized, count)?;
        Ok(found.into_iter().map(|(_, key)| key).collect())
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
}
