//! What a node does about data when its engine has failed, and when it was opened again.
//!
//! A partition whose commit failed issues no dot before it was opened again under a fresh
//! actor (PROTOCOL R1): its last batch may be on the disk or not. After an fsync that failed
//! the same holds for all partitions and everything that was not synced. So all of them are
//! opened again, and their clocks are what the disk has. What it lost of theirs, peers send
//! like anything else that a node lacks.

use std::sync::Arc;

use rand::Rng;
use rand::rngs::SmallRng;

use super::Data;
use super::shard::Shard;
use crate::clock::ActorId;
use crate::store::engine::Engine;
use crate::store::{Partition, StoreError};

impl<W> Data<W> {
    /// The engine has failed: what was committed and not synced may be lost, so no write that
    /// waits counts this node among the replicas that have it.
    pub fn distrust(&self) {
        for shard in &self.shards {
            shard.lock().distrust();
        }
    }

    /// Opens every partition again, each under a fresh actor, on `engine`, a later opening of
    /// the one that failed. Backups, restores and full syncs that run are over.
    ///
    /// # Errors
    /// When a partition cannot be read whole. Then nothing was changed.
    pub fn reopen(&self, engine: &Arc<dyn Engine>, mut rng: SmallRng) -> Result<(), StoreError> {
        let mut fresh: Vec<Vec<Partition>> = Vec::with_capacity(self.shards.len());
        for shard in &self.shards {
            let shard = shard.lock();
            let opened = shard.partitions().map(|partition| {
                let actor = ActorId {
                    node: self.me,
                    incarnation: rng.next_u64(),
                };
                partition.reopened(actor, engine.clone())
            });
            fresh.push(opened.collect::<Result<_, _>>()?);
        }
        *self.engine.write() = engine.clone();
        for (shard, partitions) in self.shards.iter().zip(fresh) {
            shard.lock().replace(partitions);
        }
        *self.transfers.lock() = Default::default();
        self.sync.lock().fall_back();
        Ok(())
    }
}

impl<W> Shard<W> {
    fn distrust(&mut self) {
        self.unsynced.clear();
        self.writes.retract();
    }

    /// Goes on with other openings of its partitions. Those who wait for answers to the old
    /// ones get none: their time runs out.
    fn replace(&mut self, partitions: Vec<Partition>) {
        self.distrust();
        self.sources.clear();
        self.fetches.clear();
        self.partitions = partitions.into_iter().map(|p| (p.id(), p)).collect();
    }
}
