//! What the tasks tell each other: snapshots and requests.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::place_views::SeatProgress;
use crate::clock::NodeId;
use crate::membership::{Identity, Member, Membership};

/// What other tasks ask of the membership task.
#[derive(Debug)]
pub(super) enum Command {
    /// The seeds' addresses now.
    Seeds(Vec<SocketAddr>),
    /// Live nodes that the node facts know.
    Heard(Vec<Identity>),
    /// Leave the cluster.
    Leave,
}

/// The members as the membership task last published them. A snapshot: readers never hold
/// that task up.
#[derive(Clone, Debug)]
pub(super) struct Roster {
    /// Every member that is remembered, this node included.
    pub(super) members: BTreeMap<NodeId, Member>,
    /// This node's identity now.
    pub(super) me: Identity,
    /// Membership's counters and those of sealed datagrams.
    pub(super) counters: Vec<(&'static str, u64)>,
    /// Whether any node of the cluster has been heard since the start.
    pub(super) heard: bool,
    /// Another live process that has this node's name, while there is one.
    pub(super) namesake: Option<Identity>,
}

impl Roster {
    /// What `membership` says now.
    pub(super) fn of(membership: &Membership) -> Self {
        Self {
            members: membership
                .members()
                .map(|member| (member.identity.id, *member))
                .collect(),
            me: *membership.me(),
            counters: membership.stats().iter().collect(),
            heard: false,
            namesake: None,
        }
    }

    /// Members that take part, without this node.
    pub(super) fn active_others(&self) -> impl Iterator<Item = &Member> {
        self.members
            .values()
            .filter(|member| member.state.is_active() && member.identity.id != self.me.id)
    }
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeFacts {
    pub(super) generation: u64,
    pub(super) name: String,
    pub(super) client_addr: Option<SocketAddr>,
    pub(super) cluster_addr: SocketAddr,
    pub(super) version: String,
    /// How far it is with what it has to fetch and to give up, and by which placement: the
    /// roster's version, and a hash over all owners.
    pub(super) progress: Option<(SeatProgress, (u64, u64))>,
    /// Whether chitchat hears from it.
    pub(super) live: bool,
}

/// What nodes say of themselves, by id: the newest life of each.
pub(super) type FactsTable = BTreeMap<NodeId, NodeFacts>;
