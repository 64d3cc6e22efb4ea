//! How soon ten nodes know each other, how soon they know that one has died or left, and
//! what they send while nothing happens. Run by `scripts/measure-membership.sh`.
//!
//! Ten processes on this machine's loopback, from one seed. One connection to each node's
//! client port polls `NETDB MEMBERS`, so times are exact to about the polling interval.
//! Nodes die by SIGKILL at moments that are not in step with their probes.

#[path = "../tests/support/mod.rs"]
mod support;

use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use support::{Cluster, Node};

const NODES: usize = 10;

const POLL: Duration = Duration::from_millis(10);

/// How long idle traffic is counted.
const IDLE: Duration = Duration::from_secs(20);

/// How long any one event may take before the measurement gives up.
const BOUND: Duration = Duration::from_secs(60);

fn main() {
    let kills = number("NETDB_KILLS", 20);
    let leaves = number("NETDB_LEAVES", 5);
    let mut rng = SmallRng::seed_from_u64(number("NETDB_SEED_OF_CHANCE", 1) as u64);

    let start = Instant::now();
    let mut cluster = Cluster::new();
    let mut nodes: Vec<Node> = (0..NODES).map(|_| cluster.prepare()).collect();
    nodes.iter_mut().for_each(Node::launch);
    let launched = start.elapsed();
    nodes.iter_mut().for_each(Node::await_ready);
    cluster.nodes = nodes;
    await_all_alive(&cluster);
    let whole = start.elapsed();
    progress(&format!("{NODES} nodes are whole after {}", seconds(whole)));

    let idle = idle_traffic(&cluster);
    let mut first = Vec::new();
    let mut all = Vec::new();
    for kill in 0..kills {
        let victim = kill % NODES;
        thread::sleep(Duration::from_millis(rng.random_range(0..1_000)));
        let start = Instant::now();
        cluster.nodes[victim].kill();
        let (one, every) = await_state(&cluster, victim, "failed", start);
        progress(&format!(
            "kill {}: first {}, all {}",
            kill + 1,
            seconds(one),
            seconds(every)
        ));
        first.push(one);
        all.push(every);
        bring_back(&mut cluster, victim);
    }

    let mut left = Vec::new();
    for leave in 0..leaves {
        let victim = 1 + leave % (NODES - 1);
        let start = Instant::now();
        cluster.nodes[victim].signal("TERM");
        left.push(await_state(&cluster, victim, "left", start).1);
        cluster.nodes[victim].kill();
        bring_back(&mut cluster, victim);
    }

    println!("| {NODES} nodes, one seed, loopback | p50 | p99 | max |");
    println!("|---|---|---|---|");
    row("all started (processes)", &mut [launched]);
    row("all ten see ten alive, from the first start", &mut [whole]);
    row(
        &format!("kill -9 until the first shows it failed ({kills} kills)"),
        &mut first,
    );
    row(
        &format!("kill -9 until all nine show it failed ({kills} kills)"),
        &mut all,
    );
    row(
        &format!("SIGTERM until all nine show it left ({leaves} times)"),
        &mut left,
    );
    println!();
    println!("| one idle node of {NODES} | bytes per second |");
    println!("|---|---|");
    for (counter, rate) in idle {
        println!("| {counter} | {rate:.0} |");
    }
}

fn number(variable: &str, default: usize) -> usize {
    let set = std::env::var(variable).ok();
    set.map_or(default, |text| text.parse().expect(variable))
}

fn progress(text: &str) {
    eprintln!("{text}");
}

fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

fn await_all_alive(cluster: &Cluster) {
    for node in &cluster.nodes {
        let start = Instant::now();
        loop {
            let members = node.members().unwrap_or_default();
            let alive = members.iter().filter(|member| member["state"] == "alive");
            if alive.count() == NODES {
                break;
            }
            assert!(
                start.elapsed() < BOUND,
                "{}: {:?}",
                node.name,
                node.states()
            );
            thread::sleep(POLL);
        }
    }
}

fn bring_back(cluster: &mut Cluster, victim: usize) {
    cluster.nodes[victim].start();
    await_all_alive(cluster);
}

/// When the first and when the last of the others showed `victim` in `state`.
fn await_state(
    cluster: &Cluster,
    victim: usize,
    state: &str,
    start: Instant,
) -> (Duration, Duration) {
    let name = &cluster.nodes[victim].name;
    let mut waiting: Vec<&Node> = cluster.nodes.iter().filter(|n| n.name != *name).collect();
    let mut first = None;
    while !waiting.is_empty() {
        waiting.retain(|node| {
            let members = node.members().unwrap_or_default();
            let shown = members.iter().find(|member| member["name"] == *name);
            shown.is_none_or(|member| member["state"] != state)
        });
        if waiting.len() < NODES - 1 {
            first.get_or_insert_with(|| start.elapsed());
        }
        let names: Vec<&str> = waiting.iter().map(|node| node.name.as_str()).collect();
        assert!(
            start.elapsed() < BOUND,
            "{name} is not {state} at {names:?}"
        );
        thread::sleep(POLL);
    }
    let all = start.elapsed();
    (first.unwrap_or(all), all)
}

/// Bytes per second of one node, by counter, over `IDLE` in which nobody asks anything.
fn idle_traffic(cluster: &Cluster) -> Vec<(String, f64)> {
    thread::sleep(Duration::from_secs(5));
    let before = byte_counters(cluster);
    let start = Instant::now();
    thread::sleep(IDLE);
    let elapsed = start.elapsed().as_secs_f64();
    let after = byte_counters(cluster);
    for needed in ["udp_bytes_sent", "udp_bytes_received"] {
        let known = after.iter().any(|(name, _)| name == needed);
        assert!(
            known,
            "NETDB STATUS has no counter {needed}: idle traffic is not available"
        );
    }
    let rates = after.iter().map(|(name, total)| {
        let earlier = before.iter().find(|(known, _)| known == name);
        let grown = total - earlier.map_or(0, |(_, total)| *total);
        (name.clone(), grown as f64 / elapsed / NODES as f64)
    });
    rates.collect()
}

/// Every counter of peer traffic in bytes, summed over all nodes.
fn byte_counters(cluster: &Cluster) -> Vec<(String, u64)> {
    let mut sums: Vec<(String, u64)> = Vec::new();
    for node in &cluster.nodes {
        for (name, value) in node.status().expect("NETDB STATUS") {
            let peers = name.starts_with("udp_bytes") || name.starts_with("peer_bytes");
            let Some(value) = value.parse::<u64>().ok().filter(|_| peers) else {
                continue;
            };
            match sums.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum += value,
                None => sums.push((name, value)),
            }
        }
    }
    sums
}

/// One line of the table. With few samples p99 is the largest.
fn row(what: &str, samples: &mut [Duration]) {
    samples.sort();
    let at = |part: f64| {
        let index = (part * samples.len() as f64).ceil() as usize;
        samples[index.saturating_sub(1).min(samples.len() - 1)]
    };
    match samples {
        [] => {}
        [only] => println!("| {what} | {} | – | – |", seconds(*only)),
        _ => println!(
            "| {what} | {} | {} | {} |",
            seconds(at(0.50)),
            seconds(at(0.99)),
            seconds(at(1.0))
        ),
    }
}
