//! Who a node is to the roster, and why it does not join, leave or remove others.

use std::time::Duration;

use thiserror::Error;

use crate::clock::NodeId;
use crate::placement::Profile;

/// Who this node is to the roster.
#[derive(Clone, Debug)]
pub struct MemberParams {
    /// How it describes itself. The seat is chosen when it joins.
    pub profile: Profile,
    /// Counts the node's starts.
    pub generation: u64,
    /// The member whose place it takes when it joins.
    pub replace: Option<NodeId>,
    /// How long a member may be out of reach before it is removed for good.
    pub evict_after: Duration,
}

/// Why a node does not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LeaveError {
    /// It is no member.
    #[error("this node is no member of its cluster yet")]
    NotMember,
    /// Nobody is left to take what it holds.
    #[error(
        "this node is the last that owns data: nobody could take it; leaving with force loses it"
    )]
    LastMember,
}

/// Why a member is not removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RemoveError {
    /// There is no such member.
    #[error("there is no such member")]
    NotMember,
    /// It lives.
    #[error("the member is alive: let it leave by itself, with `netdb leave`")]
    Alive,
    /// It is this node.
    #[error("this node does not remove itself: use `netdb leave`")]
    Myself,
    /// Without it there would be no owner.
    #[error("the member is the last that owns data; what it holds would be lost")]
    LastMember,
}

/// Why a node does not join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum JoinError {
    /// The member that it should replace is none.
    #[error("the member that this node should replace is not in the roster")]
    NothingToReplace,
    /// The member that it should replace lives.
    #[error("the member that this node should replace is alive")]
    ReplacedAlive,
}
