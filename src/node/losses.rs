//! Writes of this node's that a peer knows and its disk has lost: counted per peer until they
//! are told of.
//!
//! Partitions are compared one after the other, so a peer is told of when a turn of
//! housekeeping has brought nothing new of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::NodeId;
use crate::placement::PartitionId;

/// What one shard has found since it was last asked.
#[derive(Debug, Default)]
pub(super) struct Losses(BTreeMap<NodeId, Loss>);

/// What one peer knows.
#[derive(Clone, Debug, Default)]
pub(super) struct Loss {
    pub(super) partitions: BTreeSet<PartitionId>,
    pub(super) writes: u64,
    /// Whether this turn has brought something.
    is_news: bool,
}

impl Losses {
    /// `peer` knows `writes` more of a partition.
    pub(super) fn add(&mut self, peer: NodeId, partition: PartitionId, writes: u64) {
        if writes > 0 {
            let loss = self.0.entry(peer).or_default();
            loss.partitions.insert(partition);
            loss.writes = loss.writes.saturating_add(writes);
            loss.is_news = true;
        }
    }

    /// Adds what a shard has found.
    pub(super) fn join(&mut self, found: Self) {
        for (peer, loss) in found.0 {
            let all = self.0.entry(peer).or_default();
            all.partitions.extend(loss.partitions);
            all.writes = all.writes.saturating_add(loss.writes);
            all.is_news = true;
        }
    }

    /// What has become no more since the last call.
    pub(super) fn take_settled(&mut self) -> Vec<(NodeId, Loss)> {
        let mut settled = Vec::new();
        self.0.retain(|peer, loss| {
            let is_news = std::mem::take(&mut loss.is_news);
            if !is_news {
                settled.push((*peer, loss.clone()));
            }
            is_news
        });
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_told_of_once_when_nothing_more_comes() {
        let mut losses = Losses::default();
        let mut found = Losses::default();
        found.add(NodeId(1), PartitionId(3), 2);
        found.add(NodeId(1), PartitionId(4), 0);
        losses.join(found);
        assert!(losses.take_settled().is_empty(), "more may come");
        let mut found = Losses::default();
        found.add(NodeId(1), PartitionId(5), 1);
        losses.join(found);
        assert!(losses.take_settled().is_empty(), "more has come");
        let settled = losses.take_settled();
        let [(NodeId(1), loss)] = settled.as_slice() else {
            panic!("{settled:?}");
        };
        assert_eq!((loss.partitions.len(), loss.writes), (2, 3));
        assert!(losses.take_settled().is_empty());
    }
}
