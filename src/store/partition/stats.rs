//! Figures of a partition.

use super::Partition;

/// Figures of one partition at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionStats {
    /// Keys with at least one version, ended ones included until they are removed.
    pub keys: usize,
    /// Stored rows: keys, and deleted keys whose context is not covered by the clock yet.
    pub rows: usize,
    /// Rows with a residual context; zero in a quiet, healthy cluster.
    pub residual_rows: usize,
    /// Rows of the dot log.
    pub log_rows: usize,
    /// About how many bytes the dot log takes.
    pub log_bytes: usize,
    /// The most versions that one key has.
    pub siblings_max: usize,
    /// Live versions.
    pub dots_live: usize,
    /// Live versions that will end.
    pub ending: usize,
    /// Actors in the clock: openings of this partition, on all nodes, that wrote.
    pub actors: usize,
    /// Runs of the clock above a hole.
    pub holes: usize,
    /// Dead actors that are frozen and not closed yet.
    pub frozen: usize,
    /// Dead actors that are closed.
    pub closed: usize,
    /// Bytes of keys and values.
    pub bytes: usize,
    /// Keys whose versions do not fit a message until they are collapsed.
    pub oversized: usize,
    /// Dots that came with two different values. Anything but zero is a bug or a reused actor.
    pub dot_conflicts: u64,
    /// About how many bytes the rows in memory take.
    pub cached_bytes: usize,
    /// Reads of the engine that failed. Anything but zero is a damaged disk.
    pub unread: u64,
    /// Whether what is not here is not known to be absent.
    pub rebuilding: bool,
    /// Writes that were here once, and only other replicas had since.
    pub writes_lost: u64,
}

impl Partition {
    /// The partition's figures. Costs the actors, not the keys.
    pub fn stats(&self) -> PartitionStats {
        let totals = self.table.totals();
        let shared = totals.siblings.last_key_value().map(|(&count, _)| count);
        let count = |sum: u64| usize::try_from(sum).unwrap_or(usize::MAX);
        PartitionStats {
            keys: count(totals.keys),
            rows: count(totals.rows),
            residual_rows: count(totals.residual_rows),
            log_rows: self.log.len(),
            log_bytes: self.log.bytes(),
            siblings_max: count(shared.unwrap_or(u64::from(totals.keys > 0))),
            dots_live: count(totals.dots_live),
            ending: count(totals.ending),
            actors: self.clock.len(),
            holes: self.clock.runs(),
            frozen: self.closings.frozen().count(),
            closed: self.clock.entries().filter(|(_, e)| e.is_closed()).count(),
            bytes: count(totals.bytes),
            oversized: count(totals.oversized),
            dot_conflicts: self.dot_conflicts,
            cached_bytes: self.table.cached_bytes(),
            unread: self.table.unread(),
            rebuilding: self.is_rebuilding(),
            writes_lost: self.writes_lost(),
        }
    }
}
