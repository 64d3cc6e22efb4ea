//! What the nodes hold, as seen from outside.

use std::collections::{BTreeMap, BTreeSet};

use netdb::clock::{ActorId, Clock, Dot, NodeId};
use netdb::placement::Placement;
use netdb::store::Partition;
use netdb::store::engine::Reader;

use crate::clients::{decode, partition_of, row_bytes};
use crate::history::Value;
use crate::node::{Node, Process, keyspace};
use crate::world::World;

/// What one node holds of one partition.
#[derive(Clone, Debug, PartialEq)]
pub struct Replica {
    /// Which opening of the partition this is.
    pub opening: ActorId,
    /// Whether what is not in it is known to be absent.
    pub is_whole: bool,
    pub clock: Clock,
    pub objects: BTreeMap<u8, BTreeMap<Dot, Value>>,
}

impl World {
    /// The nodes that run.
    pub fn running(&self) -> impl Iterator<Item = (&Node, &Process)> {
        self.nodes
            .iter()
            .filter_map(|node| node.process.as_ref().map(|process| (node, process)))
    }

    /// What every running node holds, by node and partition.
    pub fn replicas(&self) -> BTreeMap<(NodeId, u16), Replica> {
        let mut replicas = BTreeMap::new();
        for (node, process) in self.running() {
            process.data.inspect(|partition| {
                let registers = self.plan.profile.registers();
                let objects = registers
                    .filter(|key| partition_of(*key) == partition.id())
                    .map(|key| (key, object_of(node, partition, &row_bytes(key))))
                    .filter(|(_, versions)| !versions.is_empty())
                    .collect();
                let replica = Replica {
                    opening: partition.actor(),
                    is_whole: !partition.is_rebuilding(),
                    clock: partition.clock().clone(),
                    objects,
                };
                replicas.insert((node.id, partition.id().0), replica);
            });
        }
        replicas
    }

    /// Where everything belongs by what all that run know together.
    pub fn placement(&self) -> Placement {
        Placement::of(
            &self.newest_roster(),
            keyspace(),
            self.plan.profile.replicas,
        )
    }

    pub fn index_of(&self, id: NodeId) -> usize {
        let index = self.nodes.iter().position(|node| node.id == id);
        index.expect("a node of this run")
    }

    /// Every value that is live anywhere.
    pub fn live_values(&self) -> BTreeSet<Value> {
        let replicas = self.replicas();
        let objects = replicas
            .values()
            .flat_map(|replica| replica.objects.values());
        objects
            .flat_map(|versions| versions.values().copied())
            .collect()
    }
}

/// What a copy has of a key or field. One that is not whole tells no client, but has it on its
/// disk.
pub fn object_of(node: &Node, partition: &Partition, row: &[u8]) -> BTreeMap<Dot, Value> {
    if partition.is_rebuilding() {
        let row = node.engine.row(partition.id(), row);
        let row = row.expect("a readable disk").unwrap_or_default();
        return values(&row.versions);
    }
    let object = partition.object(row).expect("a readable disk");
    values(&object.versions)
}

/// What was put; what was added to numbers is no value.
pub fn values(versions: &netdb::object::Versions) -> BTreeMap<Dot, Value> {
    versions
        .iter()
        .filter(|(_, version)| version.part.is_none())
        .map(|(dot, version)| (dot, decode(&version.value)))
        .collect()
}
