//! A dot names one write for ever, and state is a function of the clock (PROTOCOL S5, S9).
//!
//! A node that restarted from older state and issued a dot again would diverge for ever
//! without any digest showing it.

use std::collections::BTreeMap;

use super::Verdict;
use crate::world::World;

pub fn each_names_one_write(world: &World) -> Verdict {
    let mut written = BTreeMap::new();
    for ((node, _), replica) in &world.replicas() {
        for (key, object) in &replica.objects {
            for (dot, value) in object {
                let known = written.entry(*dot).or_insert((*key, *value));
                if *known != (*key, *value) {
                    return Err(format!("{dot:?} names two writes; one is at {node}"));
                }
            }
        }
    }
    Ok(())
}

pub fn equal_clocks_mean_equal_rows(world: &World) -> Verdict {
    let mut states = BTreeMap::new();
    for ((node, partition), replica) in world.replicas() {
        let clock = format!("{:?}", replica.clock);
        let known = states
            .entry((partition, clock))
            .or_insert_with(|| replica.objects.clone());
        if *known != replica.objects {
            return Err(format!(
                "partition {partition} at {node}: equal clocks, other rows"
            ));
        }
    }
    Ok(())
}
