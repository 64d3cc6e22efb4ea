//! Metadata is bounded. At rest nothing is left over: no dot-log row, no residual context,
//! no row without a version, no hole in a clock. Deletes leave nothing, on the disks too,
//! and crashes that lost nothing neither.

use netdb::object::SIBLINGS_MAX;

use super::Verdict;
use crate::world::World;

pub fn nothing_is_left_over(world: &World) -> Verdict {
    for (node, process) in world.running() {
        let stats = process.data.stats();
        // Dots that a disk forgot leave holes until their actors are closed.
        let residual = stats.rows_residual > 0 && !world.forgot;
        if stats.log_rows > 0 || residual || stats.waiting > 0 {
            return Err(format!("{} still holds {stats:?}", node.id));
        }
        let (mut holes, mut frozen) = (0, 0);
        process.data.inspect(|partition| {
            holes += partition.stats().holes;
            frozen += partition.stats().frozen;
        });
        if holes + frozen > 0 && !world.forgot {
            return Err(format!("{} has {holes} holes, {frozen} frozen", node.id));
        }
    }
    Ok(())
}

pub fn siblings_are_bounded(world: &World) -> Verdict {
    for ((node, partition), replica) in &world.replicas() {
        let most = replica
            .objects
            .values()
            .map(|versions| versions.len())
            .max();
        if most.is_some_and(|most| most > SIBLINGS_MAX) {
            return Err(format!(
                "{most:?} siblings in partition {partition} at {node}"
            ));
        }
    }
    Ok(())
}

pub fn deletes_leave_nothing(world: &World) -> Verdict {
    for (node, process) in world.running() {
        let stats = process.data.stats();
        let rows = node.engine.rows();
        let residual = if world.forgot { stats.rows_residual } else { 0 };
        let kept = rows as u64 > residual;
        if stats.keys > 0 || stats.dots_live > 0 || stats.log_rows > 0 || kept {
            return Err(format!(
                "{} kept {rows} rows after all was deleted: {stats:?}",
                node.id
            ));
        }
    }
    Ok(())
}
