//! Bytes that no honest peer or client sends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use crate::support::{Cluster, LATER, eventually, same};
use netdb::resp::Value;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

/// What a node may grow by while it is sent garbage: its own buffers, not what is declared.
const GROWTH_BYTES_MAX: u64 = 96 << 20;

/// Seconds of garbage in the short version.
const SHORT: Duration = Duration::from_secs(2);

/// Seconds of garbage that the project promises to withstand.
const LONG: Duration = Duration::from_secs(10);

#[test]
fn a_node_that_is_sent_garbage_still_serves() {
    withstand(SHORT);
}

#[test]
#[ignore = "ten seconds of load; run with --ignored"]
fn a_node_that_is_sent_garbage_for_long_still_serves() {
    withstand(LONG);
}

/// Sends garbage to every port of one node of two for `duration`, by all three lanes at
/// once, then uses the cluster.
fn withstand(duration: Duration) {
    let cluster = Cluster::start(2);
    let victim = &cluster.nodes[0];
    victim.put("before", "value");
    let memory_before = victim.resident_bytes();
    std::thread::scope(|scope| {
        let until = Instant::now() + duration;
        let ports = victim.ports;
        scope.spawn(move || datagrams(ports.cluster, until));
        scope.spawn(move || streams(ports.cluster, until));
        scope.spawn(move || streams(ports.client, until));
    });
    cluster.await_whole();
    victim.await_value("before", Some("value"));
    victim.put("after", "value");
    cluster.nodes[1].await_value("after", Some("value"));
    if let (Some(before), Some(after)) = (memory_before, victim.resident_bytes()) {
        let grown = after.saturating_sub(before);
        assert!(grown < GROWTH_BYTES_MAX, "grew by {grown} bytes");
    }
}

/// Datagrams of every length that one can have, random or all the same byte.
fn datagrams(to: SocketAddr, until: Instant) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut rng = SmallRng::seed_from_u64(1);
    let mut bytes = vec![0; 65_507];
    while Instant::now() < until {
        let length = match rng.random_range(0..10) {
            0 => 0,
            1 => rng.random_range(0..=65_507),
            _ => rng.random_range(1..=1_500),
        };
        if rng.random_bool(0.1) {
            bytes.fill(rng.random());
        } else {
            rng.fill_bytes(&mut bytes[..length]);
        }
        // A full buffer or a refusal is the flood's problem, not the test's.
        let _ = socket.send_to(&bytes[..length], to);
    }
}

/// Connections that say something wrong, or half of something, and go.
fn streams(to: SocketAddr, until: Instant) {
    let mut rng = SmallRng::seed_from_u64(2);
    let mut bytes = vec![0; 16 << 10];
    while Instant::now() < until {
        let Ok(mut stream) = TcpStream::connect(to) else {
            continue;
        };
        let length = rng.random_range(1..=bytes.len());
        rng.fill_bytes(&mut bytes[..length]);
        match rng.random_range(0..4) {
            // A length far over any limit, in the words of a frame and of RESP.
            0 => bytes[..4].fill(0xff),
            1 => {
                bytes[..16.min(length)].copy_from_slice(&b"*3\r\n$1073741824\r\n"[..16.min(length)])
            }
            _ => {}
        }
        let _ = stream.write_all(&bytes[..length]);
    }
}

/// Sends `bytes` to the client port and returns what comes back until the node hangs up.
fn reply_to(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(LATER)).unwrap();
    // The node may hang up before all is sent; what it answered counts.
    let _ = stream.write_all(bytes);
    let mut reply = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        reply.extend_from_slice(&buffer[..length]);
    }
    String::from_utf8_lossy(&reply).into_owned()
}

#[test]
fn what_is_declared_is_not_allocated() {
    let cluster = Cluster::start(1);
    let node = &cluster.nodes[0];
    let before = node.resident_bytes();
    let nested = "*1\r\n".repeat(10_000);
    for declared in [
        "*2\r\n$3\r\nGET\r\n$1073741824\r\n",
        "*1073741824\r\n",
        "*3000000000\r\n",
        "*1\r\n$-10\r\n",
        nested.as_str(),
    ] {
        let start = &declared[..declared.len().min(30)];
        let reply = reply_to(node.ports.client, declared.as_bytes());
        assert!(reply.starts_with("-ERR"), "{start:?} is answered {reply:?}");
    }
    let long_line = "a".repeat(1 << 20);
    let reply = reply_to(node.ports.client, long_line.as_bytes());
    assert!(reply.is_empty() || reply.starts_with("-ERR"), "{reply:?}");
    if let (Some(before), Some(after)) = (before, node.resident_bytes()) {
        assert!(after.saturating_sub(before) < GROWTH_BYTES_MAX);
    }
    eventually("it still serves", LATER, || {
        same(node.try_call(&["PING"])?, Value::simple("PONG"))
    });
}
