//! What a change of the roster moves, before it is made.

use std::collections::BTreeMap;

use super::keyspace::{Keyspace, PartitionId};
use super::owners::Placement;
use super::roster::Roster;
use crate::clock::NodeId;

/// What one partition has to do with a change. Partitions that keep their owners have none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The partition.
    pub partition: PartitionId,
    /// Who becomes an owner, in order of preference: each takes a copy.
    pub gains: Vec<NodeId>,
    /// Who is one no more: each drops its copy when it may.
    pub losses: Vec<NodeId>,
}

/// What a change means for one node, in partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Owned before.
    pub before: u32,
    /// Owned after.
    pub after: u32,
    /// Owned after and not before: copies to take.
    pub gains: u32,
    /// Owned before and not after: copies to drop.
    pub losses: u32,
}

/// What moves between two rosters: from the current owners of the one to the target owners
/// of the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The partitions whose owners change, in order.
    pub moves: Vec<Move>,
    /// Every node that is an owner before or after, or would be with partitions enough.
    pub nodes: BTreeMap<NodeId, Tally>,
    /// How many nodes share the partitions after the change.
    pub members_after: usize,
}

impl Plan {
    /// The plan of going from roster `before` to roster `after`.
    pub fn of(before: &Roster, after: &Roster, keyspace: Keyspace, replicas: u8) -> Self {
        let before = Placement::of(before, keyspace, replicas);
        let after = Placement::of(after, keyspace, replicas);
        Self::between(&before, &after)
    }

    /// The plan of going from one placement of a keyspace to another.
    pub fn between(before: &Placement, after: &Placement) -> Self {
        let mut plan = Self::default();
        for (id, _) in before.members().filter(|(_, phase)| phase.is_current()) {
            plan.nodes.entry(id).or_default();
        }
        for (id, _) in after.members().filter(|(_, phase)| phase.is_target()) {
            plan.nodes.entry(id).or_default();
            plan.members_after += 1;
        }
        for partition in after.keyspace().all() {
            let (old, new) = (before.current(partition), after.target(partition));
            for owner in old {
                let tally = plan.nodes.entry(*owner).or_default();
                tally.before += 1;
                tally.losses += u32::from(!new.contains(owner));
            }
            for owner in new {
                let tally = plan.nodes.entry(*owner).or_default();
                tally.after += 1;
                tally.gains += u32::from(!old.contains(owner));
            }
            let only = |these: &[NodeId], those: &[NodeId]| -> Vec<NodeId> {
                let these = these.iter().filter(|one| !those.contains(one));
                these.copied().collect()
            };
            let (gains, losses) = (only(new, old), only(old, new));
            if !gains.is_empty() || !losses.is_empty() {
                plan.moves.push(Move {
                    partition,
                    gains,
                    losses,
                });
            }
        }
        plan
    }

    /// The copies of partitions that are made.
    pub fn copies(&self) -> u64 {
        let gains = self.nodes.values().map(|tally| tally.gains);
        gains.map(u64::from).sum()
    }

    /// The least that any placement must copy which gives each node as many partitions
    /// before and after as these do: what the growing nodes grow by.
    pub fn copies_min(&self) -> u64 {
        let growth = self
            .nodes
            .values()
            .map(|tally| tally.after.saturating_sub(tally.before));
        growth.map(u64::from).sum()
    }

    /// What is copied for each copy that must be: 1 is the best, also for a change that
    /// copies nothing. Infinite where partitions change hands and no node grows.
    pub fn ratio(&self) -> f64 {
        match (self.copies(), self.copies_min()) {
            (0, _) => 1.0,
            (copies, least) => copies as f64 / least as f64,
        }
    }

    /// Partitions of the most loaded node after the change, per partition of the mean node:
    /// 1 is even. 1 as well where nobody owns anything.
    pub fn imbalance(&self) -> f64 {
        let loads = || self.nodes.values().map(|tally| tally.after);
        let total: u64 = loads().map(u64::from).sum();
        match loads().max() {
            Some(most) if total > 0 => f64::from(most) * self.members_after as f64 / total as f64,
            _ => 1.0,
        }
    }
}
