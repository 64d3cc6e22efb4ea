//! The next opening of a partition whose engine had failed.

use std::sync::Arc;

use super::Partition;
use crate::clock::ActorId;
use crate::store::StoreError;
use crate::store::engine::Engine;

impl Partition {
    /// The same partition with what `engine`, a later opening, holds of it: see
    /// [`open`](Self::open). Of this opening stays what is no part of the data.
    pub fn reopened(&self, actor: ActorId, engine: Arc<dyn Engine>) -> Result<Self, StoreError> {
        let mut fresh = Self::open(self.id, actor, engine, self.options)?;
        fresh.hlc = self.hlc.clone();
        fresh.dot_conflicts = self.dot_conflicts;
        Ok(fresh)
    }
}
