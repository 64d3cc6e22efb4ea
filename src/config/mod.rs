//! Every knob of a node: meaning, unit, default, limits, and what either direction costs.
//!
//! [`Config`] is what embedders fill in and what flags, environment and file are resolved
//! to. It is plain data: it opens nothing. Cluster-wide settings ([`ClusterConfig`]) are
//! apart from per-node ones, because members compare the former before they speak.
//!
//! [`KNOBS`] is the table from which flags, variables, file keys, help and error messages
//! are made; a [`Settings`] is what one of those sources says.

mod address;
mod file;
mod knob;
mod knobs;
mod layer;
mod nearest;
mod secret;
mod setters;
mod settings;
mod value;

use std::fmt;
use std::num::NonZeroU64;
use std::path::PathBuf;

use thiserror::Error;

use crate::placement::WEIGHT_MAX;
pub use crate::replication::{Durability, Strength};
pub use address::{AddressError, HOST_BYTES_MAX, HOST_DEFAULT};
pub use knob::{Knob, Shape};
pub use knobs::{
    ARGUMENT_BYTES_MAX, EVICT_AFTER_MS_MIN, KNOBS, MEMORY_BUDGET_MIN, PARTITIONS_MAX, REPLICAS_MAX,
};
pub use layer::{KeySource, LogFormat, Settings};
pub use nearest::nearest;
pub use secret::{Secret, cluster_key};
pub use setters::SEEDS_MAX;
pub use settings::{Place, SettingError};
pub use value::{KEY_BYTES_MAX, KEY_BYTES_MIN, NAME_BYTES_MAX, ValueError};

/// The first cluster port (UDP and TCP) that a node without `listen` tries.
pub const CLUSTER_PORT_DEFAULT: u16 = 7979;

/// The first client port that a node without `client` tries.
pub const CLIENT_PORT_DEFAULT: u16 = 7379;

/// How many members hold each partition unless it was configured otherwise: one may be away
/// and a majority is still there.
pub const REPLICAS_DEFAULT: u8 = 3;

/// How many port pairs a node without explicit ports tries before it gives up.
pub const PORTS_TRIED_MAX: u16 = 100;

/// A host, by name or address, and a port. Names are resolved when they are used.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// DNS name, IPv4 address, or IPv6 address without brackets.
    pub host: String,
    /// Port; 0 asks the system for a free one where that makes sense.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Where a node listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Listen {
    /// On 127.0.0.1, at the default port or the next free one.
    #[default]
    Auto,
    /// Exactly there; a taken port is an error.
    At(HostPort),
    /// Not at all (client port of an embedded node).
    Off,
}

/// Where a node keeps its data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// In `./netdb-data/NAME`.
    #[default]
    DefaultDirectory,
    /// In this directory.
    Directory(PathBuf),
    /// In memory only: gone when the process ends.
    Memory,
}

/// Settings that must be equal on all members of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// The cluster's name; nodes of other names are strangers.
    pub name: String,
    /// Number of partitions of the keyspace; fixed for the cluster's life.
    pub partitions: u16,
    /// Seed of the key hash; fixed for the cluster's life.
    pub hash_seed: u64,
    /// How many members hold each partition, where there are as many.
    pub replicas: u8,
}

/// Timing presets of the membership protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// One machine: fastest detection.
    Local,
    /// One data centre.
    #[default]
    Lan,
    /// Between data centres.
    Wan,
}

/// Everything that one node needs to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Settings shared by the whole cluster.
    pub cluster: ClusterConfig,
    /// Unique, stable name; `HOSTNAME-CLUSTERPORT` if absent.
    pub name: Option<String>,
    /// Cluster address, UDP and TCP.
    pub listen: Listen,
    /// The cluster address that others should use, if it is not the one listened on.
    pub advertise: Option<HostPort>,
    /// What fails together with this node on a large scale: a room, a site.
    pub zone: String,
    /// This node's share of the partitions relative to others'; an ordinary one has 100.
    pub weight: u32,
    /// The name of a dead member whose place this node takes when it joins.
    pub replace: Option<String>,
    /// How long a member may be away before it is removed for good.
    pub evict_after_ms: u64,
    /// Whether a signal makes the node leave for good, handing off what it holds.
    pub leave: bool,
    /// Any nodes of the cluster. May be down, unresolvable, or this node itself.
    pub seeds: Vec<HostPort>,
    /// Client address (RESP).
    pub client: Listen,
    /// Where the data is kept.
    pub storage: Storage,
    /// How many bytes of memory the data on disk may take, a quarter of what the machine has if
    /// absent. Data in memory only takes what it takes.
    pub memory_budget: Option<u64>,
    /// Key that seals everything between nodes. Without one only accidents are kept out.
    pub cluster_key: Option<Secret>,
    /// A second key that is still accepted, during a rotation.
    pub previous_cluster_key: Option<Secret>,
    /// Allow listening beyond loopback without a key.
    pub insecure: bool,
    /// Timing of failure detection.
    pub network: Network,
    /// Default strength of writes.
    pub write: Strength,
    /// Default strength of reads.
    pub read: Strength,
    /// How safe from a loss of power a write must be before it is acknowledged.
    pub durability: Durability,
    /// How long a request waits for its replicas, in milliseconds.
    pub write_timeout_ms: u64,
    /// How often a node compares itself with one random replica, in milliseconds.
    pub sync_interval_ms: u64,
    /// Most bytes per second that this node fetches from others to catch up.
    pub sync_rate: NonZeroU64,
    /// Most bytes that the dot logs of all partitions may take together.
    pub dot_log_bytes: u64,
    /// How long the dot logs reach back for a replica that is away, in milliseconds.
    pub dot_log_age_ms: u64,
    /// Most client connections at once.
    pub clients_max: usize,
    /// Most bytes of memory that requests and answers of all clients take together.
    pub client_memory: u64,
    /// Longest argument of a client's command, in bytes.
    pub argument_max: u64,
    /// How long a client may be silent before it is disconnected, in milliseconds; 0 is for
    /// ever.
    pub client_timeout_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cluster: ClusterConfig {
                name: "netdb".to_owned(),
                partitions: crate::placement::PARTITIONS_DEFAULT,
                hash_seed: 0,
                replicas: REPLICAS_DEFAULT,
            },
            zone: String::new(),
            weight: crate::placement::WEIGHT_DEFAULT,
            replace: None,
            evict_after_ms: 24 * 3_600_000,
            leave: false,
            name: None,
            listen: Listen::Auto,
            advertise: None,
            seeds: Vec::new(),
            client: Listen::Auto,
            storage: Storage::DefaultDirectory,
            memory_budget: None,
            cluster_key: None,
            previous_cluster_key: None,
            insecure: false,
            network: Network::Lan,
            write: Strength::Quorum,
            read: Strength::One,
            durability: Durability::Interval,
            write_timeout_ms: 2_000,
            sync_interval_ms: 1_000,
            sync_rate: const { NonZeroU64::new(100_000_000).unwrap() },
            dot_log_bytes: 1_000_000_000,
            dot_log_age_ms: 24 * 3_600_000,
            clients_max: 10_000,
            client_memory: 1_000_000_000,
            argument_max: ARGUMENT_BYTES_MAX,
            client_timeout_ms: 0,
        }
    }
}

/// Why a configuration cannot be started.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field} {problem}")]
pub struct ConfigError {
    /// The field of [`Config`].
    pub field: &'static str,
    /// What is wrong with it, and what would be right.
    pub problem: ValueError,
}

impl Config {
    /// Checks what an embedder may have got wrong: names, addresses that others must
    /// reach, keys and ranges. What came through [`Settings`] has passed already.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |field, problem| ConfigError { field, problem };
        value::name(&self.cluster.name).map_err(|error| wrong("cluster.name", error))?;
        if let Some(name) = &self.name {
            value::name(name).map_err(|error| wrong("name", error))?;
        }
        if !(1..=PARTITIONS_MAX).contains(&self.cluster.partitions) {
            let (min, max) = (1, u64::from(PARTITIONS_MAX));
            return Err(wrong("cluster.partitions", ValueError::Number { min, max }));
        }
        self.validate_place()?;
        if self
            .memory_budget
            .is_some_and(|bytes| bytes < MEMORY_BUDGET_MIN)
        {
            let (min, max) = (MEMORY_BUDGET_MIN, u64::MAX);
            return Err(wrong("memory_budget", ValueError::Number { min, max }));
        }
        if self.seeds.len() > SEEDS_MAX {
            return Err(wrong("seeds", ValueError::TooMany(SEEDS_MAX)));
        }
        for (field, address) in self.addresses_for_others() {
            let checked = address.clone().reachable();
            checked.map_err(|error| wrong(field, error.into()))?;
        }
        match (&self.listen, &self.client) {
            (Listen::At(peers), Listen::At(clients)) if peers == clients && peers.port != 0 => {
                return Err(wrong("client", ValueError::SameAddress));
            }
            _ => {}
        }
        for (field, key) in [
            ("cluster_key", &self.cluster_key),
            ("previous_cluster_key", &self.previous_cluster_key),
        ] {
            if let Some(Secret(bytes)) = key {
                cluster_key(bytes).map_err(|error| wrong(field, error))?;
            }
        }
        Ok(())
    }

    /// What a node's place in the cluster is made of.
    fn validate_place(&self) -> Result<(), ConfigError> {
        let wrong = |field, problem| ConfigError { field, problem };
        let numbers = [
            (
                "cluster.replicas",
                self.cluster.replicas.into(),
                1,
                REPLICAS_MAX.into(),
            ),
            ("weight", self.weight.into(), 1, WEIGHT_MAX.into()),
            (
                "evict_after_ms",
                self.evict_after_ms,
                EVICT_AFTER_MS_MIN,
                u64::MAX,
            ),
        ];
        for (field, number, min, max) in numbers {
            if !(min..=max).contains(&number) {
                return Err(wrong(field, ValueError::Number { min, max }));
            }
        }
        if !self.zone.is_empty() {
            value::zone(&self.zone).map_err(|error| wrong("zone", error))?;
        }
        if let Some(name) = &self.replace {
            value::name(name).map_err(|error| wrong("replace", error))?;
            if self.name.as_ref() == Some(name) {
                return Err(wrong("replace", ValueError::Myself));
            }
        }
        Ok(())
    }

    fn addresses_for_others(&self) -> impl Iterator<Item = (&'static str, &HostPort)> {
        let seeds = self.seeds.iter().map(|seed| ("seeds", seed));
        seeds.chain(self.advertise.iter().map(|address| ("advertise", address)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_configuration_is_valid() {
        assert_eq!(Config::default().validate(), Ok(()));
    }

    #[test]
    fn an_embedders_mistake_is_named_by_its_field() {
        let mut config = Config {
            name: Some("../../etc".to_owned()),
            ..Config::default()
        };
        assert!(
            config
                .validate()
                .unwrap_err()
                .to_string()
                .starts_with("name is no valid name")
        );
        config.name = None;
        config.cluster.partitions = 0;
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "cluster.partitions is not a whole number from 1 to 16384"
        );
        config.cluster.partitions = 1;
        type Spoil = fn(&mut Config);
        let wrong: [(&str, Spoil); 5] = [
            ("cluster.replicas", |config| config.cluster.replicas = 17),
            ("weight", |config| config.weight = 0),
            ("evict_after_ms", |config| config.evict_after_ms = 9_999),
            ("zone", |config| config.zone = "a,b".to_owned()),
            ("replace", |config| config.replace = Some("../x".to_owned())),
        ];
        for (field, spoil) in wrong {
            let mut config = Config::default();
            spoil(&mut config);
            assert_eq!(config.validate().unwrap_err().field, field);
        }
        config.cluster_key = Some(Secret(b"short".to_vec()));
        assert_eq!(config.validate().unwrap_err().field, "cluster_key");
        config.cluster_key = None;
        config.listen = Listen::At("a:1".parse().unwrap());
        config.client = config.listen.clone();
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "client is the cluster address too; give them different ports"
        );
    }
}
