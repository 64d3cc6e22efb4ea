//! What clients that are connected and say nothing cost a node: memory, and the time of those
//! that do speak. Run by `scripts/measure-connections.sh`.
//!
//! Connections are opened and left alone, then each says one PING and is left alone again: what
//! has spoken once may keep buffers. At last all are closed.

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use netdb::resp::Value;
use support::client::text;
use support::{LATER, Node, eventually, unique_cluster_name};
use tempfile::TempDir;

/// PINGs that are timed, one after the other on one connection.
const TIMED: usize = 20_000;

/// A node that answers slower than this is broken.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// Files that a process has open beside its connections, with room to spare.
const FILES_BESIDE: usize = 200;

/// Connections of the measurement itself: the one that is timed and the one that asks.
const OWN: usize = 2;

fn main() {
    let wanted = number("NETDB_CONNECTIONS", 10_000);
    let files_max = number("NETDB_FILES_MAX", usize::MAX);
    let count = wanted.min(files_max.saturating_sub(FILES_BESIDE));
    if count < wanted {
        eprintln!("a process may have {files_max} files open here: {count} connections");
    }
    let directory = TempDir::new().expect("directory");
    let mut node = Node::new("connections", &unique_cluster_name(), directory.path());
    let clients_max = (count + OWN).to_string();
    node.more = ["--clients-max", &clients_max].map(str::to_owned).into();
    node.start_first();

    let mut timed = connect(node.ports.client);
    // What a node takes for its first requests is not the connections'.
    time_pings(&mut timed);
    await_clients(&node, OWN);
    let none = Measured::new(&node, &mut timed);

    let start = Instant::now();
    let mut idle: Vec<TcpStream> = (0..count).map(|_| connect(node.ports.client)).collect();
    await_clients(&node, count + OWN);
    let opening = start.elapsed();
    let silent = Measured::new(&node, &mut timed);
    for connection in &mut idle {
        ping(connection);
    }
    let spoken = Measured::new(&node, &mut timed);
    drop(idle);
    await_clients(&node, OWN);
    let closed = Measured::new(&node, &mut timed);

    println!(
        "| {count} idle connections to one node | none | silent | after a PING each | closed |"
    );
    println!("|---|--:|--:|--:|--:|");
    let all = [&none, &silent, &spoken, &closed];
    row("resident memory", all.map(|at| mb(at.resident)));
    let more = |at: &Measured| at.resident.saturating_sub(none.resident) as f64;
    let per_connection = |at| format!("{:.2} kB", more(at) / count as f64 / 1_000.0);
    let [silent_each, spoken_each] = [&silent, &spoken].map(per_connection);
    let dash = || "–".to_owned();
    row(
        "more than before, per connection",
        [dash(), silent_each, spoken_each, dash()],
    );
    row("PING, p50", all.map(|at| micros(at.p50)));
    row("PING, p99", all.map(|at| micros(at.p99)));
    println!(
        "\nAll were open after {:.2} s; {TIMED} PINGs each, one at a time on one more connection.",
        opening.as_secs_f64()
    );
}

/// What is measured at one moment.
struct Measured {
    resident: u64,
    p50: Duration,
    p99: Duration,
}

impl Measured {
    fn new(node: &Node, timed: &mut TcpStream) -> Self {
        let pings = time_pings(timed);
        Self {
            resident: node.resident_bytes().expect("a system with /proc"),
            p50: pings[pings.len() / 2],
            p99: pings[pings.len() * 99 / 100],
        }
    }
}

fn number(variable: &str, default: usize) -> usize {
    let set = std::env::var(variable).ok();
    set.map_or(default, |text| text.parse().expect(variable))
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    let waits = stream.set_read_timeout(Some(ANSWER_WAIT));
    waits.expect("a time-out");
    stream
}

fn ping(connection: &mut TcpStream) {
    let mut answer = [0; 7];
    connection
        .write_all(b"*1\r\n$4\r\nPING\r\n")
        .expect("a request");
    connection.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"+PONG\r\n");
}

/// How long each of `TIMED` PINGs took, the shortest first.
fn time_pings(connection: &mut TcpStream) -> Vec<Duration> {
    let mut took: Vec<Duration> = (0..TIMED)
        .map(|_| {
            let start = Instant::now();
            ping(connection);
            start.elapsed()
        })
        .collect();
    took.sort_unstable();
    took
}

/// Waits until the node counts so many connections.
fn await_clients(node: &Node, count: usize) {
    let line = format!("connected_clients:{count}");
    eventually("all connections are accepted", LATER, || {
        let info = match node.try_call(&["INFO", "clients"])? {
            Value::Error(error) => return Err(error),
            info => text(&info),
        };
        let is_there = info.lines().any(|have| have == line);
        is_there.then_some(()).ok_or(info)
    });
}

fn row(what: &str, cells: [String; 4]) {
    println!("| {what} | {} |", cells.join(" | "));
}

fn mb(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1_000_000.0)
}

fn micros(time: Duration) -> String {
    format!("{} µs", time.as_micros())
}
