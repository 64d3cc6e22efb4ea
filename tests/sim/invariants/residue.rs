//! At rest nothing is left over: no dot-log row, no residual context, no row without a
//! version, no hole in a clock. Deletes leave nothing, and crashes neither.

use super::Verdict;
use crate::world::World;

pub fn nothing_is_left_over(world: &World) -> Verdict {
    for (node, process) in world.running() {
        let stats = process.data.stats();
        if stats.log_rows > 0 || stats.rows_residual > 0 || stats.waiting > 0 {
            return Err(format!("{} still holds {stats:?}", node.id));
        }
        let (mut holes, mut frozen) = (0, 0);
        process.data.inspect(|partition| {
            holes += partition.stats().holes;
            frozen += partition.stats().frozen;
        });
        if holes + frozen > 0 {
            return Err(format!("{} has {holes} holes, {frozen} frozen", node.id));
        }
    }
    Ok(())
}
