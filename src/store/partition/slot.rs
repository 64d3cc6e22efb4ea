//! Keys in the order of their hashes, looked up without an allocation.

use std::borrow::Borrow;
use std::cmp::Ordering;

use bytes::Bytes;

/// A key at its place in the partition.
#[derive(Debug)]
pub(super) struct Slot {
    pub hash: u64,
    pub key: Bytes,
}

/// What orders slots. Borrowed keys have it too, so that a lookup allocates nothing.
pub(super) trait Place {
    fn place(&self) -> (u64, &[u8]);
}

impl Place for Slot {
    fn place(&self) -> (u64, &[u8]) {
        (self.hash, &self.key)
    }
}

impl Place for (u64, &[u8]) {
    fn place(&self) -> (u64, &[u8]) {
        *self
    }
}

impl<'a> Borrow<dyn Place + 'a> for Slot {
    fn borrow(&self) -> &(dyn Place + 'a) {
        self
    }
}

impl PartialEq for dyn Place + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for dyn Place + '_ {}

impl PartialOrd for dyn Place + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for dyn Place + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Slot {}

impl PartialOrd for Slot {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Slot {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}
