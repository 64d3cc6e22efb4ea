//! No acknowledged write is lost: its value is live at the end, or some write that had seen
//! it replaced it. Losing last-write-wins is not an excuse: a loser stays a sibling until a
//! write that saw it replaces it.

use super::Verdict;
use crate::world::World;

pub fn no_write_is_lost(world: &World) -> Verdict {
    let live = world.live_values();
    let replicas = world.replicas();
    let replaced = world.ghost.replaced_by_any();
    for (id, record) in world.history.records.iter().enumerate() {
        let Some(dot) = record.dot.filter(|_| record.must_hold()) else {
            continue;
        };
        if !replicas.values().any(|replica| replica.clock.contains(dot)) {
            return Err(format!(
                "acknowledged write {id} is in no clock: {record:?}"
            ));
        }
        let value = id as u64;
        if record.operation.kind.is_put() && !live.contains(&value) && !replaced.contains(&value) {
            return Err(format!("acknowledged write {id} is lost: {record:?}"));
        }
    }
    Ok(())
}
