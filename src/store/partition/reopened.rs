//! The next opening of a partition in the same process: after its engine had failed, and after
//! its copy was dropped.

use std::sync::Arc;

use super::Partition;
use crate::clock::ActorId;
use crate::store::StoreError;
use crate::store::engine::{Batch, Engine};

impl Partition {
    /// The same partition with what `engine`, a later opening, holds of it: see
    /// [`open`](Self::open). Of this opening stays what is no part of the data.
    pub fn reopened(&self, actor: ActorId, engine: Arc<dyn Engine>) -> Result<Self, StoreError> {
        let mut fresh = Self::open(self.id, actor, engine, self.options)?;
        fresh.hlc = self.hlc.clone();
        fresh.dot_conflicts = self.dot_conflicts;
        fresh.recovery.presume(self.recovery.is_presumed());
        Ok(fresh)
    }

    /// Removes everything that this node holds of the partition, in one batch (PROTOCOL 3.11),
    /// and opens it again: empty, rebuilding, and under the fresh `actor`. Whether the copy may
    /// go is for the caller to know: all owners have confirmed that they have what is in it
    /// (R20), and it [is not closing](Self::is_closing).
    ///
    /// The dots of this opening are never issued again, whatever others still know of them
    /// (R1, N16). With the clock goes all memory of them: one that a peer brings back is taken
    /// like any other.
    ///
    /// This opening is over then. It takes nothing more, and finds nothing absent.
    ///
    /// # Errors
    /// [`StoreError::ActorReused`] and [`StoreError::Poisoned`]: nothing was changed. Otherwise
    /// the engine failed, and whether the copy is still there is known when the partition has
    /// been opened again.
    pub fn dropped(&mut self, actor: ActorId) -> Result<Self, StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned(self.id));
        }
        if actor == self.actor || self.clock.entry(actor).is_some() {
            return Err(StoreError::ActorReused(actor));
        }
        let batch = Batch {
            partition: self.id,
            clear: true,
            rebuilding: Some(true),
            ..Batch::default()
        };
        self.poisoned = true;
        self.engine.commit(&batch)?;
        self.recovery.install(&batch);
        self.reopened(actor, self.engine.clone())
    }
}
