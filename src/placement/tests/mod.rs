//! Properties of rosters, placements and plans, over rosters drawn by chance.

mod balance;
mod placement;
mod plan;
mod roster;
mod sweep;

use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::{Keyspace, Phase, Profile, Roster};
use crate::clock::NodeId;

/// So much slack that no cap binds: plain weighted rendezvous hashing.
const NO_CAPS: u64 = 1 << 20;

/// How a roster is drawn.
#[derive(Clone, Copy, Debug)]
struct Shape {
    members: usize,
    /// Zones to draw from, at least 1.
    zones: u64,
    /// Hosts of each zone to draw from; none gives each member its own.
    hosts: Option<u64>,
    /// Greatest weight, from 100 on in hundreds.
    weight: u32,
}

impl Shape {
    /// Ordinary members, each alone on its host.
    const fn equal(members: usize) -> Self {
        Self {
            members,
            zones: 1,
            hosts: None,
            weight: 100,
        }
    }

    fn profile(&self, rng: &mut SmallRng, id: NodeId) -> Profile {
        let mut profile = Profile::new(id, &id.to_string());
        profile.zone = format!("zone-{}", rng.random_range(0..self.zones));
        if let Some(hosts) = self.hosts {
            profile.host = format!("host-{}", rng.random_range(0..hosts));
        }
        profile.weight = 100 * rng.random_range(1..=self.weight / 100);
        profile
    }

    fn roster(&self, rng: &mut SmallRng) -> Roster {
        let mut roster = Roster::default();
        for _ in 0..self.members {
            self.add(&mut roster, rng);
        }
        roster
    }

    /// One more member that has come to be active.
    fn add(&self, roster: &mut Roster, rng: &mut SmallRng) -> NodeId {
        let id = NodeId(rng.random_range(1..=u64::MAX));
        let profile = self.profile(rng, id);
        roster.join(id, 1, profile).unwrap();
        roster.advance(id, Phase::Active).unwrap();
        id
    }
}

fn seeded(seed: u64) -> SmallRng {
    SmallRng::seed_from_u64(seed)
}

fn cut(partitions: u16) -> Keyspace {
    Keyspace {
        partitions,
        hash_seed: 7,
    }
}
