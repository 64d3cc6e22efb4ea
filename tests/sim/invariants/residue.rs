//! Metadata is bounded. At rest nothing is left over: no dot-log row, no residual context,
//! no row without a version, no hole in a clock. Deletes leave nothing, on the disks too, and
//! neither do crashes.

use netdb::object::SIBLINGS_MAX;

use super::Verdict;
use crate::world::World;

pub fn nothing_is_left_over(world: &World) -> Verdict {
    for (node, process) in world.running() {
        let stats = process.data.stats();
        if stats.log_rows > 0 || stats.waiting > 0 {
            return Err(format!("{} still holds {stats:?}", node.id));
        }
        // Dead actors are closed only where every member holds everything (PROTOCOL 3.9).
        if world.plan.profile.resharding {
            continue;
        }
        if stats.rows_residual > 0 {
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
        // Where dead actors stay open contexts may stay, as rows without a version.
        let rows = match world.plan.profile.resharding {
            true => stats.dots_live as usize,
            false => node.engine.row_count(),
        };
        if stats.keys > 0 || stats.dots_live > 0 || stats.log_rows > 0 || rows > 0 {
            return Err(format!(
                "{} kept {rows} rows after all was deleted: {stats:?}",
                node.id
            ));
        }
    }
    Ok(())
}
