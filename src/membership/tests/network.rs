//! A small network of machines, driven by one seed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::super::packet::PACKET_BYTES_MAX;
use super::super::{
    Event, Fingerprint, Identity, Input, Member, Membership, Output, Packet, Params, State,
};
use crate::clock::NodeId;
use crate::machine::{Instant, Machine, Now};

pub(super) struct Node {
    pub(super) machine: Membership,
    pub(super) events: Vec<(Duration, Event)>,
    started: Duration,
}

/// Links take 0.2 to 1 ms unless told otherwise, lose packets at a rate and can be cut between groups.
pub(super) struct Network {
    pub(super) now: Duration,
    pub(super) nodes: BTreeMap<SocketAddr, Node>,
    pub(super) loss: f64,
    pub(super) params: Params,
    /// How long a packet takes, in microseconds.
    pub(super) latency_us: Range<u64>,
    /// The nonces of the questions of the node at `addr(1)`, the latest last.
    pub(super) last_nonces: Vec<u64>,
    groups: BTreeMap<SocketAddr, u32>,
    /// Links that carry nothing, by direction.
    pub(super) cut: BTreeSet<(SocketAddr, SocketAddr)>,
    /// Bytes handed to the network, encoded, without seal and headers.
    pub(super) bytes: usize,
    flying: BTreeMap<(Duration, u64), (SocketAddr, SocketAddr, Packet)>,
    sequence: u64,
    rng: SmallRng,
}

pub(super) fn addr(n: u64) -> SocketAddr {
    SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 7_000))
}

pub(super) fn identity(n: u64, generation: u64) -> Identity {
    Identity {
        id: NodeId(n),
        generation,
        bump: 0,
        addr: addr(n),
    }
}

pub(super) fn fingerprint() -> Fingerprint {
    Fingerprint {
        cluster: "test".into(),
        partitions: 64,
        replicas: 3,
        hash_seed: 7,
        protocol: 1,
    }
}

impl Network {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            now: Duration::from_secs(1),
            nodes: BTreeMap::new(),
            loss: 0.0,
            params: Params::lan(),
            latency_us: 200..1_000,
            last_nonces: Vec::new(),
            groups: BTreeMap::new(),
            cut: BTreeSet::new(),
            bytes: 0,
            flying: BTreeMap::new(),
            sequence: 0,
            rng: SmallRng::seed_from_u64(seed),
        }
    }

    /// `n` nodes that have node 1 as their seed and see each other.
    pub(super) fn formed(n: u64, seed: u64) -> Self {
        let mut net = Self::new(seed);
        for id in 1..=n {
            net.start(identity(id, 1), &[1]);
        }
        net.run_until(30, |net| net.is_whole());
        net
    }

    pub(super) fn start(&mut self, identity: Identity, seeds: &[u64]) {
        self.start_with(identity, seeds, fingerprint());
    }

    pub(super) fn start_with(&mut self, identity: Identity, seeds: &[u64], print: Fingerprint) {
        let rng = SmallRng::seed_from_u64(self.rng.random());
        let now = Now {
            mono: Instant::ZERO,
            wall_ms: self.now.as_millis() as u64,
        };
        let machine = Membership::new(identity, print, self.params.clone(), rng, now);
        let node = Node {
            machine,
            events: Vec::new(),
            started: self.now,
        };
        self.nodes.insert(identity.addr, node);
        let seeds = seeds.iter().map(|n| addr(*n)).collect();
        self.input(identity.addr, Input::Seeds(seeds));
    }

    /// Ends a node without a word.
    pub(super) fn kill(&mut self, at: SocketAddr) {
        self.nodes.remove(&at);
    }

    /// Cuts the network: only nodes of one group hear each other.
    pub(super) fn split(&mut self, group: impl Fn(u64) -> u32) {
        for (at, node) in &self.nodes {
            self.groups.insert(*at, group(node.machine.me().id.0));
        }
    }

    pub(super) fn heal(&mut self) {
        self.groups.clear();
    }

    pub(super) fn input(&mut self, at: SocketAddr, input: Input) {
        self.step(at, |machine, now| machine.handle(now, input));
    }

    fn step(&mut self, at: SocketAddr, act: impl FnOnce(&mut Membership, Now)) {
        let Some(node) = self.nodes.get_mut(&at) else {
            return;
        };
        let mono = Instant::from_elapsed(self.now - node.started);
        act(
            &mut node.machine,
            Now {
                mono,
                wall_ms: self.now.as_millis() as u64,
            },
        );
        while let Some(output) = node.machine.poll_output() {
            match output {
                Output::Event(event) => node.events.push((self.now, event)),
                Output::Send { to, packet } => {
                    match &packet {
                        Packet::Hello(hello) if at == addr(1) => self.last_nonces.push(hello.nonce),
                        Packet::RosterAsk(ask) if at == addr(1) => self.last_nonces.push(ask.nonce),
                        _ => {}
                    }
                    let bytes = bincode::serde::encode_to_vec(&packet, bincode::config::standard())
                        .unwrap();
                    assert!(
                        bytes.len() < PACKET_BYTES_MAX,
                        "{} bytes: {packet:?}",
                        bytes.len()
                    );
                    self.bytes += bytes.len();
                    let is_cut = self.groups.get(&at) != self.groups.get(&to)
                        || self.cut.contains(&(at, to));
                    if is_cut || self.rng.random_bool(self.loss) {
                        continue;
                    }
                    let latency =
                        Duration::from_micros(self.rng.random_range(self.latency_us.clone()));
                    self.sequence += 1;
                    self.flying
                        .insert((self.now + latency, self.sequence), (at, to, packet));
                }
            }
        }
    }

    fn next_timeout(&self) -> Option<(Duration, SocketAddr)> {
        let due = self.nodes.iter().filter_map(|(at, node)| {
            Some((node.started + node.machine.poll_timeout()?.elapsed(), *at))
        });
        due.min()
    }

    /// Lets `span` pass.
    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let timeout = self.next_timeout();
            let flight = self.flying.first_key_value().map(|((at, _), _)| *at);
            let Some(next) = timeout.map(|(at, _)| at).into_iter().chain(flight).min() else {
                break;
            };
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            if flight == Some(next) {
                let (_, (from, to, packet)) = self.flying.pop_first().unwrap();
                self.input(to, Input::Packet { from, packet });
            } else if let Some((_, at)) = timeout {
                self.step(at, |machine, now| machine.handle_timeout(now));
            }
        }
        self.now = end;
    }

    /// Runs until `done`, at most `seconds`. Returns how long it took.
    pub(super) fn run_until(&mut self, seconds: u64, done: impl Fn(&Self) -> bool) -> Duration {
        let start = self.now;
        while !done(self) {
            assert!(
                self.now - start < Duration::from_secs(seconds),
                "not done after {seconds} s"
            );
            self.run(Duration::from_millis(10));
        }
        self.now - start
    }

    /// What the node at `at` believes about the member `id`.
    pub(super) fn seen(&self, at: SocketAddr, id: u64) -> Option<Member> {
        self.nodes[&at]
            .machine
            .members()
            .find(|m| m.identity.id.0 == id)
            .copied()
    }

    /// Whether every live node sees exactly the live nodes as active, under their names.
    pub(super) fn is_whole(&self) -> bool {
        let live: Vec<_> = self.nodes.values().map(|n| *n.machine.me()).collect();
        self.nodes.values().all(|node| {
            let active = node.machine.members().filter(|m| m.state.is_active());
            let mut active: Vec<_> = active.map(|m| m.identity).collect();
            active.sort_by_key(|identity| identity.addr);
            active == live
        })
    }

    /// Whether every other live node sees `id` in `state`.
    pub(super) fn all_see(&self, id: u64, state: State) -> bool {
        let others = self
            .nodes
            .iter()
            .filter(|(_, node)| node.machine.me().id.0 != id);
        others
            .into_iter()
            .all(|(at, _)| self.seen(*at, id).is_some_and(|m| m.state == state))
    }

    /// How many events of all live nodes match.
    pub(super) fn count(&self, matches: impl Fn(&Event) -> bool) -> usize {
        self.nodes
            .values()
            .flat_map(|n| &n.events)
            .filter(|(_, event)| matches(event))
            .count()
    }

    pub(super) fn forget_events(&mut self) {
        for node in self.nodes.values_mut() {
            node.events.clear();
        }
    }
}
