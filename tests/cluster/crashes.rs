//! Kills in the middle of writing, round after round: what was acknowledged is there, at every
//! durability level, and no dot names two writes.
//!
//! ```text
//! NETDB_CRASH_ROUNDS=200 cargo test --test cluster crash_after_crash -- --nocapture
//! ```

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::support::client::Connection;
use crate::support::{Cluster, LATER, eventually, number_from_env, same};
use netdb::resp::Value;

/// Rounds unless `NETDB_CRASH_ROUNDS` says otherwise.
const ROUNDS_DEFAULT: u32 = 20;

/// Who writes in each round, each at the level of its place.
const LEVELS: [&str; 3] = ["os", "interval", "always"];

/// Keys that were acknowledged; each is its own value.
type Acknowledged = Mutex<Vec<String>>;

/// Writes unique keys at one level until told to stop, to whichever node answers.
fn write(addrs: &[SocketAddr], level: usize, round: u32, stop: &AtomicBool, done: &Acknowledged) {
    let choice = format!("durability={}", LEVELS[level]);
    let mut attempt = 0;
    while !stop.load(Ordering::Relaxed) {
        attempt += 1;
        let addr = addrs[(level + attempt) % addrs.len()];
        let Ok(mut connection) = Connection::open(addr) else {
            continue;
        };
        if connection.call(&["NETDB", "CONSISTENCY", &choice]).is_err() {
            continue;
        }
        for at in 0.. {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let key = format!("round {round} {} {attempt} {at}", LEVELS[level]);
            match connection.call(&["SET", &key, &key]) {
                Ok(Value::Simple(_)) => done.lock().unwrap().push(key),
                // It stands or not: the time was too short to know.
                Ok(_) => {}
                Err(_) => break,
            }
        }
    }
}

/// Waits until `count` more writes were acknowledged.
fn await_more(done: &Acknowledged, count: usize) {
    let before = done.lock().unwrap().len();
    eventually("more writes are acknowledged", LATER, || {
        let more = done.lock().unwrap().len() - before;
        same(more >= count, true)
    });
}

fn check(cluster: &Cluster, keys: &[String]) {
    for node in &cluster.nodes {
        for key in keys {
            node.await_value(key, Some(key));
        }
    }
}

#[test]
fn crash_after_crash_loses_nothing() {
    let rounds = number_from_env("NETDB_CRASH_ROUNDS", ROUNDS_DEFAULT);
    let seed = number_from_env("NETDB_CRASH_SEED", 1);
    let mut rng = SmallRng::seed_from_u64(seed.into());
    let mut cluster = Cluster::start(LEVELS.len());
    let addrs: Vec<SocketAddr> = cluster.nodes.iter().map(|n| n.ports.client).collect();
    let mut all = Vec::new();
    let (mut kills, mut blackouts) = (0, 0);
    for round in 0..rounds {
        let victims = match rng.random_bool(0.25) {
            true => 0..cluster.nodes.len(),
            false => {
                let victim = rng.random_range(0..cluster.nodes.len());
                victim..victim + 1
            }
        };
        kills += victims.len();
        blackouts += u32::from(victims.len() > 1);
        let done = Acknowledged::default();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for level in 0..LEVELS.len() {
                let (addrs, stop, done) = (&addrs, &stop, &done);
                scope.spawn(move || write(addrs, level, round, stop, done));
            }
            await_more(&done, rng.random_range(1..200));
            for victim in victims.clone() {
                cluster.nodes[victim].kill();
            }
            if victims.len() == 1 {
                await_more(&done, 20);
            }
            stop.store(true, Ordering::Relaxed);
        });
        for victim in victims.clone() {
            cluster.nodes[victim].launch();
        }
        for victim in victims {
            cluster.nodes[victim].await_ready();
        }
        cluster.await_whole();
        let done = done.into_inner().unwrap();
        check(&cluster, &done);
        all.extend(done);
    }
    check(&cluster, &all);
    for node in &cluster.nodes {
        assert_eq!(node.status().unwrap()["dot_conflicts"], "0");
    }
    println!(
        "{rounds} rounds, {kills} kills, all nodes at once {blackouts} times; {} writes \
         acknowledged, 0 lost, no dot of two writes; seed {seed}",
        all.len()
    );
}
