//! What will go wrong in one run, decided before it begins.
//!
//! A plan is drawn from a seed as plain data, so that a failing run can be shrunk by
//! leaving parts of it out while everything else stays as it was.

use std::fmt;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// How rough the weather is, and for how long.
#[derive(Clone, Debug)]
pub struct Profile {
    pub nodes: usize,
    /// Keys that clients fight over.
    pub keys: u8,
    /// Client operations per run.
    pub operations: usize,
    /// How long faults may happen.
    pub weather: Duration,
    /// How long everything may take to heal afterwards.
    pub calm: Duration,
    /// Share of datagrams and peer messages that are lost.
    pub loss: f64,
    /// Share that arrive twice.
    pub duplication: f64,
    /// Whether members that lost each other are knocked on again. Off is a mutation that
    /// must be caught.
    pub knocking: bool,
}

impl Default for Profile {
    /// Five nodes, 10 % loss, duplication, one partition that heals, one crash with
    /// restart, concurrent puts and deletes.
    fn default() -> Self {
        Self {
            nodes: 5,
            keys: 12,
            operations: 150,
            weather: Duration::from_secs(30),
            calm: Duration::from_secs(60),
            loss: 0.10,
            duplication: 0.05,
            knocking: true,
        }
    }
}

/// Something that happens to the cluster at a given time.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The process dies; what it committed stays on its disk.
    Crash { node: usize },
    /// The process starts again from its disk.
    Restart { node: usize },
    /// Nothing passes between these nodes and the others.
    Partition { side: Vec<usize> },
    /// Everything passes again.
    Heal,
    /// A client asks something of a node.
    Operation(Operation),
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    pub node: usize,
    pub key: u8,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Put,
    Delete,
    Get,
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

impl Plan {
    pub fn draw(seed: u64, profile: &Profile) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut steps = Vec::new();
        let weather = profile.weather;
        draw_partition(&mut rng, profile, &mut steps);
        draw_crash(&mut rng, profile, &mut steps);
        for _ in 0..profile.operations {
            steps.push(Step {
                at: between(&mut rng, Duration::from_secs(2), weather),
                fault: Fault::Operation(draw_operation(&mut rng, profile)),
            });
        }
        steps.sort_by_key(|step| step.at);
        Self {
            seed,
            profile: profile.clone(),
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

fn between(rng: &mut SmallRng, low: Duration, high: Duration) -> Duration {
    let span = high.saturating_sub(low).as_micros() as u64;
    low + Duration::from_micros(rng.random_range(0..span.max(1)))
}

fn draw_partition(rng: &mut SmallRng, profile: &Profile, steps: &mut Vec<Step>) {
    let size = rng.random_range(1..profile.nodes);
    let mut side: Vec<usize> = (0..profile.nodes).collect();
    while side.len() > size {
        side.remove(rng.random_range(0..side.len()));
    }
    let begin = between(rng, Duration::from_secs(3), profile.weather / 2);
    steps.push(Step {
        at: begin,
        fault: Fault::Partition { side },
    });
    steps.push(Step {
        at: between(rng, begin + Duration::from_millis(100), profile.weather),
        fault: Fault::Heal,
    });
}

fn draw_crash(rng: &mut SmallRng, profile: &Profile, steps: &mut Vec<Step>) {
    let node = rng.random_range(0..profile.nodes);
    let begin = between(rng, Duration::from_secs(3), profile.weather);
    steps.push(Step {
        at: begin,
        fault: Fault::Crash { node },
    });
    let end = profile.weather + Duration::from_secs(1);
    steps.push(Step {
        at: between(rng, begin + Duration::from_millis(50), end),
        fault: Fault::Restart { node },
    });
}

fn draw_operation(rng: &mut SmallRng, profile: &Profile) -> Operation {
    Operation {
        node: rng.random_range(0..profile.nodes),
        key: rng.random_range(0..profile.keys),
        kind: match rng.random_range(0..10) {
            0..5 => Kind::Put,
            5..8 => Kind::Delete,
            _ => Kind::Get,
        },
    }
}
