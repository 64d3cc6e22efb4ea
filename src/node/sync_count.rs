//! Which syncs of the engine have begun, and which were kept.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the syncs, for what waits for one without a confirmation.
#[derive(Debug, Default)]
pub(super) struct SyncCount {
    /// The number of the last that began.
    begun: AtomicU64,
    /// The number of the last that was kept.
    kept: AtomicU64,
}

impl SyncCount {
    /// A sync begins; its number.
    pub(super) fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Sync `number` was kept.
    pub(super) fn keep(&self, number: u64) {
        self.kept.fetch_max(number, Ordering::AcqRel);
    }

    /// The number of the sync that covers what was committed and noted before this is asked.
    pub(super) fn next(&self) -> u64 {
        self.begun.load(Ordering::Acquire) + 1
    }

    /// Whether sync `number`, or a later one, was kept.
    pub(super) fn is_kept(&self, number: u64) -> bool {
        self.kept.load(Ordering::Acquire) >= number
    }
}
