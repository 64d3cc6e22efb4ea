//! The rows of a partition that are in memory.
//!
//! Every one of them is in the engine too, since a batch is committed before it is installed:
//! any row may be dropped at any time. Which one, is decided by a clock (second chance) whose
//! dial is the order of hashes: as good as chance, so that neighbouring keys are not dropped
//! together, and it needs no list beside the tree.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use super::slot::{Place, Slot};
use crate::object::Row;
use crate::store::budget::Share;

/// About how many bytes a row takes beside its key, its values and its versions: its place in
/// a tree that is three quarters full, the headers of its allocations.
const PER_ROW: usize = 224;

/// The same for each of its versions, and the header of its value.
const PER_VERSION: usize = 112;

/// The same for each entry of its residual context.
const PER_ENTRY: usize = 64;

/// How many rows the hand passes at most to find one that was not used since it came by last.
/// Then it takes the next: a search must not hold up a write when all rows are in use.
const PASSED_MAX: usize = 64;

/// Rows in memory, by hash.
#[derive(Debug)]
pub(super) struct Cache {
    rows: BTreeMap<Slot, Cached>,
    /// Where the hand stands.
    hand: u64,
    share: Share,
}

#[derive(Debug)]
struct Cached {
    row: Row,
    /// It was read or written since the hand came by.
    used: Cell<bool>,
}

impl Cache {
    pub(super) fn new(share: Share) -> Self {
        Self {
            rows: BTreeMap::new(),
            hand: 0,
            share,
        }
    }

    /// The row of the key at `place`, if it is here.
    pub(super) fn get(&self, place: (u64, &[u8])) -> Option<&Row> {
        let cached = self.rows.get(&place as &dyn Place)?;
        cached.used.set(true);
        Some(&cached.row)
    }

    /// The form of a key that is here.
    pub(super) fn key(&self, place: (u64, &[u8])) -> Option<&Bytes> {
        let (slot, _) = self.rows.get_key_value(&place as &dyn Place)?;
        Some(&slot.key)
    }

    /// Whether none is ever here.
    pub(super) fn is_off(&self) -> bool {
        self.share.is_none()
    }

    /// Takes the row of a key in, or the place of the one that was here.
    pub(super) fn put(&mut self, hash: u64, key: Bytes, row: Row) {
        if self.share.is_none() {
            return;
        }
        let place = (hash, key.as_ref());
        let bytes = cost(&key, &row);
        if let Some(cached) = self.rows.get_mut(&place as &dyn Place) {
            let before = cost(&key, &cached.row);
            cached.row = row;
            cached.used.set(true);
            self.share.give_back(before);
        } else {
            let used = Cell::new(false);
            self.rows.insert(Slot { hash, key }, Cached { row, used });
        }
        self.share.take(bytes);
        self.trim();
    }

    /// Drops the row of a key.
    pub(super) fn remove(&mut self, place: (u64, &[u8])) {
        if let Some(cached) = self.rows.remove(&place as &dyn Place) {
            self.share.give_back(cost(place.1, &cached.row));
        }
    }

    /// How many rows are here.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// About how many bytes they take.
    pub(super) fn bytes(&self) -> usize {
        self.share.bytes()
    }

    /// Drops rows until the partition takes no more than it may.
    pub(super) fn trim(&mut self) {
        while self.share.is_over() {
            let Some((hash, key)) = self.next_out() else {
                return;
            };
            self.hand = hash;
            self.remove((hash, &key));
        }
    }

    /// The first row from the hand on that was not used since the hand came by.
    fn next_out(&self) -> Option<(u64, Bytes)> {
        let from = (self.hand, &[][..]);
        let bounds = (Bound::Included(&from as &dyn Place), Bound::Unbounded);
        let ahead = self.rows.range::<dyn Place, _>(bounds);
        let mut out = None;
        for (slot, cached) in ahead.chain(&self.rows).take(PASSED_MAX) {
            out = Some((slot.hash, &slot.key));
            if !cached.used.replace(false) {
                break;
            }
        }
        out.map(|(hash, key)| (hash, key.clone()))
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Bytes, &Row)> {
        self.rows
            .iter()
            .map(|(slot, cached)| (&slot.key, &cached.row))
    }
}

/// About how many bytes a row takes here.
fn cost(key: &[u8], row: &Row) -> usize {
    PER_ROW
        + key.len()
        + row.versions.value_bytes()
        + row.versions.len() * PER_VERSION
        + row.residual.len() * PER_ENTRY
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ActorId, Dot, Hlc};
    use crate::object::Version;
    use crate::store::budget::RowBudget;

    fn row(length: usize) -> Row {
        let version = Version {
            hlc: Hlc::default(),
            expire_at_ms: None,
            value: vec![0; length].into(),
            part: None,
        };
        let actor = ActorId::default();
        Row {
            versions: [(Dot { actor, n: 1 }, version)].into_iter().collect(),
            ..Row::default()
        }
    }

    fn key(n: u64) -> Bytes {
        Bytes::copy_from_slice(&n.to_be_bytes())
    }

    #[test]
    fn rows_in_use_outlive_others() {
        let budget = RowBudget::new(100 * cost(&key(0), &row(10)));
        let mut cache = Cache::new(budget.share());
        for n in 0..10_000u64 {
            cache.put(n.wrapping_mul(0x9e37_79b9_7f4a_7c15), key(n), row(10));
            for hot in 0..10u64 {
                let hash = hot.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                assert!(
                    n < hot || cache.get((hash, &key(hot))).is_some(),
                    "{hot} at {n}"
                );
            }
        }
        assert_eq!(cache.len(), 100);
        assert_eq!(cache.bytes(), budget.bytes());
    }

    #[test]
    fn the_bound_holds_whatever_comes() {
        let budget = RowBudget::new(10_000);
        let mut cache = Cache::new(budget.share());
        for n in 0..1_000 {
            cache.put(n % 50, key(n % 50), row((n as usize * 7_919) % 4_000));
            assert!(cache.bytes() <= 10_000);
            for used in 0..n % 50 {
                cache.get((used, &key(used)));
            }
        }
        cache.put(7, key(7), row(20_000));
        assert!(cache.get((7, &key(7))).is_none(), "larger than all memory");
        for n in 0..50 {
            cache.remove((n, &key(n)));
        }
        assert_eq!((cache.len(), budget.bytes()), (0, 0));
    }
}
