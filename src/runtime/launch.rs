//! From opened parts to running tasks.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::net::TcpListener;
use tokio::sync::{OnceCell, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use super::core::{Core, Profile};
use super::counters::Counters;
use super::disk::Disk;
use super::error::StartError;
use super::facts_lane::{FactsInbox, FactsTransport};
use super::identity::GenerationFile;
use super::lifecycle::{GUESSED_SEEDS_WAIT, SILENT_SEEDS_WAIT};
use super::limiter::Limiter;
use super::links::Links;
use super::listeners::Listeners;
use super::long_frames::LongFrames;
use super::outbox::Outbox;
use super::past::{Waiter, Waiters};
use super::ports::{self, Sockets};
use super::state::{Command, FactsTable, Roster};
use super::storage::{Opening, Watched};
use super::sync_now::SyncNow;
use super::time::Clock;
use super::udp::{self, COMMANDS_MAX, Lane};
use super::{accept, facts, flush, founding, fsync, peers, reopen, seeds, timer};
use crate::config::{Config, Network};
use crate::membership::{Identity, Membership, Params};
use crate::node::Data;
use crate::wire::{DatagramOpener, DatagramSealer};

/// An opened data directory and what it held.
pub(super) struct Store {
    pub(super) opening: Opening,
    pub(super) engine: Arc<Watched>,
    pub(super) disk: Arc<Disk>,
    pub(super) data: Data<Waiter>,
    pub(super) generations: GenerationFile,
    pub(super) generation: u64,
}

/// Puts the parts together and starts every task.
pub(super) fn launch(
    config: &Config,
    profile: Profile,
    clock: Clock,
    sockets: Sockets,
    store: Store,
) -> Result<Arc<Core>, StartError> {
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
    let counters = Arc::new(Counters::default());
    let (commands, asked) = mpsc::channel(COMMANDS_MAX);
    let core = Arc::new(Core {
        clock,
        data: store.data,
        opening: store.opening,
        engine: Mutex::new(store.engine),
        disk: store.disk,
        links: Links::default(),
        long_frames: LongFrames::default(),
        listeners: Listeners::default(),
        roster: watch::Sender::new(Arc::new(Roster::of(&membership))),
        facts: watch::Sender::new(Arc::new(FactsTable::new())),
        commands,
        inbox: Arc::new(FactsInbox::new(counters.clone())),
        counters,
        limiter: Limiter::default(),
        sync_now: SyncNow::default(),
        waiters: Waiters::default(),
        stopping: CancellationToken::new(),
        stopped: CancellationToken::new(),
        tasks: TaskTracker::new(),
        runtime: tokio::runtime::Handle::current(),
        clients: Mutex::new(sockets.clients),
        ready_wait: ready_wait(config, &guessed),
        ended: OnceCell::new(),
        profile,
    });
    announce(&core);
    let datagrams = Datagrams {
        socket: sockets.udp,
        membership,
        asked,
        generations: store.generations,
        me,
    };
    datagrams.start(&core)?;
    let forcing = fsync::spawn(&core).map_err(system("starting a thread"))?;
    core.spawn_vital("fsync", forcing);
    start_others(&core, sockets.peers, config, guessed);
    Ok(core)
}

/// What the tasks around the UDP socket need.
struct Datagrams {
    socket: UdpSocket,
    membership: Membership,
    asked: mpsc::Receiver<Command>,
    generations: GenerationFile,
    me: Identity,
}

impl Datagrams {
    /// Starts membership and the node facts.
    fn start(self, core: &Arc<Core>) -> Result<(), StartError> {
        let session = self.me.generation;
        let keys = &core.profile.keys;
        let sending = self
            .socket
            .try_clone()
            .map_err(system("sharing the UDP socket"))?;
        let outbox = Arc::new(Outbox::new(
            sending,
            DatagramSealer::new(keys, self.me.id, session),
            core.counters.clone(),
        ));
        let lane = Lane {
            core: core.clone(),
            socket: self.socket,
            outbox: outbox.clone(),
            opener: DatagramOpener::new(keys.clone(), self.me.id, session),
            membership: self.membership,
            commands: self.asked,
            generations: self.generations,
            namesake: None,
            published: None,
        };
        let transport = FactsTransport {
            inbox: core.inbox.clone(),
            outbox,
            counters: core.counters.clone(),
            clock: core.clock,
            session,
        };
        let membership = udp::spawn(lane).map_err(system("starting a thread"))?;
        core.spawn_vital("membership", membership);
        core.spawn_vital("node facts", facts::run(core.clone(), transport));
        Ok(())
    }
}

fn start_others(core: &Arc<Core>, peers: TcpListener, config: &Config, guessed: Vec<SocketAddr>) {
    core.spawn_vital("peers", peers::run(core.clone()));
    core.spawn_vital("flusher", flush::run(core.clone()));
    core.spawn_vital("acceptor", accept::run(core.clone(), peers));
    core.spawn_vital("timer", timer::run(core.clone()));
    core.spawn_vital("disk", reopen::run(core.clone()));
    // Without seeds there is nobody to wait for.
    if core.ready_wait.is_zero() {
        founding::found(core);
    }
    core.spawn(founding::run(core.clone()));
    core.spawn(seeds::run(core.clone(), config.seeds.clone(), guessed));
}

fn ready_wait(config: &Config, guessed: &[SocketAddr]) -> Duration {
    match (config.seeds.is_empty(), guessed.is_empty()) {
        (false, _) => SILENT_SEEDS_WAIT,
        (true, false) => GUESSED_SEEDS_WAIT,
        (true, true) => Duration::ZERO,
    }
}

fn membership_params(network: Network) -> Params {
    match network {
        Network::Local => Params::local(),
        Network::Lan => Params::lan(),
        Network::Wan => Params::wan(),
    }
}

fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> StartError {
    move |error| StartError::System { what, error }
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
