//! When a node founds a cluster of its own: nobody is there whose cluster it could join.
//!
//! Nothing is lost if two do so and meet later: the elder cluster's copies are whole, what the
//! other has is merged with them. But until then each of the two knows one half.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::info;

use super::core::Core;
use super::lifecycle::{JOIN_WAIT, LOOK_AGAIN};

/// How often a member looks whether it still is one.
const MEMBER_LOOK: Duration = Duration::from_millis(500);

/// How long members that are there may take to say whose cluster it is, before the first of
/// them founds one: as long as it takes to link up and ask.
const ROSTER_WAIT: Duration = Duration::from_secs(1);

/// Founds a cluster whenever this node is a member of none and there is none to join: at its
/// start, and should all members have removed each other. Ends when the node stops or leaves.
pub(super) async fn run(core: Arc<Core>) {
    let mut alone_since = Instant::now();
    while !core.data.is_gone() && !core.stopping.is_cancelled() {
        if core.data.phase().is_some() {
            sleep(MEMBER_LOOK).await;
            alone_since = Instant::now();
            continue;
        }
        if is_time(&core, alone_since.elapsed()) {
            found(&core);
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// Founds a cluster, unless this node knows of one.
pub(super) fn found(core: &Core) {
    let mut effects = Vec::new();
    if core.data.found(core.clock.now(), &mut effects) {
        info!(name = core.profile.name, "founded a cluster");
    }
    core.execute(effects);
}

fn is_time(core: &Core, elapsed: Duration) -> bool {
    let roster = core.roster();
    if roster.namesake.is_some() {
        return false;
    }
    let first = roster
        .active_others()
        .map(|member| member.identity.id)
        .min();
    match first {
        None if roster.heard => elapsed >= JOIN_WAIT,
        None => elapsed >= core.ready_wait,
        // All of them are new: the first one founds.
        Some(first) if core.profile.id < first => elapsed >= core.ready_wait.max(ROSTER_WAIT),
        Some(_) => elapsed >= JOIN_WAIT,
    }
}
