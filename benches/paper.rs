//! The paper's table, replayed (Gonçalves et al. 2015, "Concise Server-Wide Causality
//! Management for Eventually Consistent Data Stores", Table 1): 16 nodes, 40,000 keys with 3
//! replicas each, 10,000 writes of which 10 % lose the push to one replica, then
//! anti-entropy until all replicas agree.
//!
//! Real partitions, the real synchroniser on virtual time, and the real frames; no sockets.
//! What is absent: loss during anti-entropy, and time on the network (a frame arrives at once).
//!
//! Two ways of counting are printed. "Strict" is every byte before sealing that is not a key
//! or a value of a row. The other follows the authors' own code of that spring, since the
//! figures of the paper cannot be totals (3.04 KB at 0.019 KB per key are 160 keys, and some
//! 1,000 pushes were lost). DottedDB at a461157, `sync_response` in `dotted_db_vnode.erl` and
//! `average_exchange_info` in `dotted_db.erl`:
//! - metadata: the causal contexts of the objects sent and the answerer's base vector, of
//!   syncs that sent something; not the question, the dots, the keys, nor any header; then
//!   the *mean over the vnodes*, here the nodes;
//! - hit ratio: objects that changed the receiver's copy, of objects sent;
//! - entries per key: those of the stripped context, the dots of live values left out.

mod cluster;
mod traffic;

use bytes::Bytes;
use clap::Parser;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use cluster::{Cluster, Figures, NODES, REPLICAS};
use traffic::{FRAME_HEADER_BYTES, NAME_BYTES};

/// Kibibytes, as the authors' `human_filesize` divides.
const KB: f64 = 1024.0;

/// Replays the workload of Table 1 of "Concise Server-Wide Causality Management".
#[derive(Clone, Debug, Parser)]
struct Args {
    /// Keys written before the measurement, to all their replicas.
    #[arg(long, default_value_t = 40_000)]
    keys: u64,
    /// Writes of the measurement, to keys chosen at random.
    #[arg(long, default_value_t = 10_000)]
    writes: u64,
    /// Of 100 writes, how many lose the push to one replica.
    #[arg(long, default_value_t = 10)]
    lost_percent: u8,
    /// Bytes of a value.
    #[arg(long, default_value_t = 100)]
    value_bytes: usize,
    /// Seed of the run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One run: how the keyspace is cut, and when the nodes compare themselves.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    partitions: u16,
    /// An interval of anti-entropy after this many writes; none before the end.
    sync_every: Option<u64>,
    /// All connections are new when anti-entropy begins: no actor was named on them.
    reconnect: bool,
}

fn main() {
    let args = Args::parse();
    let scenarios = [256, 16].into_iter().flat_map(|partitions| {
        let cases = [
            (None, false),
            (None, true),
            (Some(1_000), false),
            (Some(100), false),
        ];
        cases.map(|(sync_every, reconnect)| Scenario {
            partitions,
            sync_every,
            reconnect,
        })
    });
    let runs: Vec<_> = scenarios
        .map(|scenario| (scenario, run(&args, scenario)))
        .collect();
    let (_, main) = &runs[0];
    println!(
        "{NODES} nodes, {} keys, {REPLICAS} replicas, {} writes, {} % of them lose one push \
         (seed {}); values of {} bytes.\n",
        args.keys, args.writes, args.lost_percent, args.seed, args.value_bytes
    );
    print_table(main);
    print_breakdown(main);
    print_scenarios(&runs);
}

fn run(args: &Args, scenario: Scenario) -> Figures {
    let mut rng = SmallRng::seed_from_u64(args.seed);
    let mut cluster = Cluster::new(scenario.partitions, &mut rng);
    let value = |rng: &mut SmallRng| {
        let mut value = vec![0; args.value_bytes];
        rng.fill_bytes(&mut value);
        Bytes::from(value)
    };
    for n in 0..args.keys {
        let write = value(&mut rng);
        cluster.write(key(n), write, None, &mut rng);
    }
    cluster.anti_entropy();
    cluster.figures = Figures::default();
    for n in 0..args.writes {
        let lost = (rng.random_range(0..100) < args.lost_percent)
            .then(|| 1 + rng.random_range(0..REPLICAS - 1));
        let write = value(&mut rng);
        cluster.write(key(rng.random_range(0..args.keys)), write, lost, &mut rng);
        if scenario
            .sync_every
            .is_some_and(|every| (n + 1) % every == 0)
        {
            cluster.interval();
        }
    }
    cluster.figures.outdated = cluster.figures.hits + cluster.outdated();
    (cluster.figures.residual_before, _) = cluster.entries();
    cluster.figures.clock_before = cluster.clock_bytes();
    if scenario.reconnect {
        cluster.reconnect();
    }
    cluster.anti_entropy();
    assert_eq!(cluster.outdated(), 0, "all replicas have the same versions");
    assert_eq!(
        cluster.figures.hits, cluster.figures.outdated,
        "each outdated key is repaired once"
    );
    (cluster.figures.residual_after, cluster.figures.dots_after) = cluster.entries();
    cluster.figures.clock_after = cluster.clock_bytes();
    cluster.figures
}

fn key(n: u64) -> Bytes {
    Bytes::from(format!("key:{n:016}"))
}

fn kb(bytes: u64) -> f64 {
    bytes as f64 / KB
}

fn print_table(figures: &Figures) {
    let total = figures.traffic.total();
    let metadata = total.metadata();
    let hit = 100.0 * figures.hits as f64 / figures.rows as f64;
    println!("| | hit ratio | metadata | per repaired key | clock entries per key |");
    println!("|---|---|---|---|---|");
    println!("| Merkle trees (paper) | 0.126–60.2 % | 293–6,441 KB | | 3 |");
    println!("| server-wide clocks (paper) | 100 % | 3.04 KB | 0.019 KB | 0.231 |");
    println!(
        "| netdb, counted as by the authors' code, mean of the nodes | {hit:.1} % | {:.2} KB | {:.3} KB | {:.3} |",
        kb(figures.papers_bytes) / NODES as f64,
        kb(figures.papers_bytes) / figures.hits as f64,
        figures.residual_stored.get(),
    );
    println!(
        "| netdb, strict, mean of the nodes | {hit:.1} % | {:.2} KB | {:.3} KB | {:.3} |",
        kb(metadata) / NODES as f64,
        kb(metadata) / figures.hits as f64,
        figures.residual_stored.get(),
    );
    println!(
        "| netdb, strict, whole cluster | {hit:.1} % | {:.2} KB | {:.3} KB | {:.3} |",
        kb(metadata),
        kb(metadata) / figures.hits as f64,
        figures.residual_stored.get(),
    );
    println!(
        "\n{} pushes lost; {} keys outdated at a replica and repaired; {} rows sent, {} of them to \
         replicas that a later write had already brought up to date, and {} left out for that. {} \
         intervals. Full syncs asked for: {}.",
        figures.lost,
        figures.outdated,
        figures.rows,
        figures.rows - figures.hits,
        figures.left_out,
        figures.intervals,
        figures.too_far_behind,
    );
    println!(
        "Context entries per stored key beside its live dots: {:.3} over all stores by writes and \
         pushes, {:.3} before anti-entropy, {:.3} after; live dots per key {:.3}. A node's clocks: \
         {:.2} KB before, {:.2} KB after.\n",
        figures.residual_stored.get(),
        figures.residual_before.get(),
        figures.residual_after.get(),
        figures.dots_after.get(),
        figures.clock_before.get() / KB,
        figures.clock_after.get() / KB,
    );
}

fn print_breakdown(figures: &Figures) {
    let traffic = &figures.traffic;
    let total = traffic.total();
    let share = |bytes: u64| 100.0 * bytes as f64 / total.metadata() as f64;
    let per_key = |bytes: u64| bytes as f64 / figures.hits as f64;
    println!("| whole cluster | messages | bytes | metadata | share | metadata per repaired key |");
    println!("|---|---|---|---|---|---|");
    for (kind, sum) in &traffic.kinds {
        let metadata = sum.metadata();
        println!(
            "| {kind} | {} | {} | {metadata} | {:.1} % | {:.1} B |",
            sum.messages,
            sum.bytes,
            share(metadata),
            per_key(metadata)
        );
    }
    let parts = &traffic.delta;
    for (part, bytes) in [
        ("of delta: table of actors and bases", parts.base),
        ("of delta: covers", parts.covers),
        ("of delta: row fields", parts.row_fields),
        ("of delta: residual contexts", parts.residual),
        ("frame headers", traffic.frames * FRAME_HEADER_BYTES),
    ] {
        println!(
            "| {part} | | | {bytes} | {:.1} % | {:.1} B |",
            share(bytes),
            per_key(bytes)
        );
    }
    println!(
        "| all | {} in {} frames | {} | {} | 100 % | {:.1} B |\n",
        total.messages,
        traffic.frames,
        total.bytes,
        total.metadata(),
        per_key(total.metadata())
    );
    let names = traffic.names * NAME_BYTES;
    let push = figures
        .pushes
        .kinds
        .get("push")
        .copied()
        .unwrap_or_default();
    println!(
        "{} actors were named in full, {names} of these bytes ({:.1} %); the pushes before had named \
         the others. A push takes {:.1} bytes beside key and value. Sealing would add {:.2} KB.\n",
        traffic.names,
        share(names),
        push.metadata() as f64 / push.messages as f64,
        kb(traffic.seal_bytes())
    );
}

fn print_scenarios(runs: &[(Scenario, Figures)]) {
    println!(
        "| partitions | anti-entropy | hit ratio | repaired | strict metadata | per node | per repaired key | as \
         the authors count, per node | per repaired key | entries per key |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (scenario, figures) in runs {
        let when = match scenario.sync_every {
            None if scenario.reconnect => "after the writes, new connections".to_owned(),
            None => "after the writes".to_owned(),
            Some(every) => format!("also after each {every}"),
        };
        let metadata = figures.traffic.total().metadata();
        println!(
            "| {} | {when} | {:.1} % | {} | {:.1} KB | {:.2} KB | {:.3} KB | {:.2} KB | {:.3} KB | {:.3} |",
            scenario.partitions,
            100.0 * figures.hits as f64 / figures.rows as f64,
            figures.hits,
            kb(metadata),
            kb(metadata) / NODES as f64,
            kb(metadata) / figures.hits as f64,
            kb(figures.papers_bytes) / NODES as f64,
            kb(figures.papers_bytes) / figures.hits as f64,
            figures.residual_stored.get(),
        );
    }
}
