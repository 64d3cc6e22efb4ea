//! What one node says to another about data.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::durability::Durability;
use super::fixed;
use crate::clock::ActorId;
use crate::object::Object;
use crate::placement::PartitionId;
use crate::store::exchange::{
    Closing, Delta, Digest, FullEnd, FullNext, FullRequest, FullRows, Push,
};

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
    /// "This is the hash of everything that I hold. Is yours the same?"
    Root(#[serde(with = "fixed")] u64),
    /// "It is the same": the answer to [`Message::Root`] when nothing differs.
    Same(#[serde(with = "fixed")] u64),
    /// "It is not the same": the sender's hash of each partition, in order.
    Hashes(#[serde(with = "fixed::each")] Vec<u64>),
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
    /// it has all: the answerer is rebuilding its own copy, or cannot read it.
    Unsure {
        /// The partition asked about.
        partition: PartitionId,
        /// The actor in whose name was asked.
        asker: ActorId,
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
