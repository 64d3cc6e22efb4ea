//! Who on this node is told what clients publish, on whichever node they do.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

/// Told a channel and what was published there; returns how many subscribers got it.
///
/// It runs on the task of whoever publishes or of the peer's stream, and must not block.
pub type Listener = Arc<dyn Fn(&Bytes, &Bytes) -> usize + Send + Sync>;

/// Everybody who listens: one for each server in front of the node.
#[derive(Default)]
pub(super) struct Listeners(RwLock<Vec<Listener>>);

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.read().len();
        f.debug_tuple("Listeners").field(&count).finish()
    }
}

impl Listeners {
    /// From now on this one is told too.
    pub(super) fn add(&self, listener: Listener) {
        self.0.write().push(listener);
    }

    /// Tells everybody; how many subscribers got it.
    pub(super) fn tell(&self, channel: &Bytes, payload: &Bytes) -> usize {
        let listeners = self.0.read();
        listeners
            .iter()
            .map(|listener| listener(channel, payload))
            .sum()
    }
}
