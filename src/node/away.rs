//! Members that are out of reach, and when they are taken for gone for good.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::clock::NodeId;
use crate::machine::Instant;
use crate::placement::{Phase, Roster};

/// Since when members have been out of reach, as far as this process has seen.
#[derive(Debug, Default)]
pub(super) struct Away {
    since: BTreeMap<NodeId, Instant>,
}

impl Away {
    /// These can be reached.
    pub(super) fn are_back(&mut self, reachable: &BTreeSet<NodeId>) {
        self.since.retain(|id, _| !reachable.contains(id));
    }

    /// A member that has been out of reach for `evict_after`, if it is for `me` to say so: the
    /// first active one does that can be reached, where a majority of the members can.
    pub(super) fn overdue(
        &mut self,
        now: Instant,
        (me, roster): (NodeId, &Roster),
        reachable: &BTreeSet<NodeId>,
        evict_after: Duration,
    ) -> Option<NodeId> {
        let is_there = |id: NodeId| id == me || reachable.contains(&id);
        let members = roster.members().map(|(id, _)| id);
        let away: Vec<NodeId> = members.filter(|id| !is_there(*id)).collect();
        self.since.retain(|id, _| away.contains(id));
        for id in &away {
            self.since.entry(*id).or_insert(now);
        }
        let mut active =
            (roster.members()).filter(|(id, claim)| claim.phase == Phase::Active && is_there(*id));
        let is_mine = active.next().is_some_and(|(id, _)| id == me);
        if !is_mine || away.len() * 2 >= roster.len() {
            return None;
        }
        let mut since = self.since.iter();
        since
            .find(|(_, since)| now.since(**since) >= evict_after)
            .map(|(id, _)| *id)
    }
}
