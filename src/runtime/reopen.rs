//! The task that looks after the disk: once a second, and whenever much was written, how much
//! room there is, and after a failure whether it can be opened again.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::time::MissedTickBehavior;
use tracing::{debug, warn};

use super::core::Core;
use super::storage::Watched;
use crate::store::engine::Engine;

/// How often when nothing is written: others may fill the disk too, and may free room.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Looks after the disk until the node has stopped. Whatever blocks does so on a thread of its
/// own: a disk that hangs holds up nothing else.
pub(super) async fn run(core: Arc<Core>) {
    let mut ticks = tokio::time::interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = core.disk.news() => {}
            () = core.stopped.cancelled() => return,
        }
        let turn = core.clone();
        let turn = tokio::task::spawn_blocking(move || look(&turn));
        tokio::select! {
            turned = turn => if let Err(error) = turned {
                // The database panics at some damage: it stays closed, and is tried again.
                core.disk.fail(format!("cannot open {} again: {error}", core.profile.data));
            },
            () = core.stopped.cancelled() => return,
        }
    }
}

fn look(core: &Core) {
    let engine = core.engine();
    engine.look();
    if core.disk.has_failed() {
        core.data.distrust();
    }
    if core.disk.is_due() {
        match reopen(core, &engine) {
            Ok(()) => core.disk.reopened(),
            Err(cause) => {
                debug!(cause, "disk could not be opened again");
                core.disk.fail(cause);
            }
        }
    }
}

/// Opens engine and partitions again; an error is why that is not possible now.
fn reopen(core: &Core, failed: &Watched) -> Result<(), String> {
    let again = failed.reopen().map_err(|error| error.to_string())?;
    if again.lost > 0 {
        warn!(
            batches = again.lost,
            "disk lost writes that were not forced to it; other members bring them back"
        );
    }
    let opened = Arc::new(Watched::new(again.engine, core.disk.clone()));
    core.replace_engine(opened.clone());
    let shared: Arc<dyn Engine> = opened.clone();
    let rng = SmallRng::from_rng(&mut rand::rng());
    core.data.reopen(&shared, rng).map_err(|error| {
        opened.stop();
        error.to_string()
    })
}
