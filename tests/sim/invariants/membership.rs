//! At rest, every node sees exactly the nodes that run.

use std::collections::BTreeSet;

use super::Verdict;
use crate::world::World;

pub fn views_agree_with_the_truth(world: &World) -> Verdict {
    let truth: BTreeSet<_> = world.running().map(|(node, _)| node.id).collect();
    for (node, process) in world.running() {
        let alive = process.alive();
        if alive != truth {
            return Err(format!("{} sees {alive:?} alive, not {truth:?}", node.id));
        }
        if process.linked.len() + 1 != truth.len() {
            return Err(format!(
                "{} has streams to {:?} only",
                node.id, process.linked
            ));
        }
    }
    Ok(())
}
