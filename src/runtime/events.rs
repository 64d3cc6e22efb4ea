//! What happens in the cluster, as log events with fields.

use tracing::{debug, error, info, warn};

use super::core::Core;
use crate::membership::{Event, Member};

/// Logs one event of membership.
pub(super) fn log(event: &Event, core: &Core) {
    match event {
        Event::Joined(member) => note_member(core, member, "member joined"),
        Event::Recovered(member) => note_member(core, member, "member recovered"),
        Event::Left(member) => note_member(core, member, "member left"),
        Event::Suspected(member) => warn_member(core, member, "member suspected"),
        Event::Failed(member) => warn_member(core, member, "member failed"),
        Event::Restarted { old, new } => info!(
            member = %name_of(core, new),
            addr = %new.identity.addr,
            generation = new.identity.generation,
            old_generation = old.generation,
            "member restarted"
        ),
        Event::Renewed(identity) => warn!(
            generation = identity.generation,
            bump = identity.bump,
            "this node was declared failed by mistake and took a new name"
        ),
        Event::Conflict { holder } => error!(
            name = core.profile.name,
            holder = %holder.addr,
            "another live node has this node's name; not joining while that lasts"
        ),
        Event::Refused { from, reason } => warn!(%from, %reason, "refused by or refusing a node"),
    }
}

fn note_member(core: &Core, member: &Member, what: &'static str) {
    let identity = &member.identity;
    if identity.id == core.profile.id {
        debug!(addr = %identity.addr, "this node: {what}");
        return;
    }
    info!(
        member = %name_of(core, member),
        addr = %identity.addr,
        generation = identity.generation,
        incarnation = member.incarnation,
        "{what}"
    );
}

fn warn_member(core: &Core, member: &Member, what: &'static str) {
    warn!(
        member = %name_of(core, member),
        addr = %member.identity.addr,
        generation = member.identity.generation,
        incarnation = member.incarnation,
        "{what}"
    );
}

/// The member's name if its facts have arrived, else its id.
pub(super) fn name_of(core: &Core, member: &Member) -> String {
    let id = member.identity.id;
    let facts = core.facts.borrow();
    facts
        .get(&id)
        .map_or_else(|| id.to_string(), |facts| facts.name.clone())
}
