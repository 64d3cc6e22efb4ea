//! What it costs when members come and go, and what a hop to an owner costs.
//! Run by `scripts/measure-sharding.sh`.
//!
//! Five nodes under constant writes by sixteen clients; two join, one leaves, one is killed and
//! replaced. Then the same requests, one at a time, at an owner of their keys and at a node
//! that is none.

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use netdb::resp::Value;
use support::client::{Connection, fields};
use support::reshard::{Load, Step, addresses, await_death, await_settled, lost, owners};
use support::{Cluster, Node, netdb, number_from_env};

const CLIENTS: usize = 16;

/// How long a step may take before the measurement gives up.
const BOUND: Duration = Duration::from_secs(600);

/// As many as a node has if nothing else is said.
const PARTITIONS: usize = 256;

const POLL: Duration = Duration::from_millis(100);

/// Requests of each kind at each place.
const HOPS: usize = 5_000;

fn main() {
    let keys = u64::from(number_from_env("NETDB_KEYS", 10_000));
    let value_bytes = number_from_env("NETDB_VALUE_BYTES", 1_000) as usize;
    let mut cluster = Cluster::new();
    for _ in 0..5 {
        cluster.add();
    }
    cluster.await_whole();
    await_settled(&cluster.nodes, BOUND);
    let load = Load::begin(CLIENTS, keys, value_bytes, addresses(&cluster));
    let mut table = Table {
        // The number in front of the value has about four digits.
        bytes: CLIENTS as f64 * keys as f64 * (value_bytes + "client:10:key:500".len() + 5) as f64,
        steps: Vec::new(),
    };
    let all = CLIENTS as u64 * keys;
    let mut filled = 0;
    while filled < all {
        thread::sleep(POLL);
        filled += load.look().acknowledged;
    }
    let start = Instant::now();
    thread::sleep(Duration::from_secs(5));
    table.note("nothing happens", &load, start, None);

    let least = least(&cluster.nodes[0], &["JOIN", "n6", "JOIN", "n7"]);
    let before = (fetched(&cluster.nodes), placed(&cluster.nodes[0]));
    let start = Instant::now();
    let mut joining = [cluster.prepare(), cluster.prepare()];
    joining.iter_mut().for_each(Node::launch);
    for mut node in joining {
        await_ready(&mut node);
        cluster.nodes.push(node);
    }
    await_settled(&cluster.nodes, BOUND);
    load.connect_to(addresses(&cluster));
    let bytes = fetched(&cluster.nodes) - before.0;
    let moved = Moved::new(least, bytes, &before.1, &cluster.nodes[0]);
    table.note("two join", &load, start, Some(moved));

    let least = self::least(&cluster.nodes[0], &["LEAVE", "n3"]);
    let before = (fetched(&cluster.nodes), placed(&cluster.nodes[0]));
    let start = Instant::now();
    let mut leaving = cluster.nodes.remove(2);
    load.connect_to(addresses(&cluster));
    let own = fetched(std::slice::from_ref(&leaving));
    let left = netdb(["leave", "--node", &leaving.ports.client.to_string()]).status();
    assert!(left.expect("netdb leave").success());
    leaving.ended();
    await_settled(&cluster.nodes, BOUND);
    let bytes = fetched(&cluster.nodes) + own - before.0;
    let moved = Moved::new(least, bytes, &before.1, &cluster.nodes[0]);
    table.note("one leaves", &load, start, Some(moved));

    let start = Instant::now();
    let mut dead = cluster.nodes.remove(1);
    load.connect_to(addresses(&cluster));
    dead.kill();
    await_death(&cluster.nodes[0], "n2");
    table.note("one is killed", &load, start, None);

    let before = (fetched(&cluster.nodes), placed(&cluster.nodes[0]));
    let of_the_dead = before.1.values().filter(|names| names.contains("n2"));
    let least = of_the_dead.count() as f64;
    let start = Instant::now();
    cluster.more = vec!["--replace".to_owned(), "n2".to_owned()];
    let mut replacing = cluster.prepare();
    replacing.launch();
    await_ready(&mut replacing);
    cluster.nodes.push(replacing);
    await_settled(&cluster.nodes, BOUND);
    let bytes = fetched(&cluster.nodes) - before.0;
    let moved = Moved::new(least, bytes, &before.1, &cluster.nodes[0]);
    table.note("it is replaced", &load, start, Some(moved));

    let written = load.end();
    let mut found = 0;
    for node in &cluster.nodes {
        let mut connection = Connection::open(node.ports.client).expect("connection");
        found += lost(&mut connection, &written).len();
    }
    table.print(written.len(), found);
    assert_eq!(found, 0, "acknowledged writes are lost");
    hops(&cluster);
}

/// What one step did.
struct Row {
    name: &'static str,
    took: Duration,
    step: Step,
    moved: Option<Moved>,
}

/// The names of each partition's owners.
type Placed = BTreeMap<String, BTreeSet<String>>;

/// What was moved from node to node.
struct Moved {
    /// Copies that had to be moved, whatever the placement.
    least: f64,
    /// Owners that partitions got.
    copies: usize,
    /// Bytes of keys and values that nodes fetched. What is written while it goes on is
    /// pushed to who will hold it, and does not count.
    bytes: u64,
    /// Partitions of the node that has most, over the mean.
    most: f64,
}

impl Moved {
    fn new(least: f64, bytes: u64, before: &Placed, node: &Node) -> Self {
        let after = placed(node);
        let new = |(partition, names): (&String, &BTreeSet<String>)| {
            names.difference(&before[partition]).count()
        };
        let mut owned: BTreeMap<&str, usize> = BTreeMap::new();
        for name in after.values().flatten() {
            *owned.entry(name).or_default() += 1;
        }
        let most = owned.values().max().expect("owners");
        let mean = owned.values().sum::<usize>() as f64 / owned.len() as f64;
        Self {
            least,
            copies: after.iter().map(new).sum(),
            bytes,
            most: *most as f64 / mean,
        }
    }
}

struct Table {
    /// Bytes of all keys and values, once.
    bytes: f64,
    steps: Vec<Row>,
}

impl Table {
    fn note(&mut self, name: &'static str, load: &Load, start: Instant, moved: Option<Moved>) {
        let (took, step) = (start.elapsed(), load.look());
        let row = Row {
            name,
            took,
            step,
            moved,
        };
        eprintln!("{name}: {:.1} s", row.took.as_secs_f64());
        self.steps.push(row);
    }

    fn print(&self, keys: usize, lost: usize) {
        println!(
            "| {CLIENTS} clients write all the time | until nothing moves | writes/s | not \
             acknowledged at first | longest pause of a client: median, worst | copies moved, of \
             the least | bytes moved, of the least | most loaded over mean after |"
        );
        println!("|---|---|---|---|---|---|---|---|");
        for row in &self.steps {
            let mut pauses = row.step.pauses.clone();
            pauses.sort();
            let ms = |pause: &Duration| format!("{:.0} ms", pause.as_secs_f64() * 1e3);
            let median = &pauses[pauses.len() / 2];
            let moved = row.moved.as_ref().map(|moved| {
                let least = moved.least * self.bytes / PARTITIONS as f64;
                format!(
                    "{} ({:.3}) | {} ({:.3}) | {:.3}",
                    moved.copies,
                    moved.copies as f64 / moved.least,
                    moved.bytes,
                    moved.bytes as f64 / least,
                    moved.most,
                )
            });
            let moved = moved.as_deref().unwrap_or("| | ");
            println!(
                "| {} | {:.1} s | {:.0} | {} | {}, {} | {moved} |",
                row.name,
                row.took.as_secs_f64(),
                row.step.acknowledged as f64 / row.took.as_secs_f64(),
                row.step.failed,
                ms(median),
                ms(pauses.last().expect("clients")),
            );
        }
        println!("\n{keys} keys, {lost} not as last acknowledged on some node");
    }
}

/// Latencies one at a time at an owner and at a node that is none, side by side.
fn hops(cluster: &Cluster) {
    let mut connections: BTreeMap<String, Connection> = (cluster.nodes.iter())
        .map(|node| {
            let connection = Connection::open(node.ports.client).expect("connection");
            (node.name.clone(), connection)
        })
        .collect();
    let mut took: BTreeMap<(&str, bool), Vec<Duration>> = BTreeMap::new();
    for n in 0..HOPS {
        let key = format!("hop:{}", n % 500);
        let (_, owners) = owners(&cluster.nodes[0], &key);
        for is_owner in [true, false] {
            // Not always the same one.
            let node = (cluster.nodes.iter())
                .cycle()
                .skip(n % cluster.nodes.len())
                .find(|node| owners.contains(&node.name) == is_owner);
            let name = &node.expect("owners and others").name;
            let connection = connections.get_mut(name).expect("connected");
            for command in ["SET", "GET"] {
                let words = [command, key.as_str(), "value"];
                let words = if command == "GET" {
                    &words[..2]
                } else {
                    &words[..]
                };
                let start = Instant::now();
                let answer = connection.call(words).expect("answer");
                assert!(!matches!(answer, Value::Error(_)), "{answer:?}");
                took.entry((command, is_owner))
                    .or_default()
                    .push(start.elapsed());
            }
        }
    }
    println!(
        "\n| one request at a time | at an owner: p50, p99 | at another node: p50, p99 | ratio of p50 |"
    );
    println!("|---|---|---|---|");
    for command in ["SET", "GET"] {
        let quantile = |is_owner, q: f64| {
            let mut all = took[&(command, is_owner)].clone();
            all.sort();
            all[((all.len() - 1) as f64 * q) as usize].as_secs_f64() * 1e6
        };
        println!(
            "| {command} | {:.0} µs, {:.0} µs | {:.0} µs, {:.0} µs | {:.2} |",
            quantile(true, 0.5),
            quantile(true, 0.99),
            quantile(false, 0.5),
            quantile(false, 0.99),
            quantile(false, 0.5) / quantile(true, 0.5),
        );
    }
}

/// Bytes of keys and values that these nodes have fetched from others.
fn fetched(nodes: &[Node]) -> u64 {
    let of = |node: &Node| {
        let status = node.status().expect("status");
        status["sync_bytes_fetched"]
            .parse::<u64>()
            .expect("a number")
    };
    nodes.iter().map(of).sum()
}

/// Copies that such a change must move at least.
fn least(node: &Node, change: &[&str]) -> f64 {
    let command: Vec<&str> = ["NETDB", "PLAN"].iter().chain(change).copied().collect();
    let plan = fields(node.call(&command)).expect("a plan");
    plan["copies_min"].parse().expect("a number")
}

/// The owners of every partition, as `node` says.
fn placed(node: &Node) -> Placed {
    let mut found = Placed::new();
    for n in 0.. {
        let (partition, names) = owners(node, &format!("probe:{n}"));
        found.insert(partition, names.into_iter().collect());
        if found.len() == PARTITIONS {
            break;
        }
    }
    found
}

fn await_ready(node: &mut Node) {
    let start = Instant::now();
    while node.ready_line().is_none() {
        assert!(start.elapsed() < BOUND, "{} is not ready", node.name);
        thread::sleep(POLL);
    }
}
