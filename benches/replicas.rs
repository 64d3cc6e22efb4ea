//! Writes that two of three replicas have: netdb at its default strength beside Redis with two
//! replicas and `WAIT 1`, alternately on the same machine. Run by `scripts/bench-replicas.sh`.
//!
//! Each client sends one write and waits for its answer before the next: `SET`, and to Redis
//! `WAIT 1 0` in the same packet. Clients of netdb are spread over its three nodes, as any node
//! takes any write; those of Redis all speak to the primary, as only it does. In memory, three
//! nodes that do as little as possible (`bare`) show what is possible on the machine.
//!
//! `replicas bare CLIENT-ADDR [PEER-ADDR [OTHER-PEER-ADDR ...]]` runs such a node.

mod bare;
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use netdb::config::Config as NetdbConfig;
use netdb::resp::Value;
use support::client::fields;
use support::ports::Ports;
use support::{Connection, LATER, eventually, number_from_env, same, unique_cluster_name};
use tempfile::TempDir;

/// Keys that are written, at random.
const KEYS: u32 = 10_000;

/// Clients at once.
const CLIENTS: [usize; 3] = [1, 16, 64];

/// A server that answers slower than this is broken.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// Servers whose processes end with this.
struct Servers {
    children: Vec<Child>,
    /// Where clients connect.
    clients: Vec<SocketAddr>,
    /// What follows a write.
    then: &'static [u8],
    /// What is answered to both.
    answer: &'static [u8],
    _directory: TempDir,
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in &mut self.children {
            // They hold nothing that is worth keeping.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn main() {
    // Cargo says `--bench` to every one of them.
    let arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    let arguments: Vec<String> = arguments.collect();
    match arguments.split_first() {
        None => compare(),
        Some((mode, addrs)) if mode == "bare" => {
            let addrs = addrs.iter().map(|addr| addr.parse().expect("an address"));
            bare::serve(&addrs.collect::<Vec<_>>());
        }
        Some((other, _)) => panic!("no mode is called `{other}`"),
    }
}

fn compare() {
    let seconds = number_from_env("NETDB_BENCH_SECONDS", 3);
    let rounds = number_from_env("NETDB_BENCH_ROUNDS", 3);
    let during = Duration::from_secs(seconds.into());
    for (title, is_synced) in [
        ("In memory", false),
        (
            "Each replica forces each write to disk before it confirms it",
            true,
        ),
    ] {
        println!("{title}:\n");
        println!(
            "| clients | netdb, writes/s | Redis with WAIT 1, writes/s | ratio | bare nodes, writes/s | \
             ratio to Redis |"
        );
        println!("|--:|--:|--:|--:|--:|--:|");
        let mut servers = vec![netdb(is_synced), redis(is_synced)];
        // They have no disk.
        servers.extend((!is_synced).then(bare_nodes));
        for count in CLIENTS {
            let mut rates = vec![Vec::new(); servers.len()];
            for _ in 0..rounds {
                for (servers, rates) in servers.iter().zip(&mut rates) {
                    rates.push(rate(servers, count, during));
                }
            }
            let medians = rates.into_iter().map(|mut rates| {
                rates.sort_by(f64::total_cmp);
                rates[rates.len() / 2]
            });
            let medians: Vec<f64> = medians.collect();
            let (ours, theirs) = (medians[0], medians[1]);
            print!(
                "| {count} | {ours:.0} | {theirs:.0} | {:.2} |",
                ours / theirs
            );
            match medians.get(2) {
                Some(bare) => println!(" {bare:.0} | {:.2} |", bare / theirs),
                None => println!(" – | – |"),
            }
        }
        println!();
    }
}

/// Three nodes that see each other.
fn netdb(is_synced: bool) -> Servers {
    let directory = TempDir::new().expect("a directory");
    let cluster = unique_cluster_name();
    let (mut children, mut clients, mut seed) = (Vec::new(), Vec::new(), None);
    for n in 0..3 {
        let ports = Ports::free();
        let seed = seed.get_or_insert(ports.cluster.to_string());
        let mut command = support::netdb(["start", "--no-repl", "--cluster", &cluster]);
        command
            .args(["--name", &format!("n{n}"), "--seed", seed])
            .args(["--listen", &ports.cluster.to_string()])
            .args(["--client", &ports.client.to_string()]);
        match is_synced {
            true => command
                .arg("--data")
                .arg(directory.path().join(n.to_string()))
                .args(["--durability", "always"]),
            false => command.arg("--memory"),
        };
        children.push(spawn(&mut command));
        clients.push(ports.client);
    }
    for addr in &clients {
        eventually("all nodes are alive", LATER, || {
            let members = call(*addr, &["NETDB", "MEMBERS"])?;
            let alive = format!("{members:?}").matches("alive").count();
            same(alive, 3)
        });
        // Before that some keys have fewer owners, and less is to be done for a write.
        eventually("every node is an owner of every key", LATER, || {
            let rebalance = fields(call(*addr, &["NETDB", "REBALANCE"])?)?;
            let of = |name: &str| rebalance.get(name).cloned().unwrap_or_default();
            let partitions = NetdbConfig::default().cluster.partitions.to_string();
            same(
                [of("is_settled"), of("owned")],
                ["1".to_owned(), partitions],
            )
        });
        eventually("a write has its replicas", LATER, || {
            let set = call(*addr, &["SET", "key", "value"])?;
            same(set, Value::ok())
        });
    }
    Servers {
        children,
        clients,
        then: b"",
        answer: b"+OK\r\n",
        _directory: directory,
    }
}

/// A primary and two replicas.
fn redis(is_synced: bool) -> Servers {
    let directory = TempDir::new().expect("a directory");
    let (mut children, mut primary) = (Vec::new(), None);
    let only = match is_synced {
        true => ["--appendonly", "yes", "--appendfsync", "always"],
        false => ["--appendonly", "no", "--appendfsync", "no"],
    };
    for n in 0..3 {
        let addr = Ports::free().client;
        let path = directory.path().join(n.to_string());
        std::fs::create_dir(&path).expect("a directory");
        let mut command = Command::new("redis-server");
        command
            .args(["--bind", "127.0.0.1", "--save", ""])
            .args(["--repl-diskless-sync-delay", "0"])
            .args(["--port", &addr.port().to_string()])
            .args(only)
            .arg("--dir")
            .arg(path);
        match primary {
            None => primary = Some(addr),
            Some(primary) => {
                let port = primary.port().to_string();
                command.args(["--replicaof", "127.0.0.1", &port]);
            }
        }
        children.push(spawn(&mut command));
    }
    let primary = primary.expect("a primary");
    eventually("the replicas are there", LATER, || {
        call(primary, &["SET", "key", "value"])?;
        same(call(primary, &["WAIT", "2", "100"])?, Value::Integer(2))
    });
    Servers {
        children,
        clients: vec![primary],
        then: b"*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$1\r\n0\r\n",
        answer: b"+OK\r\n:N\r\n",
        _directory: directory,
    }
}

/// Three nodes that do as little as possible.
fn bare_nodes() -> Servers {
    let program = std::env::current_exe().expect("this program");
    let (mut children, mut clients, mut peers) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..3 {
        let ports = Ports::free();
        let mut command = Command::new(&program);
        command.args([
            "bare",
            &ports.client.to_string(),
            &ports.cluster.to_string(),
        ]);
        children.push(spawn(command.args(&peers)));
        clients.push(ports.client);
        peers.push(ports.cluster.to_string());
        // A node sends to those that it has met when a client connects.
        eventually("a bare node", LATER, || {
            TcpStream::connect(ports.client).map_err(|error| error.to_string())
        });
    }
    Servers {
        children,
        clients,
        then: b"",
        answer: b"+OK\r\n",
        _directory: TempDir::new().expect("a directory"),
    }
}

fn spawn(command: &mut Command) -> Child {
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    quiet.stdin(Stdio::null()).spawn().expect("a server")
}

fn call(addr: SocketAddr, command: &[&str]) -> Result<Value, String> {
    Connection::open(addr)?.call(command)
}

/// Writes per second of so many clients.
fn rate(servers: &Servers, count: usize, during: Duration) -> f64 {
    let stop = AtomicBool::new(false);
    let addrs = servers.clients.iter().cycle().take(count);
    thread::scope(|scope| {
        let clients: Vec<_> = addrs
            .enumerate()
            .map(|(n, addr)| {
                let stop = &stop;
                scope.spawn(move || client(servers, *addr, n as u32, stop))
            })
            .collect();
        let start = Instant::now();
        thread::sleep(during);
        stop.store(true, Ordering::Relaxed);
        let done = clients
            .into_iter()
            .map(|client| client.join().expect("writes"));
        let done: u64 = done.sum();
        done as f64 / start.elapsed().as_secs_f64()
    })
}

/// Writes one key after the other until it is told to stop; how many.
fn client(servers: &Servers, addr: SocketAddr, seed: u32, stop: &AtomicBool) -> u64 {
    let mut stream = TcpStream::connect(addr).expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    stream
        .set_read_timeout(Some(ANSWER_WAIT))
        .expect("a time-out");
    let mut answer = vec![0; servers.answer.len()];
    let (mut done, mut number) = (0, seed.wrapping_mul(2_654_435_761) | 1);
    while !stop.load(Ordering::Relaxed) {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let key = format!("key:{:08}", (number >> 8) % KEYS);
        let mut request = format!("*3\r\n$3\r\nSET\r\n$12\r\n{key}\r\n$3\r\nxyz\r\n").into_bytes();
        request.extend_from_slice(servers.then);
        stream.write_all(&request).expect("a request");
        stream.read_exact(&mut answer).expect("an answer");
        let is_right = |(is, should): (&u8, &u8)| is == should || *should == b'N' && *is >= b'1';
        assert!(
            answer.iter().zip(servers.answer).all(is_right),
            "{}",
            answer.escape_ascii()
        );
        done += 1;
    }
    done
}
