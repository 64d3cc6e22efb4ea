//! Real nodes under faults, and a judge of what their clients saw. `scripts/chaos.sh` builds
//! what this needs and runs it.
//!
//! Clients stick to their nodes and put, get and delete keys while processes are killed,
//! frozen and asked to leave and links are cut. Then everything is healed, all nodes must
//! see each other and agree within a bound, every key is read on every node, and the
//! history goes to the checker. Links are cut by a switch that only builds with the feature
//! `chaos` have (`src/runtime/cuts.rs`): it needs no privilege and no network namespace, so
//! it works in any container.

mod caller;
mod cluster;
mod counters;
mod elements;
mod finale;
mod load;
mod nemesis;
mod options;

#[path = "../../tests/checker/mod.rs"]
mod checker;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use checker::{About, History, Operation, Rule, Verdict};
use cluster::Cluster;
use nemesis::Deeds;
use options::{Asked, Options};

/// The program to attack.
const PROGRAM: &str = "NETDB_BIN";

/// How long all nodes may take to see each other, and to agree, once all is healed.
const HEAL_WAIT: Duration = Duration::from_secs(60);

/// So many long cuts cannot all go unnoticed if links are cut. One can: a kill or a pause at
/// the same time hides it.
const LONG_CUTS_TELLING: usize = 4;

/// What timestamps add to the disagreement of the wall clocks: they are milliseconds, and a
/// session's clock may be read a moment before or after a node's.
const TIMESTAMP_ERROR_US: u64 = 5_000;

/// How often the wall clock is compared with the steady one.
const CLOCK_CHECK: Duration = Duration::from_millis(250);

/// The sessions that measure arrivals have numbers from here.
const ARRIVALS_ID: u32 = 1_000;

/// Violations that are printed; the history has all of them.
const SHOWN_MAX: usize = 20;

/// Counters of the nodes that the table shows.
const COUNTERS: [&str; 4] = [
    "full_syncs",
    "sync_keys_fetched",
    "data_refused",
    "data_diverged",
];

fn main() -> ExitCode {
    let asked = Asked::parse(std::env::args().skip(1));
    let done = asked.and_then(|asked| match asked {
        Asked::Run(options) => run(&options),
        Asked::Check(path) => judge_file(&path),
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error}");
            ExitCode::from(2)
        }
    }
}

/// Judges a history that an earlier run left.
fn judge_file(path: &Path) -> Result<bool, String> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let verdict = checker::check(&History::read(BufReader::new(file))?);
    tell_figures(&verdict);
    tell_violations(&verdict);
    Ok(verdict.violations.is_empty())
}

/// What came of the weather and the calm after it.
struct Run {
    history: History,
    deeds: Deeds,
    arrivals: Vec<Option<Duration>>,
    whole: Duration,
    converged: Option<Duration>,
    added: counters::Sums,
    miscounts: Vec<String>,
    elements: elements::Figures,
    misplaced: Vec<String>,
}

fn run(options: &Options) -> Result<bool, String> {
    let program = std::env::var_os(PROGRAM).map(PathBuf::from);
    let program = program.ok_or_else(|| format!("{PROGRAM} must name the program to attack"))?;
    std::fs::create_dir_all(&options.directory)
        .map_err(|error| format!("{}: {error}", options.directory.display()))?;
    let mut cluster = Cluster::start(options.nodes, &program, &options.directory)?;
    cluster.await_whole(HEAL_WAIT)?;
    eprintln!(
        "{} nodes see each other; seed {}",
        options.nodes, options.seed
    );
    let run = weather_and_calm(options, &mut cluster)?;
    let path = options.directory.join("history.jsonl");
    File::create(&path)
        .and_then(|file| run.history.write(BufWriter::new(file)))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    let verdict = checker::check(&run.history);
    let mut complaints = cluster.confessions();
    complaints.extend(run.miscounts.iter().cloned());
    complaints.extend(run.misplaced.iter().cloned());
    if run.converged.is_none() {
        complaints.push(format!("the nodes did not agree within {HEAL_WAIT:?}"));
    }
    let rested = cluster.await_rest(HEAL_WAIT);
    if rested.is_none() {
        complaints.push(format!("metadata was left over after {HEAL_WAIT:?}"));
    }
    if run.deeds.long_cuts >= LONG_CUTS_TELLING && run.deeds.noticed == 0 {
        complaints.push("no node ever noticed a cut: links are not cut".to_owned());
    }
    tell_run(options, &run, &cluster);
    row("from then until no metadata is left over", seconds(rested));
    tell_figures(&verdict);
    tell_violations(&verdict);
    complaints
        .iter()
        .for_each(|complaint| println!("{complaint}"));
    Ok(verdict.violations.is_empty() && complaints.is_empty())
}

fn weather_and_calm(options: &Options, cluster: &mut Cluster) -> Result<Run, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let nodes = cluster.nodes.iter();
    let stage = Arc::new(load::Stage {
        began: Instant::now(),
        stop: AtomicBool::new(false),
        counters: Default::default(),
        elements: Default::default(),
        nodes: nodes
            .map(|node| (node.name.clone(), node.ports.client))
            .collect(),
    });
    let clients: Vec<_> = (0..options.clients)
        .map(|id| load::Session::new(&stage, id, id as usize % options.nodes, options.seed))
        .map(|session| runtime.spawn(session.run()))
        .collect();
    let measuring = load::measure_arrivals(stage.clone(), ARRIVALS_ID, options.seed);
    let measuring = runtime.spawn(measuring);
    let drift = runtime.spawn(wall_clock_drift(stage.clone()));

    let until = stage.began + Duration::from_secs(options.seconds);
    let attacked = nemesis::attack(cluster, options.seed, until);
    stage.stop.store(true, Ordering::Relaxed);
    let deeds = attacked?;
    let healed = Instant::now();
    cluster.heal(HEAL_WAIT)?;
    let whole = healed.elapsed();

    let mut operations: Vec<Operation> = Vec::new();
    let failed = |error: tokio::task::JoinError| error.to_string();
    for client in clients {
        operations.extend(runtime.block_on(client).map_err(failed)?);
    }
    let (done, mut arrivals) = runtime.block_on(measuring).map_err(failed)?;
    operations.extend(done);
    // Those that did not arrive come last.
    arrivals.sort_by_key(|arrival| arrival.unwrap_or(Duration::MAX));
    let keys: BTreeSet<String> = operations.iter().map(|o| o.key.clone()).collect();
    let finale = runtime.block_on(finale::converge(&stage, &keys, healed, HEAL_WAIT))?;
    let drift = runtime.block_on(drift).map_err(failed)?;
    let judged = stage.counters.judge(&stage.nodes, HEAL_WAIT);
    let miscounts = runtime.block_on(judged);
    let judged = stage.elements.judge(&stage.nodes, HEAL_WAIT);
    let misplaced = runtime.block_on(judged);
    Ok(Run {
        history: History {
            about: About {
                clock_skew_us: Some(drift.as_micros() as u64 + TIMESTAMP_ERROR_US),
                local_reads: true,
                whole: false,
            },
            operations,
            finally: finale.answers,
        },
        deeds,
        arrivals,
        whole,
        converged: finale.converged,
        added: stage.counters.sums(),
        miscounts,
        elements: stage.elements.figures(),
        misplaced,
    })
}

/// By how much the wall clock went wrong against the steady one while the stage was on: all
/// nodes share it, so it is their only disagreement.
async fn wall_clock_drift(stage: Arc<load::Stage>) -> Duration {
    let (steady, wall) = (Instant::now(), SystemTime::now());
    let (mut ahead, mut behind) = (Duration::ZERO, Duration::ZERO);
    while !stage.stop.load(Ordering::Relaxed) {
        tokio::time::sleep(CLOCK_CHECK).await;
        let steady_now = steady.elapsed();
        let wall_now = wall.elapsed().unwrap_or_default();
        ahead = ahead.max(wall_now.saturating_sub(steady_now));
        behind = behind.max(steady_now.saturating_sub(wall_now));
    }
    ahead + behind
}

fn row(what: &str, figure: impl std::fmt::Display) {
    println!("| {what} | {figure} |");
}

fn tell_run(options: &Options, run: &Run, cluster: &Cluster) {
    println!(
        "| {} nodes, {} clients, {} s, seed {} | |",
        options.nodes, options.clients, options.seconds, options.seed
    );
    println!("|---|---|");
    row(
        "faults",
        format!("{}: {}", run.deeds.count(), run.deeds.told()),
    );
    row(
        "long cuts that membership noticed",
        format!("{} of {}", run.deeds.noticed, run.deeds.long_cuts),
    );
    row("healed until all see all alive", seconds(Some(run.whole)));
    row("healed until all agree", seconds(run.converged));
    let arrived: Vec<Duration> = run.arrivals.iter().flatten().copied().collect();
    row(
        "writes whose way to another node was timed, arrived before the faults ended",
        format!("{} of {}", arrived.len(), run.arrivals.len()),
    );
    for (quantile, name) in [(50, "p50"), (99, "p99")] {
        let at = run.arrivals.len() * quantile / 100;
        let what = format!("acknowledged until visible there, faults included, {name}");
        match arrived.get(at) {
            Some(arrived) => row(&what, seconds(Some(*arrived))),
            None => row(&what, "later than the faults ended"),
        }
    }
    for (counter, sum) in cluster.counters(&COUNTERS) {
        row(&format!("`{counter}`, sum of present lives"), sum);
    }
    row(
        "added to counters: acknowledged, and perhaps",
        format!("{}, {}", run.added.acknowledged, run.added.perhaps),
    );
    row("counters that are wrong", run.miscounts.len());
    let elements = &run.elements;
    row(
        "members of a set added and left, and removed; fields of a hash",
        format!(
            "{}, {}; {}",
            elements.added, elements.removed, elements.fields
        ),
    );
    row("members and fields that are wrong", run.misplaced.len());
    let skew = run.history.about.clock_skew_us.unwrap_or_default();
    row(
        "timestamps compared beyond a difference of",
        format!("{} ms", skew.div_ceil(1_000)),
    );
}

fn seconds(duration: Option<Duration>) -> String {
    match duration {
        Some(duration) => format!("{:.4} s", duration.as_secs_f64()),
        None => "never".to_owned(),
    }
}

fn tell_figures(verdict: &Verdict) {
    let figures = &verdict.figures;
    row(
        "operations",
        format!("{} on {} keys", figures.operations, figures.keys),
    );
    row("reads", figures.reads);
    row("writes acknowledged", figures.acknowledged);
    row("writes indeterminate", figures.indeterminate);
    row("writes refused", figures.refused);
    row("acknowledged puts that are live at the end", figures.live);
    row(
        "replaced by a write that is known to have known them",
        figures.covered,
    );
    row(
        "replaced unseen or clobbered by a concurrent write, at most",
        format!(
            "{} ({:.1} %)",
            figures.clobbered_most(),
            100.0 * figures.clobbered_rate()
        ),
    );
    for rule in Rule::ALL {
        row(rule.name(), verdict.count(rule));
    }
}

fn tell_violations(verdict: &Verdict) {
    for violation in verdict.violations.iter().take(SHOWN_MAX) {
        println!("{violation}");
    }
    let more = verdict.violations.len().saturating_sub(SHOWN_MAX);
    if more > 0 {
        println!("… and {more} more");
    }
}
