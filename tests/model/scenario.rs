//! What is explored: who takes part, what may happen, and how often.

use netdb::placement::Keyspace;
use netdb::store::Options;

use super::ghost::{Key, Node};
use super::mutation::Mutation;

/// How often each thing may still happen on one schedule. Deliveries are not counted: what
/// was sent may come at any time, any number of times, or never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Writes, deletes included.
    pub writes: u8,
    /// Reads whose context a client keeps and may pass back later.
    pub reads: u8,
    /// Digests sent and left in flight.
    pub asks: u8,
    /// Deltas computed at once for a peer's digest and left in flight.
    pub pulls: u8,
    /// Full syncs left in flight piece by piece.
    pub fulls: u8,
    /// Syncs of a disk.
    pub fsyncs: u8,
    /// Losses of power: the unsynced tail goes, a fresh actor comes.
    pub crashes: u8,
    /// Restarts that lose nothing but memory.
    pub restarts: u8,
    /// Losses of a disk.
    pub wipes: u8,
    /// Truncations of a dot log.
    pub truncations: u8,
}

/// Something that an exploration must have met, or it explored less than it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    /// A key with two live versions.
    Siblings,
    /// A clock with a gap.
    Hole,
    /// A row with a residual context.
    Residual,
    /// A dot whose log row is gone.
    BelowFloor,
    /// A full sync that is half there.
    Staged,
    /// An answer to an opening that is gone.
    Stale,
}

impl Witness {
    pub fn name(self) -> &'static str {
        match self {
            Self::Siblings => "siblings",
            Self::Hole => "hole in a clock",
            Self::Residual => "residual context",
            Self::BelowFloor => "dot below the floor",
            Self::Staged => "half a full sync",
            Self::Stale => "stale answer",
        }
    }
}

/// One exploration.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub name: &'static str,
    pub nodes: Node,
    pub keys: Key,
    pub budget: Budget,
    /// Whether clients write with what they have just read at another replica.
    pub fresh_contexts: bool,
    /// Whether anti-entropy also happens in one step: digest, answer, delivery.
    pub direct_sync: bool,
    /// Whether who answers a digest also drops the log rows that all are known to have.
    pub collect: bool,
    /// One key per delta and per piece of a full sync, instead of all.
    pub chunked: bool,
    /// The most rows of a dot log.
    pub log_rows_max: usize,
    /// What is done wrong on purpose.
    pub mutation: Option<Mutation>,
    /// What must be met.
    pub witnesses: &'static [Witness],
}

impl Scenario {
    /// Nothing happens but deliveries.
    pub const fn new(name: &'static str, nodes: Node, keys: Key) -> Self {
        Self {
            name,
            nodes,
            keys,
            budget: Budget {
                writes: 0,
                reads: 0,
                asks: 0,
                pulls: 0,
                fulls: 0,
                fsyncs: 0,
                crashes: 0,
                restarts: 0,
                wipes: 0,
                truncations: 0,
            },
            fresh_contexts: false,
            direct_sync: false,
            collect: false,
            chunked: false,
            log_rows_max: 1024,
            mutation: None,
            witnesses: &[],
        }
    }

    /// One partition holds all keys.
    pub fn options(&self) -> Options {
        Options {
            keyspace: Keyspace {
                partitions: 1,
                hash_seed: 0,
            },
            log_rows_max: self.log_rows_max,
            delta_bytes: if self.chunked { 1 } else { 1 << 20 },
            stage_bytes_max: 1 << 20,
            ..Options::default()
        }
    }
}
