//! The links that are up: one stream to each peer, opened by this node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::Notify;

use super::queue::Queue;
use crate::clock::NodeId;
use crate::replication::Message;

/// The links that are up, and what waits to be written to each.
///
/// A link is here exactly while its stream works: its task puts it in after the
/// introduction and takes it out when the stream ends.
#[derive(Debug, Default)]
pub(super) struct Links {
    up: RwLock<BTreeMap<NodeId, Arc<Queue>>>,
    changed: Notify,
    /// Told when one has come up.
    opened: Notify,
}

impl Links {
    /// Puts a message into the peer's queue, or gives it back if there is no link or no
    /// room.
    pub(super) fn send(&self, to: NodeId, message: Message) -> Result<(), Message> {
        match self.up.read().get(&to) {
            Some(queue) => queue.put(message),
            None => Err(message),
        }
    }

    /// A link has come up. Its queue is new: what an earlier link had not written is sync's
    /// to find.
    pub(super) fn open(&self, peer: NodeId) -> Arc<Queue> {
        let queue = Arc::new(Queue::default());
        self.up.write().insert(peer, queue.clone());
        self.changed.notify_one();
        self.opened.notify_waiters();
        queue
    }

    /// Waits until the link to a peer is up. Cancel-safe.
    pub(super) async fn opened(&self, peer: NodeId) {
        loop {
            let opened = self.opened.notified();
            if self.up.read().contains_key(&peer) {
                return;
            }
            opened.await;
        }
    }

    /// The link with this queue is down.
    pub(super) fn close(&self, peer: NodeId, queue: &Arc<Queue>) {
        let mut up = self.up.write();
        if up
            .get(&peer)
            .is_some_and(|current| Arc::ptr_eq(current, queue))
        {
            up.remove(&peer);
        }
        drop(up);
        self.changed.notify_one();
    }

    /// The peers whose link is up.
    pub(super) fn up(&self) -> BTreeSet<NodeId> {
        self.up.read().keys().copied().collect()
    }

    /// How many links are up.
    pub(super) fn count(&self) -> usize {
        self.up.read().len()
    }

    /// Waits until a link has come up or gone down since the last call. Cancel-safe; for
    /// one waiter.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_without_a_link_comes_back() {
        let links = Links::default();
        assert!(links.send(NodeId(1), Message::Root(1)).is_err());
        let queue = links.open(NodeId(1));
        assert!(links.send(NodeId(1), Message::Root(1)).is_ok());
        links.close(NodeId(1), &queue);
        assert!(links.send(NodeId(1), Message::Root(1)).is_err());
    }

    #[tokio::test]
    async fn who_waits_for_a_link_goes_on_when_it_is_up() {
        let links = Arc::new(Links::default());
        let other = links.clone();
        let waiter = tokio::spawn(async move { other.opened(NodeId(1)).await });
        tokio::task::yield_now().await;
        links.open(NodeId(2));
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        links.open(NodeId(1));
        waiter.await.unwrap();
        links.opened(NodeId(1)).await;
    }

    #[test]
    fn an_old_link_does_not_close_its_successor() {
        let links = Links::default();
        let old = links.open(NodeId(1));
        let _new = links.open(NodeId(1));
        links.close(NodeId(1), &old);
        assert_eq!(links.count(), 1);
    }
}
