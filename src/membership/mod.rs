//! The `membership` room: who is in the cluster, and who of them is alive.

mod event;
mod fingerprint;
mod identity;
mod members;
mod membership;
mod packet;
mod params;
mod stats;

pub use event::{Event, Input, Output, RefusedReason};
pub use fingerprint::{CLUSTER_BYTES_MAX, Fingerprint, Mismatch};
pub use identity::{BUMP_MAX, GENERATION_MAX, Identity, IdentityError};
pub use members::{Member, State};
pub use membership::Membership;
pub use packet::{
    Hello, PACKET_BYTES_MAX, Packet, ROSTER_ENTRIES_MAX, Refusal, Roster, RosterAsk, RosterEntry,
    SWIM_BYTES_MAX, Welcome,
};
pub use params::Params;
pub use stats::Stats;

/// Most members of one cluster, failed ones included, until node facts travel in a form
/// whose digest does not grow with the cluster.
pub const MEMBERS_MAX: usize = 1_000;
