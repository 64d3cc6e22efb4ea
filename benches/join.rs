//! How long a node that joins empty takes to hold everything, and what that costs.
//! Run by `scripts/measure-join.sh`.
//!
//! 100,000 keys are put on two nodes; a third joins without data. It is done when it counts
//! all keys and a sample of them reads right.

#[path = "../tests/support/mod.rs"]
mod support;

use std::thread;
use std::time::{Duration, Instant};

use netdb::resp::Value;
use support::client::{Connection, Fields};
use support::{Cluster, Node};

const POLL: Duration = Duration::from_millis(10);

/// How long loading or joining may take before the measurement gives up.
const BOUND: Duration = Duration::from_secs(600);

/// Connections that load at the same time; each waits for every answer.
const LOADERS: usize = 16;

fn main() {
    let keys = number("NETDB_KEYS", 100_000);
    let value_bytes = number("NETDB_VALUE_BYTES", 100);
    let mut cluster = Cluster::start(2);

    let start = Instant::now();
    load(&cluster, keys, value_bytes);
    let loaded = start.elapsed();
    for node in &cluster.nodes {
        await_keys(node, keys, start);
    }
    eprintln!(
        "{keys} keys are on two nodes after {:.1} s",
        start.elapsed().as_secs_f64()
    );

    let before: Vec<Fields> = cluster.nodes.iter().map(status).collect();
    let start = Instant::now();
    cluster.add();
    let ready = start.elapsed();
    let joined = &cluster.nodes[2];
    await_keys(joined, keys, start);
    let whole = start.elapsed();
    check_sample(joined, keys, value_bytes);

    let user_bytes = keys * (key(0).len() + value_bytes);
    println!("| an empty node joins two with {keys} keys of {value_bytes} bytes | |");
    println!("|---|---|");
    println!(
        "| its process starts until it is ready | {:.2} s |",
        ready.as_secs_f64()
    );
    println!(
        "| its process starts until it holds all keys | {:.2} s |",
        whole.as_secs_f64()
    );
    println!(
        "| keys per second | {:.0} |",
        keys as f64 / whole.as_secs_f64()
    );
    println!("| bytes of keys and values | {user_bytes} |");
    bytes_rows(joined, &cluster.nodes[..2], &before, user_bytes);
    println!(
        "| loading before, {LOADERS} connections, one request at a time each | {:.0} puts/s |",
        keys as f64 / loaded.as_secs_f64()
    );
}

fn number(variable: &str, default: usize) -> usize {
    let set = std::env::var(variable).ok();
    set.map_or(default, |text| text.parse().expect(variable))
}

fn key(i: usize) -> String {
    format!("key:{i:012}")
}

/// A value that says which key it belongs to.
fn value(i: usize, bytes: usize) -> String {
    format!("{i:x>bytes$}")
}

fn load(cluster: &Cluster, keys: usize, value_bytes: usize) {
    thread::scope(|scope| {
        for loader in 0..LOADERS {
            let addr = cluster.nodes[loader % 2].ports.client;
            scope.spawn(move || {
                let mut connection = Connection::open(addr).expect("connection");
                for i in (loader..keys).step_by(LOADERS) {
                    let answer = connection.call(&["SET", &key(i), &value(i, value_bytes)]);
                    assert_eq!(answer, Ok(Value::ok()), "SET {}", key(i));
                }
            });
        }
    });
}

fn await_keys(node: &Node, keys: usize, start: Instant) {
    let wanted = Value::Integer(keys as i64);
    loop {
        let count = node.try_call(&["DBSIZE"]);
        if count.as_ref() == Ok(&wanted) {
            return;
        }
        assert!(
            start.elapsed() < BOUND,
            "{}: {count:?} keys, not {keys}",
            node.name
        );
        thread::sleep(POLL);
    }
}

fn check_sample(node: &Node, keys: usize, value_bytes: usize) {
    for i in (0..keys).step_by((keys / 1_000).max(1)) {
        let held = node.get(&key(i));
        assert_eq!(held, Ok(Some(value(i, value_bytes))), "{}", key(i));
    }
}

fn status(node: &Node) -> Fields {
    node.status().expect("NETDB STATUS")
}

/// What the newcomer received since it started, and what the two others sent meanwhile.
fn bytes_rows(joined: &Node, others: &[Node], before: &[Fields], user_bytes: usize) {
    let now = status(joined);
    let received = count(&now, "peer_bytes_received");
    let sent: u64 = others
        .iter()
        .zip(before)
        .map(|(node, before)| {
            count(&status(node), "peer_bytes_sent") - count(before, "peer_bytes_sent")
        })
        .sum();
    let ratio = |bytes: u64| bytes as f64 / user_bytes as f64;
    println!(
        "| bytes it received from peers | {received} ({:.2} of keys and values) |",
        ratio(received)
    );
    println!(
        "| bytes the two others sent meanwhile | {sent} ({:.2}) |",
        ratio(sent)
    );
}

fn count(status: &Fields, counter: &str) -> u64 {
    let value = status.get(counter);
    let value =
        value.unwrap_or_else(|| panic!("NETDB STATUS has no counter {counter}: not available"));
    value.parse().expect("a counter is a number")
}
