//! The whole cluster on virtual time: one seed, one run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use netdb::clock::{Clock, Dot, NodeId};
use netdb::machine::{Instant, Now};
use netdb::membership::Packet;
use netdb::node::request::{Consistency, Reply, Request, RequestError};
use netdb::node::{Effect, Note};
use netdb::replication::Message;
use netdb::store::Refusal;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use xxhash_rust::xxh3::Xxh3;

use crate::history::{History, Outcome, Value};
use crate::invariants;
use crate::node::{Actions, Node, Process, keyspace};
use crate::plan::{Fault, Kind, Operation, Plan};

/// A broken stream is noticed after this long without a byte.
const LINK_DEADLINE: Duration = Duration::from_millis(1_750);

/// A missing stream is dialled again this often.
const LINK_RETRY: Duration = Duration::from_millis(400);

/// Wall time at the start of every run.
const EPOCH_MS: u64 = 1_700_000_000_000;

/// How often it is checked whether everything has healed, once the weather is over.
const CALM_CHECK: Duration = Duration::from_millis(500);

/// Something scheduled.
#[derive(Debug)]
enum Event {
    Wake {
        node: usize,
        generation: u64,
    },
    Packet {
        to: SocketAddr,
        from: usize,
        packet: Packet,
    },
    Message {
        to: usize,
        from: NodeId,
        message: Message,
    },
    LinkCheck,
    Step(usize),
}

/// A run that broke an invariant.
#[derive(Clone, Debug)]
pub struct Failure {
    pub at: Duration,
    pub what: String,
}

/// What a run that held did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Hash over everything that happened, in order.
    pub trace: u64,
    pub events: u64,
    pub acknowledged: usize,
    pub full_syncs: u64,
    /// Virtual time from the end of the weather until all was healed.
    pub healed_after: Duration,
}

pub struct World {
    plan: Plan,
    rng: SmallRng,
    now: Duration,
    seq: u64,
    queue: BinaryHeap<Reverse<(Duration, u64)>>,
    events: BTreeMap<u64, Event>,
    pub nodes: Vec<Node>,
    /// Nodes on the small side of the partition, while there is one.
    side: BTreeSet<usize>,
    /// Since when nothing passes on a pair, or since when it passes again.
    pub history: History,
    trace: Xxh3,
    handled: u64,
    full_syncs: u64,
}

impl World {
    pub fn new(plan: Plan) -> Self {
        let rng = SmallRng::seed_from_u64(plan.seed ^ 0x5eed);
        let nodes = (0..plan.profile.nodes).map(Node::new).collect();
        Self {
            rng,
            now: Duration::ZERO,
            seq: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            nodes,
            side: BTreeSet::new(),
            history: History::default(),
            trace: Xxh3::new(),
            handled: 0,
            full_syncs: 0,
            plan,
        }
    }

    /// Runs the plan: weather, then calm, in which everything must heal in time.
    pub fn run(mut self) -> Result<Report, Failure> {
        for index in 0..self.nodes.len() {
            self.start(index);
        }
        self.schedule(LINK_RETRY, Event::LinkCheck);
        for index in 0..self.plan.steps.len() {
            let at = self.plan.steps[index].at;
            self.schedule_at(at, Event::Step(index));
        }
        let weather = self.plan.profile.weather + Duration::from_secs(2);
        self.run_until(weather)?;
        self.calm_down();
        let calm_began = self.now;
        let deadline = calm_began + self.plan.profile.calm;
        loop {
            let next = self.now + CALM_CHECK;
            self.run_until(next)?;
            match invariants::healed(&self) {
                Ok(()) => break,
                Err(_) if self.now < deadline => {}
                Err(what) => return Err(self.failure(format!("did not heal: {what}"))),
            }
        }
        invariants::finally(&self).map_err(|what| self.failure(what))?;
        Ok(Report {
            trace: self.trace.digest(),
            events: self.handled,
            acknowledged: self.history.acknowledged(),
            full_syncs: self.full_syncs,
            healed_after: self.now - calm_began,
        })
    }

    fn failure(&self, what: String) -> Failure {
        Failure { at: self.now, what }
    }

    /// The faults are over: every node runs, nothing is cut, nothing is lost.
    fn calm_down(&mut self) {
        self.side.clear();
        self.plan.profile.loss = 0.0;
        for index in 0..self.nodes.len() {
            if self.nodes[index].process.is_none() {
                self.start(index);
            }
        }
    }

    fn run_until(&mut self, end: Duration) -> Result<(), Failure> {
        while let Some(Reverse((at, seq))) = self.queue.peek().copied() {
            if at > end {
                break;
            }
            self.queue.pop();
            self.now = at;
            let event = self.events.remove(&seq).expect("queued with its time");
            self.trace.update(format!("{at:?} {event:?}\n").as_bytes());
            self.handled += 1;
            self.handle(event);
            if self.handled.is_multiple_of(256) {
                invariants::anytime(self).map_err(|what| self.failure(what))?;
            }
        }
        self.now = end;
        Ok(())
    }

    fn schedule(&mut self, delay: Duration, event: Event) {
        self.schedule_at(self.now + delay, event);
    }

    fn schedule_at(&mut self, at: Duration, event: Event) {
        self.seq += 1;
        self.queue.push(Reverse((at, self.seq)));
        self.events.insert(self.seq, event);
    }

    fn now(&self) -> Now {
        Now {
            mono: Instant::from_elapsed(self.now),
            wall_ms: EPOCH_MS + self.now.as_millis() as u64,
        }
    }

    fn start(&mut self, index: usize) {
        let now = self.now();
        let seed = self.nodes[0].addr;
        let knocking = self.plan.profile.knocking;
        self.nodes[index].start(now, seed, knocking, &mut self.rng);
        self.act(index, |process, now| process.settle(now, Vec::new()));
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Wake { node, generation } => {
                if self.nodes[node].generation == generation {
                    if let Some(process) = &mut self.nodes[node].process {
                        process.wake = None;
                    }
                    self.act(node, |process, now| process.timeout(now));
                }
            }
            Event::Packet { to, from, packet } => {
                let Some(to) = self.nodes.iter().position(|node| node.addr == to) else {
                    return;
                };
                let from = self.nodes[from].addr;
                self.act(to, |process, now| process.packet(now, from, packet));
            }
            Event::Message { to, from, message } => {
                self.act(to, |process, now| process.message(now, from, message));
            }
            Event::LinkCheck => {
                self.check_links();
                self.schedule(LINK_RETRY, Event::LinkCheck);
            }
            Event::Step(index) => {
                let fault = self.plan.steps[index].fault.clone();
                self.step(fault);
            }
        }
    }

    fn step(&mut self, fault: Fault) {
        match fault {
            Fault::Crash { node } => self.nodes[node].crash(),
            Fault::Restart { node } => {
                if self.nodes[node].process.is_none() {
                    self.start(node);
                }
            }
            Fault::Partition { side } => self.side = side.into_iter().collect(),
            Fault::Heal => self.side.clear(),
            Fault::Operation(operation) => self.operate(operation),
        }
    }

    /// Lets a node do something and carries out what it wants done.
    fn act(&mut self, index: usize, what: impl FnOnce(&mut Process, Now) -> Actions) {
        let now = self.now();
        let Some(process) = &mut self.nodes[index].process else {
            return;
        };
        let actions = what(process, now);
        self.carry_out(index, actions);
        self.rearm(index);
    }

    fn carry_out(&mut self, index: usize, actions: Actions) {
        for (to, packet) in actions.packets {
            self.send_packet(index, to, packet);
        }
        for effect in actions.effects {
            match effect {
                Effect::Send { to, message } => self.send_message(index, to, message),
                Effect::Reply { waiter, reply } => self.answer(waiter, reply),
                Effect::Note(note) => self.note(note),
            }
        }
    }

    fn note(&mut self, note: Note) {
        self.trace.update(format!("{note:?}\n").as_bytes());
        match note {
            Note::FullSynced { .. } => self.full_syncs += 1,
            // Answers that outlived their question: expected with loss and restarts.
            Note::Refused {
                refusal: Refusal::Stale | Refusal::UnknownSession,
                ..
            } => {}
            Note::Diverged { .. } | Note::Refused { .. } | Note::Storage { .. } => {
                panic!("seed {}: {note:?} at {:?}", self.plan.seed, self.now)
            }
            Note::Synced { .. } | Note::FullSyncDeferred { .. } => {}
        }
    }

    fn rearm(&mut self, index: usize) {
        let generation = self.nodes[index].generation;
        let Some(process) = &mut self.nodes[index].process else {
            return;
        };
        let Some(at) = process.next_timeout() else {
            return;
        };
        if process.wake.is_some_and(|wake| wake <= at) {
            return;
        }
        process.wake = Some(at);
        let at = at.elapsed().max(self.now);
        let node = index;
        self.schedule_at(at, Event::Wake { node, generation });
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        self.side.contains(&a) != self.side.contains(&b)
    }

    /// The delays at which a message arrives: none if it is lost, two if duplicated.
    fn fate(&mut self) -> Vec<Duration> {
        if self.rng.random_bool(self.plan.profile.loss) {
            return Vec::new();
        }
        let copies = 1 + usize::from(self.rng.random_bool(self.plan.profile.duplication));
        (0..copies)
            .map(|_| {
                // Mostly a fast network; now and then a message is late, hence reordered.
                let late = self.rng.random_bool(0.02);
                let most = if late { 100_000 } else { 1_000 };
                Duration::from_micros(self.rng.random_range(100..=most))
            })
            .collect()
    }

    fn send_packet(&mut self, from: usize, to: SocketAddr, packet: Packet) {
        let target = self.nodes.iter().position(|node| node.addr == to);
        if target.is_none_or(|target| self.is_cut(from, target)) {
            return;
        }
        for delay in self.fate() {
            let packet = packet.clone();
            self.schedule(delay, Event::Packet { to, from, packet });
        }
    }

    fn send_message(&mut self, from: usize, to: NodeId, message: Message) {
        let linked =
            (self.nodes[from].process.as_ref()).is_some_and(|process| process.linked.contains(&to));
        let target = self.nodes.iter().position(|node| node.id == to);
        let Some(target) = target.filter(|_| linked) else {
            if matches!(message, Message::Push { .. }) {
                self.act(from, |process, now| process.push_dropped(now, to));
            }
            return;
        };
        if self.is_cut(from, target) {
            return;
        }
        let sender = self.nodes[from].id;
        for delay in self.fate() {
            let message = message.clone();
            self.schedule(
                delay,
                Event::Message {
                    to: target,
                    from: sender,
                    message,
                },
            );
        }
    }

    /// Streams come up when both ends run, know each other and nothing is cut; they go down
    /// some time after that ended.
    fn check_links(&mut self) {
        for a in 0..self.nodes.len() {
            for b in 0..self.nodes.len() {
                if a == b {
                    continue;
                }
                let peer = self.nodes[b].id;
                let Some(process) = &self.nodes[a].process else {
                    continue;
                };
                let wanted = process.alive().contains(&peer);
                let possible = wanted && !self.is_cut(a, b) && self.nodes[b].process.is_some();
                let up = process.linked.contains(&peer);
                if possible != up && (possible || self.rng.random_bool(link_loss_chance())) {
                    self.act(a, |process, now| process.link(now, peer, possible));
                }
            }
        }
    }

    fn operate(&mut self, operation: Operation) {
        let Some(process) = &self.nodes[operation.node].process else {
            return;
        };
        let key = key_bytes(operation.key);
        let mut replaced = BTreeSet::new();
        if operation.kind != Kind::Get {
            let id = keyspace().partition_of(&key);
            process.data.inspect(|partition| {
                if partition.id() == id {
                    let object = partition.object(&key);
                    replaced.extend(object.versions.iter().map(|(_, v)| decode(&v.value)));
                }
            });
        }
        let node = operation.node;
        let kind = operation.kind;
        let op = self.history.begin(operation, replaced);
        let request = match kind {
            Kind::Put => Request::Put {
                key,
                value: encode(op as Value),
                context: None,
            },
            Kind::Delete => Request::Delete { key, context: None },
            Kind::Get => Request::Get { key },
        };
        let mut reply = None;
        self.act(node, |process, now| {
            let mut effects = Vec::new();
            reply = process
                .data
                .submit(now, request, Consistency::default(), || op, &mut effects);
            process.settle(now, effects)
        });
        if let Some(reply) = reply {
            self.answer(op, reply);
        }
    }

    fn answer(&mut self, op: usize, reply: Reply) {
        self.trace
            .update(format!("reply {op} {reply:?}\n").as_bytes());
        let (outcome, read) = match reply {
            Reply::Value(value) => (Outcome::Ok, value.map(|value| decode(&value))),
            Reply::Object(_) | Reply::Stored | Reply::Deleted(_) | Reply::Exists(_) => {
                (Outcome::Ok, None)
            }
            Reply::Failed(RequestError::Unconfirmed { .. }) => (Outcome::Unconfirmed, None),
            Reply::Failed(_) => (Outcome::Refused, None),
        };
        self.history.end(op, self.now, outcome, read);
    }
}

/// Chance per check that a dead stream is noticed: on average after [`LINK_DEADLINE`].
fn link_loss_chance() -> f64 {
    LINK_RETRY.as_secs_f64() / LINK_DEADLINE.as_secs_f64()
}

pub fn key_bytes(key: u8) -> Bytes {
    Bytes::from(format!("key{key}"))
}

fn encode(value: Value) -> Bytes {
    Bytes::copy_from_slice(&value.to_be_bytes())
}

pub fn decode(bytes: &[u8]) -> Value {
    Value::from_be_bytes(bytes.try_into().expect("eight bytes"))
}

/// What one node holds of one partition.
#[derive(Clone, Debug, PartialEq)]
pub struct Replica {
    pub clock: Clock,
    pub objects: BTreeMap<Bytes, BTreeMap<Dot, Value>>,
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
                let keys = (0..self.plan.profile.keys).map(key_bytes);
                let objects = keys
                    .filter(|key| keyspace().partition_of(key) == partition.id())
                    .map(|key| {
                        let object = partition.object(&key);
                        let values = object.versions.iter();
                        (
                            key,
                            values.map(|(dot, v)| (dot, decode(&v.value))).collect(),
                        )
                    })
                    .filter(|(_, versions): &(_, BTreeMap<_, _>)| !versions.is_empty())
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
