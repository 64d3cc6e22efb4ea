//! What a key holds beside a value: the elements of a set or hash, and when they end.

use bytes::Bytes;

use super::Partition;
use crate::clock::Hlc;
use crate::object::{
    Kind, Lifetime, Name, Version, Versions, before_hash, element_row, end_row, value_row,
};
use crate::store::StoreError;
use crate::store::elements::Elements;

/// Rows that are read at once where elements are looked for.
const LOOKED_AT: usize = 256;

/// What a key shows. Several only come together by writes that did not see each other; then the
/// first of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A value.
    Value,
    /// Elements.
    Elements(Kind),
}

/// Some elements of a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Each with what it shows, in the order of their hashes.
    pub elements: Vec<(Bytes, Version)>,
    /// The hash to go on from, if there are more.
    pub next: Option<u64>,
}

/// How much a [`Page`] has at most. It has one element at least, unless there is none.
#[derive(Clone, Copy, Debug)]
pub struct PageSize {
    /// About how many elements: those with the hash of the last come with it.
    pub elements: usize,
    /// How many bytes of elements and values.
    pub bytes: usize,
}

impl Partition {
    /// What `key` shows at `wall_ms`, if anything.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn shown(&self, key: &Bytes, wall_ms: u64) -> Result<Option<Shown>, StoreError> {
        let has_value = self.read(&value_row(key.clone()), wall_ms)?.is_some();
        if has_value {
            return Ok(Some(Shown::Value));
        }
        let kind = self.shown_kind(key, wall_ms)?;
        Ok(kind.map(Shown::Elements))
    }

    /// Of which kind elements are that `key` would show if it had no value. Costs nothing while
    /// the partition has no elements.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn shown_kind(&self, key: &[u8], wall_ms: u64) -> Result<Option<Kind>, StoreError> {
        if !self.has_collections() {
            return Ok(None);
        }
        let lifetime = self.lifetime(key, wall_ms)?;
        for kind in Kind::ALL {
            if self.has_elements(kind, key, &lifetime)? {
                return Ok(Some(kind));
            }
        }
        Ok(None)
    }

    /// Whether any key has elements.
    pub fn has_collections(&self) -> bool {
        self.table.totals().collections > 0
    }

    /// What the elements of `key` of one kind are together, gone ones that are not removed yet
    /// included.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn elements(&self, kind: Kind, key: &[u8]) -> Result<Elements, StoreError> {
        self.check_readable()?;
        match self.has_collections() {
            false => Ok(Elements::default()),
            true => self.table.elements(&kind.collection(key)),
        }
    }

    /// What ends the elements of `key`, as of `wall_ms`.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn lifetime(&self, key: &[u8], wall_ms: u64) -> Result<Lifetime, StoreError> {
        self.check_readable()?;
        if self.table.holds_nothing_else() {
            return Ok(Lifetime::default());
        }
        self.table.read(&self.clock, &end_row(key), |row| {
            row.map(|row| row.versions.lifetime_at(wall_ms))
                .unwrap_or_default()
        })
    }

    /// Whether there is a row that says when the elements of `key` end.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn has_end(&self, key: &[u8]) -> Result<bool, StoreError> {
        self.table.read(&self.clock, &end_row(key), |row| {
            row.is_some_and(|row| !row.versions.is_empty())
        })
    }

    /// Whether `key` has elements of a kind that are not gone.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn has_elements(
        &self,
        kind: Kind,
        key: &[u8],
        lifetime: &Lifetime,
    ) -> Result<bool, StoreError> {
        if self.elements(kind, key)?.rows == 0 {
            return Ok(false);
        }
        if lifetime.gone_before_ms == 0 {
            return Ok(true);
        }
        let one = PageSize {
            elements: 1,
            bytes: 1,
        };
        let page = self.page(&kind.collection(key), 0, one, lifetime)?;
        Ok(!page.elements.is_empty())
    }

    /// How many elements `key` has that are not gone.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn count_elements(
        &self,
        kind: Kind,
        key: &[u8],
        lifetime: &Lifetime,
    ) -> Result<u64, StoreError> {
        let all = self.elements(kind, key)?.rows;
        if all == 0 || lifetime.gone_before_ms == 0 {
            return Ok(all);
        }
        // For the seconds until those that are gone are removed.
        let mut count = 0_u64;
        self.look_at(&kind.collection(key), 0, |_, versions| {
            count = count.saturating_add(u64::from(shows(versions, lifetime)));
            true
        })?;
        Ok(count)
    }

    /// What an element shows.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn element(
        &self,
        collection: &[u8],
        element: &[u8],
        lifetime: &Lifetime,
    ) -> Result<Option<Version>, StoreError> {
        self.check_readable()?;
        let row = element_row(collection, element);
        self.table
            .read(&self.clock, &row, |row| shown_of(&row?.versions, lifetime))
    }

    /// The elements of a collection from a hash on.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn page(
        &self,
        collection: &[u8],
        from: u64,
        size: PageSize,
        lifetime: &Lifetime,
    ) -> Result<Page, StoreError> {
        let mut page = Page::default();
        let (mut bytes, mut last) = (0_usize, None);
        self.look_at(collection, from, |name, versions| {
            let Name::Element { hash, element, .. } = Name::of(name) else {
                return true;
            };
            let may_end = last.is_some_and(|last| last != hash);
            if may_end && page.elements.len() >= size.elements {
                page.next = Some(hash);
                return false;
            }
            let Some(version) = shown_of(versions, lifetime) else {
                return true;
            };
            bytes = bytes
                .saturating_add(element.len())
                .saturating_add(version.value.len());
            if may_end && bytes > size.bytes {
                page.next = Some(hash);
                return false;
            }
            last = Some(hash);
            page.elements.push((name.slice_ref(element), version));
            true
        })?;
        Ok(page)
    }

    /// The elements of a collection from a hash on, without what they show, at most `count`.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn shown_names(
        &self,
        collection: &[u8],
        from: u64,
        count: usize,
        lifetime: &Lifetime,
    ) -> Result<Vec<Bytes>, StoreError> {
        let element_of = |row: &Bytes| match Name::of(row) {
            Name::Element { element, .. } => Some(row.slice_ref(element)),
            _ => None,
        };
        if lifetime.gone_before_ms == 0 {
            // Every row shows.
            let rows = self.element_names(collection, &before_hash(collection, from), count)?;
            return Ok(rows.iter().filter_map(element_of).collect());
        }
        let mut names = Vec::new();
        self.look_at(collection, from, |row, versions| {
            if names.len() < count && shows(versions, lifetime) {
                names.extend(element_of(row));
            }
            names.len() < count
        })?;
        Ok(names)
    }

    /// At most `count` rows of a collection of which nothing shows any more.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn gone(
        &self,
        collection: &[u8],
        lifetime: &Lifetime,
        count: usize,
    ) -> Result<Vec<Bytes>, StoreError> {
        let mut gone = Vec::new();
        self.look_at(collection, 0, |name, versions| {
            if !shows(versions, lifetime) {
                gone.push(name.clone());
            }
            gone.len() < count
        })?;
        Ok(gone)
    }

    /// Whether there are rows of elements of `key`, whether they show or not.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn has_rows_of_elements(&self, key: &[u8]) -> Result<bool, StoreError> {
        for kind in Kind::ALL {
            if self.elements(kind, key)?.rows > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Gives the rows of a collection to `each`, until it has enough.
    pub(super) fn look_at(
        &self,
        collection: &[u8],
        from: u64,
        mut each: impl FnMut(&Bytes, &Versions) -> bool,
    ) -> Result<(), StoreError> {
        let mut after = before_hash(collection, from);
        loop {
            let names = self.element_names(collection, &after, LOOKED_AT)?;
            let is_all = names.len() < LOOKED_AT;
            for name in &names {
                let goes_on = self.table.read(&self.clock, name, |row| {
                    row.is_none_or(|row| each(name, &row.versions))
                })?;
                if !goes_on {
                    return Ok(());
                }
            }
            match names.last() {
                Some(last) if !is_all => after = last.clone(),
                _ => return Ok(()),
            }
        }
    }

    /// The time by which a write at `wall_ms` is judged: that of its timestamp, so that what it
    /// takes for ended is what its own version comes after.
    pub fn judged_at(&self, wall_ms: u64) -> u64 {
        wall_ms.max(self.hlc.last().wall_ms())
    }
}

/// What the versions of an element show.
fn shown_of(versions: &Versions, lifetime: &Lifetime) -> Option<Version> {
    if lifetime.gone_before_ms == 0 {
        return versions.value_at(0);
    }
    versions.within(lifetime).value_at(0)
}

fn shows(versions: &Versions, lifetime: &Lifetime) -> bool {
    let is_alive = |hlc: Hlc| !lifetime.is_over(hlc);
    versions.iter().any(|(_, version)| is_alive(version.hlc))
}
