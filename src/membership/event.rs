//! What goes in and what comes out.

use std::net::SocketAddr;
use std::time::Duration;

use super::fingerprint::Mismatch;
use super::identity::Identity;
use super::members::Member;
use super::packet::Packet;

/// Something that can happen to membership.
#[derive(Clone, Debug)]
pub enum Input {
    /// A datagram, authenticated and decoded, came in.
    Packet {
        /// From where.
        from: SocketAddr,
        /// What it says.
        packet: Packet,
    },
    /// The addresses at which to knock, resolved; they replace the earlier ones.
    Seeds(Vec<SocketAddr>),
    /// Identities seen in gossiped node facts; used only where SWIM knows nobody.
    Heard(Vec<Identity>),
    /// Leave the cluster: tell everybody, then end with [`Event::Left`] about ourselves.
    Leave,
    /// The driver was away for this long; the socket may hold answers not yet read.
    LocalStall(Duration),
}

/// Something that membership wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this datagram.
    Send {
        /// To where.
        to: SocketAddr,
        /// What to say.
        packet: Packet,
    },
    /// Tell the node that this happened.
    Event(Event),
}

/// A change in who is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A member is there that was not: new, or back in a new life after it failed or left.
    Joined(Member),
    /// A member did not answer a probe.
    Suspected(Member),
    /// A suspect proved that it lives, or a member declared failed came back in the same
    /// life.
    Recovered(Member),
    /// A member was declared failed.
    Failed(Member),
    /// A member left of its own will; about this node itself, the leaving is complete and
    /// the machine does nothing any more.
    Left(Member),
    /// A member was replaced by a later life of the same node before its failure was seen.
    /// Whatever was kept about the old process, such as connections, is void.
    Restarted {
        /// The earlier life.
        old: Identity,
        /// The later life.
        new: Member,
    },
    /// This node took a new name within its life: it had been declared failed by mistake,
    /// or the cluster remembered a greater generation of it. If the generation changed,
    /// the driver should store it.
    Renewed(Identity),
    /// Another process has this node's name, is alive and was there first. This node takes
    /// no part while that lasts: it has left, its member list is empty, and it asks again
    /// every few seconds whether the name is free.
    Conflict {
        /// Who has the name.
        holder: Identity,
    },
    /// A node refused us, or we refused it. Reported at most once a minute per address.
    Refused {
        /// The other node's address.
        from: SocketAddr,
        /// Why.
        reason: RefusedReason,
    },
}

/// Why two nodes did not join.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedReason {
    /// Cluster-wide settings differ.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// A member that is alive has the name.
    #[error("the node name is in use by the live member at {}, give every node its own name", .0.addr)]
    NameTaken(Identity),
    /// The cluster is full.
    #[error("the cluster has {0} members, the most that it may have")]
    Full(u32),
}
