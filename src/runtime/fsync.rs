//! Forcing what was written to disk: at once for those who wait for it, and else once per
//! [`SYNC_INTERVAL`].

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::core::Core;

/// How often what was written is forced to disk if nobody waits for it. A power cut loses at
/// most what was acknowledged within this and the time of one forcing; replicas still have
/// it. A crash of the process loses nothing, since every commit reaches the operating system.
const SYNC_INTERVAL: Duration = Duration::from_millis(100);

/// Turns that other tasks get before an fsync that somebody waits for: microseconds where there
/// is nobody to wait for, and an fsync for nearly all that is under way where there are many.
const TURNS_GATHERED: usize = 4;

/// The task that forces what was written to disk. It runs on a thread of its own because an
/// fsync may take long: what is committed meanwhile waits for the next and shares it. It ends
/// after a last sync when the node stops.
pub(super) async fn run(core: Arc<Core>) {
    let mut ticks = tokio::time::interval(SYNC_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (settles, last) = tokio::select! {
            _ = ticks.tick() => (true, false),
            () = core.sync_now.notified() => {
                gather().await;
                (false, false)
            }
            () = core.stopped.cancelled() => (true, true),
        };
        let Some(mut kept) = sync(&core).await else {
            return;
        };
        if settles && kept {
            let engine = core.engine();
            let settled = tokio::task::spawn_blocking(move || engine.settle_if_due()).await;
            kept = matches!(settled, Ok(Ok(())));
        }
        if last {
            return;
        }
        if !kept {
            // Those that wait would otherwise ask again at once.
            ticks.tick().await;
        }
    }
}

/// Lets those go first who are about to write: what an fsync has confirmed makes clients write
/// again, and while the next one runs their writes wait for the journal.
async fn gather() {
    for _ in 0..TURNS_GATHERED {
        tokio::task::yield_now().await;
    }
}

/// Forces to disk what should be there, and tells those who wait. Returns whether that worked;
/// none if the runtime is going down.
async fn sync(core: &Arc<Core>) -> Option<bool> {
    if core.disk.has_failed() {
        return Some(false);
    }
    let Some(syncing) = core.data.begin_sync() else {
        return Some(true);
    };
    let engine = core.engine();
    let synced = tokio::task::spawn_blocking(move || engine.sync_if_dirty()).await;
    let synced = synced.ok()?;
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
    Some(synced.is_ok())
}
