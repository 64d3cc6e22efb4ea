//! Nothing that an acknowledged write or delete replaced is live again.

use super::Verdict;
use crate::world::World;

pub fn no_replaced_value_is_back(world: &World) -> Verdict {
    let live = world.live_values();
    for (id, record) in world.history.records.iter().enumerate() {
        if !record.must_hold() {
            continue;
        }
        if let Some(value) = record.replaced.intersection(&live).next() {
            return Err(format!(
                "value {value}, replaced by write {id}, is back: {record:?}"
            ));
        }
    }
    Ok(())
}
