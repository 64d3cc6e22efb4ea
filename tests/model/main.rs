//! The partition as a model: every order of everything, at a small size.
//!
//! A second check beside the simulator, independent of it: two or three replicas of one
//! partition, each the product's own [`netdb::store::Partition`] on a disk that can crash, and
//! a network in which a message, once sent, may come at any time, any number of times, in any
//! order, or never. `stateright` explores *all* schedules of a bounded number of writes, reads,
//! syncs and faults. In every state that can be reached the invariants S1 to S5 and S7 to S9 of
//! PROTOCOL section 2 must hold, and anti-entropy alone, all messages in flight being lost,
//! must heal the replicas (L1 to L6): checked from every state, not from a sample.
//!
//! ```text
//! cargo test --test model                                          # with every submission
//! NETDB_MODEL=large cargo test --release --test model -- --nocapture   # minutes
//! NETDB_MODEL_ONLY=crash cargo test --test model                   # those named so
//! ```
//!
//! | file | what |
//! |---|---|
//! | `scenario` | what may happen, and how often |
//! | `cluster` | the states and steps of the model, and its properties |
//! | `catalog` | each replica state once, so that the real code runs once per state and input |
//! | `replica` | the real partition, its disk, and how one looks at it |
//! | `ghost` | what is true, beside what the replicas say |
//! | `mutation` | mistakes made on purpose: the model finds each of them |
//!
//! Not modelled, because the partition does not have it yet: freeze and seal (PROTOCOL 3.9).
//! Where a replica has crashed, holes, contexts and log rows may therefore stay.

mod catalog;
mod cluster;
mod ghost;
mod mutation;
mod replica;
mod scenario;

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use stateright::{Checker, HasDiscoveries, Model};

use cluster::ClusterModel;
use mutation::Mutation;
use replica::{Replica, Rule};
use scenario::{Scenario, Witness};

/// Explorations at a time.
const WORKERS: usize = 2;

/// What one exploration may take before it is said to be bounded.
const LIMIT_SMALL: Duration = Duration::from_secs(300);
const LIMIT_LARGE: Duration = Duration::from_secs(300);

/// What was found.
struct Found {
    complete: bool,
    /// The broken rule, why, and the schedule that leads there.
    broken: Option<(Rule, String, Vec<String>)>,
    /// What should have been met and was not.
    missed: Vec<&'static str>,
}

/// Explores `scenario` breadth first on one thread, so that what is found is found shortest.
fn explore(scenario: Scenario, limit: Duration) -> Found {
    let start = Instant::now();
    let checker = ClusterModel::new(scenario)
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .timeout(limit)
        .spawn_bfs()
        .join();
    let taken = start.elapsed();
    let model = checker.model();
    let discoveries = checker.discoveries();
    let broken = Rule::ALL.into_iter().find_map(|rule| {
        let path = discoveries.get(rule.name())?.clone();
        let why = model.broken(path.last_state(), rule).unwrap_or_default();
        let actions = path.into_actions();
        let steps = actions.into_iter().map(|action| model.describe(action));
        Some((rule, why, steps.collect()))
    });
    let catalog = model.catalog();
    let missed = scenario.witnesses.iter().filter(|witness| match witness {
        Witness::Stale => catalog.stale == 0,
        _ => !discoveries.contains_key(witness.name()),
    });
    let found = Found {
        complete: taken < limit && broken.is_none(),
        missed: missed.map(|witness| witness.name()).collect(),
        broken,
    };
    say(format_args!(
        "{:<24} {} unique {} generated {} depth {} replica states {} partition steps {} time {:.1}s",
        scenario.name,
        match (&found.broken, found.complete) {
            (Some(_), _) => "BROKEN  ",
            (None, true) => "COMPLETE",
            (None, false) => "BOUNDED ",
        },
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        catalog.replicas.len(),
        catalog.steps(),
        taken.as_secs_f64(),
    ));
    found
}

/// Prints past the test harness, which keeps what passing tests print to itself.
fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn schedule(steps: &[String]) -> String {
    let mut text = String::new();
    for (at, step) in steps.iter().enumerate() {
        let _ = write!(text, "\n  {}. {step}", at + 1);
    }
    text
}

/// The explorations of every submission: to completion, in about a minute in all.
fn small() -> Vec<Scenario> {
    let mut all = Vec::new();
    let mut add = |name, nodes, keys, set: &dyn Fn(&mut Scenario)| {
        let mut scenario = Scenario::new(name, nodes, keys);
        scenario.fresh_contexts = true;
        scenario.direct_sync = true;
        set(&mut scenario);
        all.push(scenario);
    };
    add("2 replicas, 2 keys", 2, 2, &|s| {
        s.budget.writes = 4;
        s.witnesses = &[Witness::Siblings, Witness::Hole, Witness::Residual];
    });
    add("2, kept token", 2, 1, &|s| {
        s.budget.writes = 4;
        s.budget.reads = 1;
        s.witnesses = &[Witness::Siblings, Witness::Residual];
    });
    add("2, late chunks", 2, 2, &|s| {
        s.budget.writes = 3;
        s.budget.pulls = 2;
        s.chunked = true;
        s.witnesses = &[Witness::Hole];
    });
    add("2, late digests", 2, 2, &|s| {
        s.budget.writes = 2;
        s.budget.asks = 2;
        s.collect = true;
        s.witnesses = &[Witness::BelowFloor];
    });
    add("2, crash, late chunk", 2, 2, &|s| {
        s.budget.writes = 3;
        s.budget.crashes = 1;
        s.budget.fsyncs = 1;
        s.budget.pulls = 1;
        s.chunked = true;
        s.witnesses = &[Witness::Hole, Witness::BelowFloor, Witness::Stale];
    });
    add("2, two crashes", 2, 1, &|s| {
        s.budget.writes = 3;
        s.budget.crashes = 2;
        s.budget.fsyncs = 1;
    });
    add("2, full sync", 2, 2, &|s| {
        s.budget.writes = 3;
        s.budget.fulls = 1;
        s.budget.truncations = 1;
        s.chunked = true;
        s.direct_sync = false;
        s.witnesses = &[Witness::Staged, Witness::BelowFloor];
    });
    add("2, full sync, crash", 2, 2, &|s| {
        s.budget.writes = 2;
        s.budget.fulls = 1;
        s.budget.truncations = 1;
        s.budget.crashes = 1;
        s.budget.fsyncs = 1;
        s.chunked = true;
        s.witnesses = &[Witness::Staged, Witness::Stale];
    });
    add("2, lost disk, restart", 2, 1, &|s| {
        s.budget.writes = 3;
        s.budget.wipes = 1;
        s.budget.restarts = 1;
    });
    add("2, log of two rows", 2, 2, &|s| {
        s.budget.writes = 3;
        s.budget.pulls = 1;
        s.log_rows_max = 2;
        s.witnesses = &[Witness::BelowFloor];
    });
    add("3 replicas", 3, 1, &|s| {
        s.budget.writes = 3;
        s.witnesses = &[Witness::Siblings, Witness::Hole, Witness::Residual];
    });
    add("3, late chunk", 3, 2, &|s| {
        s.budget.writes = 2;
        s.budget.pulls = 1;
        s.chunked = true;
        s.witnesses = &[Witness::Hole];
    });
    add("3, logs collected", 3, 2, &|s| {
        s.budget.writes = 2;
        s.collect = true;
        s.witnesses = &[Witness::BelowFloor];
    });
    add("3 replicas, 2 keys", 3, 2, &|s| s.budget.writes = 3);
    add("3, crash, full sync", 3, 1, &|s| {
        s.budget.writes = 1;
        s.budget.crashes = 1;
        s.budget.fsyncs = 1;
        s.budget.fulls = 1;
        s.witnesses = &[Witness::Staged];
    });
    add("3, crash", 3, 1, &|s| {
        s.budget.writes = 2;
        s.budget.crashes = 1;
        s.budget.fsyncs = 1;
        s.budget.pulls = 1;
        s.witnesses = &[Witness::Stale];
    });
    all
}

/// One write more of everything: some complete in minutes, the others are cut off.
fn large() -> Vec<Scenario> {
    let mut all = small();
    for scenario in &mut all {
        scenario.budget.writes += 1;
    }
    all
}

#[test]
fn every_rule_holds_in_every_state() {
    let is_large = std::env::var("NETDB_MODEL").is_ok_and(|size| size == "large");
    let (mut scenarios, limit) = match is_large {
        true => (large(), LIMIT_LARGE),
        false => (small(), LIMIT_SMALL),
    };
    if let Ok(name) = std::env::var("NETDB_MODEL_ONLY") {
        scenarios.retain(|scenario| scenario.name.contains(&name));
    }
    scenarios.reverse();
    let queue = Mutex::new(scenarios);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(scenario) = { queue.lock().unwrap().pop() } {
                    let found = explore(scenario, limit);
                    if let Some((rule, why, steps)) = found.broken {
                        let (name, steps) = (scenario.name, schedule(&steps));
                        let text = format!("{name}: {} broken: {why}{steps}", rule.name());
                        failures.lock().unwrap().push(text);
                    } else if !is_large && !found.complete {
                        let text = format!("{}: did not complete", scenario.name);
                        failures.lock().unwrap().push(text);
                    } else if !found.missed.is_empty() {
                        let text = format!("{}: never met {:?}", scenario.name, found.missed);
                        failures.lock().unwrap().push(text);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The smallest world in which a mistake shows.
fn world_of(mutation: Mutation) -> Scenario {
    let mut scenario = Scenario::new(mutation.id(), 2, 2);
    scenario.mutation = Some(mutation);
    scenario.fresh_contexts = true;
    scenario.budget.writes = 2;
    match mutation {
        Mutation::ReusedActor => scenario.budget.crashes = 1,
        Mutation::PushAddsContext | Mutation::PushWithoutSiblings => {}
        Mutation::DeltaCoversClock | Mutation::DeltaCutsGroup => {
            scenario.direct_sync = true;
            scenario.chunked = true;
        }
        Mutation::FloorAnsweredAsVoid => {
            scenario.direct_sync = true;
            scenario.budget.truncations = 1;
        }
        Mutation::EndCountsOnePiece => {
            scenario.budget.fulls = 1;
            scenario.chunked = true;
        }
        Mutation::StaleAnswerTaken => {
            scenario.budget.fulls = 1;
            scenario.budget.crashes = 1;
        }
    }
    scenario
}

/// The longest schedule that a person should have to read.
const STEPS_MAX: usize = 7;

#[test]
fn every_mistake_is_found() {
    for mutation in mutation::ALL {
        let honest = Scenario {
            name: "its world, without it",
            mutation: None,
            ..world_of(mutation)
        };
        let found = explore(world_of(mutation), LIMIT_SMALL);
        let id = mutation.id();
        let (rule, why, steps) = found.broken.unwrap_or_else(|| panic!("{id} was not found"));
        say(format_args!(
            "{id} {mutation:?}: {} broken: {why}{}",
            rule.name(),
            schedule(&steps)
        ));
        assert!(steps.len() <= STEPS_MAX, "{id} takes {} steps", steps.len());
        assert!(explore(honest, LIMIT_SMALL).broken.is_none());
    }
}

/// The catalog rebuilds replicas, and takes two that look alike for one. Replicas that live
/// through long random schedules look the same at every step.
#[test]
fn a_catalogued_replica_is_the_real_one() {
    const WALKS: u64 = 150;
    const STEPS: usize = 40;
    let mut scenario = Scenario::new("walk", 3, 2);
    scenario.fresh_contexts = true;
    scenario.direct_sync = true;
    scenario.collect = true;
    scenario.chunked = true;
    scenario.budget = scenario::Budget {
        writes: 6,
        reads: 2,
        asks: 4,
        pulls: 4,
        fulls: 3,
        fsyncs: 4,
        crashes: 3,
        restarts: 1,
        wipes: 1,
        truncations: 2,
    };
    let model = ClusterModel::new(scenario);
    for seed in 0..WALKS {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut state = model.init_states().remove(0);
        let mut real: Vec<_> = (0..scenario.nodes)
            .map(|node| Replica::new(node, scenario))
            .collect();
        for _ in 0..STEPS {
            let mut actions = Vec::new();
            model.actions(&state, &mut actions);
            let action = actions[rng.random_range(0..actions.len())];
            model.catalog().journal = Some(Vec::new());
            let next = model.next_state(&state, action);
            let catalog = &mut *model.catalog();
            for (from, input, to) in catalog.journal.take().unwrap() {
                let node = usize::from(catalog.view(from).node);
                real[node].apply(input, &mut catalog.books);
                let seen = real[node].observe(&catalog.books);
                assert_eq!(seen, *catalog.view(to), "seed {seed}: {input:?}");
            }
            state = next.unwrap_or(state);
        }
        for rule in Rule::ALL {
            assert_eq!(model.broken(&state, rule), None, "seed {seed}");
        }
    }
}
