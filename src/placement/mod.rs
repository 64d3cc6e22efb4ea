//! Where keys live: a pure function from a key to its partition, and from the roster of
//! members to the owners of every partition.
//!
//! A key's hash gives its partition ([`Keyspace`]). The [`Roster`] says who joined and has
//! not left for good. [`Placement`] gives each partition its owners, and [`Plan`] says what
//! a change of roster would move.
//!
//! *The roster* is a join-semilattice of facts about single members, so nodes that know the
//! same facts have equal rosters however they learned of them. A member speaks for itself:
//! it joins, describes itself, comes into a phase. That a member is gone for good is the one
//! fact that others may state too; only a later stay of the member overrides it.
//!
//! *Placement* is weighted rendezvous hashing (`score`): in every partition each member has
//! a score that depends on nothing but the two and its weight. The owners are the members
//! with the best scores, in distinct zones and there on distinct hosts as far as there are
//! any (`field`). Scores vary by chance, so a member that too many partitions prefer has a
//! cap near its fair share (`share`), above which it refuses those that prefer it least
//! (`balance`).
//!
//! Invariants:
//!
//! - equal rosters give equal placements, to the bit, on every machine: all arithmetic is in
//!   integers, all order is by id;
//! - a partition has as many owners as replicas are asked for, or all members where there
//!   are fewer; no member twice; no two in a zone while another zone with members has none,
//!   and likewise for hosts within the zones;
//! - without caps, a member that comes, goes or changes in weight changes at most one owner
//!   of a partition, and only the partitions that it takes or gives move. Caps add a few
//!   percent where they bind, which [`Plan::ratio`] shows; on 5 members they hardly do.
//!
//! *What weights mean.* A member wins in proportion to its weight, but a partition is on a
//! member once, so a heavy one has less than its weight's part where replicas are many and
//! members few. Of three replicas, a member of twice the weight has 1.45 times what another
//! has among 5 members, 1.8 times among 10, 1.95 times among 50. Among members of a zone that
//! has one replica of each partition the proportion is exact but for chance.
//!
//! Deliberately absent: liveness (a crashed member keeps its place until it is removed), a
//! memory of earlier placements, and any agreement. Nodes with different rosters place
//! differently for a while; no write is lost by that, because a copy is dropped only when
//! every owner is shown to have it (PROTOCOL 3.11).

mod balance;
mod field;
mod keyspace;
mod member;
mod owners;
mod plan;
mod roster;
mod score;
mod share;

#[cfg(test)]
mod tests;

pub use keyspace::{Keyspace, PARTITIONS_DEFAULT, PartitionId};
pub use member::{
    COUNTER_MAX, Claim, Departure, LABEL_BYTES_MAX, Phase, Profile, ProfileError, Record,
    RecordError, WEIGHT_DEFAULT, WEIGHT_MAX,
};
pub use owners::{Placement, stand_ins};
pub use plan::{Move, Plan, Tally};
pub use roster::{Founding, MEMBERS_MAX, NAMES_MAX, Roster, RosterError};
