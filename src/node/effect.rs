//! What a call leaves to be done, in order: sends, then replies.

use bytes::Bytes;

use super::request::Reply;
use crate::clock::NodeId;
use crate::placement::{PartitionId, Phase, RosterError};
use crate::replication::{Message, Tally};
use crate::store::{Refusal, StoreError};

/// Something to do after a call, in order.
#[derive(Debug, PartialEq)]
pub enum Effect<W> {
    /// Send this to a peer. May be dropped; then say so
    /// ([`Data::dropped`](super::Data::dropped)).
    Send {
        /// The peer.
        to: NodeId,
        /// What to send.
        message: Message,
    },
    /// Answer a client that waited.
    Reply {
        /// Who waited.
        waiter: W,
        /// The answer.
        reply: Reply,
    },
    /// Force what was committed to disk soon: somebody waits for it
    /// ([`Data::begin_sync`](super::Data::begin_sync)).
    SyncNow,
    /// Tell the subscribers on this node what a client of another has published.
    Published {
        /// Where.
        channel: Bytes,
        /// What.
        payload: Bytes,
    },
    /// Tell who wants to know that a key has ended.
    Expired {
        /// The key.
        key: Bytes,
    },
    /// Something that an operator may want to know.
    Note(Note),
}

/// Something that an operator may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Everything that differed from this peer has been fetched.
    Synced {
        /// The peer.
        peer: NodeId,
        /// How much there was.
        tally: Tally,
    },
    /// A partition was fetched as a whole, because the peer's dot log no longer reached back.
    FullSynced {
        /// The peer.
        peer: NodeId,
        /// The partition.
        partition: PartitionId,
    },
    /// A peer's request for a full sync waits until others are done.
    FullSyncDeferred {
        /// The peer.
        peer: NodeId,
        /// The partition.
        partition: PartitionId,
    },
    /// A peer sent something that cannot be; it was dropped.
    Refused {
        /// The peer.
        peer: NodeId,
        /// The partition it was about.
        partition: PartitionId,
        /// Why it cannot be.
        refusal: Refusal,
    },
    /// Two replicas with equal clocks hold different data: a bug or corruption.
    Diverged {
        /// The other replica.
        peer: NodeId,
        /// The partition.
        partition: PartitionId,
    },
    /// This node has joined its cluster, or has come to own in it.
    Phase(Phase),
    /// The members of this node's cluster met those of an elder one.
    Merged,
    /// A member that was out of reach for too long was removed for good.
    Evicted {
        /// The member.
        member: NodeId,
    },
    /// A copy of a partition was given up: all of it is with its owners.
    Dropped {
        /// The partition.
        partition: PartitionId,
    },
    /// What a node knows of the cluster's members could not be kept on its disk.
    RosterUnkept {
        /// The engine's words.
        error: String,
    },
    /// A peer said what cannot be of the cluster's members.
    RosterRefused {
        /// The peer.
        peer: NodeId,
        /// Why it cannot be.
        reason: RosterError,
    },
    /// No member has a whole copy of a partition, and none has more than what is here: this
    /// is what is left of it.
    LeftOver {
        /// The partition.
        partition: PartitionId,
    },
    /// A partition whose copy here was not whole is so now.
    Rebuilt {
        /// With whom it was compared.
        peer: NodeId,
        /// The partition.
        partition: PartitionId,
    },
    /// A peer knows writes of this node that it no longer had: its disk has lost them. They
    /// are fetched like everything that is missing.
    OwnWritesLost {
        /// The peer.
        peer: NodeId,
        /// Of how many partitions.
        partitions: u64,
        /// How many writes.
        writes: u64,
    },
    /// The engine failed; what it should have kept was not applied either.
    Storage {
        /// The partition.
        partition: PartitionId,
        /// The engine's words.
        error: String,
    },
}

/// Who waits for a reply: somebody here, or a node that serves somebody.
pub(super) enum Client<W> {
    Here(W),
    Peer(Asker),
}

/// A node that has forwarded a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    pub(super) node: NodeId,
    pub(super) partition: PartitionId,
    /// The request's own.
    pub(super) id: u64,
}

impl Asker {
    /// The answer to what it asked; none if this node does not serve the partition.
    pub(super) fn answer<W>(self, reply: Option<Reply>) -> Effect<W> {
        Effect::Send {
            to: self.node,
            message: Message::Forwarded {
                partition: self.partition,
                id: self.id,
                reply: reply.map(Box::new),
            },
        }
    }
}

impl<W> Client<W> {
    /// The answer.
    pub(super) fn reply(self, reply: Reply) -> Effect<W> {
        match self {
            Self::Here(waiter) => Effect::Reply { waiter, reply },
            Self::Peer(asker) => asker.answer(Some(reply)),
        }
    }
}

impl<W> Effect<W> {
    /// Whether it is a message to that node.
    pub(super) fn is_to(&self, node: NodeId) -> bool {
        matches!(self, Self::Send { to, .. } if *to == node)
    }

    /// What the engine could not do.
    pub(super) fn storage(partition: PartitionId, error: &StoreError) -> Self {
        Self::Note(Note::Storage {
            partition,
            error: error.to_string(),
        })
    }

    /// What a peer said was not applied. An answer to a question of an earlier opening is
    /// expected after a restart and a piece out of turn after a loss; the rest is not. Late
    /// news of a dead actor is not worth a note: refusing it is what was agreed.
    pub(super) fn refused(peer: NodeId, partition: PartitionId, refusal: Refusal) -> Option<Self> {
        let note = Note::Refused {
            peer,
            partition,
            refusal,
        };
        (refusal != Refusal::Frozen).then_some(Self::Note(note))
    }
}
