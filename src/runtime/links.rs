//! The links that are up: one stream to each peer, opened by this node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use super::outgoing::Outgoing;
use crate::clock::NodeId;
use crate::replication::Message;

/// The links that are up, and what waits to be written to each.
///
/// A link is here exactly while its stream works: its task puts it in after the
/// introduction and takes it out when the stream ends.
#[derive(Debug, Default)]
pub(super) struct Links {
    up: RwLock<BTreeMap<NodeId, Arc<Outgoing>>>,
    /// Those with something that waits.
    queued: Mutex<Vec<Arc<Outgoing>>>,
    /// Told when the first message waits.
    first_queued: Notify,
    changed: Notify,
    /// Told when one has come up.
    opened: Notify,
}

impl Links {
    /// Puts a message into the peer's queue, or gives it back if there is no link or no
    /// room.
    pub(super) fn send(&self, to: NodeId, message: Message) -> Result<(), Message> {
        let up = self.up.read();
        let Some(outgoing) = up.get(&to) else {
            return Err(message);
        };
        let is_first = outgoing.queue.put(message)?;
        if is_first {
            let mut queued = self.queued.lock();
            queued.push(Arc::clone(outgoing));
            if queued.len() == 1 {
                self.first_queued.notify_one();
            }
        }
        Ok(())
    }

    /// Waits until something waits to be written. Cancel-safe; for one waiter.
    pub(super) async fn queued(&self) {
        self.first_queued.notified().await;
    }

    /// Whether more than one message waits for some peer.
    pub(super) fn has_several_waiting(&self) -> bool {
        let queued = self.queued.lock();
        queued.iter().any(|outgoing| outgoing.queue.has_several())
    }

    /// The links for which something has come to wait since the last call.
    pub(super) fn take_queued(&self) -> Vec<Arc<Outgoing>> {
        std::mem::take(&mut *self.queued.lock())
    }

    /// A link has come up. Its queue is new: what an earlier link had not written is sync's
    /// to find.
    pub(super) fn open(&self, peer: NodeId, outgoing: &Arc<Outgoing>) {
        self.up.write().insert(peer, Arc::clone(outgoing));
        self.changed.notify_one();
        self.opened.notify_waiters();
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

    /// This link is down.
    pub(super) fn close(&self, peer: NodeId, outgoing: &Arc<Outgoing>) {
        let mut up = self.up.write();
        if up
            .get(&peer)
            .is_some_and(|current| Arc::ptr_eq(current, outgoing))
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

    fn open(links: &Links, peer: NodeId) -> Arc<Outgoing> {
        let outgoing = Arc::new(Outgoing::default());
        links.open(peer, &outgoing);
        outgoing
    }

    #[tokio::test]
    async fn a_link_is_told_of_once_until_it_is_written() {
        let links = Links::default();
        let link = open(&links, NodeId(1));
        open(&links, NodeId(2));
        links.send(NodeId(1), Message::Root(1)).unwrap();
        assert!(!links.has_several_waiting());
        links.send(NodeId(1), Message::Root(2)).unwrap();
        assert!(links.has_several_waiting());
        links.queued().await;
        let queued = links.take_queued();
        assert!(matches!(queued.as_slice(), [only] if Arc::ptr_eq(only, &link)));
        assert!(links.take_queued().is_empty());
        assert!(link.queue.take(&mut std::collections::VecDeque::new()));
        links.send(NodeId(1), Message::Root(3)).unwrap();
        links.queued().await;
        assert_eq!(links.take_queued().len(), 1);
    }

    #[test]
    fn a_message_without_a_link_comes_back() {
        let links = Links::default();
        assert!(links.send(NodeId(1), Message::Root(1)).is_err());
        let link = open(&links, NodeId(1));
        assert!(links.send(NodeId(1), Message::Root(1)).is_ok());
        links.close(NodeId(1), &link);
        assert!(links.send(NodeId(1), Message::Root(1)).is_err());
    }

    #[tokio::test]
    async fn who_waits_for_a_link_goes_on_when_it_is_up() {
        let links = Arc::new(Links::default());
        let other = links.clone();
        let waiter = tokio::spawn(async move { other.opened(NodeId(1)).await });
        tokio::task::yield_now().await;
        open(&links, NodeId(2));
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        open(&links, NodeId(1));
        waiter.await.unwrap();
        links.opened(NodeId(1)).await;
    }

    #[test]
    fn an_old_link_does_not_close_its_successor() {
        let links = Links::default();
        let old = open(&links, NodeId(1));
        let _new = open(&links, NodeId(1));
        links.close(NodeId(1), &old);
        assert_eq!(links.count(), 1);
    }
}
