//! The `membership` room: who is in the cluster, and who of them is alive.
//!
//! The heart is SWIM (Das, Gupta, Motivala 2002, with suspicion and piggybacked gossip) as
//! the `foca` crate implements it. Measured as it comes, foca buries live members under
//! loss, joins incompletely and can fall silent for ever, so this room builds around it:
//!
//! - **Knocking** (`knock`, `joining`): HELLO → WELCOME or REFUSED before anything else,
//!   repeated for ever. Cluster-wide settings are compared first.
//! - **Suspicion** (`buddy`, `engine`): a suspect is told so directly until it answers; a
//!   verdict is dropped unless the suspicion still stands, and postponed after a stall of
//!   this node itself.
//! - **Lists** (`roster`): whole member lists are compared on joining and from time to time.
//! - **Leaving** (`farewell`): everybody is told, and `Left` is told apart from `Failed`.
//! - **Names** (`namesake`): a second live process with a node's name is found and reported,
//!   while a restart of the node is let in.
//!
//! Invariants:
//!
//! - one entry per node id; within it the greater `(generation, bump)` wins, and within one
//!   identity `Failed < Left` for members that are gone;
//! - a node that takes no part always knocks somewhere; a node wrongly declared failed takes
//!   a new name and comes back by itself;
//! - nothing from the network is used before it is checked, allocates by a length that it
//!   claims, or panics; what is rejected is counted in [`Stats`] by reason;
//! - every packet encodes to less than [`PACKET_BYTES_MAX`].
//!
//! Deliberately absent: sockets, sealing and replay protection (`wire`, `runtime`), node
//! facts such as client addresses (chitchat), and any knowledge of storage or placement.

mod buddy;
mod codec;
mod duties;
mod engine;
mod event;
mod farewell;
mod fingerprint;
mod identity;
mod inbound;
mod joining;
mod knock;
mod members;
mod namesake;
mod packet;
mod params;
mod roster;
mod seldom;
mod stats;
mod swim;
mod timers;
mod view;

pub use engine::Membership;
pub use event::{Event, Input, Output, RefusedReason};
pub use fingerprint::{CLUSTER_BYTES_MAX, Fingerprint, Mismatch};
pub use identity::{BUMP_MAX, GENERATION_MAX, Identity, IdentityError};
pub use knock::SEEDS_MAX;
pub use members::{Member, State};
pub use packet::{
    Hello, PACKET_BYTES_MAX, Packet, ROSTER_ENTRIES_MAX, Refusal, Roster, RosterAsk, RosterEntry,
    SWIM_BYTES_MAX, Welcome,
};
pub use params::{PERIOD_MIN, Params};
pub use stats::Stats;

/// Most members of one cluster, failed ones included, until node facts travel in a form
/// whose digest does not grow with the cluster.
pub const MEMBERS_MAX: usize = 1_000;

#[cfg(test)]
mod tests;
