//! What a node's data amounts to.

use std::sync::atomic::Ordering;

use super::Data;

/// Sums over all partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataStats {
    /// Keys, those included whose value has ended and is not removed yet.
    pub keys: u64,
    /// Live versions that will end.
    pub ending: u64,
    /// Live versions; more than `keys` means siblings.
    pub dots_live: u64,
    /// Rows kept only for their causal context.
    pub rows_residual: u64,
    /// Gaps in clocks: writes that are on their way, or lost with a disk.
    pub holes: u64,
    /// Dead actors that are being closed (PROTOCOL 3.9).
    pub frozen: u64,
    /// Dots that came with two values. Anything but zero is a bug.
    pub dot_conflicts: u64,
    /// Rows of the dot logs.
    pub log_rows: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// About how many bytes the rows in memory take.
    pub cached_bytes: u64,
    /// Reads of the storage engine that failed.
    pub unread: u64,
    /// Partitions that this node owns.
    pub owned: u64,
    /// Owned partitions that wait to be compared with another replica: what was here was
    /// damaged, or this node has come to own them before it held them.
    pub rebuilding: u64,
    /// Writes that this node once had, and only other replicas had since: its disk lost them.
    pub own_writes_lost: u64,
    /// Writes that wait for replicas.
    pub waiting: u64,
    /// Partitions being fetched or waiting to be.
    pub sync_backlog: u64,
    /// Bytes of keys and values that came by syncs since the start, about.
    pub fetched_bytes: u64,
}

impl DataStats {
    /// Live versions per thousand keys, a thousand if there is nothing: what a node that
    /// leaks metadata would show first, on the long run.
    pub fn dots_per_1000_keys(&self) -> u64 {
        match self.keys {
            0 => 1_000 + self.dots_live,
            keys => self.dots_live.saturating_mul(1_000) / keys,
        }
    }
}

impl<W> Data<W> {
    /// Sums over all partitions.
    pub fn stats(&self) -> DataStats {
        let view = self.view();
        let mut sums = DataStats {
            sync_backlog: self.sync.lock().backlog() as u64,
            fetched_bytes: self.fetched_bytes.load(Ordering::Relaxed),
            ..DataStats::default()
        };
        for shard in &self.shards {
            let shard = shard.lock();
            sums.waiting += shard.waiting() as u64;
            for (id, stats) in shard.stats() {
                sums.keys += stats.keys as u64;
                sums.ending += stats.ending as u64;
                sums.dots_live += stats.dots_live as u64;
                sums.holes += stats.holes as u64;
                sums.frozen += stats.frozen as u64;
                sums.dot_conflicts += stats.dot_conflicts;
                sums.rows_residual += stats.residual_rows as u64;
                sums.log_rows += stats.log_rows as u64;
                sums.bytes += stats.bytes as u64;
                sums.cached_bytes += stats.cached_bytes as u64;
                sums.unread += stats.unread;
                let is_owner = view.group(id).is_owner;
                sums.rebuilding += u64::from(stats.rebuilding && is_owner);
                sums.owned += u64::from(is_owner);
                sums.own_writes_lost += stats.writes_lost;
            }
        }
        sums
    }

    /// Number of keys, those included whose value has ended and is not removed yet.
    pub fn key_count(&self) -> u64 {
        self.stats().keys
    }
}
