//! What a key holds, and how two states of it become one.
//!
//! A key holds the versions that no write known here has replaced, each under the dot of the
//! write that made it. More than one means that writes were concurrent. Deletion leaves
//! nothing: that a dot is known (by clock or context) and has no version *is* the deletion
//! (PROTOCOL section 1).
//!
//! Two forms: an [`Object`] carries its full causal context and can be merged anywhere; a
//! [`Row`] is what a replica stores, its context stripped of what the replica's clock says.
//!
//! Invariants: [`Object::merge`] is commutative, associative and idempotent; it never drops a
//! version for having lost last-write-wins (R15), readers choose among what is there. Numbers
//! that several add to ([`counter`](Part)) are versions too, one for each that adds.

mod amount;
mod counter;
mod lifetime;
mod name;
mod part;
mod state;
mod versions;

#[cfg(test)]
mod tests;

pub use amount::Amount;
pub use counter::{Amendment, Current};
pub use lifetime::Lifetime;
pub use name::{
    BEHIND_OTHERS, ELEMENT_NAME_BYTES_MAX, Kind, Name, before_hash, element_row, end_row, key_of,
    shared_key_of, value_prefix, value_row,
};
pub use part::Part;
pub use state::{Object, Row};
pub use versions::{Version, Versions};

/// The longest key, in bytes. Long enough for any sane name; a key is held in memory several
/// times (row, log, scan order).
pub const KEY_BYTES_MAX: usize = 64 * 1024;

/// The longest value, in bytes. It is in memory several times while it is written and sent.
pub const VALUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The most versions of one key to which a local write may add one more.
///
/// It bounds what one coordinator piles up. Replicas accept more from each other, up to
/// [`SIBLINGS_MERGED_MAX`]: a replica that refused a row that others hold would never
/// converge with them.
pub const SIBLINGS_MAX: usize = 64;

/// The most sums of one counter to which a local addition may add one more: there is one for
/// each start of a node that has added since the counter was last set.
pub const SUMS_MAX: usize = 1024;

/// The most versions of one key that are accepted from peers or kept after a merge:
/// [`SIBLINGS_MAX`] from each of 64 replicas that never heard of each other. A row beyond it
/// was not made by this protocol.
pub const SIBLINGS_MERGED_MAX: usize = SIBLINGS_MAX * 64;
