//! Starting a node: from a [`Config`] to opened parts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tracing::info;

use super::core::Profile;
use super::disk::Disk;
use super::error::StartError;
use super::handle::Handle;
use super::launch::{Store, launch};
use super::storage::{Opening, Place, Watched};
use super::time::{Clock, wall_ms};
use super::{advertise, identity, memory, ports};
use crate::config::{Config, Storage};
use crate::membership::{CLUSTER_BYTES_MAX, Fingerprint};
use crate::node::request::Consistency;
use crate::node::{Data, DataParams, MemberParams};
use crate::placement::{Keyspace, Profile as Member};
use crate::replication::SyncParams;
use crate::store::Options;
use crate::store::engine::Engine;
use crate::wire::{ClusterKey, KeyRing};

/// Version of what nodes say to each other. Members of one cluster speak the same one.
const PROTOCOL: u16 = 5;

/// Starts a node and returns as soon as it serves: it listens, has loaded its data, and
/// looks for its seeds. [`Handle::ready`] tells when it has joined and caught up.
///
/// # Errors
/// If the configuration cannot be used here; see [`StartError`]. Nothing is left running
/// then.
pub async fn start(config: Config) -> Result<Handle, StartError> {
    check(&config)?;
    let keys = key_ring(&config)?;
    let sockets = ports::bind(&config).await?;
    let cluster_addr = advertise::address(&config, sockets.cluster_addr).await?;
    let name = identity::name(config.name.as_deref(), cluster_addr)?;
    let is_in_memory = matches!(config.storage, Storage::Memory);
    let budget = config.memory_budget;
    let budget = budget.unwrap_or_else(|| memory::default_budget(is_in_memory));
    let place = Place::new(&config.storage, &name, budget);
    let profile = Profile {
        id: identity::node_id(&config.cluster.name, &name),
        name,
        cluster_addr,
        client_addr: sockets.client_addr.map(|mut addr| {
            if addr.ip().is_unspecified() {
                addr.set_ip(cluster_addr.ip());
            }
            addr
        }),
        fingerprint: fingerprint(&config),
        keys,
        data: place.words(),
        consistency: Consistency {
            write: config.write,
            read: config.read,
            durability: config.durability,
        },
        timeout: Duration::from_millis(config.write_timeout_ms),
    };
    let clock = Clock::start();
    let store = open_store(place, data_params(&config, &profile), clock).await?;
    launch(&config, profile, clock, sockets, store).map(Handle::new)
}

/// What a cluster-wide setting may be.
fn check(config: &Config) -> Result<(), StartError> {
    let name = &config.cluster.name;
    if name.is_empty() || name.len() > CLUSTER_BYTES_MAX {
        return Err(StartError::OutOfRange {
            knob: "cluster name",
            value: format!("{} bytes long", name.len()),
            range: "1 to 64 bytes long",
        });
    }
    if config.cluster.partitions == 0 {
        return Err(StartError::OutOfRange {
            knob: "partitions",
            value: "0".to_owned(),
            range: "1 to 65535",
        });
    }
    if config.sync_interval_ms == 0 {
        return Err(StartError::OutOfRange {
            knob: "sync interval",
            value: "0 ms".to_owned(),
            range: "at least 1 ms",
        });
    }
    Ok(())
}

fn key_ring(config: &Config) -> Result<KeyRing, StartError> {
    let of = |secret: &crate::config::Secret| ClusterKey::from_secret(&secret.0);
    let current = match &config.cluster_key {
        Some(secret) => of(secret)?,
        None => ClusterKey::from_name(&config.cluster.name),
    };
    let previous = config.previous_cluster_key.as_ref().map(of).transpose()?;
    Ok(KeyRing { current, previous })
}

fn fingerprint(config: &Config) -> Fingerprint {
    Fingerprint {
        cluster: config.cluster.name.clone(),
        partitions: config.cluster.partitions,
        replicas: config.cluster.replicas,
        hash_seed: config.cluster.hash_seed,
        protocol: PROTOCOL,
    }
}

fn data_params(config: &Config, profile: &Profile) -> DataParams {
    let keyspace = Keyspace {
        partitions: config.cluster.partitions,
        hash_seed: config.cluster.hash_seed,
    };
    let partitions = u64::from(config.cluster.partitions).max(1);
    DataParams {
        me: profile.id,
        member: MemberParams {
            profile: Member {
                zone: config.zone.clone(),
                host: profile.cluster_addr.ip().to_string(),
                weight: config.weight,
                ..Member::new(profile.id, &profile.name)
            },
            // That of this start is known when the store is open.
            generation: 0,
            replace: (config.replace.as_ref())
                .map(|name| identity::node_id(&config.cluster.name, name)),
            evict_after: Duration::from_millis(config.evict_after_ms),
        },
        keyspace,
        replicas: config.cluster.replicas,
        timeout: Duration::from_millis(config.write_timeout_ms),
        sync: SyncParams {
            interval: Duration::from_millis(config.sync_interval_ms),
            ..SyncParams::default()
        },
        durability: config.durability,
        sync_rate: config.sync_rate,
        options: Options {
            keyspace,
            log_bytes_max: usize::try_from(config.dot_log_bytes / partitions).unwrap_or(usize::MAX),
            log_age_max: Duration::from_millis(config.dot_log_age_ms),
            ..Options::default()
        },
    }
}

/// Opens the store on a thread of its own: it takes as long as the disk takes to read again
/// what was written last. How much there is in all makes no difference.
async fn open_store(place: Place, params: DataParams, clock: Clock) -> Result<Store, StartError> {
    let opening = tokio::task::spawn_blocking(move || {
        let start = Instant::now();
        let opened = place.open(params.keyspace)?;
        let generation = opened.generations.next(wall_ms())?;
        let disk = Arc::new(Disk::new(place.directory(), clock));
        let engine = Arc::new(Watched::new(opened.engine, disk.clone()));
        engine.look();
        let shared: Arc<dyn Engine> = engine.clone();
        let rng = SmallRng::from_rng(&mut rand::rng());
        let mut params = params;
        params.member.generation = generation;
        let data = Data::open(&params, &shared, rng, clock.now())
            .map_err(|error| StartError::Storage(error.to_string()))?
            .behind(disk.gate());
        let data = match opened.quarantine.is_some() {
            true => data.beside_a_quarantine(),
            false => data,
        };
        let took_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        info!(
            data = place.words(),
            keys = data.key_count(),
            took_ms,
            "data opened"
        );
        Ok(Store {
            opening: Opening {
                took_ms,
                memory_budget: place.budget(),
                quarantine: opened.quarantine,
            },
            engine,
            disk,
            data,
            generations: opened.generations,
            generation,
        })
    });
    opening
        .await
        .unwrap_or_else(|error| Err(StartError::Storage(error.to_string())))
}
