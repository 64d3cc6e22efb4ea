//! How far this node is with what the last changes of the roster made it fetch and give up.
//!
//! Nothing here decides anything. Each look notes for every partition what is to be done about
//! this node's copy; what became of that is seen at the next look.

use crate::machine::Now;
use crate::placement::PartitionId;

/// What this node has done, and has still to do, since it last had something to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Partitions that it owns now.
    pub owned: u64,
    /// Partitions that it should hold and holds whole.
    pub held: u64,
    /// Partitions that it should hold and does not hold whole.
    pub to_fetch: u64,
    /// Copies that it has to give up: others should hold them, or it leaves.
    pub to_give_up: u64,
    /// Partitions that came to be whole here.
    pub fetched: u64,
    /// Copies that it gave up or, if it leaves, that the others have.
    pub given_up: u64,
    /// Bytes of keys and values that came of the partitions that it fetched.
    pub bytes: u64,
    /// How long that has taken, or took until all was done, in milliseconds.
    pub elapsed_ms: u64,
    /// When it began, in milliseconds since the Unix epoch by this node's clock; 0 if it never
    /// had anything to do.
    pub since_ms: u64,
    /// When all was done; 0 while it is not.
    pub until_ms: u64,
}

impl Progress {
    /// What is still to be done.
    pub fn to_move(&self) -> u64 {
        self.to_fetch + self.to_give_up
    }

    /// What is done.
    pub fn moved(&self) -> u64 {
        self.fetched + self.given_up
    }

    /// Bytes per second.
    pub fn bytes_per_s(&self) -> u64 {
        let bytes = self.bytes.saturating_mul(1_000);
        bytes.checked_div(self.elapsed_ms).unwrap_or(0)
    }

    /// When the rest will be done if it goes on as it did, in milliseconds from now; none while
    /// that cannot be said.
    pub fn left_ms(&self) -> Option<u64> {
        match self.to_move() {
            0 => Some(0),
            left => self
                .elapsed_ms
                .saturating_mul(left)
                .checked_div(self.moved()),
        }
    }
}

/// What is to be done about this node's copy of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// It is to be fetched.
    Fetch,
    /// It is where it should be.
    Keep,
    /// It is to be given up.
    GiveUp,
    /// There is none, and none is needed.
    Nothing,
}

/// What was seen of the errands.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    /// By partition, as last seen.
    errands: Vec<Errand>,
    began: Option<Now>,
    ended: Option<Now>,
    fetched: u64,
    given_up: u64,
    bytes: u64,
}

impl Tracker {
    /// Notes what is to be done now.
    pub(super) fn look(&mut self, now: Now, errands: Vec<Errand>) {
        let is_busy = |errand: &Errand| matches!(errand, Errand::Fetch | Errand::GiveUp);
        let is_over = self.began.is_none() || self.ended.is_some();
        let before = std::mem::replace(&mut self.errands, errands);
        if !self.errands.iter().any(is_busy) {
            if !is_over {
                self.count(&before);
                self.ended = Some(now);
            }
            return;
        }
        if is_over {
            *self = Self {
                errands: std::mem::take(&mut self.errands),
                began: Some(now),
                ..Self::default()
            };
        } else {
            self.count(&before);
        }
    }

    /// Counts what was done since `before`. A copy that was given up and came back, as the
    /// write of an owner that is away does, is to be given up again.
    fn count(&mut self, before: &[Errand]) {
        for change in before.iter().zip(&self.errands) {
            match change {
                (Errand::Fetch, Errand::Keep) => self.fetched += 1,
                (Errand::GiveUp, Errand::Nothing) => self.given_up += 1,
                (Errand::Nothing, Errand::GiveUp) => {
                    self.given_up = self.given_up.saturating_sub(1);
                }
                _ => {}
            }
        }
    }

    /// So much came of a partition.
    pub(super) fn brought(&mut self, id: PartitionId, bytes: u64) {
        if self.errands.get(usize::from(id.0)) == Some(&Errand::Fetch) {
            self.bytes = self.bytes.saturating_add(bytes);
        }
    }

    pub(super) fn progress(&self, now: Now, owned: u64) -> Progress {
        let count = |errand| self.errands.iter().filter(|one| **one == errand).count() as u64;
        let until = self.ended.unwrap_or(now);
        let elapsed = (self.began).map(|began| until.mono.since(began.mono).as_millis());
        let wall_ms = |at: Option<Now>| at.map_or(0, |at| at.wall_ms);
        Progress {
            owned,
            held: count(Errand::Keep),
            to_fetch: count(Errand::Fetch),
            to_give_up: count(Errand::GiveUp),
            fetched: self.fetched,
            given_up: self.given_up,
            bytes: self.bytes,
            elapsed_ms: u64::try_from(elapsed.unwrap_or(0)).unwrap_or(u64::MAX),
            since_ms: wall_ms(self.began),
            until_ms: wall_ms(self.ended),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Errand::{Fetch, GiveUp, Keep, Nothing};
    use super::*;
    use crate::machine::Instant;

    fn at(secs: u64) -> Now {
        Now {
            mono: Instant::from_elapsed(Duration::from_secs(secs)),
            wall_ms: 1_000_000 + secs,
        }
    }

    #[test]
    fn what_was_to_be_done_and_is_done_counts() {
        let mut tracker = Tracker::default();
        tracker.look(at(1), vec![Keep, Nothing, Keep, Nothing]);
        assert_eq!(tracker.progress(at(2), 2).elapsed_ms, 0, "nothing began");
        tracker.look(at(2), vec![GiveUp, Fetch, Fetch, Nothing]);
        tracker.brought(PartitionId(1), 1_000);
        tracker.brought(PartitionId(0), 7);
        tracker.look(at(4), vec![GiveUp, Keep, Fetch, Nothing]);
        let progress = tracker.progress(at(4), 2);
        let expected = Progress {
            owned: 2,
            held: 1,
            to_fetch: 1,
            to_give_up: 1,
            fetched: 1,
            given_up: 0,
            bytes: 1_000,
            elapsed_ms: 2_000,
            since_ms: 1_000_002,
            until_ms: 0,
        };
        assert_eq!(progress, expected);
        assert_eq!(progress.bytes_per_s(), 500);
        assert_eq!(progress.left_ms(), Some(4_000), "one took two seconds");
        tracker.look(at(6), vec![Nothing, Keep, Keep, Nothing]);
        let done = tracker.progress(at(60), 2);
        assert_eq!((done.to_move(), done.moved()), (0, 3));
        assert_eq!((done.elapsed_ms, done.left_ms()), (4_000, Some(0)));
        assert_eq!(done.until_ms, 1_000_006);
    }

    #[test]
    fn what_comes_next_is_counted_anew() {
        let mut tracker = Tracker::default();
        tracker.look(at(0), vec![Fetch, Keep]);
        tracker.look(at(1), vec![Keep, Keep]);
        tracker.look(at(9), vec![Keep, GiveUp]);
        let progress = tracker.progress(at(10), 1);
        assert_eq!((progress.moved(), progress.to_move()), (0, 1));
        assert_eq!((progress.elapsed_ms, progress.left_ms()), (1_000, None));
    }

    #[test]
    fn a_copy_that_comes_back_is_given_up_once() {
        let mut tracker = Tracker::default();
        tracker.look(at(0), vec![GiveUp, GiveUp]);
        tracker.look(at(1), vec![Nothing, GiveUp]);
        tracker.look(at(2), vec![GiveUp, GiveUp]);
        tracker.look(at(3), vec![Nothing, Nothing]);
        assert_eq!(tracker.progress(at(3), 0).given_up, 2);
    }

    #[test]
    fn what_needs_no_fetching_any_more_is_not_counted() {
        let mut tracker = Tracker::default();
        tracker.look(at(0), vec![Fetch, Fetch]);
        tracker.look(at(1), vec![GiveUp, Nothing]);
        tracker.look(at(2), vec![Keep, Nothing]);
        assert_eq!(tracker.progress(at(2), 1).moved(), 0);
    }
}
