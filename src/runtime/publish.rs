//! Publishing: to the listeners of this node at once, to the other members over their links.

use bytes::Bytes;

use super::handle::Handle;
use super::listeners::{ExpiryListener, Listener};

impl Handle {
    /// Tells every subscriber in the cluster, and returns how many there are on this node. Never
    /// waits: to a member whose link is down, or too busy, nothing is sent, and nobody keeps
    /// what was published.
    ///
    /// What one caller publishes, one call after the other, arrives in that order wherever it
    /// arrives.
    pub fn publish(&self, channel: &Bytes, payload: &Bytes) -> usize {
        self.core().publish(channel, payload)
    }

    /// From now on `listener` is told what is published anywhere in the cluster, for as long as
    /// the node lives.
    pub fn listen(&self, listener: Listener) {
        self.core().listeners.add(listener);
    }

    /// From now on what `listener` says is published when this node sees that a key has ended.
    pub fn listen_expired(&self, listener: ExpiryListener) {
        self.core().listeners.add_for_expired(listener);
    }
}
