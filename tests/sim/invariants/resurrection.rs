//! Nothing that an acknowledged write or delete replaced is live again.

use super::Verdict;
use crate::world::World;

pub fn no_replaced_value_is_back(world: &World) -> Verdict {
    let live = world.live_values();
    for (id, record) in world.history.records.iter().enumerate() {
        let Some(dot) = record.dot.filter(|_| record.must_hold()) else {
            continue;
        };
        if let Some(value) = world.ghost.replaced(dot).intersection(&live).next() {
            return Err(format!(
                "value {value}, replaced by write {id}, is back: {record:?}"
            ));
        }
    }
    Ok(())
}
