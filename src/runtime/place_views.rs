//! What a node answers about who holds what, and what a change would move.

use std::net::SocketAddr;

use crate::clock::NodeId;
use crate::node::Progress;
use crate::placement::WEIGHT_DEFAULT;

/// How far one member is with what it has to fetch and to give up, in partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeatProgress {
    /// What is still to be done.
    pub to_move: u64,
    /// What is done since it last had something to do.
    pub moved: u64,
    /// Bytes of keys and values that it fetched for that.
    pub bytes: u64,
    /// When that began, in milliseconds since the Unix epoch, by its clock; 0 if it never did.
    pub since_ms: u64,
    /// When all was done; 0 while it is not.
    pub until_ms: u64,
    /// Whether that is about the placement that the answering node knows.
    pub is_current: bool,
}

/// One member's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeatView {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: NodeId,
    /// Its zone; empty if it named none.
    pub zone: String,
    /// The machine it is on, by its address.
    pub host: String,
    /// Its share relative to others'.
    pub weight: u32,
    /// `joining`, `active` or `leaving`.
    pub phase: &'static str,
    /// `alive`, `suspect`, `failed` or `left`, or `unknown` if membership does not know it.
    pub state: &'static str,
    /// Partitions that it owns now.
    pub owns: u32,
    /// Partitions that it owns once the changes under way are done.
    pub will_own: u32,
    /// How far it is, once it has said so.
    pub progress: Option<SeatProgress>,
    /// Whether it is the node that answers.
    pub me: bool,
}

/// Who holds what, by the roster that a node knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacementView {
    /// How far the roster has come.
    pub roster_version: u64,
    /// A hash over the roster: equal on nodes that know the same.
    pub roster_fingerprint: u64,
    /// A hash over all owners: equal on nodes that place the same.
    pub fingerprint: u64,
    /// Partitions of the keyspace.
    pub partitions: u16,
    /// How many members hold each, where there are as many.
    pub replicas: u8,
    /// The members, by name.
    pub members: Vec<SeatView>,
}

/// One owner of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerView {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: NodeId,
    /// Where clients reach it, if that is known.
    pub client_addr: Option<SocketAddr>,
    /// As in [`SeatView`].
    pub state: &'static str,
    /// As in [`SeatView`].
    pub phase: &'static str,
    /// Whether it owns the key now.
    pub owns_now: bool,
    /// Whether it owns the key once the changes under way are done.
    pub will_own: bool,
    /// Whether the node that answers can reach it, or is it.
    pub reachable: bool,
    /// Whether the node that answers has it do what one owner decides.
    pub decides: bool,
    /// Whether it is the node that answers.
    pub me: bool,
}

/// Who holds a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnersView {
    /// The partition that the key is in.
    pub partition: u16,
    /// The hash of the key, which says so.
    pub hash: u64,
    /// Who owns it now, the preferred first, then who will.
    pub owners: Vec<OwnerView>,
    /// Whether the node that answers serves the key itself, and does not ask an owner.
    pub serves: bool,
}

/// How far a change of the roster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RebalanceView {
    /// This node's phase; `none` if it is no member.
    pub phase: &'static str,
    /// What this node has done and has still to do.
    pub own: Progress,
    /// Copies of partitions that all members have still to make until the owners that will be
    /// are owners.
    pub copies: u64,
    /// What all members together have still to fetch and to give up, as far as they have said.
    pub to_move: u64,
    /// What they have fetched and given up in this change.
    pub moved: u64,
    /// Bytes that they have fetched in this change.
    pub bytes_moved: u64,
    /// Whether nothing is left to be done anywhere, as far as members that can be reached have
    /// said: nobody joins or leaves, and nobody has anything to fetch or to give up.
    pub is_settled: bool,
    /// The members, by name.
    pub members: Vec<SeatView>,
}

/// A node that would join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedJoin {
    /// Its name.
    pub name: String,
    /// Its zone; empty for none.
    pub zone: String,
    /// Its weight.
    pub weight: u32,
}

impl PlannedJoin {
    /// An ordinary node of that name.
    pub fn named(name: String) -> Self {
        Self {
            name,
            zone: String::new(),
            weight: WEIGHT_DEFAULT,
        }
    }
}

/// What a change means for one member, in partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedMember {
    /// Its name.
    pub name: String,
    /// `joins`, `leaves` or `stays`.
    pub change: &'static str,
    /// Owned now.
    pub before: u32,
    /// Owned after.
    pub after: u32,
    /// Copies that it takes.
    pub takes: u32,
    /// Copies that it gives up.
    pub gives: u32,
}

/// What a change would move.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanView {
    /// The members before or after, by name.
    pub members: Vec<PlannedMember>,
    /// Copies of partitions that would be made.
    pub copies: u64,
    /// The least that any placement would have to make for the same numbers of partitions.
    pub copies_min: u64,
    /// About how many bytes of keys and values that would move, by what this node holds.
    pub bytes: u64,
    /// Partitions of the most loaded member after the change, per partition of the mean one.
    pub imbalance: f64,
}
