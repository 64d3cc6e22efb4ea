//! Whether a node takes in changes, and if not why.
//!
//! The runtime closes the gate when the disk fails or fills. Then clients' writes are refused
//! before anything is done, and what peers send to be kept is dropped: it was confirmed to
//! nobody, and sync brings it once the gate is open. Reads go on, and so do answers to peers.

use std::sync::Arc;

use parking_lot::RwLock;

/// Open or closed. Whoever may close it shares it with [`Data`](super::Data).
#[derive(Debug, Default)]
pub struct Gate(RwLock<Option<Arc<str>>>);

impl Gate {
    /// Lets no more changes in; `why` is told to clients.
    pub fn close(&self, why: &str) {
        *self.0.write() = Some(why.into());
    }

    /// Lets changes in.
    pub fn open(&self) {
        *self.0.write() = None;
    }

    /// Why it is closed, if it is.
    pub fn why_closed(&self) -> Option<Arc<str>> {
        self.0.read().clone()
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.0.read().is_some()
    }
}
