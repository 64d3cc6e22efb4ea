//! What will go wrong in one run, decided before it begins.
//!
//! A plan is drawn from a seed as plain data, so that a failing run can be shrunk by
//! leaving parts of it out while everything else stays as it was.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use netdb::replication::Durability;
use netdb::store::{Mutation, Options};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// How rough the weather is, and for how long.
#[derive(Clone, Debug)]
pub struct Profile {
    pub nodes: usize,
    /// How many of them are members from the beginning.
    pub members: usize,
    /// How many members hold each key.
    pub replicas: u8,
    /// How long a member may be out of reach before it is removed for good.
    pub evict_after: Duration,
    /// Keys that clients fight over.
    pub keys: u8,
    /// Client operations per run.
    pub operations: usize,
    /// Beside them, how often clients add to numbers.
    pub additions: usize,
    /// And how often they write fields of a hash.
    pub fields: usize,
    /// How long faults may happen.
    pub weather: Duration,
    /// How long everything may take to heal afterwards.
    pub calm: Duration,
    /// Share of datagrams and peer messages that are lost.
    pub loss: f64,
    /// Share of peer messages that come after everybody has forgotten them.
    pub straggling: f64,
    /// Share that arrive twice.
    pub duplication: f64,
    /// Whether members that lost each other are knocked on again. Off is a mutation that
    /// must be caught.
    pub knocking: bool,
    /// Whether disks forget, links fail one way, nodes stall, clocks jump and members come
    /// and go.
    pub storm: bool,
    /// Whether members come and go for good.
    pub resharding: bool,
    /// Whether it is looked at once who has what a node gives up. Off, only what clients lose
    /// by it is seen.
    pub drops_watched: bool,
    /// The most crashes that a storm adds.
    pub crashes_max: usize,
    /// How often a node makes what it committed durable.
    pub sync_interval: Duration,
    /// Limits of each partition, and the rule that every node breaks, if one.
    pub options: Options,
}

impl Profile {
    /// What holds values: keys, and fields.
    pub fn registers(&self) -> impl Iterator<Item = u8> + use<> {
        (0..self.keys).chain(FIELDS)
    }

    /// Five nodes, 10 % loss, duplication, one partition that heals, one crash with
    /// restart, concurrent puts and deletes.
    pub fn weather() -> Self {
        Self {
            nodes: 5,
            members: 5,
            replicas: 5,
            evict_after: Duration::MAX,
            keys: 12,
            operations: 150,
            additions: 40,
            fields: 40,
            weather: Duration::from_secs(30),
            calm: Duration::from_secs(60),
            loss: 0.10,
            straggling: 0.0,
            duplication: 0.05,
            knocking: true,
            storm: false,
            resharding: false,
            drops_watched: true,
            crashes_max: 0,
            sync_interval: Duration::from_millis(100),
            options: Options::default(),
        }
    }

    /// Everything that can go wrong, several times, at rates of the seed's own.
    pub fn storm() -> Self {
        Self {
            calm: Duration::from_secs(120),
            storm: true,
            crashes_max: 3,
            ..Self::weather()
        }
    }

    /// A moderate storm over a cluster whose members come and go for good.
    pub fn resharding(mutation: Option<Mutation>) -> Self {
        Self {
            nodes: 9,
            members: 5,
            replicas: 3,
            evict_after: Duration::from_secs(7),
            operations: 400,
            weather: Duration::from_secs(40),
            calm: Duration::from_secs(120),
            resharding: true,
            options: Options {
                mutation,
                ..Options::default()
            },
            ..Self::storm()
        }
    }

    /// A storm of fewer nodes that is shorter and denser, for the search for broken rules.
    pub fn squall(mutation: Option<Mutation>) -> Self {
        Self {
            nodes: 3,
            members: 3,
            replicas: 3,
            weather: Duration::from_secs(12),
            crashes_max: 6,
            options: Options {
                mutation,
                ..Options::default()
            },
            ..Self::storm()
        }
    }
}

/// What a crash does to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// Nothing: the process died, the system lives.
    Kept,
    /// Some of what was not synced is gone.
    LostSome(usize),
    /// Everything that was not synced is gone.
    LostTail,
    /// It is another, empty disk.
    Wiped,
    /// It is an older copy of itself.
    Restored,
}

/// Something that happens to the cluster at a given time.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The process dies.
    Crash { node: usize, disk: Disk },
    /// A process starts from the disk, if none runs.
    Start { node: usize },
    /// The node leaves gracefully.
    Leave { node: usize },
    /// The node starts: a new one, or one with what is on its disk. If it is no member it is to
    /// take that other one's place.
    Join { node: usize, replace: Option<usize> },
    /// The node leaves for good; by force without handing off what it holds.
    Depart { node: usize, force: bool },
    /// The node is gone for good, says an operator to another one.
    Remove { node: usize, on: usize },
    /// Somebody copies the node's disk.
    Backup { node: usize },
    /// Nothing passes between these nodes and the others, either way or outwards only.
    Partition { side: Vec<usize>, one_way: bool },
    /// Everything passes again.
    Heal,
    /// The process does nothing for a while.
    Pause { node: usize, length: Duration },
    /// Everything from and to the node is late for a while.
    Slow { node: usize, length: Duration },
    /// The node's wall clock jumps.
    Jump { node: usize, ms: i64 },
    /// A client asks something of a node.
    Operation(Operation),
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    pub node: usize,
    pub key: u8,
    pub kind: Kind,
    pub durability: Durability,
    /// For writes that replace what somebody has read: whose reading, of those there are.
    pub reading: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Replace everything that the node knows of.
    Put,
    /// The same if there is nothing, which one owner decides.
    PutAbsent,
    Delete,
    /// Replace exactly what a client read earlier, perhaps elsewhere.
    PutSeen,
    DeleteSeen,
    Get,
    /// Ask a quorum.
    GetQuorum,
    /// Get all versions with their context, for a later write.
    Inspect,
    /// Add to a number.
    Add,
}

impl Kind {
    pub fn is_put(self) -> bool {
        matches!(self, Self::Put | Self::PutAbsent | Self::PutSeen)
    }

    pub fn is_write(self) -> bool {
        self.is_put() || matches!(self, Self::Delete | Self::DeleteSeen | Self::Add)
    }

    pub fn has_context(self) -> bool {
        matches!(self, Self::PutSeen | Self::DeleteSeen)
    }
}

/// One scheduled fault or operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub at: Duration,
    pub fault: Fault,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.3} s  {:?}", self.at.as_secs_f64(), self.fault)
    }
}

/// Everything that will happen to the cluster from outside.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub profile: Profile,
    pub steps: Vec<Step>,
}

/// The keys of the numbers that clients add to. They come after all others.
pub const NUMBERS: Range<u8> = 200..202;

/// The fields of one hash, each a key of its own to who looks from outside.
pub const FIELDS: Range<u8> = 210..214;

/// When the cluster has had time to form, and faults begin.
pub const FORMED: Duration = Duration::from_secs(3);

impl Plan {
    pub fn draw(seed: u64, profile: &Profile) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut draw = Draw {
            rng: &mut rng,
            profile: profile.clone(),
            steps: Vec::new(),
        };
        draw.rates();
        draw.partition(false);
        draw.crash(Disk::Kept);
        if profile.resharding {
            draw.resharding();
        } else if profile.storm {
            draw.storm();
        }
        draw.operations();
        let (profile, mut steps) = (draw.profile, draw.steps);
        steps.sort_by_key(|step| step.at);
        Self {
            seed,
            profile,
            steps,
        }
    }

    /// The same plan without some of its steps.
    pub fn without(&self, range: std::ops::Range<usize>) -> Self {
        let mut plan = self.clone();
        plan.steps.drain(range);
        plan
    }
}

pub struct Draw<'a> {
    pub rng: &'a mut SmallRng,
    pub profile: Profile,
    steps: Vec<Step>,
}

impl Draw<'_> {
    /// Seeds differ in how rough they are, so that each fault also meets calm seas.
    fn rates(&mut self) {
        if self.profile.storm {
            self.profile.loss = [0.0, 0.02, 0.1, 0.3][self.rng.random_range(0..4)];
            self.profile.straggling = [0.0, 0.01, 0.1][self.rng.random_range(0..3)];
            self.profile.duplication = [0.0, 0.05, 0.5][self.rng.random_range(0..3)];
            self.profile.keys = self.rng.random_range(1..=self.profile.keys);
            let seldom = Duration::from_secs(1);
            self.profile.sync_interval =
                [self.profile.sync_interval, seldom][self.rng.random_range(0..2)];
            // Short logs end in full syncs, and short messages in pieces.
            let options = &mut self.profile.options;
            let rows = options.log_rows_max;
            options.log_rows_max = [rows, rows, 16, 2][self.rng.random_range(0..4)];
            options.delta_bytes = [options.delta_bytes, 1][self.rng.random_range(0..2)];
        }
    }

    pub fn step(&mut self, at: Duration, fault: Fault) {
        self.steps.push(Step { at, fault });
    }

    pub fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let span = high.saturating_sub(low).as_micros() as u64;
        low + Duration::from_micros(self.rng.random_range(0..span.max(1)))
    }

    pub fn during(&mut self) -> Duration {
        self.between(FORMED, self.profile.weather)
    }

    pub fn node(&mut self) -> usize {
        self.rng.random_range(0..self.profile.nodes)
    }

    pub fn partition(&mut self, one_way: bool) {
        let size = self.rng.random_range(1..self.profile.nodes);
        let mut side: Vec<usize> = (0..self.profile.nodes).collect();
        while side.len() > size {
            side.remove(self.rng.random_range(0..side.len()));
        }
        let begin = self.between(FORMED, self.profile.weather / 2);
        self.step(begin, Fault::Partition { side, one_way });
        let end = self.between(begin + Duration::from_millis(100), self.profile.weather);
        self.step(end, Fault::Heal);
    }

    pub fn crash(&mut self, disk: Disk) {
        let node = self.node();
        let begin = self.during();
        self.step(begin, Fault::Crash { node, disk });
        // Some come back so fast that answers to their earlier life are still on the way, and
        // some of those had last words that take longer than they are away.
        let latest = if self.profile.storm && self.rng.random_bool(0.4) {
            if self.rng.random_bool(0.5) {
                let length = self.between(Duration::from_millis(100), FORMED);
                self.step(begin - length, Fault::Slow { node, length });
            }
            begin + Duration::from_millis(60)
        } else {
            self.profile.weather + Duration::from_secs(1)
        };
        let end = self.between(begin + Duration::from_millis(1), latest);
        self.step(end, Fault::Start { node });
    }

    fn storm(&mut self) {
        for _ in 0..self.rng.random_range(0..3) {
            let one_way = self.rng.random_bool(0.5);
            self.partition(one_way);
        }
        for _ in 0..self.rng.random_range(0..=self.profile.crashes_max) {
            let disk = match self.rng.random_range(0..6) {
                0 => Disk::Kept,
                1 => Disk::LostSome(self.rng.random_range(1..4)),
                2 | 3 => Disk::LostTail,
                4 => Disk::Wiped,
                _ => self.back_up(),
            };
            self.crash(disk);
        }
        self.delays();
        self.jumps();
        self.restart();
    }

    /// Wall clocks jump.
    pub fn jumps(&mut self) {
        for _ in 0..self.rng.random_range(0..3) {
            let (node, at) = (self.node(), self.during());
            let ms = self.rng.random_range(-3_600_000..=3_600_000);
            self.step(at, Fault::Jump { node, ms });
        }
    }

    /// A node stops gracefully, and comes back.
    pub fn restart(&mut self) {
        if self.rng.random_bool(0.4) {
            let (node, at) = (self.node(), self.during());
            self.step(at, Fault::Leave { node });
            let back = self.between(at + Duration::from_secs(2), self.profile.weather * 2);
            self.step(back, Fault::Start { node });
        }
    }

    /// Processes stand still, and links are slow.
    pub fn delays(&mut self) {
        for _ in 0..self.rng.random_range(0..3) {
            let (node, at) = (self.node(), self.during());
            let length = self.between(Duration::from_millis(100), Duration::from_secs(6));
            let fault = if self.rng.random_bool(0.5) {
                Fault::Pause { node, length }
            } else {
                Fault::Slow { node, length }
            };
            self.step(at, fault);
        }
    }

    /// Copies of all disks: whichever is restored later, there is one.
    pub fn back_up(&mut self) -> Disk {
        let at = self.between(FORMED, self.profile.weather / 2);
        for node in 0..self.profile.nodes {
            self.step(at, Fault::Backup { node });
        }
        Disk::Restored
    }

    /// What clients ask.
    fn operations(&mut self) {
        self.ask(self.profile.operations, Self::operation);
        self.ask(self.profile.additions, Self::addition);
        self.ask(self.profile.fields, Self::field);
    }

    fn ask(&mut self, times: usize, draw: impl Fn(&mut Self) -> Operation) {
        for _ in 0..times {
            let at = self.between(Duration::from_secs(2), self.profile.weather);
            let operation = draw(self);
            self.step(at, Fault::Operation(operation));
        }
    }

    fn operation(&mut self) -> Operation {
        Operation {
            node: self.node(),
            key: self.rng.random_range(0..self.profile.keys),
            kind: match self.rng.random_range(0..20) {
                0..5 => Kind::Put,
                5..7 => Kind::PutAbsent,
                7..11 => Kind::Delete,
                11..13 => Kind::PutSeen,
                13 => Kind::DeleteSeen,
                14..16 => Kind::Inspect,
                16..18 => Kind::GetQuorum,
                _ => Kind::Get,
            },
            durability: self.durability(),
            reading: self.rng.random_range(0..1_000),
        }
    }

    fn addition(&mut self) -> Operation {
        Operation {
            node: self.node(),
            key: self.rng.random_range(NUMBERS),
            kind: Kind::Add,
            durability: self.durability(),
            reading: 0,
        }
    }

    fn field(&mut self) -> Operation {
        Operation {
            node: self.node(),
            key: self.rng.random_range(FIELDS),
            kind: match self.rng.random_range(0..10) {
                0..5 => Kind::Put,
                5..7 => Kind::PutAbsent,
                _ => Kind::Delete,
            },
            durability: self.durability(),
            reading: 0,
        }
    }

    /// Seldom `always`: its syncs leave less to lose.
    fn durability(&mut self) -> Durability {
        match self.rng.random_range(0..12) {
            0 => Durability::Always,
            1 => Durability::Os,
            _ => Durability::Interval,
        }
    }
}
