//! A clock never covers an effect that was not applied, and a write replaces exactly what it
//! had seen: at every replica the live versions of a key are the puts that nothing the
//! replica knows of replaced (PROTOCOL S1, S3, S8).
//!
//! That is also read-your-writes: what a node acknowledged is in its clock.

use super::Verdict;
use crate::clients::partition_of;
use crate::world::World;

pub fn rows_are_what_the_clock_says(world: &World) -> Verdict {
    for ((node, partition), replica) in &world.replicas() {
        for key in world.plan.profile.registers() {
            if partition_of(key).0 != *partition {
                continue;
            }
            let known = world.ghost.knowledge(&replica.clock, key);
            let expected = world.ghost.maximal(&known);
            let found = replica.objects.get(&key).cloned().unwrap_or_default();
            if found != expected {
                return Err(format!(
                    "key {key} at {node} is {found:?}, but its clock says {expected:?}"
                ));
            }
        }
    }
    Ok(())
}
