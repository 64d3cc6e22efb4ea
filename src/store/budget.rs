//! How much memory a node's data may take, and how that is divided.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Of the budget, what is left to an allocator for the gaps between rows and blocks of all sizes,
/// and to what is counted by estimate: measured with ten million rows, a third of what is used.
const GAPS_PART: u64 = 4;

/// Of the rest, what the engine's cache of blocks gets: a miss of the rows in memory costs a
/// disk read unless its block is there, and so do the filters that say that a key is absent.
const BLOCKS_PART: u64 = 4;

/// Of the rest, what may wait in write buffers.
const BUFFERS_PART: u64 = 4;

/// Write buffers at most: one that fills, and those that are on their way to the disk before
/// the engine makes writers wait.
const BUFFERS: u64 = 4;

/// The largest write buffer that is of use: a larger one makes restarts slower and writes no
/// faster.
const BUFFER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The smallest: below it the engine makes more files than it can merge.
const BUFFER_BYTES_MIN: u64 = 1024 * 1024;

/// How much memory a node's data may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBudget {
    bytes: u64,
}

impl Default for MemoryBudget {
    /// A moderate one, for those who do not care.
    fn default() -> Self {
        Self::new(256 * 1024 * 1024)
    }
}

impl MemoryBudget {
    /// So many bytes in all.
    pub const fn new(bytes: u64) -> Self {
        Self { bytes }
    }

    /// All that is counted.
    fn counted(self) -> u64 {
        self.bytes - self.bytes / GAPS_PART
    }

    /// What the engine's cache of blocks may take.
    pub(super) fn block_bytes(self) -> u64 {
        self.counted() / BLOCKS_PART
    }

    /// What may be written before it is on its way to the disk: what a restart has to read
    /// again.
    pub(super) fn buffer_bytes(self) -> u64 {
        let one = self.counted() / BUFFERS_PART / BUFFERS;
        one.clamp(BUFFER_BYTES_MIN, BUFFER_BYTES_MAX)
    }

    /// What rows may take: all the rest.
    pub(super) fn row_bytes(self) -> usize {
        let other = self.block_bytes() + self.buffer_bytes() * BUFFERS;
        usize::try_from(self.counted().saturating_sub(other)).unwrap_or(usize::MAX)
    }
}

/// What data takes that is in memory only, and how much it may.
///
/// It is counted by estimate: bytes of keys and values, and a fixed cost for each row. What is
/// beyond the limit is for whoever adds something to refuse; an engine takes what it is given,
/// because a replica must take what others have acknowledged.
#[derive(Debug)]
pub struct MemoryRoom {
    bytes: AtomicU64,
    bytes_max: u64,
}

/// That there is no room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom {
    /// What data takes, in bytes.
    pub bytes: u64,
    /// What it may take.
    pub bytes_max: u64,
}

impl MemoryRoom {
    /// Room for so many bytes, of which none are taken.
    pub const fn new(bytes_max: u64) -> Self {
        let bytes = AtomicU64::new(0);
        Self { bytes, bytes_max }
    }

    /// Whether something may be added.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn check(&self) -> Result<(), NoRoom> {
        let (bytes, bytes_max) = (self.bytes.load(Ordering::Relaxed), self.bytes_max);
        match bytes < bytes_max {
            true => Ok(()),
            false => Err(NoRoom { bytes, bytes_max }),
        }
    }

    /// Something that took `before` takes `after` from now on.
    pub(super) fn change(&self, before: u64, after: u64) {
        // The same modulo 2⁶⁴, whichever is larger.
        let more = after.wrapping_sub(before);
        // What takes the place of as much is most of what is written.
        if more != 0 {
            self.bytes.fetch_add(more, Ordering::Relaxed);
        }
    }
}

/// What the rows that are kept in memory above an engine may take, those of all partitions
/// together.
#[derive(Clone, Debug)]
pub struct RowBudget(Arc<Sums>);

#[derive(Debug)]
struct Sums {
    bytes_max: usize,
    bytes: AtomicUsize,
    partitions: AtomicUsize,
}

impl RowBudget {
    /// At most so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Sums {
            bytes_max,
            bytes: AtomicUsize::new(0),
            partitions: AtomicUsize::new(0),
        }))
    }

    /// No row is kept above an engine that has all of them in memory.
    pub fn none() -> Self {
        Self::new(0)
    }

    /// Every row is kept.
    pub fn unlimited() -> Self {
        Self::new(usize::MAX)
    }

    /// What all partitions take.
    pub fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// One partition more takes part.
    pub(super) fn share(&self) -> Share {
        self.0.partitions.fetch_add(1, Ordering::Relaxed);
        Share {
            sums: self.0.clone(),
            bytes: 0,
        }
    }
}

/// One partition's part in a budget, given back when it is dropped.
///
/// A partition may take more than an even share while others take less. When all together take
/// too much, those above an even share have to give way, so that no partition starves and the
/// whole is never more than twice what it may be; once the greedy ones have been told, it is
/// what it may be.
#[derive(Debug)]
pub(super) struct Share {
    sums: Arc<Sums>,
    bytes: usize,
}

impl Share {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether anything may be kept at all.
    pub(super) fn is_none(&self) -> bool {
        self.sums.bytes_max == 0
    }

    pub(super) fn take(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.sums.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn give_back(&mut self, bytes: usize) {
        debug_assert!(self.bytes >= bytes, "nothing is given back twice");
        self.bytes -= bytes;
        self.sums.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether this partition has to give something back.
    pub(super) fn is_over(&self) -> bool {
        let sums = &self.sums;
        let partitions = sums.partitions.load(Ordering::Relaxed).max(1);
        sums.bytes.load(Ordering::Relaxed) > sums.bytes_max
            && self.bytes > sums.bytes_max / partitions
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.sums.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.sums.partitions.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_the_whole() {
        const MB: u64 = 1_000_000;
        for bytes in [32 * MB, 64 * MB, 1_000 * MB, 100_000 * MB] {
            let budget = MemoryBudget::new(bytes);
            let buffers = budget.buffer_bytes() * BUFFERS;
            let parts = budget.row_bytes() as u64 + budget.block_bytes() + buffers;
            assert_eq!(parts, bytes / 4 * 3);
            assert!(budget.row_bytes() as u64 >= bytes / 3);
        }
    }

    #[test]
    fn who_is_above_an_even_share_gives_way() {
        let budget = RowBudget::new(100);
        let (mut first, mut second) = (budget.share(), budget.share());
        first.take(90);
        assert!(!first.is_over(), "others take less");
        second.take(30);
        assert!(first.is_over());
        assert!(!second.is_over(), "below its share");
        first.give_back(20);
        assert!(!first.is_over());
        drop(first);
        assert_eq!(budget.bytes(), 30);
    }
}
