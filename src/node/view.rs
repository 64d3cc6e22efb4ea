//! What membership tells the data: who holds what, and who can be reached.

use std::collections::BTreeSet;

use crate::clock::NodeId;
use crate::membership::{Member, State};
use crate::replication::Strength;

/// The other replicas of every partition, as this node sees them.
///
/// Safety never depends on it (PROTOCOL section 4): it decides whom to push to, how many
/// confirmations a write can hope for, and whose digests the dot log waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Members that have not left, without this node. A crashed one stays: it will
    /// come back and ask for what it missed.
    pub replicas: BTreeSet<NodeId>,
    /// Those of them that are alive and whose link is up.
    pub reachable: BTreeSet<NodeId>,
}

impl View {
    /// The view of node `me` that knows `members` and has working streams to the peers for
    /// which `linked` says so.
    pub fn of<'a>(
        members: impl Iterator<Item = &'a Member>,
        me: NodeId,
        linked: impl Fn(NodeId) -> bool,
    ) -> Self {
        let mut view = Self::default();
        for member in members.filter(|member| member.identity.id != me) {
            let id = member.identity.id;
            if member.state != State::Left {
                view.replicas.insert(id);
            }
            if member.state.is_active() && linked(id) {
                view.reachable.insert(id);
            }
        }
        view
    }

    /// Whether every replica can be reached.
    pub fn is_whole(&self) -> bool {
        self.replicas == self.reachable
    }

    /// How many replicas can be reached, this node included.
    pub fn within_reach(&self) -> usize {
        self.reachable.len() + 1
    }

    /// How many replicas must have a write before it is acknowledged, this node included.
    /// More than [`View::within_reach`] only for a strict strength.
    pub fn needed(&self, strength: Strength) -> usize {
        let reachable = self.reachable.len() + 1;
        match strength {
            Strength::One => 1,
            Strength::Quorum => reachable / 2 + 1,
            Strength::All => reachable,
            Strength::StrictQuorum => {
                let all = self.replicas.len() + 1;
                all / 2 + 1
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strength_speaks_of_reachable_replicas() {
        let with = |peers: u64| View {
            replicas: (1..=9).map(NodeId).collect(),
            reachable: (1..=peers).map(NodeId).collect(),
        };
        for (peers, quorum) in [(0, 1), (1, 2), (2, 2), (3, 3), (4, 3)] {
            assert_eq!(with(peers).needed(Strength::One), 1);
            assert_eq!(
                with(peers).needed(Strength::Quorum),
                quorum,
                "{peers} peers"
            );
            assert_eq!(with(peers).needed(Strength::All), peers as usize + 1);
            assert_eq!(with(peers).needed(Strength::StrictQuorum), 6, "of ten");
        }
    }
}
