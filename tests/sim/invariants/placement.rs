//! At rest all know the same members, all of them own, and each partition is with its owners
//! and nobody else.

use std::collections::BTreeSet;

use netdb::placement::Phase;

use super::Verdict;
use crate::node::keyspace;
use crate::world::World;

pub fn rosters_agree(world: &World) -> Verdict {
    let newest = world.newest_roster();
    for (node, process) in world.running() {
        if process.data.roster() != newest {
            return Err(format!("{} does not know all of {newest:?}", node.id));
        }
    }
    Ok(())
}

pub fn members_are_those_who_run(world: &World) -> Verdict {
    let members: BTreeSet<_> = (world.newest_roster().members())
        .map(|(id, _)| id)
        .collect();
    let running: BTreeSet<_> = world.running().map(|(node, _)| node.id).collect();
    match members == running {
        true => Ok(()),
        false => Err(format!("{members:?} are members and {running:?} run")),
    }
}

pub fn members_are_active(world: &World) -> Verdict {
    for (id, claim) in world.newest_roster().members() {
        if claim.phase != Phase::Active {
            return Err(format!("{id} is {}", claim.phase));
        }
    }
    Ok(())
}

pub fn copies_are_with_their_owners(world: &World) -> Verdict {
    let placement = world.placement();
    for ((node, partition), replica) in &world.replicas() {
        let id = netdb::placement::PartitionId(*partition);
        let owns = placement.current(id).contains(node);
        if owns && !replica.is_whole {
            return Err(format!("partition {partition} at {node} is not whole"));
        }
        if !owns && (replica.is_whole || !replica.clock.is_empty()) {
            let clock = &replica.clock;
            return Err(format!("{node} keeps partition {partition}: {clock:?}"));
        }
    }
    for id in keyspace().all() {
        let expected = usize::from(placement.replicas()).min(world.running().count());
        if placement.current(id).len() != expected {
            return Err(format!("{id:?} has {:?}", placement.current(id)));
        }
    }
    Ok(())
}
