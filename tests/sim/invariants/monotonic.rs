//! While a process lives its clocks only grow, so what a session saw there stays seen.

use std::collections::BTreeMap;

use netdb::clock::{Clock, NodeId};

use super::Verdict;
use crate::world::World;

/// The clocks last seen, by node, life and partition.
#[derive(Default)]
pub struct Watch(BTreeMap<(NodeId, u16), (u64, Clock)>);

pub fn clocks_only_grow(world: &World, watch: &mut Watch) -> Verdict {
    for ((id, partition), replica) in world.replicas() {
        let node = world
            .nodes
            .iter()
            .find(|node| node.id == id)
            .expect("a node");
        let seen = (node.life, replica.clock.clone());
        match watch.0.insert((id, partition), seen) {
            Some((life, before)) if life == node.life && !replica.clock.dominates(&before) => {
                return Err(format!("clock of partition {partition} went back at {id}"));
            }
            _ => {}
        }
    }
    Ok(())
}
