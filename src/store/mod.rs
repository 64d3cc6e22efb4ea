//! One partition on one replica: its objects, its clock, its dot log, and what two replicas
//! of it say to each other.
//!
//! A [`Partition`] is told of writes, pushes, digests, deltas and full syncs and answers with
//! values ([`exchange`]) for its caller to send. Everything that it keeps goes through an
//! [`engine::Engine`] first: *commit, then install, then answer*, rows and clock in one atomic
//! batch (PROTOCOL R13).
//!
//! Which rule of PROTOCOL is kept where, and which test notices when it is not, is a table in
//! `partition/mod.rs`.
//!
//! Store does not know that there is a network, who is a member, or what time it is.
//!
//! Not here: when a copy may be dropped (PROTOCOL 3.11), which whoever knows the owners decides.

mod budget;
mod by_hash;
pub mod codec;
mod compact;
mod derived;
mod elements;
pub mod engine;
mod error;
pub mod exchange;
mod mutation;
mod partition;
mod verify;

pub use budget::{MemoryBudget, MemoryRoom, NoRoom, RowBudget};
pub use derived::{Index, IndexChange, Summary, Totals, row_bytes};
pub use elements::Elements;
pub use error::{Refusal, StoreError};
#[cfg(any(test, feature = "mutations"))]
pub use mutation::Mutation;
pub use partition::{
    Applied, DeltaAnswer, EXPIRE_KEYS_MAX, FullChunk, FullSource, LOG_ROW_BYTES, Options, Page,
    PageSize, Partition, PartitionStats, Restore, RestoreEnd, RestoreError, Restored, Shown, Write,
};
pub use verify::verify;
