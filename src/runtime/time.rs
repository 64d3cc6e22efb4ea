//! The process's clocks, read at one place.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::machine::{Instant, Now};

/// Where an instant beyond tokio's range ends up: far enough never to matter.
const FAR: Duration = Duration::from_secs(86_400 * 365);

/// Turns the system's clocks into the machines' [`Now`]. Copies share one start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    started: tokio::time::Instant,
}

impl Clock {
    /// A clock that starts now.
    pub(super) fn start() -> Self {
        Self {
            started: tokio::time::Instant::now(),
        }
    }

    /// What time it is.
    pub(super) fn now(self) -> Now {
        Now {
            mono: Instant::from_elapsed(self.started.elapsed()),
            wall_ms: wall_ms(),
        }
    }

    /// When `at` will be, or was, by tokio's clock.
    pub(super) fn when(self, at: Instant) -> tokio::time::Instant {
        self.started + at.elapsed().min(FAR)
    }

    /// How long the clock has been running.
    pub(super) fn elapsed(self) -> Duration {
        self.started.elapsed()
    }
}

/// Wall time in milliseconds since the Unix epoch; 0 if the clock is set before that.
pub(super) fn wall_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}
