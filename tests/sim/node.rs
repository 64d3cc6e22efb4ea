//! One simulated node: the real membership and data machines over a simulated disk.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use netdb::clock::{Clock, NodeId};
use netdb::machine::{Instant, Machine, Now};
use netdb::membership::{self, Event, Fingerprint, Identity, Membership, Packet, Params, State};
use netdb::node::{Data, DataParams, Effect, MemberParams, settled};
use netdb::placement::{self, Keyspace, PartitionId};
use netdb::replication::{Durability, Message, SyncParams};
use netdb::store::engine::{Engine, Reader, Simulated};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::plan::{Disk, Profile};

/// How long a node waits for a cluster to join.
const FOUND_AFTER: Duration = Duration::from_secs(2);

/// Partitions of a simulated cluster: few, so that keys share them.
pub const PARTITIONS: u16 = 4;

/// What a node did in one step.
#[derive(Default)]
pub struct Actions {
    pub packets: Vec<(SocketAddr, Packet)>,
    pub effects: Vec<Effect<usize>>,
    pub events: Vec<Event>,
}

/// The process of a node.
pub struct Process {
    pub membership: Membership,
    pub data: Data<usize>,
    /// When it started.
    began: Instant,
    /// Peers that this process has a working stream to.
    pub linked: BTreeSet<NodeId>,
    /// The earliest wake-up already scheduled.
    pub wake: Option<Instant>,
}

/// A node: its name, its disk, and its process while it runs.
pub struct Node {
    pub id: NodeId,
    pub addr: SocketAddr,
    pub engine: Arc<Simulated>,
    /// A copy of the disk that somebody took.
    backup: Option<Simulated>,
    /// Counts its processes; also the generation that they announce.
    pub life: u64,
    pub process: Option<Process>,
    /// How far its wall clock is off.
    pub skew_ms: i64,
    pub paused_until: Duration,
    pub slow_until: Duration,
    pub leaving: bool,
    /// Whose place it is to take.
    pub replace: Option<NodeId>,
    /// Its last stay among the members, as far as it has begun; none yet is beyond all.
    pub stay: u64,
    /// Whether some node has stated that this stay is over.
    pub departed: bool,
    /// Whether it is leaving for good, and whether by force.
    pub departing: Option<bool>,
    /// Whether it has left, and stops when others know.
    pub farewell: bool,
    /// Whether a crash interrupted its transfer.
    pub interrupted: bool,
    /// Whether its disk was ever replaced.
    pub replaced: bool,
    /// Partitions of which it ever gave up a copy.
    pub dropped: BTreeSet<PartitionId>,
}

pub fn keyspace() -> Keyspace {
    Keyspace {
        partitions: PARTITIONS,
        hash_seed: 0,
    }
}

impl Node {
    pub fn new(index: usize) -> Self {
        let port = 7_000 + index as u16;
        Self {
            id: NodeId(index as u64 + 1),
            addr: SocketAddr::from(([10, 0, 0, 1], port)),
            engine: Arc::new(Simulated::new()),
            backup: None,
            life: 0,
            process: None,
            skew_ms: 0,
            paused_until: Duration::ZERO,
            slow_until: Duration::ZERO,
            leaving: false,
            replace: None,
            stay: u64::MAX,
            departed: false,
            departing: None,
            farewell: false,
            interrupted: false,
            replaced: false,
            dropped: BTreeSet::new(),
        }
    }

    /// Whether what is on its disk can be counted on to come back.
    pub fn counts(&self) -> bool {
        self.process.is_some() || !self.departed
    }

    pub fn start(
        &mut self,
        now: Now,
        seeds: Vec<SocketAddr>,
        profile: &Profile,
        rng: &mut SmallRng,
    ) {
        self.life += 1;
        (self.leaving, self.departing, self.farewell) = (false, None, false);
        let identity = Identity {
            id: self.id,
            generation: self.life,
            bump: 0,
            addr: self.addr,
        };
        let params = Params {
            knocking: profile.knocking,
            ..Params::lan()
        };
        let fingerprint = Fingerprint {
            cluster: "sim".to_owned(),
            partitions: PARTITIONS,
            replicas: 0,
            hash_seed: 0,
            protocol: 1,
        };
        let membership_rng = SmallRng::seed_from_u64(rng.next_u64());
        let mut membership = Membership::new(identity, fingerprint, params, membership_rng, now);
        membership.handle(now, membership::Input::Seeds(seeds));
        let data_params = DataParams {
            me: self.id,
            member: MemberParams {
                profile: placement::Profile::new(self.id, &self.id.to_string()),
                generation: self.life,
                replace: self.replace,
                evict_after: profile.evict_after,
            },
            keyspace: keyspace(),
            replicas: profile.replicas,
            timeout: Duration::from_secs(2),
            sync: SyncParams::default(),
            durability: Durability::default(),
            sync_rate: NonZeroU64::MAX,
            options: profile.options,
        };
        let engine: Arc<dyn Engine> = self.engine.clone();
        let data_rng = SmallRng::seed_from_u64(rng.next_u64());
        let data = Data::open(&data_params, &engine, data_rng, now).expect("a readable disk");
        self.process = Some(Process {
            membership,
            data,
            began: now.mono,
            linked: BTreeSet::new(),
            wake: None,
        });
    }

    /// Kills the process, and does to the disk what the crash does.
    pub fn crash(&mut self, disk: Disk) {
        self.process = None;
        self.paused_until = Duration::ZERO;
        self.replaced |= matches!(disk, Disk::Wiped | Disk::Restored);
        self.interrupted &= disk != Disk::Wiped;
        match disk {
            Disk::Kept => self.engine.crash_keeping_tail(),
            Disk::LostSome(batches) => self.engine.crash_losing(batches),
            Disk::LostTail => self.engine.crash_losing_tail(),
            Disk::Wiped => self.engine.wipe(),
            Disk::Restored => {
                if let Some(backup) = &self.backup {
                    self.engine.restore(backup);
                }
            }
        }
    }

    /// Its disk says that these have been members from the beginning.
    pub fn remember(&mut self, members: &[NodeId]) {
        self.stay = 1;
        let note = settled(members).expect("distinct members");
        self.engine.keep_note(&note).expect("a disk that works");
    }

    pub fn back_up(&mut self) {
        self.backup = Some(self.engine.backup());
    }

    /// Makes durable what was committed.
    pub fn sync(&self) {
        if self.process.is_some() {
            self.engine.sync().expect("a disk that works");
        }
    }

    /// The clock of each partition on the disk, synced or not.
    pub fn clocks_on_disk(&self) -> Vec<Clock> {
        keyspace()
            .all()
            .map(|id| self.engine.load(id).expect("a readable disk").clock)
            .collect()
    }
}

impl Process {
    pub fn packet(&mut self, now: Now, from: SocketAddr, packet: Packet) -> Actions {
        self.membership(now, membership::Input::Packet { from, packet })
    }

    pub fn membership(&mut self, now: Now, input: membership::Input) -> Actions {
        self.membership.handle(now, input);
        self.settle(now, Vec::new())
    }

    pub fn message(&mut self, now: Now, from: NodeId, message: Message) -> Actions {
        let mut effects = Vec::new();
        self.data.receive(now, from, message, &mut effects);
        self.settle(now, effects)
    }

    pub fn timeout(&mut self, now: Now) -> Actions {
        self.membership.handle_timeout(now);
        let mut effects = Vec::new();
        self.data.handle_timeout(now, &mut effects);
        self.settle(now, effects)
    }

    pub fn link(&mut self, now: Now, peer: NodeId, up: bool) -> Actions {
        if up {
            self.linked.insert(peer);
        } else {
            self.linked.remove(&peer);
        }
        self.settle(now, Vec::new())
    }

    pub fn dropped(&mut self, now: Now, peer: NodeId, message: &Message) -> Actions {
        let mut effects = Vec::new();
        self.data.dropped(now, peer, message, &mut effects);
        self.settle(now, effects)
    }

    /// Collects what there is to do after something happened.
    pub fn settle(&mut self, now: Now, mut effects: Vec<Effect<usize>>) -> Actions {
        let mut actions = Actions::default();
        while let Some(output) = self.membership.poll_output() {
            match output {
                membership::Output::Send { to, packet } => actions.packets.push((to, packet)),
                membership::Output::Event(event) => actions.events.push(event),
            }
        }
        self.data.reach(now, self.reachable(), &mut effects);
        if self.should_found(now) {
            self.data.found(now, &mut effects);
        }
        actions.effects = effects;
        actions
    }

    /// The members that are alive and linked to.
    pub fn reachable(&self) -> BTreeSet<NodeId> {
        let me = self.membership.me().id;
        let active = self.membership.members().filter(|m| m.state.is_active());
        let ids = active.map(|member| member.identity.id);
        ids.filter(|id| *id != me && self.linked.contains(id))
            .collect()
    }

    /// Whether it takes that member for alive.
    pub fn is_active(&self, id: NodeId) -> bool {
        let mut members = self.membership.members();
        members.any(|member| member.identity.id == id && member.state.is_active())
    }

    /// Whether it has waited for a cluster to join for as long as a node does, and those who
    /// are there leave it to this one to found one.
    fn should_found(&self, now: Now) -> bool {
        self.data.phase().is_none()
            && now.mono.since(self.began) >= FOUND_AFTER
            && self
                .reachable()
                .iter()
                .all(|id| *id > self.membership.me().id)
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        let membership = self.membership.poll_timeout();
        membership.into_iter().chain(self.data.poll_timeout()).min()
    }

    /// Members that this process believes alive, itself included.
    pub fn alive(&self) -> BTreeSet<NodeId> {
        self.membership
            .members()
            .filter(|member| member.state == State::Alive)
            .map(|member| member.identity.id)
            .collect()
    }
}
