//! The engine of a node that keeps nothing.

use super::{Batch, Engine, EngineError, Loaded};
use crate::placement::PartitionId;

/// Keeps nothing: a node that starts with it starts empty and is filled by its peers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory;

impl Engine for Memory {
    fn load(&self, _: PartitionId) -> Result<Loaded, EngineError> {
        Ok(Loaded::default())
    }

    fn commit(&self, _: &Batch) -> Result<(), EngineError> {
        Ok(())
    }

    fn sync(&self) -> Result<(), EngineError> {
        Ok(())
    }
}
