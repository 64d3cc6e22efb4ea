//! Who holds what, and who can be reached: the roster's placement and what membership says.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::clock::NodeId;
use crate::placement::{PartitionId, Phase, Placement, Roster, stand_ins};
use crate::replication::{RequestError, Strength};

/// The replicas of every partition, as this node sees them.
///
/// Safety never depends on it (PROTOCOL section 4): it decides whom to push to, how many
/// confirmations a write can hope for, and whose digests the dot log waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// This node.
    pub me: NodeId,
    /// Who holds what, by the roster that this node knows.
    pub placement: Arc<Placement>,
    /// The other members of the roster. A crashed one stays: it will come back and ask for
    /// what it missed.
    pub members: BTreeSet<NodeId>,
    /// Other nodes that are alive and whose link is up.
    pub reachable: BTreeSet<NodeId>,
    groups: Vec<Group>,
    /// Whether this node leaves and takes no more part: nothing may come to what it holds.
    pub is_departing: bool,
    /// Whether every member holds everything and none is coming or going.
    is_settled: bool,
}

/// The replicas of one partition, as this node sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Whether this node is an owner: it serves, and counts towards strength.
    pub is_owner: bool,
    /// Whether this node gets the writes: it is an owner or will be one.
    pub is_replica: bool,
    /// The owners without this node, the preferred first.
    pub owners: Vec<NodeId>,
    /// Whether this node should hold it: it gets the writes, or will own it when it says so.
    pub is_wanted: bool,
    /// All who get the writes, without this node.
    pub replicas: BTreeSet<NodeId>,
    /// The owners that can be reached, the preferred first.
    pub voters: Vec<NodeId>,
    /// How many of those come before this node, where it is an owner.
    pub rank: usize,
    /// To whom a write is pushed: all who get it and can be reached, and for each owner that
    /// cannot a member that stands in for it and keeps the write until the owner has it.
    pub pushed: Vec<NodeId>,
}

impl Group {
    /// How many owners can be reached, this node included.
    pub fn within_reach(&self) -> usize {
        self.voters.len() + usize::from(self.is_owner)
    }

    /// Who is asked before this node does itself what is to be done by one owner: those that
    /// can be reached and come before it, or all if it does not serve the partition. The first
    /// is the same for all who see the same members. A preference: nothing is unsafe if two
    /// nodes see it differently.
    pub fn ahead(&self, serves: bool) -> &[NodeId] {
        let count = if serves { self.rank } else { self.voters.len() };
        self.voters.get(..count).unwrap_or_default()
    }

    /// How many owners there are, this node included.
    pub fn size(&self) -> usize {
        self.owners.len() + usize::from(self.is_owner)
    }

    /// How many owners must have a write before it is acknowledged, this node included. More
    /// than [`Group::within_reach`] only for a strict strength.
    pub fn needed(&self, strength: Strength) -> usize {
        let reachable = self.within_reach();
        match strength {
            Strength::One => 1,
            Strength::Quorum => reachable / 2 + 1,
            Strength::All => reachable,
            Strength::StrictQuorum => self.size() / 2 + 1,
        }
    }

    /// Why a request of this strength is not even begun, if too few owners can be reached.
    pub fn refused(&self, strength: Strength) -> Option<RequestError> {
        let (needed, reachable) = (self.needed(strength), self.within_reach());
        (needed > reachable).then(|| RequestError::NoReplicas {
            reachable,
            replicas: self.size(),
            needed,
        })
    }
}

impl View {
    /// The view of node `me` that knows `roster`, whose placement this is, and has working
    /// streams to `reachable`. `ahead` is the placement by what it is about to say.
    pub(super) fn of(
        me: NodeId,
        roster: &Roster,
        placement: Arc<Placement>,
        ahead: Option<&Placement>,
        reachable: BTreeSet<NodeId>,
    ) -> Self {
        let members: BTreeSet<NodeId> = roster.members().map(|(id, _)| id).collect();
        let groups: Vec<Group> = placement
            .keyspace()
            .all()
            .map(|partition| {
                let mut group = group(me, roster, &placement, partition, &reachable);
                let will_own = |ahead: &Placement| ahead.current(partition).contains(&me);
                group.is_wanted = group.is_replica || ahead.is_some_and(will_own);
                group
            })
            .collect();
        let everywhere = |group: &Group| group.replicas.len() + 1 == members.len();
        let all_active = roster
            .members()
            .all(|(_, claim)| claim.phase == Phase::Active);
        let is_settled = all_active && members.contains(&me) && groups.iter().all(everywhere);
        Self {
            me,
            members: members.into_iter().filter(|id| *id != me).collect(),
            reachable,
            groups,
            placement,
            is_departing: false,
            is_settled,
        }
    }

    /// The view of a node that takes no more part: it owns nothing and gets nothing.
    pub(super) fn departing(mut self) -> Self {
        for group in &mut self.groups {
            (group.is_owner, group.is_replica, group.is_wanted) = (false, false, false);
        }
        self.is_departing = true;
        self
    }

    /// The replicas of a partition; of one outside of the keyspace there are none.
    pub fn group(&self, partition: PartitionId) -> &Group {
        static NONE: Group = Group {
            is_owner: false,
            is_replica: false,
            is_wanted: false,
            owners: Vec::new(),
            replicas: BTreeSet::new(),
            voters: Vec::new(),
            rank: 0,
            pushed: Vec::new(),
        };
        self.groups.get(usize::from(partition.0)).unwrap_or(&NONE)
    }

    /// Whether every member holds everything, none is coming or going, and all can be reached.
    /// Only then may dead actors be closed (PROTOCOL 3.9): where somebody holds a copy that is
    /// none of its own, it may hold the only write of an actor that the others have given up.
    pub fn is_whole(&self) -> bool {
        self.is_settled && self.members.is_subset(&self.reachable)
    }

    /// Whether `peer` and this node get the writes of a partition both.
    pub(super) fn shares(&self, peer: NodeId, partition: PartitionId) -> bool {
        let group = self.group(partition);
        group.is_replica && group.replicas.contains(&peer)
    }
}

fn group(
    me: NodeId,
    roster: &Roster,
    placement: &Placement,
    partition: PartitionId,
    reachable: &BTreeSet<NodeId>,
) -> Group {
    let all = placement.current(partition);
    let recipients: Vec<NodeId> = placement.recipients(partition).collect();
    let owners: Vec<NodeId> = all.iter().copied().filter(|id| *id != me).collect();
    let replicas: BTreeSet<NodeId> = recipients.iter().copied().filter(|id| *id != me).collect();
    let voters: Vec<NodeId> = owners
        .iter()
        .copied()
        .filter(|id| reachable.contains(id))
        .collect();
    let before_me = all.iter().take_while(|id| **id != me);
    let rank = before_me.filter(|id| reachable.contains(id)).count();
    let mut pushed: Vec<NodeId> = replicas.intersection(reachable).copied().collect();
    let away = replicas.len() - pushed.len();
    if away > 0 {
        let others = stand_ins(roster, placement.keyspace(), partition, &recipients);
        let others = others.into_iter().filter(|id| reachable.contains(id));
        pushed.extend(others.take(away));
    }
    Group {
        is_owner: all.contains(&me),
        is_replica: recipients.contains(&me),
        is_wanted: false,
        owners,
        replicas,
        voters,
        rank,
        pushed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::{Keyspace, Profile};

    const ONE: PartitionId = PartitionId(0);

    fn keyspace() -> Keyspace {
        Keyspace {
            partitions: 1,
            hash_seed: 0,
        }
    }

    fn roster(members: u64) -> Roster {
        let mut roster = Roster::default();
        for id in (1..=members).map(NodeId) {
            roster.join(id, 1, Profile::new(id, "node")).unwrap();
            roster.advance(id, Phase::Active).unwrap();
        }
        roster
    }

    fn view(members: u64, replicas: u8, reachable: impl IntoIterator<Item = u64>) -> View {
        let roster = roster(members);
        let placement = Arc::new(Placement::of(&roster, keyspace(), replicas));
        let me = placement.current(ONE)[0];
        let reachable = reachable.into_iter().map(NodeId).filter(|id| *id != me);
        View::of(me, &roster, placement, None, reachable.collect())
    }

    #[test]
    fn strength_speaks_of_reachable_owners() {
        for (peers, quorum) in [(0, 1), (1, 2), (2, 2), (3, 3), (4, 3)] {
            let mut view = view(10, 10, []);
            let others = view.members.iter().copied().take(peers).collect();
            view = View::of(view.me, &roster(10), view.placement.clone(), None, others);
            let group = view.group(ONE);
            assert_eq!(group.needed(Strength::One), 1);
            assert_eq!(group.needed(Strength::Quorum), quorum, "{peers} peers");
            assert_eq!(group.needed(Strength::All), peers + 1);
            assert_eq!(group.needed(Strength::StrictQuorum), 6, "of ten");
        }
    }

    #[test]
    fn for_each_owner_that_is_away_another_member_keeps_the_writes() {
        let all = view(6, 3, 1..=6);
        let owners: BTreeSet<NodeId> = all.group(ONE).replicas.clone();
        assert_eq!(all.group(ONE).pushed.len(), 2);
        let gone = *owners.first().unwrap();
        let without = view(6, 3, (1..=6).filter(|id| NodeId(*id) != gone));
        let group = without.group(ONE);
        assert_eq!((group.within_reach(), group.pushed.len()), (2, 2));
        let stand_in = group.pushed.iter().find(|id| !owners.contains(id));
        assert!(stand_in.is_some_and(|id| *id != without.me));
        let full = view(3, 3, [1, 2]);
        assert_eq!(full.group(ONE).pushed.len(), 1, "nobody stands in");
    }

    #[test]
    fn everyone_prefers_the_same_owner_of_those_within_reach() {
        let roster = roster(6);
        let placement = Arc::new(Placement::of(&roster, keyspace(), 3));
        let owners = placement.current(ONE).to_vec();
        let prefers = |me: NodeId, away: &[NodeId]| {
            let is_there = |id: &NodeId| *id != me && !away.contains(id);
            let reachable = (1..=6).map(NodeId).filter(is_there).collect();
            let view = View::of(me, &roster, placement.clone(), None, reachable);
            let group = view.group(ONE);
            group.ahead(group.is_owner).first().copied().unwrap_or(me)
        };
        for me in (1..=6).map(NodeId) {
            assert_eq!(prefers(me, &[]), owners[0]);
            if me != owners[0] {
                assert_eq!(prefers(me, &owners[..1]), owners[1]);
            }
        }
        assert_eq!(prefers(owners[2], &owners[..2]), owners[2]);
    }

    #[test]
    fn a_view_is_whole_where_all_hold_all_and_are_there() {
        assert!(view(3, 3, 1..=3).is_whole());
        assert!(!view(3, 3, 1..=2).is_whole());
        assert!(!view(4, 3, 1..=4).is_whole());
    }
}
