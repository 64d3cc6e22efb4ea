//! Which members this node links to, and what the data plane is told of it.
//!
//! One task owns both answers, so that the data plane sees them in one order. It is not
//! the membership task, because telling the data plane takes locks that storage may hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::core::Core;
use super::dial;
use crate::clock::NodeId;
use crate::membership::Identity;

/// A member that is being linked to.
struct Dialled {
    identity: Identity,
    cancel: CancellationToken,
}

/// Follows membership and the links until the node has stopped.
pub(super) async fn run(core: Arc<Core>) {
    let mut roster = core.roster.subscribe();
    let mut dialled = BTreeMap::new();
    let mut told = BTreeSet::new();
    loop {
        redial(&core, &mut dialled);
        tell(&core, &mut told);
        tokio::select! {
            () = core.stopped.cancelled() => return,
            changed = roster.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = core.links.changed() => {}
        }
    }
}

/// Begins to dial who takes part and is not dialled, at its newest address, and stops with
/// the others. A new life of a node is dialled anew: what is open to the old one is void.
fn redial(core: &Arc<Core>, dialled: &mut BTreeMap<NodeId, Dialled>) {
    let roster = core.roster();
    let wanted: BTreeMap<NodeId, Identity> = roster
        .active_others()
        .map(|member| (member.identity.id, member.identity))
        .collect();
    dialled.retain(|id, link| {
        let keep = wanted
            .get(id)
            .is_some_and(|identity| is_same_process(identity, &link.identity));
        if !keep {
            link.cancel.cancel();
        }
        keep
    });
    for (id, identity) in wanted {
        dialled.entry(id).or_insert_with(|| {
            let cancel = core.stopped.child_token();
            core.spawn(dial::keep(core.clone(), identity, cancel.clone()));
            Dialled { identity, cancel }
        });
    }
}

fn is_same_process(a: &Identity, b: &Identity) -> bool {
    (a.generation, a.addr) == (b.generation, b.addr)
}

/// Tells the data plane who is there, if that has changed.
fn tell(core: &Core, told: &mut BTreeSet<NodeId>) {
    let reachable = core.reachable();
    if reachable == *told {
        return;
    }
    debug!(reachable = reachable.len(), "other nodes can be reached");
    told.clone_from(&reachable);
    let mut effects = Vec::new();
    core.data.reach(core.clock.now(), reachable, &mut effects);
    core.execute(effects);
}
