//! How the replicas of a partition come to agree.
//!
//! A write is applied where it arrives and pushed at once to every reachable replica
//! ([`Message::Push`]); [`Waits`] counts who has it. A push is a hint about speed,
//! not about safety: it may be dropped anywhere. [`Synchronizer`] mends whatever was
//! dropped: once per interval two nodes compare one number, then one number per partition,
//! then the clocks of the partitions that differ, and only then exchange what is missing.
//! The receiver's clock is the cursor of that exchange, so it can stop anywhere and go on
//! with anyone (PROTOCOL sections 3.3 to 3.6). [`Pacer`] bounds how fast.
//!
//! Absent on purpose: a queue of writes for replicas that are away (anti-entropy is that
//! queue), retransmission, and any opinion about who is alive.

mod bounds;
mod change;
mod durability;
mod elements;
mod fixed;
mod message;
mod pacer;
mod refusal;
mod request;
mod strength;
mod sync;
mod waits;
mod words;

pub use bounds::{check_element_row, check_elements, check_value};
pub use change::{Change, Changed, Ends, EndsIf, OnlyIf};
pub use durability::Durability;
pub use elements::{Alter, Altered, Ask, ELEMENTS_MAX, Held, Only};
pub use message::{Message, PartitionHash};
pub use pacer::Pacer;
pub use refusal::RequestError;
pub use request::{Consistency, KEYS_BYTES_MAX, Reply, Request};
pub use strength::Strength;
pub use sync::{Input, Output, Pull, SyncParams, Synchronizer, Tally};
pub use waits::{Ended, Needs, Waits, patience};
