//! Who holds every partition: the pure function of the roster.

use std::collections::BTreeSet;

use xxhash_rust::xxh3::Xxh3Default;

use super::balance::place;
use super::field::Field;
use super::keyspace::{Keyspace, PartitionId};
use super::member::{Claim, Phase};
use super::roster::Roster;
use super::score::Arrival;
use super::share::{SLACK_PERCENT, cap, shares};
use crate::clock::NodeId;

/// The owners of every partition by one roster, now and when its changes are done.
///
/// - The *current* owners are chosen among active and leaving members. They serve the
///   partition, and they alone count towards the strength of a write.
/// - The *target* owners are chosen among joining and active members. Who is one and not
///   current is an owner-to-be: it gets every write and takes the rest by transfer, but
///   neither serves nor counts.
/// - The *heirs* are chosen among active members alone: those who own when all who leave have
///   gone, if nobody joins. They differ from the target owners only while members leave and
///   others join. Then they hold the partition too, or a member could not leave before another
///   one has joined, which may have died meanwhile.
/// - So a write goes to all of them, the [`recipients`](Self::recipients) (PROTOCOL 3.11).
/// - A joining member that has the seat of another takes its place: the other is no target
///   owner, and stays a current one until the new one says its word and that it departed.
///
/// A member becomes an owner by its own word, [`Phase::Active`], and counts from that moment.
/// It may give it only when it holds what the roster *with that word* makes it own. That is
/// more than its target where others are still joining or leaving: a partition that one of
/// them will take may be its own until then. A leaving member is an owner until it departs,
/// which it may when each partition it holds is held by its heirs.
///
/// Owners stand in order of preference. All change together with the roster, in no node's
/// view at the same time as in another's; that this is safe is not up to placement but to
/// the rule by which copies are dropped (PROTOCOL 3.11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    keyspace: Keyspace,
    replicas: u8,
    roster_version: u64,
    fingerprint: u64,
    current: Vec<Vec<NodeId>>,
    /// By id, with their phases: some may own nothing.
    members: Vec<(NodeId, Phase)>,
    /// None while it is the same as `current`.
    target: Option<Vec<Vec<NodeId>>>,
    /// None while it is the same as `target`.
    heirs: Option<Vec<Vec<NodeId>>>,
}

impl Placement {
    /// The placement that `roster` gives with `replicas` of each partition of `keyspace`:
    /// the same on all nodes that know the same.
    pub fn of(roster: &Roster, keyspace: Keyspace, replicas: u8) -> Self {
        Self::with_slack(roster, keyspace, replicas, SLACK_PERCENT)
    }

    /// The same with another slack of the caps, to measure what it costs.
    pub(super) fn with_slack(
        roster: &Roster,
        keyspace: Keyspace,
        replicas: u8,
        slack_percent: u64,
    ) -> Self {
        let taken: BTreeSet<NodeId> = roster
            .members()
            .filter(|(_, claim)| claim.phase == Phase::Joining)
            .map(|(_, claim)| claim.profile.seat)
            .collect();
        let is_target = |claim: &Claim| match claim.phase {
            Phase::Joining => true,
            Phase::Active => !taken.contains(&claim.profile.seat),
            Phase::Leaving => false,
        };
        let owners = |counts: &dyn Fn(&Claim) -> bool| {
            let among = roster.members().filter(|(_, claim)| counts(claim));
            owners(among, &keyspace, usize::from(replicas), slack_percent)
        };
        let members: Vec<(NodeId, Phase)> = roster
            .members()
            .map(|(id, claim)| (id, claim.phase))
            .collect();
        let any = |phase: Phase| members.iter().any(|(_, one)| *one == phase);
        let (joins, leaves) = (any(Phase::Joining), any(Phase::Leaving));
        let mut placement = Self {
            keyspace,
            replicas,
            roster_version: roster.version(),
            fingerprint: 0,
            current: owners(&|claim| claim.phase.is_current()),
            target: (joins || leaves).then(|| owners(&is_target)),
            heirs: (joins && leaves).then(|| owners(&|claim| claim.phase == Phase::Active)),
            members,
        };
        placement.fingerprint = placement.hash();
        placement
    }

    /// How the keyspace is cut.
    pub fn keyspace(&self) -> Keyspace {
        self.keyspace
    }

    /// How many replicas a partition has where there are as many members.
    pub fn replicas(&self) -> u8 {
        self.replicas
    }

    /// The version of the roster that it is of.
    pub fn roster_version(&self) -> u64 {
        self.roster_version
    }

    /// A hash over all owners: nodes that show the same have the same placement.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The owners of `partition`, the preferred first; none outside of the keyspace, or
    /// while all members are joining.
    pub fn current(&self, partition: PartitionId) -> &[NodeId] {
        at(&self.current, partition)
    }

    /// The owners of `partition` once the changes under way are done, the preferred first.
    pub fn target(&self, partition: PartitionId) -> &[NodeId] {
        at(self.target.as_ref().unwrap_or(&self.current), partition)
    }

    /// The members, by id. With many more members than partitions some own none.
    pub fn members(&self) -> impl Iterator<Item = (NodeId, Phase)> {
        self.members.iter().copied()
    }

    /// The owners of `partition` once all who leave have gone, if nobody joins.
    pub fn heirs(&self, partition: PartitionId) -> &[NodeId] {
        match &self.heirs {
            Some(heirs) => at(heirs, partition),
            None => self.target(partition),
        }
    }

    /// Who gets the writes of `partition`: its current owners, then its owners-to-be, then those
    /// who would be if nobody joined.
    pub fn recipients(&self, partition: PartitionId) -> impl Iterator<Item = NodeId> {
        let (current, target) = (self.current(partition), self.target(partition));
        let to_be = target.iter().filter(move |one| !current.contains(one));
        let heirs = self.heirs(partition).iter();
        let heirs = heirs.filter(move |one| !current.contains(one) && !target.contains(one));
        current.iter().chain(to_be).chain(heirs).copied()
    }

    fn hash(&self) -> u64 {
        let mut hash = Xxh3Default::new();
        hash.update(&self.keyspace.partitions.to_le_bytes());
        hash.update(&self.keyspace.hash_seed.to_le_bytes());
        hash.update(&[self.replicas]);
        for partition in self.keyspace.all() {
            for owners in [self.current(partition), self.target(partition)] {
                hash.update(&(owners.len() as u64).to_le_bytes());
                for owner in owners {
                    hash.update(&owner.0.to_le_bytes());
                }
            }
        }
        hash.digest()
    }
}

/// The members that may stand in for a dead owner of `partition`, the preferred first: all
/// that own now, without the `recipients` of its writes. Whom a node prefers here depends on
/// nobody's load, so two nodes that miss the same owner choose the same stand-in.
pub fn stand_ins(
    roster: &Roster,
    keyspace: Keyspace,
    partition: PartitionId,
    recipients: &[NodeId],
) -> Vec<NodeId> {
    let others = roster
        .members()
        .filter(|(id, claim)| claim.phase.is_current() && !recipients.contains(id));
    let mut ranked: Vec<(Arrival, NodeId)> = others
        .map(|(id, claim)| {
            let (seat, weight) = (claim.profile.seat, claim.profile.weight);
            (Arrival::of(&keyspace, partition, seat, weight), id)
        })
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, id)| id).collect()
}

fn at(owners: &[Vec<NodeId>], partition: PartitionId) -> &[NodeId] {
    let owners = owners.get(usize::from(partition.0));
    owners.map_or(&[], Vec::as_slice)
}

fn owners<'a>(
    members: impl Iterator<Item = (NodeId, &'a Claim)>,
    keyspace: &Keyspace,
    replicas: usize,
    slack_percent: u64,
) -> Vec<Vec<NodeId>> {
    let field = Field::new(members);
    let shares = shares(&field, replicas);
    let caps: Vec<usize> = (field.competitors.iter().zip(shares))
        .map(|(one, share)| cap(share, keyspace.partitions, slack_percent, one.seat))
        .collect();
    let placed = place(&field, keyspace, replicas, &caps).into_iter();
    placed
        .map(|chosen| {
            chosen
                .iter()
                .map(|&index| field.competitors[index].id)
                .collect()
        })
        .collect()
}
