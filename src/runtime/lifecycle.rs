//! When a node is ready, and how it stops.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info, warn};

use super::core::Core;
use super::error::StartError;
use super::state::Command;
use crate::membership::State;

/// How long seeds may stay silent before a node is ready alone.
pub(super) const SILENT_SEEDS_WAIT: Duration = Duration::from_secs(2);

/// The same for the seeds that a node without flags guesses on its own machine.
pub(super) const GUESSED_SEEDS_WAIT: Duration = Duration::from_millis(600);

/// How long joining may take once somebody has answered. A node that restarts at once may
/// have to wait until its earlier life has been declared failed.
pub(super) const JOIN_WAIT: Duration = Duration::from_secs(10);

/// How long the first link may take after joining.
const LINK_WAIT: Duration = Duration::from_secs(3);

/// How long catching up may take before the node is ready behind.
const SYNC_WAIT: Duration = Duration::from_secs(30);

/// How often conditions without a notification are looked at.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How long leaving may take: the others confirm within milliseconds, or the farewell is
/// repeated until it is given up.
const LEAVE_WAIT: Duration = Duration::from_millis(900);

/// How long the tasks may take to end. None waits for anything but the disk.
const TASKS_WAIT: Duration = Duration::from_secs(5);

/// See [`Handle::ready`](super::Handle::ready).
pub(super) async fn ready(core: &Core) -> Result<(), StartError> {
    let has_joined = joined(core).await?;
    while !owns(core)? && !core.stopping.is_cancelled() {
        sleep(LOOK_AGAIN).await;
    }
    if !has_joined {
        return Ok(());
    }
    let linked = || !core.data.view().reachable.is_empty();
    if holds_within(LINK_WAIT, linked).await
        && !holds_within(SYNC_WAIT, || core.data.is_caught_up()).await
    {
        warn!("not caught up with any member after {SYNC_WAIT:?}; ready nevertheless");
    }
    Ok(())
}

/// Whether this node has come to own what it should: a new member fetches it first.
fn owns(core: &Core) -> Result<bool, StartError> {
    if let Some(reason) = core.data.join_error() {
        return Err(StartError::NotJoined { reason });
    }
    Ok(core.data.is_in_place())
}

/// Waits until there is another member, or nobody answers. Returns whether there is one.
async fn joined(core: &Core) -> Result<bool, StartError> {
    let began = Instant::now();
    let mut roster = core.roster.subscribe();
    loop {
        let now = roster.borrow_and_update().clone();
        if let Some(holder) = &now.namesake {
            return Err(StartError::NameTaken {
                name: core.profile.name.clone(),
                addr: holder.addr,
            });
        }
        if now.active_others().next().is_some() {
            return Ok(true);
        }
        let wait = if now.heard {
            JOIN_WAIT
        } else {
            core.ready_wait
        };
        let Some(left) = wait
            .checked_sub(began.elapsed())
            .filter(|left| !left.is_zero())
        else {
            return Ok(false);
        };
        tokio::select! {
            () = core.stopping.cancelled() => return Ok(false),
            () = sleep(left) => {}
            _ = roster.changed() => {}
        }
    }
}

async fn holds_within(wait: Duration, condition: impl Fn() -> bool) -> bool {
    let looking = async {
        while !condition() {
            sleep(LOOK_AGAIN).await;
        }
    };
    timeout(wait, looking).await.is_ok()
}

/// See [`Handle::shutdown`](super::Handle::shutdown).
pub(super) async fn shutdown(core: &Arc<Core>) {
    core.stopping.cancel();
    core.ended
        .get_or_init(|| async {
            leave(core).await;
            core.stopped.cancel();
            core.tasks.close();
            if timeout(TASKS_WAIT, core.tasks.wait()).await.is_err() {
                warn!(tasks = core.tasks.len(), "some tasks did not end in time");
            }
            let engine = core.engine();
            let synced = tokio::task::spawn_blocking(move || {
                engine.sync_if_dirty()?;
                engine.settle_if_due()
            });
            let synced = synced.await;
            if let Ok(Err(error)) = synced {
                error!(%error, "the last writes could not be forced to disk");
            }
            info!(name = core.profile.name, "stopped");
        })
        .await;
}

/// Says goodbye and waits until the others have heard it, for a while.
async fn leave(core: &Core) {
    let mut roster = core.roster.subscribe();
    let id = core.profile.id;
    let leaving = async {
        if core.commands.send(Command::Leave).await.is_err() {
            return;
        }
        let gone = roster.wait_for(|roster| {
            roster
                .members
                .get(&id)
                .is_some_and(|me| me.state == State::Left)
        });
        // Fails only if the membership task has ended, and then nobody can be told.
        let _ = gone.await;
    };
    if timeout(LEAVE_WAIT, leaving).await.is_err() {
        info!("leaving was not confirmed by every member");
    }
}
