//! Why a partition did not do as asked.

use thiserror::Error;

use super::derived::ROW_MERGED_BYTES_MAX;
use super::engine::EngineError;
use crate::clock::{ACTORS_MAX, ActorId, Dot, RUNS_MAX};
use crate::object::{KEY_BYTES_MAX, SIBLINGS_MAX, SIBLINGS_MERGED_MAX, SUMS_MAX, VALUE_BYTES_MAX};
use crate::placement::PartitionId;

/// Why a local operation failed. Nothing was changed in memory.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The engine failed. The batch is not in effect, but whether it is on disk is unknown, so
    /// the partition refuses every further change until it is opened again, with a fresh actor.
    #[error("storage engine failed: {0}")]
    Engine(#[from] EngineError),
    /// A row or an index cannot be read: the engine failed, or a record is damaged. What needs
    /// it is not done, and nothing was changed; other keys are not touched by it.
    #[error("partition {partition} cannot be read: {source}")]
    Unreadable {
        /// The partition.
        partition: PartitionId,
        /// The engine's words.
        source: EngineError,
    },
    /// An earlier change failed in the engine: see [`StoreError::Engine`].
    #[error(
        "partition {0} takes no writes since its storage engine failed, until that is opened again"
    )]
    Poisoned(PartitionId),
    /// What was here was damaged and set aside, or dropped, or was never here, and has not come
    /// from another replica yet.
    #[error("partition {0} is being fetched from other members, its copy here is not whole")]
    Rebuilding(PartitionId),
    /// What the engine holds contradicts itself.
    #[error(
        "stored partition {partition} is damaged: {what}; stop the node and run netdb repair on its data directory"
    )]
    Damaged {
        /// The partition.
        partition: PartitionId,
        /// What contradicts what.
        what: &'static str,
    },
    /// The actor for this opening has issued dots before (R1).
    #[error("actor {0:?} is not fresh: draw a new one for each opening of a partition")]
    ActorReused(ActorId),
    /// The key belongs elsewhere.
    #[error("key belongs to partition {belongs}, not to {asked}")]
    WrongPartition {
        /// Where it belongs.
        belongs: PartitionId,
        /// Where it was written.
        asked: PartitionId,
    },
    /// The key is too long.
    #[error("key of {0} bytes is too long: at most {KEY_BYTES_MAX}")]
    KeyTooLong(usize),
    /// The value is too long.
    #[error("value of {0} bytes is too long: at most {VALUE_BYTES_MAX}")]
    ValueTooLong(usize),
    /// One more sum beside those of a counter would be too many.
    #[error("counter has the sums of {SUMS_MAX} starts of nodes: set it to its value once")]
    TooManySums,
    /// What the key shows is no number, or the sum is out of range.
    #[error("value is not a number that can be added to")]
    NoNumber,
    /// One more version beside those that the write did not see would be too many.
    #[error(
        "key has {0} unresolved versions, at most {SIBLINGS_MAX}: read it and write once with what was read"
    )]
    TooManySiblings(usize),
    /// With the versions that the write did not see the row would not fit a peer frame.
    #[error(
        "unresolved versions of the key take {0} bytes in all, which is too many: read it and write once with what was read"
    )]
    RowTooLarge(usize),
    /// The context claims writes of this replica that it never made.
    #[error("causal context is not from this cluster: it names a write that was never made")]
    ForeignContext,
    /// The clock has no room for another actor or hole, or this actor's counter is at its end.
    #[error("partition clock is full: at most {ACTORS_MAX} actors and {RUNS_MAX} holes")]
    ClockFull,
}

/// Why something that a peer sent was not applied. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// It is for another partition.
    #[error("message is for another partition")]
    WrongPartition,
    /// It answers what an earlier opening of this partition asked (R16, R17).
    #[error("answer is for an earlier opening of this partition")]
    Stale,
    /// Its key belongs to another partition.
    #[error("key belongs to another partition")]
    ForeignKey,
    /// A key or value beyond the limits.
    #[error("key over {KEY_BYTES_MAX} bytes or value over {VALUE_BYTES_MAX} bytes")]
    TooLong,
    /// More versions of one key than replicas can have made.
    #[error("more than {SIBLINGS_MERGED_MAX} versions of one key")]
    TooManySiblings,
    /// More bytes in the versions of one key than a replica keeps.
    #[error(
        "versions of one key over {ROW_MERGED_BYTES_MAX} bytes until they are rewritten as one"
    )]
    RowTooLarge,
    /// A counter of zero or out of range.
    #[error("counter of a dot is out of range")]
    BadCounter,
    /// It names a write of this very actor that was never made.
    #[error("names a write of this actor that was never made")]
    ForgedDot,
    /// A push whose context does not include what it carries.
    #[error("context does not include the dots of the message: {0:?}")]
    ContextMissesDot(Dot),
    /// A row came twice, without covers, or covers without their row which is needed (R5, R6).
    #[error("rows and covers do not match")]
    CoversMismatch,
    /// One dot for two keys.
    #[error("{0:?} is claimed for two keys")]
    DotOfTwoKeys(Dot),
    /// More dots than a replica's log can hold.
    #[error("covers more dots than a log can hold")]
    TooManyDots,
    /// The clock would exceed its limits.
    #[error("clock would exceed {ACTORS_MAX} actors or {RUNS_MAX} holes")]
    ClockFull,
    /// A dot of a dead actor that its replicas did not agree on (R19).
    #[error("names a write of a dead actor that its replicas have not agreed on")]
    Frozen,
    /// A piece of a full sync that nobody waits for.
    #[error("piece of a full sync that is not the next of a running one")]
    UnknownSession,
    /// A full sync that is incomplete or contradicts its own clock (R16).
    #[error("full sync is incomplete or contradicts its clock")]
    Incomplete,
    /// A full sync that does not fit the bound of staging.
    #[error("full sync is larger than may be staged")]
    TooLarge,
}
