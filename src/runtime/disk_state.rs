//! What is thought of a disk: a state machine without a disk.
//!
//! A disk that fails is tried again after a pause that doubles while it keeps failing, also
//! when it works for a moment in between. One that fills is given up before it is full: what
//! was taken must still reach its place, which takes room.

use std::time::Duration;

use crate::machine::{Instant, Now};
use crate::store::engine::Space;

/// The first pause before a disk that failed is tried again: long enough for a short outage
/// of a device to be over.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest: an operator who has freed space should not have to wait for long.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A disk that has worked for so long has not failed again for the old reason: the next
/// failure begins with the first pause.
const STEADY_AFTER: Duration = Duration::from_secs(60);

/// What is kept free on a large disk, for flushes, merges and the logs of the system.
const RESERVE_MAX: u64 = 256 * 1024 * 1024;

/// The part of a small disk that is kept free.
const RESERVE_PART: u64 = 16;

/// So much of what is kept free, one in so many parts, must be free beyond it before writes go
/// on: else a disk at the brink would stop and go each second.
const RESUME_PART: u64 = 4;

/// So much of the room that is left, one in so many parts, may be written before somebody has
/// to look again. What is written takes room twice: in a journal, and as what must be flushed.
const ALLOWANCE_PART: u64 = 8;

/// The least that may be written: a look costs more than less.
const ALLOWANCE_MIN: u64 = 256 * 1024;

/// How many bytes stay free: less on a small disk, but at least what the engine has in its
/// buffers and must still write.
pub(super) fn reserve(space: Space) -> u64 {
    let part = space.total_bytes / RESERVE_PART;
    part.min(RESERVE_MAX).max(space.buffered_bytes)
}

/// What is thought of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// It takes writes.
    Healthy,
    /// There is too little room to begin anything.
    Full {
        /// Since when, in milliseconds since the Unix epoch.
        since_ms: u64,
    },
    /// It did not take a write.
    Failed {
        /// Since when, in milliseconds since the Unix epoch.
        since_ms: u64,
        /// The place and what the system said.
        cause: String,
        /// When it is tried again.
        again: Instant,
    },
}

/// A condition that was entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Writes go on.
    Resumed,
    /// There is no room any more.
    Filled,
}

/// See the module.
#[derive(Debug)]
pub(super) struct DiskState {
    condition: Condition,
    space: Option<Space>,
    pause: Duration,
    /// When it last began to work.
    worked_from: Instant,
}

impl DiskState {
    /// A disk that works.
    pub(super) fn new(now: Now) -> Self {
        Self {
            condition: Condition::Healthy,
            space: None,
            pause: PAUSE_MIN,
            worked_from: now.mono,
        }
    }

    pub(super) fn condition(&self) -> &Condition {
        &self.condition
    }

    pub(super) fn space(&self) -> Option<Space> {
        self.space
    }

    /// It did not take a write, or could not be opened again. Says whether that is news.
    pub(super) fn failed(&mut self, now: Now, cause: String) -> bool {
        let since_ms = match self.condition {
            Condition::Failed { since_ms, .. } => Some(since_ms),
            _ => None,
        };
        if since_ms.is_none() && now.mono.since(self.worked_from) >= STEADY_AFTER {
            self.pause = PAUSE_MIN;
        }
        self.condition = Condition::Failed {
            since_ms: since_ms.unwrap_or(now.wall_ms),
            cause,
            again: now.mono + self.pause,
        };
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        since_ms.is_none()
    }

    /// Whether one that failed should be tried now: its time has come, and there is room.
    pub(super) fn is_due(&self, now: Now) -> bool {
        match self.condition {
            Condition::Failed { again, .. } => again <= now.mono && self.has_room(),
            _ => false,
        }
    }

    /// It was opened again.
    pub(super) fn reopened(&mut self, now: Now) {
        self.condition = Condition::Healthy;
        self.worked_from = now.mono;
    }

    /// What room there is now, if that is known.
    pub(super) fn look(&mut self, now: Now, space: Option<Space>) -> Option<Turn> {
        self.space = space;
        let space = space?;
        match self.condition {
            Condition::Healthy if space.free_bytes < reserve(space) => {
                let since_ms = now.wall_ms;
                self.condition = Condition::Full { since_ms };
                Some(Turn::Filled)
            }
            Condition::Full { .. } if self.has_room() => {
                self.condition = Condition::Healthy;
                Some(Turn::Resumed)
            }
            _ => None,
        }
    }

    /// How many bytes may be written before it should be looked at again.
    pub(super) fn allowance(&self) -> u64 {
        let Some(space) = self.space else {
            return u64::MAX;
        };
        let room = space.free_bytes.saturating_sub(reserve(space));
        (room / ALLOWANCE_PART).max(ALLOWANCE_MIN)
    }

    /// Whether there is room enough to go on, as far as is known.
    fn has_room(&self) -> bool {
        self.space.is_none_or(|space| {
            let reserve = reserve(space);
            space.free_bytes >= reserve.saturating_add(reserve / RESUME_PART)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1024 * 1024;

    fn at(secs: u64) -> Now {
        Now {
            mono: Instant::from_elapsed(Duration::from_secs(secs)),
            wall_ms: secs * 1_000,
        }
    }

    fn space(free_mb: u64, total_mb: u64, buffered_mb: u64) -> Space {
        Space {
            free_bytes: free_mb * MB,
            total_bytes: total_mb * MB,
            buffered_bytes: buffered_mb * MB,
        }
    }

    #[test]
    fn the_reserve_fits_the_disk_and_holds_what_is_buffered() {
        assert_eq!(reserve(space(0, 1_000_000, 0)), 256 * MB);
        assert_eq!(reserve(space(0, 64, 0)), 4 * MB);
        assert_eq!(reserve(space(0, 64, 30)), 30 * MB);
        assert_eq!(reserve(space(0, 1_000_000, 300)), 300 * MB);
    }

    #[test]
    fn a_disk_that_fills_stops_before_and_resumes_well_above() {
        let mut disk = DiskState::new(at(0));
        assert_eq!(disk.look(at(0), None), None, "a disk that says nothing");
        assert_eq!(disk.look(at(1), Some(space(4, 64, 0))), None);
        assert_eq!(disk.look(at(2), Some(space(3, 64, 0))), Some(Turn::Filled));
        assert_eq!(disk.condition(), &Condition::Full { since_ms: 2_000 });
        assert_eq!(disk.look(at(3), Some(space(4, 64, 0))), None, "not yet");
        assert_eq!(disk.look(at(4), Some(space(5, 64, 0))), Some(Turn::Resumed));
        assert_eq!(disk.condition(), &Condition::Healthy);
    }

    #[test]
    fn the_less_room_the_sooner_it_is_looked_at_again() {
        let mut disk = DiskState::new(at(0));
        assert_eq!(disk.allowance(), u64::MAX);
        disk.look(at(0), Some(space(84, 64, 0)));
        assert_eq!(disk.allowance(), 10 * MB);
        disk.look(at(0), Some(space(4, 64, 0)));
        assert_eq!(disk.allowance(), ALLOWANCE_MIN);
    }

    #[test]
    fn a_disk_that_keeps_failing_is_tried_ever_less_often() {
        let mut disk = DiskState::new(at(0));
        assert!(disk.failed(at(100), "first".to_owned()));
        let (mut now, mut pauses) = (100, Vec::new());
        for _ in 0..8 {
            let pause = (0..).find(|s| disk.is_due(at(now + s))).unwrap();
            pauses.push(pause);
            now += pause;
            assert!(!disk.failed(at(now), "again".to_owned()), "known already");
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
        let Condition::Failed {
            since_ms, cause, ..
        } = disk.condition()
        else {
            panic!("it failed");
        };
        assert_eq!((*since_ms, cause.as_str()), (100_000, "again"));
    }

    #[test]
    fn a_disk_that_worked_for_a_moment_only_has_not_recovered() {
        let mut disk = DiskState::new(at(0));
        for again in [1, 2, 4] {
            assert!(disk.failed(at(10), String::new()));
            assert!(!disk.is_due(at(10 + again - 1)) && disk.is_due(at(10 + again)));
            disk.reopened(at(10));
        }
        assert!(disk.failed(at(70), String::new()));
        assert!(disk.is_due(at(71)), "it worked for a minute");
    }

    #[test]
    fn a_disk_that_failed_is_not_tried_without_room() {
        let mut disk = DiskState::new(at(0));
        disk.failed(at(0), String::new());
        assert_eq!(disk.look(at(60), Some(space(1, 64, 0))), None);
        assert!(!disk.is_due(at(60)));
        assert_eq!(disk.look(at(61), Some(space(9, 64, 0))), None);
        assert!(disk.is_due(at(61)));
        disk.reopened(at(61));
        assert_eq!(disk.condition(), &Condition::Healthy);
    }
}
