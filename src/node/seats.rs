//! What a member's word would make of the roster, and whose seat it may take.

use std::collections::BTreeSet;

use crate::clock::NodeId;
use crate::placement::{Phase, Roster, RosterError};

/// The roster in which `me` is active, and those have departed whose seat it has taken.
pub(super) fn word(roster: &Roster, me: NodeId) -> Result<Roster, RosterError> {
    let mut after = roster.clone();
    after.advance(me, Phase::Active)?;
    for id in replaced(roster, me) {
        after.depart(id)?;
    }
    Ok(after)
}

/// The members whose seat `me` has taken.
pub(super) fn replaced(roster: &Roster, me: NodeId) -> Vec<NodeId> {
    let Some(seat) = roster.member(me).map(|claim| claim.profile.seat) else {
        return Vec::new();
    };
    let others = roster.members().filter(|(id, _)| *id != me);
    others
        .filter(|(_, claim)| claim.profile.seat == seat)
        .map(|(id, _)| id)
        .collect()
}

/// A seat that no member has: the own one of `me`, unless somebody has taken it meanwhile.
pub(super) fn free_seat(roster: &Roster, me: NodeId) -> NodeId {
    let seats = roster.members().map(|(_, claim)| claim.profile.seat);
    let taken: BTreeSet<NodeId> = seats.collect();
    let mut seat = me;
    while taken.contains(&seat) || seat.0 == 0 {
        seat = NodeId(seat.0.wrapping_add(1));
    }
    seat
}

/// Whether all leave, and `id` must stay since somebody must.
pub(super) fn is_last(roster: &Roster, id: NodeId) -> bool {
    let mut members = roster.members();
    members.all(|(other, claim)| claim.phase == Phase::Leaving && other <= id)
}

/// Whether anyone but `id` owns, and stays.
pub(super) fn has_heirs(roster: &Roster, id: NodeId) -> bool {
    let mut members = roster.members();
    members.any(|(other, claim)| other != id && claim.phase == Phase::Active)
}
