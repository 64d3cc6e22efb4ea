//! The simulator: whole nodes on virtual time under seeded faults.
//!
//! One seed is one run, and the same seed is the same run anywhere. Each run has two
//! phases: weather, in which messages are lost, late and doubled, the network splits and
//! nodes crash, and calm, in which everything must heal within a bounded virtual time.
//!
//! ```text
//! cargo test --test sim                              # the seeds of every submission
//! NETDB_SIM_SEEDS=1000 cargo test --test sim weather # more of them
//! NETDB_SIM_SEED=42 cargo test --test sim weather    # one again, after a failure
//! ```

mod history;
mod invariants;
mod node;
mod plan;
mod shrink;
mod world;

use std::process::Command;
use std::time::Duration;

use plan::{Plan, Profile};
use world::{Failure, Report, World};

/// Seeds per submission unless `NETDB_SIM_SEEDS` says otherwise.
const SEEDS_DEFAULT: u64 = 300;

fn number_from_env(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

fn seeds() -> std::ops::Range<u64> {
    match number_from_env("NETDB_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number_from_env("NETDB_SIM_SEEDS").unwrap_or(SEEDS_DEFAULT),
    }
}

fn run(seed: u64, profile: &Profile) -> Result<Report, Failure> {
    World::new(Plan::draw(seed, profile)).run()
}

/// Runs every seed on all cores; the failures, in order of seeds.
fn run_all(seeds: std::ops::Range<u64>, profile: &Profile) -> Vec<(u64, Result<Report, Failure>)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let mut results: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                let seeds = seeds.clone().filter(move |seed| seed % threads == worker);
                scope.spawn(move || seeds.map(|s| (s, run(s, profile))).collect::<Vec<_>>())
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|w| w.join().expect("a worker"))
            .collect()
    });
    results.sort_by_key(|(seed, _)| *seed);
    results
}

#[test]
fn weather_then_calm() {
    let profile = Profile::default();
    let results = run_all(seeds(), &profile);
    let mut healed = Vec::new();
    let mut acknowledged = 0;
    for (seed, result) in &results {
        match result {
            Ok(report) => {
                healed.push(report.healed_after);
                acknowledged += report.acknowledged;
            }
            Err(failure) => {
                let shrunk = shrink::shrink(Plan::draw(*seed, &profile));
                panic!("{}", shrink::story(*seed, failure, &shrunk));
            }
        }
    }
    healed.sort();
    println!(
        "{} seeds held: {acknowledged} acknowledged writes, 0 lost, 0 revived; \
         healed after {:?} p50, {:?} at most",
        results.len(),
        healed[healed.len() / 2],
        healed.last().copied().unwrap_or_default(),
    );
}

/// Without knocking again on members that were lost, some clusters never become whole: the
/// simulator must see that, or it sees nothing.
#[test]
fn without_knocking_some_clusters_stay_apart() {
    let profile = Profile {
        knocking: false,
        operations: 0,
        loss: 0.20,
        ..Profile::default()
    };
    let results = run_all(0..60, &profile);
    let apart = results.iter().filter(|(_, result)| result.is_err()).count();
    println!(
        "{apart} of {} clusters stayed apart without knocking",
        results.len()
    );
    assert!(apart > 0, "the mutation was not caught");
}

/// The same seed is the same run, in another process too.
#[test]
fn a_seed_is_one_run() {
    let report = run(7, &Profile::default()).expect("seed 7 holds");
    println!("trace {:016x} of {} events", report.trace, report.events);
    if std::env::var_os("NETDB_SIM_CHILD").is_some() {
        return;
    }
    let this = std::env::current_exe().expect("this test's program");
    let output = Command::new(this)
        .args(["a_seed_is_one_run", "--exact", "--nocapture"])
        .env("NETDB_SIM_CHILD", "1")
        .output()
        .expect("a second process");
    let text = String::from_utf8_lossy(&output.stdout);
    let expected = format!("trace {:016x} of {} events", report.trace, report.events);
    assert!(text.contains(&expected), "expected {expected:?} in {text}");
    assert!(report.healed_after <= Duration::from_secs(60));
}
