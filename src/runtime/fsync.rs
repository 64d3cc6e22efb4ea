//! Forcing what was written to disk.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tracing::error;

use super::core::Core;

/// How often what was written is forced to disk. A power cut loses at most this much of
/// what a node acknowledged; its replicas still have it. A crash of the process loses
/// nothing, since every commit reaches the operating system.
const SYNC_INTERVAL: Duration = Duration::from_millis(100);

/// The task that forces what was written to disk, once per [`SYNC_INTERVAL`] at most. It
/// runs on a thread of its own because an fsync may take long, and ends after a last sync
/// when the node stops.
pub(super) async fn run(core: Arc<Core>) {
    let mut ticks = tokio::time::interval(SYNC_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failed = false;
    loop {
        let last = tokio::select! {
            _ = ticks.tick() => false,
            () = core.stopped.cancelled() => true,
        };
        let engine = core.engine.clone();
        let synced = tokio::task::spawn_blocking(move || engine.sync_if_dirty()).await;
        match synced {
            Ok(Ok(synced)) => {
                failed = false;
                core.counters.disk_syncs.add(usize::from(synced));
            }
            Ok(Err(error)) => {
                core.counters.storage_errors.one();
                if !std::mem::replace(&mut failed, true) {
                    error!(%error, "what was written could not be forced to disk; trying again");
                }
            }
            Err(_) => return,
        }
        if last {
            return;
        }
    }
}
