//! What one node says to another about data.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::durability::Durability;
use super::fixed;
use super::request::{Consistency, Reply, Request};
use crate::clock::{ActorId, Clock, NodeId};
use crate::object::Object;
use crate::placement::{Founding, PartitionId, Record};
use crate::store::exchange::{
    Closing, Delta, Digest, FullEnd, FullNext, FullRequest, FullRows, Push,
};

/// What a node has of a partition, as one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionHash {
    /// The partition.
    pub partition: PartitionId,
    /// The hash of its clock and rows, and of what else replicas compare.
    #[serde(with = "fixed")]
    pub hash: u64,
}

/// One message between peers. Any of them may be lost, repeated or late.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// A write that the sender has just accepted (PROTOCOL 3.3).
    Push {
        /// Chosen by the sender, echoed in [`Message::Pushed`].
        id: u64,
        /// The write.
        push: Arc<Push>,
        /// What the receiver does with it before it confirms.
        durability: Durability,
    },
    /// The push was applied, or had been before.
    Pushed {
        /// The partition of the push.
        partition: PartitionId,
        /// The push's `id`.
        id: u64,
        /// The actor of the push: an answer to an earlier opening is none (as R17 for deltas).
        to: ActorId,
    },
    /// "What do you know of this key?" (PROTOCOL 3.7)
    Read {
        /// The key's partition.
        partition: PartitionId,
        /// Chosen by the sender, echoed in [`Message::Known`].
        id: u64,
        /// The actor of the asker's opening, echoed too.
        asker: ActorId,
        /// The key.
        key: Bytes,
    },
    /// The answer to [`Message::Read`].
    Known {
        /// The key's partition.
        partition: PartitionId,
        /// The read's `id`.
        id: u64,
        /// The read's `asker`: an answer to an earlier opening is none.
        to: ActorId,
        /// Everything that the answerer knows of the key.
        object: Object,
    },
    /// "This is the hash of the roster that I know and of everything that we both get the
    /// writes of. Is yours the same?"
    Root(#[serde(with = "fixed")] u64),
    /// "It is the same": the answer to [`Message::Root`] when nothing differs.
    Same(#[serde(with = "fixed")] u64),
    /// "It is not the same": of what the sender holds.
    Hashes {
        /// The fingerprint of its roster.
        #[serde(with = "fixed")]
        roster: u64,
        /// The hash of each partition that it should hold.
        partitions: Vec<PartitionHash>,
    },
    /// What the sender knows of who belongs to the cluster, or a part of it.
    Roster {
        /// When the cluster of its copies began; none if it has none that is whole.
        founding: Option<Founding>,
        /// The fingerprint of all that it knows.
        #[serde(with = "fixed")]
        fingerprint: u64,
        /// Facts by member.
        records: Vec<(NodeId, Record)>,
        /// Whether it wants to hear what the receiver knows.
        mutual: bool,
    },
    /// A client's request for a key that the sender does not serve.
    Forward {
        /// The key's partition.
        partition: PartitionId,
        /// Chosen by the sender, echoed in [`Message::Forwarded`]. The first of each life is
        /// random, so that what an earlier life asked is not taken for its own.
        id: u64,
        /// At which strength.
        consistency: Consistency,
        /// What to do.
        request: Request,
    },
    /// The answer to [`Message::Forward`].
    Forwarded {
        /// The partition of the request.
        partition: PartitionId,
        /// Its `id`.
        id: u64,
        /// The answer; none if the node that was asked does not serve the partition.
        reply: Option<Box<Reply>>,
    },
    /// "I hold this of a partition that is none of mine, or that I am about to give up. Do you
    /// have all of it, on disk?" (PROTOCOL 3.11)
    Holding {
        /// The partition.
        partition: PartitionId,
        /// Chosen by the asker, anew when what it knows of the roster or what it holds has
        /// changed; echoed in [`Message::Held`].
        id: u64,
        /// The actor of the asker's opening, echoed too.
        asker: ActorId,
        /// What it holds.
        clock: Clock,
    },
    /// "I get the writes of this partition by the roster that I know, and what you hold of it
    /// is on my disk."
    Held {
        /// The partition.
        partition: PartitionId,
        /// The question's `id`.
        id: u64,
        /// The question's `asker`: an answer to an earlier opening is none.
        to: ActorId,
    },
    /// "This is what I have of a partition; send what I lack" (PROTOCOL 3.4).
    Digest {
        /// The asker's clock.
        digest: Digest,
        /// Half of the asker's fingerprint of live dots: equal clocks must have equal ones.
        #[serde(with = "fixed::half")]
        fingerprint: u32,
        /// Whether the answerer should ask back for what it lacks itself.
        mutual: bool,
    },
    /// What the sender has to say about dead actors, beside a digest (PROTOCOL 3.9).
    Closing {
        /// The partition's.
        closing: Closing,
        /// Whether the receiver should say what it has to say in return.
        mutual: bool,
    },
    /// What the asker of a digest lacked.
    Delta(Delta),
    /// The asker of a digest lacked nothing.
    CaughtUp {
        /// The partition asked about.
        partition: PartitionId,
        /// The actor in whose name was asked.
        asker: ActorId,
    },
    /// The answerer no longer remembers which keys the asker lacks: it needs a full sync
    /// (PROTOCOL 3.5, R10).
    TooFarBehind {
        /// The partition asked about.
        partition: PartitionId,
        /// The actor in whose name was asked.
        asker: ActorId,
    },
    /// "Send me the partition as far as I lack it" (PROTOCOL 3.6).
    FullRequest(FullRequest),
    /// A piece of a full sync; staged by the receiver, not yet in effect.
    FullRows(FullRows),
    /// "I have staged that piece, send the next."
    FullNext(FullNext),
    /// "I no longer have the full sync whose piece you asked for; begin again."
    FullGone {
        /// The partition.
        partition: PartitionId,
        /// The sync.
        session: u64,
    },
    /// The end of a full sync: now everything staged takes effect at once.
    FullEnd(FullEnd),
    /// The asker of a digest lacked nothing that the answerer can send, which is no proof that
    /// it has all: the answerer's own copy is not whole, or cannot be read.
    Unsure {
        /// The partition asked about.
        partition: PartitionId,
        /// The actor in whose name was asked.
        asker: ActorId,
        /// Whether the answerer never had more than what it has, and the asker has all of it.
        is_all: bool,
    },
    /// What a client of the sender has published. Nobody keeps it, answers it or sends it on.
    Published {
        /// Where.
        channel: Bytes,
        /// What.
        payload: Bytes,
    },
}

impl Message {
    /// Whether its receiver has to keep something of it.
    pub fn is_kept(&self) -> bool {
        matches!(
            self,
            Self::Push { .. } | Self::Delta(_) | Self::FullRows(_) | Self::FullEnd(_)
        )
    }
}
