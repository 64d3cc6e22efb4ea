//! What the nodes hold, as seen from outside.

use std::collections::{BTreeMap, BTreeSet};

use netdb::clock::{Clock, Dot, NodeId};
use netdb::store::Partition;

use crate::clients::{decode, key_bytes};
use crate::history::Value;
use crate::node::{Node, Process, keyspace};
use crate::world::World;

/// What one node holds of one partition.
#[derive(Clone, Debug, PartialEq)]
pub struct Replica {
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
                let objects = (0..self.plan.profile.keys)
                    .map(|key| (key, key_bytes(key)))
                    .filter(|(_, bytes)| keyspace().partition_of(bytes) == partition.id())
                    .map(|(key, bytes)| (key, object_of(partition, &bytes)))
                    .filter(|(_, versions)| !versions.is_empty())
                    .collect();
                let clock = partition.clock().clone();
                replicas.insert((node.id, partition.id().0), Replica { clock, objects });
            });
        }
        replicas
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

fn object_of(partition: &Partition, key: &[u8]) -> BTreeMap<Dot, Value> {
    let object = partition.object(key).expect("a readable disk");
    values(&object.versions)
}

pub fn values(versions: &netdb::object::Versions) -> BTreeMap<Dot, Value> {
    versions
        .iter()
        .map(|(dot, version)| (dot, decode(&version.value)))
        .collect()
}
