//! The one shape that every protocol of this crate has.
//!
//! A protocol is a value that is told what happened and when, and says what must be done.
//! It has no socket, no disk, no clock and no source of chance of its own; whoever drives
//! it has those. The same value therefore runs on a real node and, on virtual time, in the
//! simulator.
//!
//! Two invariants: a machine never reads a clock (time is [`Now`], an argument), and the
//! order of its outputs is the contract: *commit, then send, then reply*.

use std::time::Duration;

/// A point of monotonic time: how long the driver has been running.
///
/// It says nothing about the hour of the day and never goes back. Only differences and
/// order mean anything, and only within one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(Duration);

impl Instant {
    /// The moment when the driver started.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// The instant `elapsed` after the driver started.
    pub const fn from_elapsed(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// How long after the driver's start this instant is.
    pub const fn elapsed(self) -> Duration {
        self.0
    }

    /// How long `self` is after `earlier`; zero if it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl std::ops::Add<Duration> for Instant {
    type Output = Self;

    /// The instant `delay` later; the end of time if that is out of range.
    fn add(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(delay))
    }
}

/// What time it is: monotonic time for timers, wall time for last-write-wins.
///
/// They are apart because the wall clock jumps; a timer must not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time.
    pub mono: Instant,
    /// Wall time in milliseconds since the Unix epoch.
    pub wall_ms: u64,
}

/// A protocol without I/O.
///
/// After each call of [`handle`](Self::handle) or [`handle_timeout`](Self::handle_timeout)
/// the driver drains [`poll_output`](Self::poll_output) and asks
/// [`poll_timeout`](Self::poll_timeout) again.
pub trait Machine {
    /// Something that can happen to it.
    type Input;
    /// Something that it wants done.
    type Output;

    /// Tells it that one thing happened.
    fn handle(&mut self, now: Now, input: Self::Input);

    /// Does what is due. Harmless if nothing is.
    fn handle_timeout(&mut self, now: Now);

    /// When it wants [`handle_timeout`](Self::handle_timeout) to be called, if at all.
    fn poll_timeout(&self) -> Option<Instant>;

    /// The next thing to do, in the order in which it must be done.
    fn poll_output(&mut self) -> Option<Self::Output>;
}
