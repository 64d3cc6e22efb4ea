//! The composition of the pure rooms into one node.
//!
//! [`Data`] is everything a node does about data: its partitions, in shards that each have
//! a lock held for microseconds, and the synchroniser that keeps them equal to their
//! replicas. [`View`] is what membership tells it: who are the replicas, who can be
//! reached. Neither waits, reads a clock or opens a socket; the runtime drives them for
//! real and the simulator on virtual time.
//!
//! Order is the contract: a shard commits to its engine inside the call, and the
//! [`Effect`]s that the call leaves (sends, then replies) are executed after it returns.

mod altering;
mod asking;
mod away;
mod backup;
mod catch_up;
pub mod change;
#[cfg(test)]
mod change_tests;
mod clearing;
mod closing;
mod compare;
mod confirmation;
#[cfg(test)]
mod confirmation_tests;
mod control;
mod data;
#[cfg(test)]
mod decided_tests;
mod durable;
mod effect;
#[cfg(test)]
mod elements_tests;
mod errands;
mod forwards;
mod full;
#[cfg(test)]
mod full_tests;
mod gate;
mod gathering;
mod handing;
mod holdings;
#[cfg(test)]
mod holdings_tests;
mod listing;
mod losses;
mod member;
mod memory;
#[cfg(test)]
mod place_tests;
mod progress;
mod publish;
mod pull;
mod receive;
mod recovery;
#[cfg(test)]
mod recovery_tests;
mod reopen;
#[cfg(test)]
mod reopen_tests;
pub mod request;
mod requests;
mod restore;
mod rostering;
mod seats;
mod serving;
mod shard;
mod stats;
mod streak;
#[cfg(test)]
mod streak_tests;
mod sync_count;
#[cfg(test)]
mod tests_support;
pub mod transfer;
#[cfg(test)]
mod transfer_tests;
mod transfers;
mod update;
#[cfg(test)]
mod update_tests;
mod view;
mod writing;

pub use data::{Data, DataParams};
pub use durable::Syncing;
pub use effect::{Effect, Note};
pub use gate::Gate;
pub use member::{JoinError, LeaveError, MemberParams, RemoveError};
pub use memory::{SettledError, settled};
pub use progress::Progress;
pub use stats::DataStats;
pub use streak::Streak;
pub use view::{Group, View};
