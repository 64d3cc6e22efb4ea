//! How much there was of what.

use super::history::{History, Kind, Status};
use super::order::Key;

/// Counts over one history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    pub operations: usize,
    pub reads: usize,
    /// Writes that were answered `ok`.
    pub acknowledged: usize,
    /// Writes of unknown outcome.
    pub indeterminate: usize,
    /// Writes that were refused.
    pub refused: usize,
    pub keys: usize,
    /// Acknowledged puts.
    pub puts: usize,
    /// Acknowledged puts whose value is there at the end.
    pub live: usize,
    /// Acknowledged puts that are gone because of a write that knew them.
    pub covered: usize,
}

impl Figures {
    pub(super) fn of(history: &History) -> Self {
        let mut figures = Self::default();
        for operation in &history.operations {
            figures.operations += 1;
            match (operation.kind, operation.status) {
                (Kind::Get, _) => figures.reads += 1,
                (_, Status::Ok) => figures.acknowledged += 1,
                (_, Status::Indeterminate) => figures.indeterminate += 1,
                (_, Status::Failed) => figures.refused += 1,
            }
        }
        figures
    }

    pub(super) fn add_key(&mut self, key: &Key<'_>) {
        self.keys += 1;
        for (w, write) in key.writes.iter().enumerate() {
            if write.kind != Kind::Put || write.status != Status::Ok {
                continue;
            }
            self.puts += 1;
            let there = |value| key.finally.iter().any(|a| a.values.contains(value));
            if write.value.as_ref().is_some_and(there) {
                self.live += 1;
            } else if key.covered_by(w).is_some() {
                self.covered += 1;
            }
        }
    }

    /// Acknowledged puts that are gone and that no write is known to have known: those that
    /// lost to a concurrent write, and those replaced by one that had heard of them from
    /// another node. So it bounds the clobbered ones from above.
    pub fn clobbered_most(&self) -> usize {
        self.puts - self.live - self.covered
    }

    /// The same as a share of all acknowledged puts.
    pub fn clobbered_rate(&self) -> f64 {
        self.clobbered_most() as f64 / self.puts.max(1) as f64
    }
}
