//! Names of nodes, of the issuers of dots, and of single writes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A node's identity: stable over restarts, derived from the node's name.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub u64);

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The only issuer of its dots: one opening of one partition by one process
/// (PROTOCOL rule R1).
///
/// `incarnation` is 64 random bits per opening, never a timestamp: two openings in the
/// same microsecond must not share an actor.
///
/// As bytes it is two numbers, but a place in a list where a stream has named it before: see
/// [`ActorNames`](super::ActorNames).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorId {
    /// The node that opened the partition.
    pub node: NodeId,
    /// Random bits that tell this opening from every other.
    pub incarnation: u64,
}

impl fmt::Debug for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:016x}", self.node, self.incarnation)
    }
}

/// One write: the `n`-th that `actor` issued, counted from 1.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dot {
    /// Who issued it.
    pub actor: ActorId,
    /// Its place among that actor's writes, from 1.
    pub n: u64,
}

impl fmt::Debug for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}:{}", self.actor, self.n)
    }
}
