mod catalog;
mod cluster;
mod ghost;
mod mutation;
mod replica;
mod scenario;

use std::io::Write as _;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model};

use cluster::{Action, ClusterModel};
use scenario::{Budget, Scenario, Witness};

/// What an exploration found.
struct Found {
    complete: bool,
    unique: usize,
    discovery: Option<(&'static str, String, Vec<String>)>,
}

const ORDER: [&str; 11] = [
    "S1", "S2", "S3", "S4", "S5", "S7", "S8", "S9", "accepted", "form", "L",
];

fn explore(scenario: Scenario, limit: Duration) -> Found {
    let start = Instant::now();
    let checker = ClusterModel::new(scenario)
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .timeout(limit)
        .spawn_bfs()
        .join();
    let taken = start.elapsed();
    let complete = taken < limit;
    let discoveries = checker.discoveries();
    let (replicas, steps, stale) = {
        let catalog = checker.model().catalog();
        (catalog.replicas.len(), catalog.steps(), catalog.stale)
    };
    let verdict = if complete { "COMPLETE" } else { "BOUNDED" };
    let _ = writeln!(
        std::io::stderr(),
        "{:<22} {verdict} unique {} generated {} depth {} replica states {replicas} partition steps {steps} stale {stale} time {:.1}s",
        scenario.name,
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        taken.as_secs_f64(),
    );
    let name = ORDER.into_iter().find(|n| discoveries.contains_key(n));
    let discovery = name.map(|name| {
        let path = &discoveries[name];
        let model = checker.model();
        let steps: Vec<Action> = path.clone().into_actions();
        let steps = steps.into_iter().map(|a| model.describe(a)).collect();
        (name, String::new(), steps)
    });
    Found { complete, unique: checker.unique_state_count(), discovery }
}

#[test]
fn probe() {
    let mut s = Scenario::new("n2k2w3", 2, 2);
    s.budget.writes = 3;
    s.fresh_contexts = true;
    s.direct_sync = true;
    let found = explore(s, Duration::from_secs(60));
    if let Some((n, _, steps)) = &found.discovery {
        eprintln!("{n}: {steps:#?}");
    }
    s.name = "crash";
    s.keys = 1;
    s.budget.crashes = 1;
    s.budget.fsyncs = 1;
    s.budget.pulls = 1;
    let found = explore(s, Duration::from_secs(60));
    if let Some((n, _, steps)) = &found.discovery {
        eprintln!("{n}: {steps:#?}");
    }
    let _ = (found.complete, found.unique, Budget::default(), Witness::Hole);
}
