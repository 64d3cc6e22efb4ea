//! The one place that knows how the disk is: told by whoever writes to it, asked by whoever
//! reports, and holder of the gate that stops writes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::{error, info};

use super::disk_state::{Condition, DiskState, Turn, reserve};
use super::time::Clock;
use super::views::DiskView;
use crate::machine::Now;
use crate::node::Gate;
use crate::store::engine::Space;

/// How the disk is.
pub(super) struct Disk {
    /// The node's directory; none if its data is in memory.
    directory: Option<PathBuf>,
    clock: Clock,
    gate: Arc<Gate>,
    state: Mutex<DiskState>,
    /// Bytes that were written since somebody looked, and how many may be.
    written: AtomicU64,
    allowance: AtomicU64,
    /// Told when somebody should look.
    news: Notify,
}

impl Disk {
    /// A disk that works, under `directory`.
    pub(super) fn new(directory: Option<&Path>, clock: Clock) -> Self {
        Self {
            directory: directory.map(Path::to_owned),
            clock,
            gate: Arc::default(),
            state: Mutex::new(DiskState::new(clock.now())),
            written: AtomicU64::new(0),
            allowance: AtomicU64::new(u64::MAX),
            news: Notify::new(),
        }
    }

    /// Open while changes can be kept.
    pub(super) fn gate(&self) -> Arc<Gate> {
        self.gate.clone()
    }

    /// It did not take a write: nothing more is written until it was opened again. `cause`
    /// says where, and what the system said.
    pub(super) fn fail(&self, cause: String) {
        let mut state = self.state.lock();
        self.gate.close(&format!(
            "{cause}; free space or mend the disk, and they resume by themselves; if data is \
             damaged, stop the node and run `netdb repair {}`",
            self.path()
        ));
        if state.failed(self.clock.now(), cause.clone()) {
            error!(data = self.path(), cause, "disk failed; writes are stopped");
            self.news.notify_one();
        }
    }

    /// So much was written to it.
    pub(super) fn wrote(&self, bytes: u64) {
        let before = self.written.fetch_add(bytes, Ordering::Relaxed);
        let allowance = self.allowance.load(Ordering::Relaxed);
        if before < allowance && before.saturating_add(bytes) >= allowance {
            self.news.notify_one();
        }
    }

    /// Waits until somebody should look: it has failed, or much was written.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// Whether it failed, and was not opened again since.
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.state.lock().condition(), Condition::Failed { .. })
    }

    /// Whether one that failed should be tried again now.
    pub(super) fn is_due(&self) -> bool {
        self.state.lock().is_due(self.clock.now())
    }

    /// It was opened again, and takes writes if there is room.
    pub(super) fn reopened(&self) {
        let mut state = self.state.lock();
        let now = self.clock.now();
        state.reopened(now);
        let space = state.space();
        if !self.judge(&mut state, now, space) {
            self.resume();
        }
    }

    /// What room there is now, if that is known.
    pub(super) fn look(&self, space: Option<Space>) {
        let mut state = self.state.lock();
        self.judge(&mut state, self.clock.now(), space);
        self.allowance.store(state.allowance(), Ordering::Relaxed);
        self.written.store(0, Ordering::Relaxed);
    }

    /// Follows the room there is; says whether that changed something.
    fn judge(&self, state: &mut DiskState, now: Now, space: Option<Space>) -> bool {
        match (state.look(now, space), space) {
            (Some(Turn::Filled), Some(space)) => {
                let cause = short_of_room(space);
                error!(
                    data = self.path(),
                    cause, "disk is full; writes are stopped"
                );
                self.gate.close(&format!(
                    "{} is on a full disk: {cause}; free space, and they resume by themselves \
                     (deleting keys takes space, too)",
                    self.path()
                ));
                true
            }
            (Some(Turn::Resumed), _) => {
                self.resume();
                true
            }
            _ => false,
        }
    }

    fn resume(&self) {
        info!(data = self.path(), "disk takes writes again");
        self.gate.open();
    }

    fn path(&self) -> String {
        let path = self.directory.as_ref();
        path.map_or_else(|| "memory".to_owned(), |path| path.display().to_string())
    }

    /// For people.
    pub(super) fn view(&self) -> DiskView {
        let state = self.state.lock();
        let space = state.space();
        let now_ms = self.clock.now().wall_ms;
        let (word, since_ms, cause) = match state.condition() {
            Condition::Healthy if self.directory.is_none() => ("none", None, None),
            Condition::Healthy => ("healthy", None, None),
            Condition::Full { since_ms } => ("full", Some(*since_ms), space.map(short_of_room)),
            Condition::Failed {
                since_ms, cause, ..
            } => ("failed", Some(*since_ms), Some(cause.clone())),
        };
        DiskView {
            state: word,
            cause,
            stopped_ms: since_ms.map(|since_ms| now_ms.saturating_sub(since_ms)),
            free_bytes: space.map(|space| space.free_bytes),
        }
    }
}

fn short_of_room(space: Space) -> String {
    format!(
        "{} bytes are free, and {} are kept for what was taken already",
        space.free_bytes,
        reserve(space)
    )
}
