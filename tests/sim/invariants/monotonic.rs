//! While a copy of a partition is open its clock only grows, so what a session saw there stays
//! seen. A copy that was given up and comes back is another opening.

use std::collections::BTreeMap;

use netdb::clock::{ActorId, Clock, NodeId};

use super::Verdict;
use crate::world::World;

/// The openings and clocks last seen, by node and partition.
#[derive(Default)]
pub struct Watch(BTreeMap<(NodeId, u16), (ActorId, Clock)>);

pub fn clocks_only_grow(world: &World, watch: &mut Watch) -> Verdict {
    for ((id, partition), replica) in world.replicas() {
        let seen = (replica.opening, replica.clock.clone());
        match watch.0.insert((id, partition), seen) {
            Some((opening, before))
                if opening == replica.opening && !replica.clock.dominates(&before) =>
            {
                return Err(format!("clock of partition {partition} went back at {id}"));
            }
            _ => {}
        }
    }
    Ok(())
}
