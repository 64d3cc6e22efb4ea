//! At rest nothing is left over: no dot-log row, no residual context, no row without a
//! version. Deletes leave nothing.

use super::Verdict;
use crate::world::World;

pub fn nothing_is_left_over(world: &World) -> Verdict {
    for (node, process) in world.running() {
        let stats = process.data.stats();
        if stats.log_rows > 0 || stats.rows_residual > 0 || stats.waiting > 0 {
            return Err(format!("{} still holds {stats:?}", node.id));
        }
    }
    Ok(())
}
