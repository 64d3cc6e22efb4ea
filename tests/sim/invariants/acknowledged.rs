//! No acknowledged write is lost: its value is live at the end, or some write that had seen
//! it replaced it. Losing last-write-wins is not an excuse: a loser stays a sibling until a
//! write that saw it replaces it.

use super::Verdict;
use crate::history::Outcome;
use crate::world::World;

pub fn no_write_is_lost(world: &World) -> Verdict {
    let live = world.live_values();
    for (id, record) in world.history.records.iter().enumerate() {
        let Some(value) = record.value.filter(|_| record.outcome == Outcome::Ok) else {
            continue;
        };
        let replaced = (world.history.records.iter())
            .any(|other| other.may_have_happened() && other.replaced.contains(&value));
        if !live.contains(&value) && !replaced {
            return Err(format!("acknowledged write {id} is lost: {record:?}"));
        }
    }
    Ok(())
}
