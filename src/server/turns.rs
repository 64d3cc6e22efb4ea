//! Whose turn it is: the bursts of all clients run side by side, a transaction alone.
//!
//! A turn is taken and given back without waiting in between: what waits for other nodes waits
//! without a turn. While no transaction runs, a turn costs two atomic operations for a whole
//! burst. Who does not get a turn lets other tasks go first and tries again.
//!
//! A transaction goes before bursts that have not begun, and waits for those that have. Where
//! one of them takes long, the transaction stands back for a while, so that it is not everyone
//! who waits for that one. Its client needs a turn beside others to ask for the next one, so
//! others get theirs between two transactions.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::outcome::Work;
use crate::resp::Value;

/// How long a transaction waits for the bursts that run, which nearly always take less. Its
/// thread does nothing else and no burst begins meanwhile.
const ALONE_WAIT: Duration = Duration::from_millis(5);

/// How long a transaction stands back after it has waited in vain: others are served for four
/// fifths of the time.
pub(super) const ALONE_PAUSE: Duration = Duration::from_millis(20);

/// The turns of all clients of a server.
#[derive(Debug, Default)]
pub(super) struct Turns(RwLock<()>);

impl Turns {
    /// A turn beside others; none while a transaction has its own or is about to.
    pub(super) fn share(&self) -> Option<RwLockReadGuard<'_, ()>> {
        self.0.try_read()
    }

    /// A turn alone; none if others take long. Then it is time for [`ALONE_PAUSE`].
    pub(super) fn alone(&self) -> Option<RwLockWriteGuard<'_, ()>> {
        self.0.try_write_for(ALONE_WAIT)
    }

    /// Does work of which each step is a turn beside others.
    pub(super) async fn steps(&self, mut work: Work) -> Value {
        poll_fn(|task| {
            let Some(_turn) = self.share() else {
                task.waker().wake_by_ref();
                return Poll::Pending;
            };
            work.as_mut().poll(task)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_share_and_one_is_alone() {
        let turns = Turns::default();
        let (one, two) = (turns.share(), turns.share());
        assert!(one.is_some() && two.is_some());
        assert!(turns.alone().is_none());
        drop((one, two));
        let alone = turns.alone();
        assert!(alone.is_some());
        assert!(turns.share().is_none() && turns.alone().is_none());
        drop(alone);
        assert!(turns.share().is_some());
    }

    #[tokio::test]
    async fn work_goes_on_after_a_turn_alone() {
        let turns = Turns::default();
        let alone = turns.alone();
        let mut steps = Box::pin(turns.steps(Box::pin(async { Value::ok() })));
        let polled = poll_fn(|task| Poll::Ready(steps.as_mut().poll(task))).await;
        assert!(polled.is_pending());
        drop(alone);
        assert_eq!(steps.await, Value::ok());
    }
}
