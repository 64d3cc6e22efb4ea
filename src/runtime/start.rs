//! Starting a node: from a [`Config`] to running tasks.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::{OnceCell, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use super::core::{Core, Profile};
use super::counters::Counters;
use super::error::StartError;
use super::facts_lane::{FactsInbox, FactsTransport};
use super::identity::{self, GenerationFile};
use super::lifecycle::{GUESSED_SEEDS_WAIT, SILENT_SEEDS_WAIT};
use super::limiter::Limiter;
use super::links::Links;
use super::outbox::Outbox;
use super::ports::{self, Sockets};
use super::state::{FactsTable, Roster};
use super::storage::{Place, Watched};
use super::time::{Clock, wall_ms};
use super::udp::{self, COMMANDS_MAX, Lane};
use super::{Handle, accept, advertise, facts, fsync, peers, seeds, timer};
use crate::config::{Config, Network};
use crate::membership::{CLUSTER_BYTES_MAX, Fingerprint, Identity, Membership, Params};
use crate::node::request::Consistency;
use crate::node::{Data, DataParams};
use crate::placement::Keyspace;
use crate::replication::SyncParams;
use crate::store::Options;
use crate::store::engine::Engine;
use crate::wire::{ClusterKey, DatagramOpener, DatagramSealer, KeyRing};

/// Version of what nodes say to each other. Members of one cluster speak the same one.
const PROTOCOL: u16 = 1;

/// In the fingerprint: every member holds every partition.
const REPLICAS_ALL: u8 = 0;

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
    let place = Place::new(&config.storage, &name);
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
        },
    };
    let clock = Clock::start();
    let store = open_store(place, data_params(&config, &profile), clock).await?;
    launch(&config, profile, clock, sockets, store)
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
        replicas: REPLICAS_ALL,
        hash_seed: config.cluster.hash_seed,
        protocol: PROTOCOL,
    }
}

fn data_params(config: &Config, profile: &Profile) -> DataParams {
    let keyspace = Keyspace {
        partitions: config.cluster.partitions,
        hash_seed: config.cluster.hash_seed,
    };
    DataParams {
        me: profile.id,
        keyspace,
        timeout: Duration::from_millis(config.write_timeout_ms),
        sync: SyncParams {
            interval: Duration::from_millis(config.sync_interval_ms),
            ..SyncParams::default()
        },
        options: Options {
            keyspace,
            ..Options::default()
        },
    }
}

/// An opened data directory and what it held.
struct Store {
    engine: Arc<Watched>,
    data: Data<super::core::Waiter>,
    generations: GenerationFile,
    generation: u64,
}

/// Opens the store on a thread of its own: reading all rows takes as long as it takes.
async fn open_store(place: Place, params: DataParams, clock: Clock) -> Result<Store, StartError> {
    let opening = tokio::task::spawn_blocking(move || {
        let opened = place.open()?;
        let generation = opened.generations.next(wall_ms())?;
        let engine = Arc::new(Watched::new(opened.engine));
        let shared: Arc<dyn Engine> = engine.clone();
        let rng = SmallRng::from_rng(&mut rand::rng());
        let data = Data::open(&params, &shared, rng, clock.now())
            .map_err(|error| StartError::Storage(error.to_string()))?;
        info!(data = place.words(), keys = data.key_count(), "data opened");
        Ok(Store {
            engine,
            data,
            generations: opened.generations,
            generation,
        })
    });
    opening
        .await
        .unwrap_or_else(|error| Err(StartError::Storage(error.to_string())))
}

/// Puts the parts together and starts every task.
fn launch(
    config: &Config,
    profile: Profile,
    clock: Clock,
    sockets: Sockets,
    store: Store,
) -> Result<Handle, StartError> {
    let me = Identity {
        id: profile.id,
        generation: store.generation,
        bump: 0,
        addr: profile.cluster_addr,
    };
    let membership = Membership::new(
        me,
        profile.fingerprint.clone(),
        membership_params(config.network),
        SmallRng::from_rng(&mut rand::rng()),
        clock.now(),
    );
    let guessed = ports::automatic_seeds(config, profile.cluster_addr);
    let (commands, commands_receiver) = mpsc::channel(COMMANDS_MAX);
    let counters = Arc::new(Counters::default());
    let core = Arc::new(Core {
        clock,
        data: store.data,
        engine: store.engine,
        links: Links::default(),
        roster: watch::Sender::new(Arc::new(Roster::of(&membership))),
        facts: watch::Sender::new(Arc::new(FactsTable::new())),
        commands,
        inbox: Arc::new(FactsInbox::new(counters.clone())),
        counters,
        limiter: Limiter::default(),
        stopping: CancellationToken::new(),
        stopped: CancellationToken::new(),
        tasks: TaskTracker::new(),
        runtime: tokio::runtime::Handle::current(),
        clients: Mutex::new(sockets.clients),
        ready_wait: match (config.seeds.is_empty(), guessed.is_empty()) {
            (false, _) => SILENT_SEEDS_WAIT,
            (true, false) => GUESSED_SEEDS_WAIT,
            (true, true) => Duration::ZERO,
        },
        ended: OnceCell::new(),
        profile,
    });
    announce(&core);
    let session = store.generation;
    let keys = &core.profile.keys;
    let outbox = Arc::new(Outbox::new(
        sockets
            .udp
            .try_clone()
            .map_err(system("sharing the UDP socket"))?,
        DatagramSealer::new(keys, me.id, session),
        core.counters.clone(),
    ));
    let lane = Lane {
        socket: sockets.udp,
        outbox: outbox.clone(),
        opener: DatagramOpener::new(keys.clone(), me.id, session),
        membership,
        commands: commands_receiver,
        generations: store.generations,
        namesake: None,
        published: None,
        core: core.clone(),
    };
    let transport = FactsTransport {
        inbox: core.inbox.clone(),
        outbox,
        counters: core.counters.clone(),
        clock,
        session,
    };
    let membership_task = udp::spawn(lane).map_err(system("starting a thread"))?;
    core.spawn_vital("membership", membership_task);
    core.spawn_vital("node facts", facts::run(core.clone(), transport));
    core.spawn_vital("peers", peers::run(core.clone()));
    core.spawn_vital("acceptor", accept::run(core.clone(), sockets.peers));
    core.spawn_vital("timer", timer::run(core.clone()));
    core.spawn_vital("fsync", fsync::run(core.clone()));
    core.spawn(seeds::run(core.clone(), config.seeds.clone(), guessed));
    Ok(Handle::new(core))
}

fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> StartError {
    move |error| StartError::System { what, error }
}

fn membership_params(network: Network) -> Params {
    match network {
        Network::Local => Params::local(),
        Network::Lan => Params::lan(),
        Network::Wan => Params::wan(),
    }
}

fn announce(core: &Core) {
    let profile = &core.profile;
    info!(
        name = profile.name,
        id = %profile.id,
        cluster = profile.fingerprint.cluster,
        addr = %profile.cluster_addr,
        data = profile.data,
        "node started"
    );
}
