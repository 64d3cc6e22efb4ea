//! Publishing: to the listeners of this node at once, to the other members over their links.

use bytes::Bytes;

use super::handle::Handle;
use super::listeners::Listener;

impl Handle {
    /// Tells every subscriber in the cluster, and returns how many there are on this node. Never
    /// waits: to a member whose link is down, or too busy, nothing is sent, and nobody keeps
    /// what was published.
    ///
    /// What one caller publishes, one call after the other, arrives in that order wherever it
    /// arrives.
    pub fn publish(&self, channel: &Bytes, payload: &Bytes) -> usize {
        let core = self.core();
        let told = core.listeners.tell(channel, payload);
        let mut effects = Vec::new();
        core.data.publish(channel, payload, &mut effects);
        core.execute(effects);
        told
    }

    /// From now on `listener` is told what is published anywhere in the cluster, for as long as
    /// the node lives.
    pub fn listen(&self, listener: Listener) {
        self.core().listeners.add(listener);
    }
}
