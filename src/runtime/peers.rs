//! Which members this node links to, and what the data plane is told of it.
//!
//! One task owns both answers, so that the data plane sees them in one order. It is not
//! the membership task, because telling the data plane takes locks that storage may hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::core::Core;
use super::dial;
use crate::clock::NodeId;
use crate::membership::Identity;

/// A member that is being linked to.
struct Dialled {
    /// Who it is, or who has answered there last: a process that has taken the place of another
    /// may answer before membership tells of it, and its link need not go then.
    met: Arc<Mutex<Identity>>,
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
            .is_some_and(|identity| is_met(identity, &link.met.lock()));
        if !keep {
            link.cancel.cancel();
        }
        keep
    });
    for (id, identity) in wanted {
        dialled.entry(id).or_insert_with(|| {
            let cancel = core.stopped.child_token();
            let met = Arc::new(Mutex::new(identity));
            let keep = dial::keep(core.clone(), identity, met.clone(), cancel.clone());
            core.spawn(keep);
            Dialled { met, cancel }
        });
    }
}

/// Whether that process is the one that was met, or one before it.
fn is_met(wanted: &Identity, met: &Identity) -> bool {
    wanted.addr == met.addr && wanted.generation <= met.generation
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_stays_unless_another_process_is_to_be_met() {
        let met = Identity {
            id: NodeId(1),
            generation: 5,
            bump: 0,
            addr: ([127, 0, 0, 1], 1).into(),
        };
        let with = |generation| Identity { generation, ..met };
        assert!(is_met(&met, &met));
        // Membership is late: the link is to a process that it does not know of yet.
        assert!(is_met(&with(4), &met));
        assert!(!is_met(&with(6), &met));
        let moved = Identity {
            addr: ([127, 0, 0, 1], 2).into(),
            ..met
        };
        assert!(!is_met(&moved, &met));
    }
}
