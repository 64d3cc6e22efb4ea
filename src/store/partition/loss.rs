//! What a replica knows of what its disk has lost; what it does about it is in `recovery`.

use crate::clock::{ActorId, DotSet, RUNS_MAX, RunSet};
use crate::store::engine::Batch;

/// What is known of losses.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// Whether this replica waits for another one. Durable.
    rebuilding: bool,
    /// Dots of earlier openings of this replica that others have and it had not. Bounded by
    /// [`RUNS_MAX`] runs.
    lost: DotSet,
}

impl Recovery {
    pub(super) fn new(rebuilding: bool) -> Self {
        Self {
            rebuilding,
            lost: DotSet::new(),
        }
    }

    pub(super) fn is_rebuilding(&self) -> bool {
        self.rebuilding
    }

    /// Others have these dots of an earlier opening of this replica, and it has not.
    pub(super) fn lose(&mut self, actor: ActorId, missing: &RunSet) {
        if self.lost.len() + missing.len() <= RUNS_MAX {
            self.lost.insert_runs(actor, missing);
        }
    }

    /// How many writes this replica once had that only others had since.
    pub(super) fn writes_lost(&self) -> u64 {
        self.lost.count()
    }

    /// Follows a batch that was committed.
    pub(super) fn install(&mut self, batch: &Batch) {
        self.rebuilding = batch.rebuilding.unwrap_or(self.rebuilding);
    }
}
