//! What two replicas of one partition say to each other.
//!
//! Values only: who sends them where is the caller's. Every causal context travels whole
//! (PROTOCOL 15.3: a truncated one breaks convergence), sets of dots travel as runs. Messages
//! that name the same few actors many times have encodings of their own: `store::compact`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::{ActorId, Clock, Dot, DotSet, Entry, VersionVector};
use crate::object::{Row, Versions};
use crate::placement::PartitionId;

/// One write on its way to the other replicas: the whole row with its whole context, from
/// the snapshot of the write (PROTOCOL 3.3, R3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// The partition.
    pub partition: PartitionId,
    /// The write; its actor is the sender.
    pub dot: Dot,
    /// The key.
    pub key: Bytes,
    /// All live versions of the key, not just the new one (N03).
    pub versions: Versions,
    /// Every write of the key that this state includes.
    pub context: VersionVector,
}

/// "This is what I have": the question of anti-entropy (PROTOCOL 3.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// The partition.
    pub partition: PartitionId,
    /// Who asks: the actor of the asker's opening, echoed in the answer (R17).
    pub asker: ActorId,
    /// The exact set of dots that the asker has.
    pub clock: Clock,
}

/// The answer to a digest: rows of keys that the asker is behind on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// The partition.
    pub partition: PartitionId,
    /// The asker of the digest (R17).
    pub to: ActorId,
    /// The bases of the sender's clock, from the snapshot of the rows (R7): the part of the
    /// context that all rows share.
    pub base: VersionVector,
    /// The keys' rows as the sender stores them; an empty row is a deleted key.
    pub rows: Vec<(Bytes, Row)>,
    /// Exactly what the asker may add to its clock (R5): for each row all dots of its key
    /// that the asker lacks (R6). A cover whose key has no row says that a later write has
    /// brought their effect.
    pub covers: Vec<Cover>,
    /// There is more: ask again with a new digest.
    pub more: bool,
}

/// Dots that the receiver of a delta may add to its clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cover {
    /// The key that the dots wrote; none for void dots, whose writes nobody has.
    pub key: Option<Bytes>,
    /// The dots.
    pub dots: DotSet,
}

/// "Send me everything that differs": the asker is below the floor of the source's log, or
/// new (PROTOCOL 3.6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FullRequest {
    /// The partition.
    pub partition: PartitionId,
    /// Who asks: the actor of the asker's opening, echoed in the answer (R16).
    pub asker: ActorId,
    /// The exact set of dots that the asker has.
    pub clock: Clock,
}

/// One piece of a full sync. It takes effect with the [`FullEnd`], not before (N33).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullRows {
    /// The partition.
    pub partition: PartitionId,
    /// The asker of the request (R16).
    pub to: ActorId,
    /// Tells this sync from others.
    pub session: u64,
    /// The place of this piece, from 0.
    pub sequence: u32,
    /// Rows that the asker may lack.
    pub rows: Vec<(Bytes, Row)>,
    /// A part of the set of *all* live dots of the source (N23).
    pub live: DotSet,
}

/// "Send me piece `sequence`."
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FullNext {
    /// The partition.
    pub partition: PartitionId,
    /// The sync.
    pub session: u64,
    /// The piece.
    pub sequence: u32,
}

/// The last piece of a full sync: what makes the others take effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FullEnd {
    /// The partition.
    pub partition: PartitionId,
    /// The asker of the request (R16).
    pub to: ActorId,
    /// The sync.
    pub session: u64,
    /// How many rows were sent before (N22).
    pub rows_total: u64,
    /// How many live dots were sent before (N22).
    pub live_total: u64,
    /// The source's clock, from the snapshot of its rows (R7).
    pub clock: Clock,
    /// Whether the source was whole: a receiver that rebuilds its copy is so then too.
    pub vouches: bool,
}

/// What a replica says about dead actors, beside its digest (PROTOCOL 3.9).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// The partition.
    pub partition: PartitionId,
    /// The opening that speaks.
    pub from: ActorId,
    /// A hash of the openings that the speaker knows as all replicas of the partition, itself
    /// included; zero while it is not sure that they are all.
    pub view: u64,
    /// The actors that the speaker has frozen and what it holds of each: a promise, durable
    /// before it was made, to take in no dot of them that no replica has promised.
    pub frozen: BTreeMap<ActorId, Entry>,
    /// Actors that left residual contexts or holes at the speaker, which go when they are
    /// closed.
    pub wanted: BTreeSet<ActorId>,
}
