//! Who on this node is told what clients publish, on whichever node they do.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

/// Told a channel and what was published there; returns how many subscribers got it.
///
/// It runs on the task of whoever publishes or of the peer's stream, and must not block.
pub type Listener = Arc<dyn Fn(&Bytes, &Bytes) -> usize + Send + Sync>;

/// Asked what is to be published, and where, because a key has ended. Must not block.
pub type ExpiryListener = Arc<dyn Fn(&Bytes) -> Vec<(Bytes, Bytes)> + Send + Sync>;

/// Everybody who listens: one for each server in front of the node.
#[derive(Default)]
pub(super) struct Listeners {
    all: RwLock<Vec<Listener>>,
    for_expired: RwLock<Vec<ExpiryListener>>,
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.all.read().len();
        f.debug_tuple("Listeners").field(&count).finish()
    }
}

impl Listeners {
    /// From now on this one is told too.
    pub(super) fn add(&self, listener: Listener) {
        self.all.write().push(listener);
    }

    /// From now on this one is asked too.
    pub(super) fn add_for_expired(&self, listener: ExpiryListener) {
        self.for_expired.write().push(listener);
    }

    /// What is to be published because a key has ended.
    pub(super) fn messages_of_expired(&self, key: &Bytes) -> Vec<(Bytes, Bytes)> {
        let for_expired = self.for_expired.read();
        for_expired
            .iter()
            .flat_map(|listener| listener(key))
            .collect()
    }

    /// Tells everybody; how many subscribers got it.
    pub(super) fn tell(&self, channel: &Bytes, payload: &Bytes) -> usize {
        let listeners = self.all.read();
        listeners
            .iter()
            .map(|listener| listener(channel, payload))
            .sum()
    }
}
