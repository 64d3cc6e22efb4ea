//! Who waits for the disk, and when the thread that forces things there begins.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Instant;

use tokio::sync::Notify;

/// Turns that other tasks get before an fsync that more than one wait for: microseconds where
/// there is little to do, and an fsync for nearly all that is under way where there is much.
const TURNS_GATHERED: usize = 4;

/// Added to how many wait while something is being forced to disk.
const BUSY: usize = 1 << (usize::BITS - 1);

/// How the thread that forces things to disk is told that somebody waits for it.
#[derive(Debug, Default)]
pub(super) struct SyncNow {
    /// How many wait, and whether the thread is busy.
    waiting: AtomicUsize,
    /// Whether the last sync had more than one to tell.
    gathers: AtomicBool,
    gather: Notify,
    begin: AtomicBool,
    ending: AtomicBool,
    thread: OnceLock<Thread>,
}

impl SyncNow {
    /// From now on the thread that calls this is the one that is told.
    pub(super) fn serve(&self) {
        // Only one thread ever does.
        let _ = self.thread.set(thread::current());
    }

    /// Somebody waits for what was committed before.
    pub(super) fn notify_one(&self) {
        // All others find that the thread knows, or will look when it is done.
        if self.waiting.fetch_add(1, Ordering::AcqRel) == 0 {
            self.call();
        }
    }

    fn call(&self) {
        match self.gathers.load(Ordering::Acquire) {
            true => self.gather.notify_one(),
            false => self.begin(),
        }
    }

    fn begin(&self) {
        self.begin.store(true, Ordering::Release);
        self.wake();
    }

    /// The thread must end, after a last sync.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        // One that has not begun yet looks before it waits.
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Waits until somebody waits, or until `until`; why it woke up. Who asks from now on is
    /// told of at [`done`](Self::done).
    pub(super) fn wait(&self, until: Instant) -> Turn {
        let turn = loop {
            if self.ending.load(Ordering::Acquire) {
                break Turn::Last;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break Turn::Tick;
            }
            if self.begin.load(Ordering::Acquire) {
                break Turn::Asked;
            }
            thread::park_timeout(left);
        };
        self.begin.store(false, Ordering::Release);
        let waited = self.waiting.swap(BUSY, Ordering::AcqRel);
        self.gathers.store(waited > 1, Ordering::Release);
        turn
    }

    /// Looks who has asked meanwhile.
    pub(super) fn done(&self) {
        if self.waiting.fetch_and(!BUSY, Ordering::AcqRel) != BUSY {
            self.call();
        }
    }

    /// Waits until `until`, whoever asks.
    pub(super) fn pause(&self, until: Instant) {
        while !self.ending.load(Ordering::Acquire) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::park_timeout(left);
        }
    }

    /// Lets those go first who are about to write, whenever several wait: what a sync has
    /// confirmed makes clients write again.
    pub(super) async fn gather(&self) {
        loop {
            self.gather.notified().await;
            for _ in 0..TURNS_GATHERED {
                tokio::task::yield_now().await;
            }
            self.begin();
        }
    }
}

/// Why something is forced to disk now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Somebody waits.
    Asked,
    /// It is time.
    Tick,
    /// The node has stopped.
    Last,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn who_asks_during_a_sync_gets_another() {
        let sync_now = SyncNow::default();
        assert_eq!(sync_now.wait(now()), Turn::Tick);
        sync_now.done();
        assert_eq!(sync_now.wait(now()), Turn::Tick);
        sync_now.notify_one();
        sync_now.done();
        assert_eq!(sync_now.wait(soon()), Turn::Asked);
        sync_now.done();
        sync_now.notify_one();
        assert_eq!(sync_now.wait(soon()), Turn::Asked);
        sync_now.done();
        assert_eq!(sync_now.wait(now()), Turn::Tick, "nobody has asked since");
        sync_now.end();
        assert_eq!(sync_now.wait(soon()), Turn::Last);
    }

    /// After a sync for several the next one is not begun before the tasks that may write have
    /// had their turns.
    #[tokio::test]
    async fn several_are_waited_for() {
        let sync_now = Arc::new(SyncNow::default());
        for _ in 0..2 {
            sync_now.notify_one();
        }
        assert_eq!(sync_now.wait(soon()), Turn::Asked);
        sync_now.done();
        sync_now.notify_one();
        assert!(!sync_now.begin.load(Ordering::Acquire));
        let gathering = sync_now.clone();
        let gathering = tokio::spawn(async move { gathering.gather().await });
        while !sync_now.begin.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        gathering.abort();
        assert_eq!(sync_now.wait(soon()), Turn::Asked);
        sync_now.done();
        sync_now.notify_one();
        assert!(sync_now.begin.load(Ordering::Acquire), "that was one");
    }
}
