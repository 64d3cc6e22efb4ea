//! The whole cluster on virtual time: one seed, one run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::SocketAddr;
use std::time::Duration;

use netdb::clock::{Clock, Dot, NodeId};
use netdb::machine::{Instant, Now};
use netdb::membership::Packet;
use netdb::node::Effect;
use netdb::placement::PartitionId;
use netdb::replication::Message;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use xxhash_rust::xxh3::Xxh3;

use crate::clients::Reading;
use crate::ghost::{Dots, Ghost};
use crate::history::History;
use crate::invariants::{self, Broken, Watch};
use crate::met::Asked;
use crate::net::{LINK_RETRY, Net};
use crate::node::{Actions, Node, Process};
use crate::plan::Plan;

/// Wall time at the start of every run.
const EPOCH_MS: u64 = 1_700_000_000_000;

/// How long a sync takes that somebody waits for.
const SYNC_TAKES: std::ops::Range<Duration> = Duration::from_millis(1)..Duration::from_millis(20);

/// How often it is checked whether everything has healed, once the weather is over.
const CALM_CHECK: Duration = Duration::from_millis(500);

/// Something scheduled.
#[derive(Debug)]
pub enum Event {
    Wake {
        node: usize,
        life: u64,
    },
    Packet {
        to: usize,
        from: SocketAddr,
        packet: Packet,
    },
    Message {
        to: usize,
        from: NodeId,
        message: Message,
    },
    Sync {
        node: usize,
    },
    /// A sync that somebody waits for.
    SyncNow {
        node: usize,
        life: u64,
    },
    LinkCheck,
    Stop {
        node: usize,
        life: u64,
    },
    Step(usize),
}

/// A run that broke an invariant.
#[derive(Clone, Debug)]
pub struct Failure {
    pub at: Duration,
    /// The name of the invariant.
    pub invariant: &'static str,
    pub what: String,
}

/// What a run that held did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Hash over everything that happened, in order.
    pub trace: u64,
    pub events: u64,
    pub acknowledged: usize,
    /// Acknowledged writes of which faults destroyed every copy.
    pub destroyed: usize,
    /// Rare things that happened.
    pub met: BTreeSet<&'static str>,
    /// Virtual time of the whole run.
    pub lasted: Duration,
    /// Virtual time from the end of the weather until all was healed.
    pub healed_after: Duration,
}

pub struct World {
    pub plan: Plan,
    pub rng: SmallRng,
    pub now: Duration,
    seq: u64,
    queue: BinaryHeap<Reverse<(Duration, u64)>>,
    events: BTreeMap<u64, Event>,
    pub nodes: Vec<Node>,
    pub net: Net,
    pub history: History,
    pub ghost: Ghost,
    pub readings: Vec<Reading>,
    /// What had been read by who asked for a write that replaces that, by operation.
    pub contexts: BTreeMap<usize, Dots>,
    /// The operation that a node is being asked for, until it is on its way to another.
    pub submitting: Option<usize>,
    /// Operations that nodes have owners do, by the number of the request.
    pub underway: BTreeMap<u64, usize>,
    /// Whether a disk was replaced, or by an older copy of itself.
    pub disk_replaced: bool,
    pub met: BTreeSet<&'static str>,
    pub asked: Asked,
    /// The copies of the node that acts, as they were before.
    pub copies: BTreeMap<PartitionId, Clock>,
    /// Writes that a node took though it does not get those of their partition.
    pub stood_in: BTreeSet<(usize, Dot)>,
    /// Since when nodes have known different rosters.
    pub rosters_differ_since: Option<Duration>,
    /// What an event broke at once.
    broken: Option<Broken>,
    watch: Watch,
    pub trace: Xxh3,
    handled: u64,
    telling: bool,
    /// Whether the weather is over.
    is_calm: bool,
}

impl World {
    pub fn new(plan: Plan) -> Self {
        Self {
            rng: SmallRng::seed_from_u64(plan.seed ^ 0x5eed),
            now: Duration::ZERO,
            seq: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            nodes: (0..plan.profile.nodes).map(Node::new).collect(),
            net: Net::default(),
            history: History::default(),
            ghost: Ghost::default(),
            readings: Vec::new(),
            contexts: BTreeMap::new(),
            submitting: None,
            underway: BTreeMap::new(),
            met: BTreeSet::new(),
            disk_replaced: false,
            asked: Asked::default(),
            copies: BTreeMap::new(),
            stood_in: BTreeSet::new(),
            rosters_differ_since: None,
            broken: None,
            watch: Watch::default(),
            trace: Xxh3::new(),
            handled: 0,
            telling: crate::telling(),
            is_calm: false,
            plan,
        }
    }

    /// Runs the plan: weather, then calm, in which everything must heal in time, and at
    /// last everything is deleted, which must leave nothing.
    pub fn run(mut self) -> Result<Report, Failure> {
        let members = self.plan.profile.members;
        let ids: Vec<NodeId> = self.nodes[..members].iter().map(|node| node.id).collect();
        for index in 0..members {
            self.nodes[index].remember(&ids);
            self.start(index);
        }
        for node in 0..self.nodes.len() {
            self.schedule(self.plan.profile.sync_interval, Event::Sync { node });
        }
        self.schedule(LINK_RETRY, Event::LinkCheck);
        for index in 0..self.plan.steps.len() {
            self.schedule_at(self.plan.steps[index].at, Event::Step(index));
        }
        self.run_until(self.plan.profile.weather + Duration::from_secs(2))?;
        self.calm_down();
        self.run_until(self.arrived_by())?;
        let began = self.now;
        self.run_until_healed()?;
        let healed_after = self.now - began;
        self.look_around()?;
        self.check(invariants::finally)?;
        self.delete_everything();
        self.run_until_healed()?;
        self.check(invariants::deleted)?;
        Ok(Report {
            trace: self.trace.digest(),
            events: self.handled,
            acknowledged: self.history.acknowledged(),
            destroyed: self.history.destroyed(),
            met: self.met,
            lasted: self.now,
            healed_after,
        })
    }

    fn run_until_healed(&mut self) -> Result<(), Failure> {
        let deadline = self.now + self.plan.profile.calm;
        loop {
            self.run_until(self.now + CALM_CHECK)?;
            self.let_join();
            match invariants::healed(self) {
                Ok(()) => return Ok(()),
                Err(_) if self.now < deadline => {}
                Err(broken) => {
                    let what = format!("did not heal: {}", broken.what);
                    return Err(self.failure(Broken { what, ..broken }));
                }
            }
        }
    }

    fn check(&self, invariant: impl Fn(&Self) -> Result<(), Broken>) -> Result<(), Failure> {
        invariant(self).map_err(|broken| self.failure(broken))
    }

    fn failure(&self, Broken { invariant, what }: Broken) -> Failure {
        Failure {
            at: self.now,
            invariant,
            what,
        }
    }

    /// The event that is being handled broke an invariant: the run ends with it.
    pub fn fail(&mut self, invariant: &'static str, what: String) {
        self.broken.get_or_insert(Broken { invariant, what });
    }

    /// The faults are over: every node runs, nothing is cut, nothing is lost or late, and
    /// the clocks are right again.
    fn calm_down(&mut self) {
        self.is_calm = true;
        self.net = Net::default();
        self.plan.profile.loss = 0.0;
        self.plan.profile.straggling = 0.0;
        for index in 0..self.nodes.len() {
            self.nodes[index].skew_ms = 0;
            self.nodes[index].paused_until = Duration::ZERO;
            self.nodes[index].slow_until = Duration::ZERO;
            self.nodes[index].leaving = false;
        }
        self.gather();
    }

    /// Says what happens, if somebody wants to hear it.
    pub fn tell(&self, what: impl FnOnce(&Self) -> String) {
        if self.telling {
            println!("{:>9.3} s  {}", self.now.as_secs_f64(), what(self));
        }
    }

    /// When everything that is on its way now will have arrived: what the weather held up for
    /// long is still news when all else has healed.
    fn arrived_by(&self) -> Duration {
        let flying = self.queue.iter().filter(|Reverse((_, seq))| {
            let event = self.events.get(seq);
            matches!(event, Some(Event::Packet { .. } | Event::Message { .. }))
        });
        let times = flying.map(|Reverse((at, _))| *at);
        times.max().unwrap_or(self.now)
    }

    pub fn run_until(&mut self, end: Duration) -> Result<(), Failure> {
        while let Some(Reverse((at, seq))) = self.queue.peek().copied() {
            if at > end {
                break;
            }
            self.queue.pop();
            self.now = at;
            let event = self.events.remove(&seq).expect("queued with its time");
            if let Some(until) = self.paused_until(&event) {
                self.schedule_at(until, event);
                continue;
            }
            self.trace.update(format!("{at:?} {event:?}\n").as_bytes());
            self.handled += 1;
            self.handle(event);
            if let Some(broken) = self.broken.take() {
                return Err(self.failure(broken));
            }
            if self.handled.is_multiple_of(256) {
                self.look_around()?;
            }
        }
        self.now = end;
        Ok(())
    }

    /// Looks at all replicas: what has become of writes, and whether all is as it must be.
    fn look_around(&mut self) -> Result<(), Failure> {
        if !self.ghost.destroyed.is_empty() {
            let replicas = self.replicas();
            let clocks: Vec<_> = replicas.values().map(|r| &r.clock).collect();
            self.ghost.look(&clocks);
        }
        self.see_replicas();
        self.see_rosters();
        let mut watch = std::mem::take(&mut self.watch);
        let verdict = invariants::anytime(self, &mut watch);
        self.watch = watch;
        verdict.map_err(|broken| self.failure(broken))
    }

    /// A stopped process sees nothing until it goes on.
    fn paused_until(&self, event: &Event) -> Option<Duration> {
        let node = match event {
            Event::Wake { node, .. } | Event::Sync { node } | Event::SyncNow { node, .. } => *node,
            Event::Packet { to, .. } | Event::Message { to, .. } => *to,
            Event::LinkCheck | Event::Stop { .. } | Event::Step(_) => return None,
        };
        let until = self.nodes[node].paused_until;
        (until > self.now).then_some(until)
    }

    pub fn schedule(&mut self, delay: Duration, event: Event) {
        self.schedule_at(self.now + delay, event);
    }

    pub fn schedule_at(&mut self, at: Duration, event: Event) {
        self.seq += 1;
        self.queue.push(Reverse((at, self.seq)));
        self.events.insert(self.seq, event);
    }

    /// What time it is at a node.
    pub fn now_at(&self, index: usize) -> Now {
        let right = EPOCH_MS + self.now.as_millis() as u64;
        Now {
            mono: Instant::from_elapsed(self.now),
            wall_ms: right.saturating_add_signed(self.nodes[index].skew_ms),
        }
    }

    pub fn start(&mut self, index: usize) {
        let now = self.now_at(index);
        // Where members come and go no single one can be relied on to be there.
        let count = if self.plan.profile.resharding {
            self.nodes.len()
        } else {
            1
        };
        let seeds = self.nodes[..count].iter().map(|node| node.addr).collect();
        if self.nodes[index].departed {
            self.take_back(index);
        }
        self.nodes[index].start(now, seeds, &self.plan.profile, &mut self.rng);
        self.act(index, |process, now| process.settle(now, Vec::new()));
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Wake { node, life } => {
                if self.nodes[node].life == life {
                    if let Some(process) = &mut self.nodes[node].process {
                        process.wake = None;
                    }
                    self.act(node, |process, now| process.timeout(now));
                }
            }
            Event::Packet { to, from, packet } => {
                self.act(to, |process, now| process.packet(now, from, packet));
            }
            Event::Message { to, from, message } => {
                let news = self.see_push(to, &message);
                let asked = self.see_forwarded(to, &message);
                let is_answer = matches!(message, Message::Forwarded { .. });
                self.act(to, |process, now| process.message(now, from, message));
                self.see_pushed(to, news);
                match asked {
                    Some((op, before)) if is_answer => self.note_turn(op, to, &before),
                    Some((op, before)) => self.note_served(op, to, &before),
                    None => {}
                }
            }
            Event::SyncNow { node, life } => {
                if self.nodes[node].life == life {
                    self.sync(node);
                }
            }
            Event::Sync { node } => {
                self.sync(node);
                self.schedule(self.plan.profile.sync_interval, Event::Sync { node });
            }
            Event::LinkCheck => {
                self.check_links();
                self.schedule(LINK_RETRY, Event::LinkCheck);
            }
            Event::Stop { node, life } => {
                if self.nodes[node].life == life {
                    self.nodes[node].process = None;
                    if self.nodes[node].departed {
                        self.give_up(node);
                    }
                }
            }
            // Who was to come back later has come with the calm, or is gone for good: one that
            // comes after everything was deleted would bring what nobody had seen.
            Event::Step(_) if self.is_calm => {}
            Event::Step(index) => {
                let fault = self.plan.steps[index].fault.clone();
                self.step(fault);
            }
        }
    }

    /// Lets a node do something and carries out what it wants done.
    pub fn act(&mut self, index: usize, what: impl FnOnce(&mut Process, Now) -> Actions) {
        let now = self.now_at(index);
        self.see_copies(index);
        let Some(process) = &mut self.nodes[index].process else {
            return;
        };
        let actions = what(process, now);
        self.carry_out(index, actions);
        self.see_leaving(index);
        self.rearm(index);
    }

    fn carry_out(&mut self, index: usize, actions: Actions) {
        for (to, packet) in actions.packets {
            self.send_packet(index, to, packet);
        }
        for effect in actions.effects {
            match effect {
                Effect::Send { to, message } => {
                    self.see_sent(index, &message);
                    self.send_message(index, to, message);
                }
                Effect::Reply { waiter, reply } => self.answer(waiter, reply),
                Effect::SyncNow => {
                    let life = self.nodes[index].life;
                    let takes = self.rng.random_range(SYNC_TAKES);
                    self.schedule(takes, Event::SyncNow { node: index, life });
                }
                // Nobody subscribes here.
                Effect::Published { .. } | Effect::Expired { .. } => {}
                Effect::Note(note) => self.note(index, note),
            }
        }
    }

    /// Makes durable what was committed, and lets the node tell those who waited for it.
    fn sync(&mut self, node: usize) {
        let Some(process) = &self.nodes[node].process else {
            return;
        };
        let syncing = process.data.begin_sync();
        self.nodes[node].sync();
        let Some(syncing) = syncing else { return };
        self.act(node, |process, now| {
            let mut effects = Vec::new();
            process.data.end_sync(now, syncing, true, &mut effects);
            process.settle(now, effects)
        });
    }

    fn rearm(&mut self, index: usize) {
        let life = self.nodes[index].life;
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
        self.schedule_at(at, Event::Wake { node: index, life });
    }
}
