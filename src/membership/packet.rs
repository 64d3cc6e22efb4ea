//! What members say to each other, besides what SWIM itself says.
//!
//! Every packet fits one datagram ([`PACKET_BYTES_MAX`] encoded). The joining protocol is
//! HELLO, then WELCOME or REFUSED; only after a WELCOME does a node announce itself to
//! SWIM. Nonces tie answers to questions, so that an unasked or repeated answer has no
//! effect.

use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;
use super::identity::Identity;
use super::members::{LEFT_INCARNATION, State};
use crate::clock::NodeId;

/// Most bytes that one encoded packet takes: what is left of a datagram of 1,400 bytes
/// after the seal and the tags, with a margin for later fields.
pub const PACKET_BYTES_MAX: usize = 1_300;

/// Most bytes of one SWIM message, so that its packet stays within [`PACKET_BYTES_MAX`].
pub const SWIM_BYTES_MAX: usize = 1_280;

/// Most entries of one [`Roster`]: the largest entry encodes to 52 bytes.
pub const ROSTER_ENTRIES_MAX: usize = 24;

/// One datagram of the membership protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Packet {
    /// "I am here and my cluster looks like this; who are you?"
    Hello(Hello),
    /// "You may join; announce yourself to this identity."
    Welcome(Welcome),
    /// "You may not join, because."
    Refused {
        /// The nonce of the HELLO that this answers.
        nonce: u64,
        /// Why.
        refusal: Refusal,
    },
    /// "You did not answer my probe: say that you live" (Lifeguard's buddy notice).
    Suspect {
        /// Whom the sender suspects.
        target: Identity,
        /// The incarnation that it suspects.
        incarnation: u16,
    },
    /// "I live": the answer to [`Packet::Suspect`].
    Alive {
        /// The sender.
        identity: Identity,
        /// Its incarnation now.
        incarnation: u16,
    },
    /// A message of SWIM, encoded by our own codec.
    Swim(Vec<u8>),
    /// "Tell me your member list from this id on."
    RosterAsk(RosterAsk),
    /// A page of the member list.
    Roster(Roster),
    /// "This member leaves of its own will."
    Left(Identity),
    /// "I have noted that you leave."
    LeftAck {
        /// The sender.
        by: NodeId,
    },
}

/// A knock: asks a node, often one of which only an address is known, to be let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Ties the answer to this question.
    pub nonce: u64,
    /// The sender.
    pub identity: Identity,
    /// The sender's cluster-wide settings.
    pub fingerprint: Fingerprint,
    /// Whether the sender already takes part. Of two processes with one name, one that
    /// does keeps the name against one that does not.
    pub active: bool,
}

/// The answer to a HELLO from a node that may join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The nonce of the HELLO.
    pub nonce: u64,
    /// The sender.
    pub identity: Identity,
    /// The sender's cluster-wide settings.
    pub fingerprint: Fingerprint,
    /// What the sender's member list says about the node that knocked.
    pub known: Option<RosterEntry>,
}

/// Why a node may not join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The cluster-wide settings differ; these are the refusing side's.
    Fingerprint(Fingerprint),
    /// The name belongs to a member that has not been found failed.
    NameTaken {
        /// Who has the name.
        holder: Identity,
        /// Whether the holder answered when asked just now. While it has not, it may be an
        /// earlier life of the same node that is about to be declared failed: wait.
        answering: bool,
    },
    /// The cluster has as many members as it can have.
    Full {
        /// How many that is.
        members_max: u32,
    },
}

/// Asks for one page of the member list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterAsk {
    /// Ties the answer to this question.
    pub nonce: u64,
    /// Only entries with a greater id; `None` from the start.
    pub after: Option<NodeId>,
    /// Digest of the asker's own list: an equal list need not be sent.
    pub digest: u64,
}

/// One page of the member list, ordered by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    /// The nonce of the question.
    pub nonce: u64,
    /// At most [`ROSTER_ENTRIES_MAX`] entries.
    pub entries: Vec<RosterEntry>,
    /// Whether entries with greater ids follow.
    pub more: bool,
}

/// One member as its teller sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterEntry {
    /// Who.
    pub identity: Identity,
    /// The SWIM incarnation.
    pub incarnation: u16,
    /// In which state.
    pub state: State,
    /// For how many seconds, so that a member that is gone is forgotten everywhere at
    /// about the same time instead of being learned again from those who still remember.
    pub age_s: u32,
}

impl RosterEntry {
    /// Whether the entry can be true.
    pub(super) fn is_possible(&self) -> bool {
        self.identity.check().is_ok() && self.incarnation != LEFT_INCARNATION
    }
}
