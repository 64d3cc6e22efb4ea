//! Hybrid logical clock: wall time that never runs backwards (Kulkarni et al. 2014).
//!
//! It orders concurrent writes of one key for last-write-wins, and nothing else: a write
//! always replaces what it saw, whatever the timestamps (PROTOCOL 5k).

use std::fmt;

use serde::{Deserialize, Serialize};

/// How far ahead of the wall clock a remote timestamp may be and still move the local clock,
/// in milliseconds. Larger lets one wrong clock drag the cluster further ahead; smaller
/// makes true skew between hosts show as "last write" of the faster one for longer.
pub const MAX_DRIFT_MS: u64 = 500;

/// Bits of the logical counter below the milliseconds.
const COUNTER_BITS: u32 = 16;

/// A hybrid timestamp: 48 bits of milliseconds since the Unix epoch, 16 bits of counter.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Hlc(pub u64);

impl Hlc {
    /// The first timestamp of the millisecond `wall_ms`.
    pub const fn at(wall_ms: u64) -> Self {
        let last_ms = u64::MAX >> COUNTER_BITS;
        let ms = if wall_ms > last_ms { last_ms } else { wall_ms };
        Self(ms << COUNTER_BITS)
    }

    /// Its milliseconds since the Unix epoch.
    pub const fn wall_ms(self) -> u64 {
        self.0 >> COUNTER_BITS
    }
}

impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.wall_ms(), self.0 & 0xffff)
    }
}

/// The clock that issues [`Hlc`]s. Time is an argument.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HybridClock {
    last: Hlc,
}

impl HybridClock {
    /// A clock that has issued nothing.
    pub const fn new() -> Self {
        Self { last: Hlc(0) }
    }

    /// A timestamp after everything issued or observed here, after `floor`, and not before
    /// the wall clock.
    ///
    /// A `floor` from the far future (a version whose writer's clock was wrong) is passed,
    /// but does not take this clock along: the error stays with that key.
    pub fn next(&mut self, wall_ms: u64, floor: Hlc) -> Hlc {
        let own = Hlc(Hlc::at(wall_ms).0.max(self.last.0.saturating_add(1)));
        let next = Hlc(own.0.max(floor.0.saturating_add(1)));
        self.last = if plausible(next, wall_ms) { next } else { own };
        next
    }

    /// Follows a timestamp from elsewhere, unless it is too far ahead of the wall clock.
    pub fn observe(&mut self, remote: Hlc, wall_ms: u64) {
        if remote > self.last && plausible(remote, wall_ms) {
            self.last = remote;
        }
    }

    /// The largest timestamp issued or followed.
    pub const fn last(&self) -> Hlc {
        self.last
    }
}

/// Whether `hlc` could come from a clock that is right to within the drift.
fn plausible(hlc: Hlc, wall_ms: u64) -> bool {
    hlc.wall_ms() <= wall_ms.saturating_add(MAX_DRIFT_MS)
}
