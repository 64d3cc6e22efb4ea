//! What a replica knows of what its disk has lost; what it does about it is in `recovery`.

use crate::clock::{ActorId, DotSet, RUNS_MAX, RunSet};
use crate::store::engine::Batch;

/// What is known of losses.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// Whether this replica waits for another one. Durable.
    rebuilding: bool,
    /// The same as long as nothing else is known, of a node that remembers no cluster.
    presumed: bool,
    /// Dots of earlier openings of this replica that others have and it had not. Bounded by
    /// [`RUNS_MAX`] runs.
    lost: DotSet,
}

impl Recovery {
    pub(super) fn new(rebuilding: bool) -> Self {
        Self {
            rebuilding,
            presumed: false,
            lost: DotSet::new(),
        }
    }

    pub(super) fn is_rebuilding(&self) -> bool {
        self.rebuilding || self.presumed
    }

    /// Whether it is durable that this replica waits, or does not.
    pub(super) fn is_kept(&self, rebuilding: bool) -> bool {
        self.rebuilding == rebuilding
    }

    pub(super) fn is_presumed(&self) -> bool {
        self.presumed
    }

    pub(super) fn presume(&mut self, rebuilding: bool) {
        self.presumed = rebuilding;
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
