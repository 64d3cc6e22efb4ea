//! Causality: actors, dots, version vectors, the partition clock with gaps, the hybrid clock.
//!
//! Every write is one [`Dot`]: the `n`-th write of one [`ActorId`]. What a replica has applied
//! is an exact set of dots, its [`Clock`]: per actor a contiguous base and runs above it, so a
//! lost message is a gap and not a lie. What a reader saw of one key is a [`VersionVector`],
//! which is enough there because an actor never forgets its own writes of a key
//! (PROTOCOL section 2, prefix closure). Order among concurrent writes is an [`Hlc`].
//!
//! Invariants: every set is in normal form at all times (equal sets are equal values and have
//! equal hashes, whatever their history); set operations work on runs, never dot by dot, so a
//! peer that claims 2^60 dots costs as much as one that claims two; what arrives by serde is
//! in normal form and within [`ACTORS_MAX`] and [`RUNS_MAX`], or it is refused.
//!
//! Deliberately absent: pruning. An entry lives for ever, because forgetting an actor brings
//! back what was deleted (PROTOCOL R12, N12).

mod dots;
mod dotted;
mod entry;
mod hlc;
mod id;
mod names;
mod runs;
mod vector;

#[cfg(test)]
mod tests;

use thiserror::Error;

pub use dots::DotSet;
pub use dotted::Clock;
pub use entry::Entry;
pub use hlc::{Hlc, HybridClock, MAX_DRIFT_MS};
pub use id::{ActorId, Dot, NodeId};
pub use names::{ActorNames, NAMES_MAX};
pub use runs::RunSet;
pub use vector::VersionVector;

/// The most actors in one clock, set or vector.
///
/// One actor is one opening of a partition that wrote: 65,536 are over a hundred openings a
/// day for a year. It bounds what one digest can make a receiver allocate (about 4 MiB).
pub const ACTORS_MAX: usize = 65_536;

/// The most runs in one clock or set, over all its actors.
///
/// A run is a hole that sync has not closed yet. More than this at once means that the peer
/// is broken or hostile; a delta fills the lowest holes first, so the bound does not wedge.
pub const RUNS_MAX: usize = 65_536;

/// The largest counter of a dot. One below the top, so that the successor of every counter
/// is a number.
pub const COUNTER_MAX: u64 = u64::MAX - 1;

/// What is wrong with a set of dots that came from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ClockError {
    /// A counter of zero or beyond [`COUNTER_MAX`].
    #[error("counter outside of 1..={COUNTER_MAX}")]
    Counter,
    /// More runs than allowed.
    #[error("more than {RUNS_MAX} runs")]
    Runs,
    /// More actors than allowed.
    #[error("more than {ACTORS_MAX} actors")]
    Actors,
    /// An actor without dots: normal form leaves it out.
    #[error("actor without dots")]
    Empty,
}
