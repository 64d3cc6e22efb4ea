//! At rest, all owners of a partition hold the same objects under the same clocks.

use std::collections::BTreeMap;

use super::Verdict;
use crate::world::World;

pub fn same_objects_and_clocks(world: &World) -> Verdict {
    let replicas = world.replicas();
    let mut first_of = BTreeMap::new();
    for ((node, partition), replica) in replicas.iter().filter(|(_, r)| r.is_whole) {
        let (first, expected) = first_of.entry(*partition).or_insert((*node, replica));
        let differs = |what| {
            Err(format!(
                "{what} of partition {partition} differ at {node} and {first}"
            ))
        };
        if expected.clock != replica.clock {
            return differs("clocks");
        }
        if expected.objects != replica.objects {
            return differs("objects");
        }
    }
    Ok(())
}
