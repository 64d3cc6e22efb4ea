//! The members that compete for partitions, and the choice among them that spreads replicas
//! over zones and hosts.

use std::collections::BTreeMap;

use super::keyspace::{Keyspace, PartitionId};
use super::member::Claim;
use super::score::Arrival;
use crate::clock::NodeId;

/// One who competes.
pub(super) struct Competitor {
    pub id: NodeId,
    pub weight: u32,
    pub seat: NodeId,
    /// Index of its zone.
    pub zone: usize,
    /// Index of its host, each within one zone.
    pub host: usize,
}

/// All who compete, by id, so that the field is the same on all nodes.
pub(super) struct Field {
    pub competitors: Vec<Competitor>,
    pub zones: usize,
    pub hosts: usize,
}

/// Who was chosen for a partition, in order of preference, and how far apart they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// Indices into the field.
    pub chosen: Vec<usize>,
    pub spread: Spread,
}

/// How far the replicas of a partition are from being apart: the lesser is better, and a
/// missing replica is worse than any neighbour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spread {
    missing: usize,
    /// Pairs of replicas in one zone.
    zone_pairs: usize,
    /// Pairs of replicas on one host.
    host_pairs: usize,
}

impl Field {
    /// The field of `members`, which come by id.
    pub fn new<'a>(members: impl Iterator<Item = (NodeId, &'a Claim)>) -> Self {
        let (mut zones, mut hosts) = (BTreeMap::new(), BTreeMap::new());
        let mut competitors = Vec::new();
        for (id, claim) in members {
            let profile = &claim.profile;
            let count = zones.len();
            let zone = *zones.entry(profile.zone.as_str()).or_insert(count);
            let count = hosts.len();
            let host = *hosts.entry((zone, profile.host.as_str())).or_insert(count);
            competitors.push(Competitor {
                id,
                weight: profile.weight,
                seat: profile.seat,
                zone,
                host,
            });
        }
        Self {
            competitors,
            zones: zones.len(),
            hosts: hosts.len(),
        }
    }

    /// When each competitor arrives in `partition`.
    pub fn arrivals(&self, keyspace: &Keyspace, partition: PartitionId) -> Vec<Arrival> {
        let arrival = |one: &Competitor| Arrival::of(keyspace, partition, one.seat, one.weight);
        self.competitors.iter().map(arrival).collect()
    }

    /// The `replicas` competitors for a partition, without those `refused` (in order).
    ///
    /// One after the other, whoever is in the least used zone, there on the least used host,
    /// and of those the first to arrive. Zones and the hosts in them are a laminar family,
    /// and each further replica in the same one is worth less, so the greedy choice is the
    /// best one, and one competitor more or less changes at most one replica.
    pub fn choose(&self, arrivals: &[Arrival], replicas: usize, refused: &[usize]) -> Choice {
        let mut zone_used = vec![0usize; self.zones];
        let mut host_used = vec![0usize; self.hosts];
        let mut free: Vec<bool> = vec![true; self.competitors.len()];
        for &index in refused {
            free[index] = false;
        }
        let mut chosen = Vec::with_capacity(replicas.min(self.competitors.len()));
        let mut spread = Spread::default();
        while chosen.len() < replicas {
            let rank = |index: &usize| {
                let one = &self.competitors[*index];
                (zone_used[one.zone], host_used[one.host], arrivals[*index])
            };
            let open = (0..self.competitors.len()).filter(|&index| free[index]);
            let Some(best) = open.min_by_key(rank) else {
                break;
            };
            let one = &self.competitors[best];
            spread.zone_pairs += zone_used[one.zone];
            spread.host_pairs += host_used[one.host];
            zone_used[one.zone] += 1;
            host_used[one.host] += 1;
            free[best] = false;
            chosen.push(best);
        }
        spread.missing = replicas - chosen.len();
        Choice { chosen, spread }
    }
}
