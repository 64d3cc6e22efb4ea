//! A node whose data is many times its memory budget: what it holds in memory, how fast it
//! is, and how long it takes to start again. Run by `scripts/measure-storage.sh`.
//!
//! The node is filled with a tenth of the keys, killed, started, filled with all of them, killed
//! and started again: an opening that depends on what is not on disk yet takes as long both
//! times.

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use netdb::resp::Value;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use support::client::fields;
use support::{Node, unique_cluster_name};
use tempfile::TempDir;

/// Requests on their way at once.
const IN_FLIGHT: u64 = 64;

/// Requests of each kind that are timed with many on their way.
const TIMED: u64 = 100_000;

/// Reads of each kind that are timed one by one.
const TIMED_ALONE: usize = 10_000;

/// How many times the first size the second is.
const GROWTH: u64 = 10;

/// How often memory is looked at while the node is filled, in requests.
const LOOK_EVERY: u64 = 4_096;

/// A node that answers slower than this is broken.
const ANSWER_WAIT: Duration = Duration::from_secs(60);

const MB: f64 = 1_000_000.0;

fn main() {
    let budget = number("NETDB_BUDGET_MB", 512);
    let whole = number("NETDB_KEYS", 10_000_000);
    let value_bytes = number("NETDB_VALUE_BYTES", 100) as usize;
    let directory = TempDir::new().expect("directory");
    let mut node = Node::new("storage", &unique_cluster_name(), directory.path());
    node.more = vec!["--memory-budget".to_owned(), format!("{budget}MB")];
    node.start_first();

    let mut keys = 0;
    let sizes = [whole / GROWTH, whole].map(|until| {
        let filled = fill(&node, keys..until, value_bytes);
        keys = until;
        let opening = restart(&mut node, keys);
        let mut timed = timed_alone(&node, keys, value_bytes);
        timed.extend(timed_together(&node, keys, value_bytes));
        Size {
            keys,
            filled,
            opening,
            timed,
            resident: node.resident_bytes().unwrap_or(0),
        }
    });
    println!("| budget {budget} MB, values of {value_bytes} bytes | | |");
    println!("|---|---|---|");
    print(&sizes);
}

/// What was measured at one size.
struct Size {
    keys: u64,
    filled: Filled,
    opening: Opening,
    timed: Vec<(&'static str, String)>,
    resident: u64,
}

struct Filled {
    count: u64,
    took: Duration,
    /// The most memory that was seen while it was filled.
    resident: u64,
    disk: u64,
}

struct Opening {
    opening_ms: String,
    ready: Duration,
    /// Right after it.
    resident: u64,
}

fn print(sizes: &[Size; 2]) {
    let row = |name: &str, of: &dyn Fn(&Size) -> String| {
        println!("| {name} | {} | {} |", of(&sizes[0]), of(&sizes[1]));
    };
    let mb = |bytes: u64| format!("{:.0} MB", bytes as f64 / MB);
    row("keys", &|size| size.keys.to_string());
    row("on disk", &|size| {
        let each = size.filled.disk as f64 / size.keys as f64;
        format!("{}, {each:.0} bytes per key", mb(size.filled.disk))
    });
    row("most memory while it is filled", &|size| {
        mb(size.filled.resident)
    });
    row("memory after all that is below", &|size| mb(size.resident));
    row("memory right after a restart", &|size| {
        mb(size.opening.resident)
    });
    row("opening after kill -9", &|size| {
        format!("{} ms", size.opening.opening_ms)
    });
    row("process starts until it is ready", &|size| {
        format!("{:.2} s", size.opening.ready.as_secs_f64())
    });
    row("filling", &|size| {
        let Filled { took, count, .. } = &size.filled;
        let seconds = took.as_secs_f64();
        format!("{seconds:.0} s, {:.0} SET/s", *count as f64 / seconds)
    });
    for at in 0..sizes[0].timed.len() {
        row(sizes[0].timed[at].0, &|size| size.timed[at].1.clone());
    }
}

/// Puts the keys of `range`.
fn fill(node: &Node, range: std::ops::Range<u64>, value_bytes: usize) -> Filled {
    let mut pipe = Pipe::open(node);
    let count = range.end - range.start;
    let start = Instant::now();
    let mut resident = 0;
    let mut next = range.start;
    while next < range.end {
        let until = (next + IN_FLIGHT).min(range.end);
        pipe.set(next..until, value_bytes);
        if next % LOOK_EVERY < IN_FLIGHT {
            resident = resident.max(node.resident_bytes().unwrap_or(0));
        }
        next = until;
    }
    Filled {
        count,
        took: start.elapsed(),
        resident,
        disk: size_of(&node.data()),
    }
}

fn restart(node: &mut Node, keys: u64) -> Opening {
    node.kill();
    let start = Instant::now();
    node.start();
    let ready = start.elapsed();
    let resident = node.resident_bytes().unwrap_or(0);
    let status = fields(node.call(&["NETDB", "STATUS"])).expect("a status");
    assert_eq!(node.call(&["DBSIZE"]), Value::Integer(keys as i64));
    Opening {
        opening_ms: status["opening_ms"].clone(),
        ready,
        resident,
    }
}

/// Reads with one on its way, right after a restart: first among all keys, of which hardly any is
/// in memory, then among few, which are after the first reads of them.
fn timed_alone(node: &Node, keys: u64, value_bytes: usize) -> Vec<(&'static str, String)> {
    let mut pipe = Pipe::open(node);
    let mut rng = SmallRng::seed_from_u64(2);
    let mut percentiles = |range: u64| {
        let mut took = Vec::with_capacity(TIMED_ALONE);
        for _ in 0..TIMED_ALONE {
            let picked = rng.random_range(0..range);
            let start = Instant::now();
            pipe.get(std::iter::once(picked), value_bytes);
            took.push(start.elapsed());
        }
        took.sort_unstable();
        let at = |percent: usize| took[took.len() * percent / 100].as_micros();
        format!("{} µs, {} µs", at(50), at(99))
    };
    let cold = percentiles(keys);
    let hot = keys.clamp(1, 1_000);
    percentiles(hot);
    vec![
        ("one GET at a time, cold: p50, p99", cold),
        ("one GET at a time, hot: p50, p99", percentiles(hot)),
    ]
}

fn timed_together(node: &Node, keys: u64, value_bytes: usize) -> Vec<(&'static str, String)> {
    let mut pipe = Pipe::open(node);
    let mut rng = SmallRng::seed_from_u64(1);
    let hot = (keys / 100).max(1);
    let mut rate = |range: u64, is_set: bool| {
        let start = Instant::now();
        for _ in 0..TIMED / IN_FLIGHT {
            let picked: Vec<u64> = (0..IN_FLIGHT).map(|_| rng.random_range(0..range)).collect();
            match is_set {
                true => pipe.set(picked.into_iter(), value_bytes),
                false => pipe.get(picked.into_iter(), value_bytes),
            }
        }
        format!("{:.0}/s", TIMED as f64 / start.elapsed().as_secs_f64())
    };
    rate(hot, false);
    let mut rows = vec![
        ("GET among 1 % of the keys", rate(hot, false)),
        ("GET among all keys", rate(keys, false)),
        ("SET among 1 % of the keys", rate(hot, true)),
        ("SET among all keys", rate(keys, true)),
    ];
    let start = Instant::now();
    assert_eq!(scan(node), keys, "a scan finds every key");
    let each = start.elapsed().as_micros() as f64 / keys as f64;
    rows.push(("SCAN of all keys", format!("{each:.1} µs per key")));
    let start = Instant::now();
    let Value::Array(found) = node.call(&["KEYS", "key:0000000000*"]) else {
        panic!("KEYS lists");
    };
    let took = start.elapsed().as_secs_f64() * 1_000.0;
    assert_eq!(found.len(), 100, "keys that begin so");
    rows.push(("KEYS of a prefix with 100 keys", format!("{took:.1} ms")));
    rows
}

fn scan(node: &Node) -> u64 {
    let mut cursor = "0".to_owned();
    let mut count = 0;
    loop {
        let Value::Array(page) = node.call(&["SCAN", &cursor, "COUNT", "1000"]) else {
            panic!("SCAN answers a page");
        };
        let [next, Value::Array(keys)] = page.as_slice() else {
            panic!("a page is a cursor and keys");
        };
        count += keys.len() as u64;
        cursor = support::client::text(next);
        if cursor == "0" {
            return count;
        }
    }
}

/// A connection with many requests on their way.
struct Pipe {
    stream: TcpStream,
    out: Vec<u8>,
    answer: Vec<u8>,
}

impl Pipe {
    fn open(node: &Node) -> Self {
        let stream = TcpStream::connect(node.ports.client).expect("a connection");
        stream.set_nodelay(true).expect("an option");
        let wait = Some(ANSWER_WAIT);
        stream.set_read_timeout(wait).expect("an option");
        Self {
            stream,
            out: Vec::new(),
            answer: Vec::new(),
        }
    }

    fn set(&mut self, keys: impl Iterator<Item = u64>, value_bytes: usize) {
        let mut expected = Vec::new();
        for n in keys {
            self.put(&[b"SET", key(n).as_bytes(), &value(n, value_bytes)]);
            expected.extend_from_slice(b"+OK\r\n");
        }
        self.exchange(&expected);
    }

    fn get(&mut self, keys: impl Iterator<Item = u64>, value_bytes: usize) {
        let mut expected = Vec::new();
        for n in keys {
            self.put(&[b"GET", key(n).as_bytes()]);
            expected.extend_from_slice(format!("${value_bytes}\r\n").as_bytes());
            expected.extend_from_slice(&value(n, value_bytes));
            expected.extend_from_slice(b"\r\n");
        }
        self.exchange(&expected);
    }

    fn put(&mut self, words: &[&[u8]]) {
        let out = &mut self.out;
        out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            out.extend_from_slice(word);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Sends what was put together; the answer must be `expected`.
    fn exchange(&mut self, expected: &[u8]) {
        self.stream.write_all(&self.out).expect("a node that reads");
        self.out.clear();
        self.answer.resize(expected.len(), 0);
        self.stream
            .read_exact(&mut self.answer)
            .expect("a node that answers");
        assert!(self.answer == expected, "another answer than expected");
    }
}

fn key(n: u64) -> String {
    format!("key:{n:012}")
}

/// Bytes that do not compress to nothing, another for each key.
fn value(n: u64, bytes: usize) -> Vec<u8> {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut value = Vec::with_capacity(bytes + 8);
    while value.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        value.extend_from_slice(&state.to_le_bytes());
    }
    value.truncate(bytes);
    value
}

fn size_of(directory: &std::path::Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => size_of(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}

fn number(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.map_or(default, |text| text.parse().expect(variable))
}
