//! What goes wrong, drawn from a seed: processes killed, frozen and asked to leave, links
//! cut. The same seed draws the same faults; when they hit, only the machine knows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

use crate::cluster::{Cluster, State};

/// A cut that lasts this long must have been noticed by membership at its end.
const NOTICED_AFTER: Duration = Duration::from_millis(3_000);

/// Shortest and longest time that a fault lasts, in milliseconds. Short ones are more frequent.
const FAULT_MS: (u64, u64) = (100, 6_000);

/// Shortest and longest time between faults.
const PEACE_MS: (u64, u64) = (50, 2_500);

/// How often a second fault begins before the first one ends.
const OVERLAP: f64 = 0.4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Kill,
    KillAll,
    Leave,
    Pause,
    Halves,
    Isolate,
    OneWay,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "killed",
            Self::KillAll => "all killed at once",
            Self::Leave => "left",
            Self::Pause => "paused",
            Self::Halves => "cut into halves",
            Self::Isolate => "isolated",
            Self::OneWay => "cut one way",
        }
    }

    fn draw(rng: &mut SmallRng) -> Self {
        match rng.random_range(0..100) {
            0..24 => Self::Kill,
            24..28 => Self::KillAll,
            28..34 => Self::Leave,
            34..54 => Self::Pause,
            54..70 => Self::Halves,
            70..86 => Self::Isolate,
            _ => Self::OneWay,
        }
    }

    fn cuts(self) -> bool {
        matches!(self, Self::Halves | Self::Isolate | Self::OneWay)
    }
}

/// What the nemesis did.
#[derive(Default)]
pub struct Deeds {
    faults: BTreeMap<Fault, usize>,
    /// Cuts between all of two sides that lasted [`NOTICED_AFTER`], and how many of them a
    /// node noticed.
    pub long_cuts: usize,
    pub noticed: usize,
}

impl Deeds {
    pub fn count(&self) -> usize {
        self.faults.values().sum()
    }

    /// For people.
    pub fn told(&self) -> String {
        let faults = self.faults.iter();
        let told: Vec<String> = faults
            .map(|(fault, count)| format!("{} {count}", fault.name()))
            .collect();
        told.join(", ")
    }
}

/// Attacks `cluster` until `until`. Leaves it as it then is.
pub fn attack(cluster: &mut Cluster, seed: u64, until: Instant) -> Result<Deeds, String> {
    let mut rng = SmallRng::seed_from_u64(seed ^ 0xbad);
    let mut deeds = Deeds::default();
    while Instant::now() < until {
        rest(&mut rng, PEACE_MS, until);
        let first = begin(cluster, &mut rng, &mut deeds)?;
        let cut_at = Instant::now();
        rest(&mut rng, FAULT_MS, until);
        if rng.random_bool(OVERLAP) {
            begin(cluster, &mut rng, &mut deeds)?;
            rest(&mut rng, FAULT_MS, until);
        }
        let whole_cut = matches!(first, Fault::Halves | Fault::Isolate);
        if whole_cut && cluster.is_cut() && cut_at.elapsed() > NOTICED_AFTER {
            deeds.long_cuts += 1;
            deeds.noticed += usize::from(cluster.somebody_is_missed());
        }
        end_all(cluster, &mut rng, until)?;
    }
    Ok(deeds)
}

fn rest(rng: &mut SmallRng, (min, max): (u64, u64), until: Instant) {
    let share = rng.random_range(0.0..1.0_f64).powi(2);
    let pause = Duration::from_millis(min) + Duration::from_millis(max - min).mul_f64(share);
    std::thread::sleep(pause.min(until.saturating_duration_since(Instant::now())));
}

/// Begins a fault among the nodes that run. If too few do, nothing more happens.
fn begin(cluster: &mut Cluster, rng: &mut SmallRng, deeds: &mut Deeds) -> Result<Fault, String> {
    let fault = Fault::draw(rng);
    let mut running = cluster.all(State::Runs);
    running.shuffle(rng);
    let some = rng.random_range(1..=running.len().div_ceil(2).max(1));
    let done = match fault {
        _ if fault.cuts() && cluster.is_cut() => false,
        Fault::Kill => hit(&running, some, |node| cluster.kill(node)),
        Fault::KillAll => hit(&running, running.len(), |node| cluster.kill(node)),
        Fault::Leave => hit(&running, 1, |node| cluster.leave(node)),
        Fault::Pause => hit(&running, some, |node| cluster.pause(node)),
        Fault::Halves | Fault::Isolate | Fault::OneWay => {
            let links = links(fault, cluster.nodes.len(), rng);
            cluster.cut(links)?;
            true
        }
    };
    *deeds.faults.entry(fault).or_default() += usize::from(done);
    Ok(fault)
}

fn hit(nodes: &[usize], count: usize, mut fault: impl FnMut(usize)) -> bool {
    nodes.iter().take(count).for_each(|node| fault(*node));
    !nodes.is_empty()
}

/// The links that a cut takes away, each with its direction.
fn links(fault: Fault, nodes: usize, rng: &mut SmallRng) -> BTreeSet<(usize, usize)> {
    let mut all: Vec<usize> = (0..nodes).collect();
    all.shuffle(rng);
    let side = match fault {
        Fault::Halves => nodes / 2,
        _ => 1,
    };
    let (small, large) = all.split_at(side);
    let pairs = small.iter().flat_map(|a| large.iter().map(|b| (*a, *b)));
    match fault {
        // One node is not heard by some, or does not hear them.
        Fault::OneWay => {
            let deaf = rng.random_bool(0.5);
            let some = rng.random_range(1..=large.len());
            let pairs = pairs.take(some);
            pairs
                .map(|(a, b)| if deaf { (b, a) } else { (a, b) })
                .collect()
        }
        _ => pairs.flat_map(|(a, b)| [(a, b), (b, a)]).collect(),
    }
}

/// Ends all faults, in any order, with a moment in between.
fn end_all(cluster: &mut Cluster, rng: &mut SmallRng, until: Instant) -> Result<(), String> {
    let mut hurt: Vec<usize> = (0..cluster.nodes.len())
        .filter(|node| cluster.state(*node) != State::Runs)
        .collect();
    hurt.shuffle(rng);
    let mut cut = cluster.is_cut();
    while cut || !hurt.is_empty() {
        if cut && (hurt.is_empty() || rng.random_bool(0.5)) {
            cluster.cut(BTreeSet::new())?;
            cut = false;
        } else if let Some(node) = hurt.pop() {
            match cluster.state(node) {
                State::Paused => cluster.resume(node),
                State::Dead => cluster.launch(node),
                State::Runs => {}
            }
        }
        let pause = [0, 0, 10, 100, 600].choose(rng).copied().unwrap_or(0);
        let pause = Duration::from_millis(pause);
        std::thread::sleep(pause.min(until.saturating_duration_since(Instant::now())));
    }
    Ok(())
}
