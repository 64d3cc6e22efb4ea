//! Forcing what was written to disk: at once for those who wait for it, and else once per
//! [`SYNC_INTERVAL`].

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::core::Core;
use super::sync_now::Turn;

/// How often what was written is forced to disk if nobody waits for it. A power cut loses at
/// most what was acknowledged within this and the time of one forcing; replicas still have
/// it. A crash of the process loses nothing, since every commit reaches the operating system.
const SYNC_INTERVAL: Duration = Duration::from_millis(100);

/// Ends the thread, however the task that waits for it ends.
struct Ending(Arc<Core>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.sync_now.end();
    }
}

/// Starts the thread that forces what was written to disk, and gives the task that waits for its
/// end. It is a thread of its own because an fsync takes long, and because a hop to another
/// thread and back for each would cost more than many a write: what is committed meanwhile
/// waits for the next and shares it. It ends after a last sync when the node stops.
pub(super) fn spawn(core: &Arc<Core>) -> io::Result<impl Future<Output = ()> + Send + use<>> {
    let (finishing, mut finished) = oneshot::channel::<()>();
    let shared = core.clone();
    thread::Builder::new()
        .name("netdb-fsync".to_owned())
        .spawn(move || {
            // What is done for those who waited may start tasks.
            let runtime = shared.runtime.clone();
            let _context = runtime.enter();
            run(&shared);
            drop(finishing);
        })?;
    let ending = Ending(core.clone());
    Ok(async move {
        let core = &ending.0;
        tokio::select! {
            () = core.sync_now.gather() => {}
            () = core.stopped.cancelled() => {}
            // Nothing is sent: the channel closes when the thread ends, also by a panic.
            _ = &mut finished => return,
        }
        core.sync_now.end();
        let _ = finished.await;
    })
}

fn run(core: &Core) {
    core.sync_now.serve();
    let mut tick = Instant::now() + SYNC_INTERVAL;
    loop {
        let turn = core.sync_now.wait(tick);
        let mut kept = sync(core);
        if turn != Turn::Asked {
            kept = kept && settle(core);
            tick = Instant::now() + SYNC_INTERVAL;
        }
        if turn == Turn::Last {
            return;
        }
        if !kept {
            // Those that wait would otherwise ask again at once.
            core.sync_now.pause(Instant::now() + SYNC_INTERVAL);
        }
        core.sync_now.done();
    }
}

/// Forces to disk what should be there, and tells those who wait. Returns whether that worked.
fn sync(core: &Core) -> bool {
    if core.disk.has_failed() {
        return false;
    }
    let Some(syncing) = core.data.begin_sync() else {
        return true;
    };
    let synced = core.engine().sync_if_dirty();
    match &synced {
        Ok(forced) => core.counters.disk_syncs.add(usize::from(*forced)),
        // The disk has said why, and nothing is forced before it was opened again.
        Err(_) => core.counters.storage_errors.one(),
    }
    let mut effects = Vec::new();
    let now = core.clock.now();
    core.data
        .end_sync(now, syncing, synced.is_ok(), &mut effects);
    core.execute(effects);
    synced.is_ok()
}

/// Settles what was synced. Nobody waits for it.
fn settle(core: &Core) -> bool {
    let settled = core.engine().settle_if_due();
    if settled.is_err() {
        core.counters.storage_errors.one();
    }
    settled.is_ok()
}
