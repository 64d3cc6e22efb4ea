//! A cluster whose members come and go while clients write: the same story for a test and for
//! a measurement.
//!
//! Each client owns some keys and writes them in turn, each time with the next number, through
//! one node until that fails, then through another. It goes on to the next write only when one
//! was acknowledged. In the end every key must hold what was acknowledged last, or what was
//! tried after that.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use netdb::resp::Value;

use super::client::{Connection, fields, text};
use super::{Cluster, LATER, Node, eventually, same};

/// Pause before a write that was not acknowledged is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// How often one write is tried before the story is over: with its pauses and the time-outs of
/// nodes far longer than it takes to notice a crash.
const TRIES_MAX: u32 = 500;

/// What clients do, and what they have seen.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<BTreeMap<String, u64>>>,
}

struct Shared {
    /// Where clients may connect.
    nodes: Mutex<Vec<SocketAddr>>,
    is_over: AtomicBool,
    /// By client: acknowledged writes, failed tries, the longest pause between two
    /// acknowledgements since the last look, and when the last one was.
    seen: Vec<Seen>,
    value_bytes: usize,
    keys_per_client: u64,
    began: Instant,
}

#[derive(Default)]
struct Seen {
    acknowledged: AtomicU64,
    failed: AtomicU64,
    pause_us: AtomicU64,
    last_us: AtomicU64,
    error: Mutex<String>,
}

/// What happened since the last look.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// Tries that were not.
    pub failed: u64,
    /// The longest pause between two acknowledgements, of each client.
    pub pauses: Vec<Duration>,
    /// One of the errors, if there was one.
    pub error: String,
}

impl Load {
    /// Clients begin to write, spread over `nodes`.
    pub fn begin(
        clients: usize,
        keys_per_client: u64,
        value_bytes: usize,
        nodes: Vec<SocketAddr>,
    ) -> Self {
        let shared = Arc::new(Shared {
            nodes: Mutex::new(nodes),
            is_over: AtomicBool::new(false),
            seen: (0..clients).map(|_| Seen::default()).collect(),
            value_bytes,
            keys_per_client,
            began: Instant::now(),
        });
        let begin = |client| {
            let shared = shared.clone();
            thread::spawn(move || shared.write(client))
        };
        let clients = (0..clients).map(begin).collect();
        Self { shared, clients }
    }

    /// Clients connect to these from now on.
    pub fn connect_to(&self, nodes: Vec<SocketAddr>) {
        *self.shared.nodes.lock().unwrap() = nodes;
    }

    /// What happened since the last look.
    pub fn look(&self) -> Step {
        let now = self.shared.now_us();
        let mut step = Step::default();
        for seen in &self.shared.seen {
            step.acknowledged += seen.acknowledged.swap(0, Ordering::Relaxed);
            step.failed += seen.failed.swap(0, Ordering::Relaxed);
            let running = now.saturating_sub(seen.last_us.load(Ordering::Relaxed));
            let pause = seen.pause_us.swap(0, Ordering::Relaxed).max(running);
            step.pauses.push(Duration::from_micros(pause));
            let error = std::mem::take(&mut *seen.error.lock().unwrap());
            step.error = [error, step.error]
                .into_iter()
                .find(|error| !error.is_empty())
                .unwrap_or_default();
        }
        step
    }

    /// Clients stop; what each key was last acknowledged to be.
    pub fn end(self) -> BTreeMap<String, u64> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let written = self
            .clients
            .into_iter()
            .map(|client| client.join().unwrap());
        written.flatten().collect()
    }
}

impl Shared {
    fn now_us(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    fn write(&self, client: usize) -> BTreeMap<String, u64> {
        let mut written = BTreeMap::new();
        let (mut connection, mut at) = (None, client);
        let mut n = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            n += 1;
            let key = key(client, n % self.keys_per_client);
            let value = value(n, self.value_bytes);
            for tries in 1.. {
                match self.try_write(&mut connection, at, &key, &value) {
                    Ok(()) => break,
                    Err(error) => {
                        *self.seen[client].error.lock().unwrap() = error.clone();
                        self.seen[client].failed.fetch_add(1, Ordering::Relaxed);
                        assert!(tries < TRIES_MAX, "{key} cannot be written: {error}");
                        (connection, at) = (None, at + 1);
                        thread::sleep(RETRY_PAUSE);
                    }
                }
            }
            self.seen[client].note(self.now_us());
            written.insert(key, n);
        }
        written
    }

    fn try_write(
        &self,
        connection: &mut Option<Connection>,
        at: usize,
        key: &str,
        value: &str,
    ) -> Result<(), String> {
        let open = match connection {
            Some(open) => open,
            None => {
                let node = {
                    let nodes = self.nodes.lock().unwrap();
                    nodes[at % nodes.len()]
                };
                connection.insert(Connection::open(node)?)
            }
        };
        match open.call(&["SET", key, value])? {
            Value::Error(error) => Err(error),
            _ => Ok(()),
        }
    }
}

impl Seen {
    fn note(&self, now_us: u64) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        let last = self.last_us.swap(now_us, Ordering::Relaxed);
        self.pause_us.fetch_max(now_us - last, Ordering::Relaxed);
    }
}

/// Checks through `connection` that every key holds what was acknowledged last, or what its
/// client tried after that. Says how many do not.
pub fn lost(connection: &mut Connection, written: &BTreeMap<String, u64>) -> Vec<String> {
    let mut lost = Vec::new();
    for (key, acknowledged) in written {
        let found = connection.call(&["GET", key]).map(|value| number(&value));
        match found {
            Ok(Some(found)) if found >= *acknowledged => {}
            other => lost.push(format!("{key}: {other:?}, acknowledged {acknowledged}")),
        }
    }
    lost
}

fn key(client: usize, at: u64) -> String {
    format!("client:{client}:key:{at}")
}

/// A value of about that many bytes that begins with its number.
fn value(n: u64, bytes: usize) -> String {
    format!("{n}:{:x<bytes$}", "")
}

fn number(value: &Value) -> Option<u64> {
    let text = String::from_utf8_lossy(value.as_bytes()?).into_owned();
    text.split(':').next()?.parse().ok()
}

/// Where clients reach the nodes of a cluster.
pub fn addresses(cluster: &Cluster) -> Vec<SocketAddr> {
    cluster.nodes.iter().map(|node| node.ports.client).collect()
}

/// `count` nodes that all see each other, with each partition on `replicas` of them and nothing on
/// its way.
#[track_caller]
pub fn settled_cluster(count: usize, replicas: u8) -> Cluster {
    let mut cluster = Cluster::new();
    cluster.more = vec!["--replicas".to_owned(), replicas.to_string()];
    for _ in 0..count {
        cluster.add();
    }
    cluster.await_whole();
    await_settled(&cluster.nodes, LATER);
    cluster
}

/// Waits until nothing is on its way from one member to another, as far as these nodes know.
#[track_caller]
pub fn await_settled(nodes: &[Node], within: Duration) {
    for node in nodes {
        eventually("nothing moves", within, || {
            let rebalance = fields(node.try_call(&["NETDB", "REBALANCE"])?)?;
            let of = |name: &str| rebalance.get(name).cloned().unwrap_or_default();
            let moving = [of("copies"), of("to_fetch"), of("to_give_up")];
            same(moving, ["0", "0", "0"].map(str::to_owned))
        });
    }
}

/// Waits until `node` knows that the one of that name has died.
#[track_caller]
pub fn await_death(node: &Node, name: &str) {
    eventually("its death is known", LATER, || {
        let states = node.states()?;
        let is_known = states.contains(&format!("{name} failed"));
        is_known.then_some(()).ok_or(states)
    });
}

/// A key's partition, and the names of its owners, the preferred first.
pub fn owners(node: &Node, key: &str) -> (String, Vec<String>) {
    let answer = node.call(&["NETDB", "OWNERS", key]);
    let (mut partition, mut names) = (String::new(), Vec::new());
    for (name, value) in answer.into_pairs().expect("a map") {
        match (text(&name).as_str(), value) {
            ("partition", value) => partition = text(&value),
            ("owners", Value::Array(owners)) => {
                let owners = owners.into_iter().map(|one| fields(one).expect("a map"));
                let owners = owners.filter(|owner| owner["owns_now"] == "1");
                names = owners.map(|owner| owner["name"].clone()).collect();
            }
            _ => {}
        }
    }
    (partition, names)
}
