//! A view of the database that can be taken away from whoever reads it.
//!
//! fjall lets go of a directory when the last handle of any kind is gone, and snapshots are
//! held by full syncs and backups for minutes. So nobody outside holds a handle: they hold
//! this, and closing it leaves them an error.

use std::ops::Bound;

use bytes::Bytes;
use parking_lot::RwLock;

use super::view::View;
use crate::object::Row;
use crate::placement::PartitionId;
use crate::store::derived::Index;
use crate::store::engine::{EngineError, Loaded, Piece, Reader};

/// A view until it is closed.
pub(super) struct Held(RwLock<Option<View>>);

impl Held {
    pub(super) fn new(view: View) -> Self {
        Self(RwLock::new(Some(view)))
    }

    /// What `work` makes of the view. It stays open meanwhile.
    pub(super) fn with<T>(
        &self,
        work: impl FnOnce(&View) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        match &*self.0.read() {
            Some(view) => work(view),
            None => Err(EngineError::Closed),
        }
    }

    /// Waits for those who work with the view and takes it away. The last handle that is
    /// dropped waits for the database's threads.
    pub(super) fn close(&self) {
        let view = self.0.write().take();
        drop(view);
    }
}

impl Reader for Held {
    fn load(&self, partition: PartitionId) -> Result<Loaded, EngineError> {
        self.with(|view| view.load(partition))
    }

    fn row(&self, partition: PartitionId, key: &[u8]) -> Result<Option<Row>, EngineError> {
        self.with(|view| view.row(partition, key))
    }

    fn rows(
        &self,
        partition: PartitionId,
        after: Option<&[u8]>,
        piece: Piece,
    ) -> Result<Vec<(Bytes, Row)>, EngineError> {
        self.with(|view| view.rows(partition, after, piece))
    }

    fn names(
        &self,
        partition: PartitionId,
        prefix: &[u8],
        after: Option<&[u8]>,
        count: usize,
    ) -> Result<Vec<Bytes>, EngineError> {
        self.with(|view| view.names(partition, prefix, after, count))
    }

    fn indexed(
        &self,
        partition: PartitionId,
        from: Bound<(Index, &[u8])>,
        last: Index,
        count: usize,
    ) -> Result<Vec<(Index, Bytes)>, EngineError> {
        self.with(|view| view.indexed(partition, from, last, count))
    }
}
