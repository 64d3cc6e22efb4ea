//! Disks that fail under running nodes: what is refused, what is still answered, and that
//! nothing acknowledged is lost when they work again.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::client::Connection;
use crate::support::faulty_disk::{Fault, FaultyDisk};
use crate::support::{Cluster, LATER, Node, SOON, eventually, same};
use netdb::resp::Value;

/// Every way in which a disk does not take writes.
const FAULTS: [Fault; 4] = [Fault::NoSpace, Fault::Write, Fault::Sync, Fault::ReadOnly];

/// Sets `key` to itself; whether that was acknowledged, or the words of the error.
fn set(node: &Node, key: &str) -> Result<(), String> {
    match node.try_call(&["SET", key, key])? {
        Value::Simple(_) => Ok(()),
        Value::Error(error) => Err(error),
        other => Err(format!("{other:?}")),
    }
}

/// Writes keys until writes are stopped; those that were acknowledged. The error must name the
/// place and what the system said.
#[track_caller]
fn write_until_stopped(node: &Node, name: &str, fault: Fault) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let mut at = 0;
    let error = eventually("writes are stopped", SOON, || {
        let key = format!("{name} {at}");
        at += 1;
        match set(node, &key) {
            Ok(()) => {
                acknowledged.push(key);
                Err("a write was acknowledged".to_owned())
            }
            Err(error) if error.starts_with("MISCONF ") => Ok(error),
            // The write that met the failure: it is not known whether it stands.
            Err(error) => Err(error),
        }
    });
    let path = node.data().display().to_string();
    assert!(error.contains(&path), "no path: {error}");
    assert!(error.contains(fault.words()), "no cause: {error}");
    assert!(error.contains("netdb repair"), "no way out: {error}");
    acknowledged
}

#[track_caller]
fn await_disk(node: &Node, state: &str) {
    eventually("the state of the disk", LATER, || {
        same(node.status()?["disk"].as_str(), state)
    });
}

fn count(log: &str, words: &str) -> usize {
    log.matches(words).count()
}

/// One of three nodes cannot write. Its clients are told and still read; the others go on.
/// When the disk works again the same process takes writes, has everything, and issues no dot
/// twice.
#[test]
fn one_of_three_disks_fails_and_works_again() {
    let mut cluster = Cluster::new();
    cluster.add();
    cluster.add();
    let mut node = cluster.prepare();
    let disk = FaultyDisk::under(&mut node);
    node.start_first();
    cluster.nodes.push(node);
    cluster.await_whole();
    let (healthy, failing) = (&cluster.nodes[0], &cluster.nodes[2]);
    let pid = failing.pid();
    let mut acknowledged = vec!["before".to_owned()];
    failing.put("before", "before");

    for (round, fault) in FAULTS.into_iter().enumerate() {
        let name = format!("{fault:?}");
        disk.fail(fault);
        acknowledged.extend(write_until_stopped(failing, &name, fault));

        let status = failing.status().unwrap();
        assert_eq!(status["disk"], "failed");
        assert!(status["disk_cause"].contains(fault.words()), "{status:?}");
        let stopped = status["disk_stopped_ms"].parse::<u64>().unwrap();
        assert!(stopped < 60_000, "{stopped}");
        assert!(status["disk_free_bytes"].parse::<u64>().unwrap() > 0);
        assert_eq!(failing.get("before"), Ok(Some("before".to_owned())));
        for at in 0..20 {
            let key = format!("{name} elsewhere {at}");
            set(healthy, &key).unwrap();
            acknowledged.push(key);
        }
        let last = acknowledged.last().unwrap();
        cluster.nodes[1].await_value(last, Some(last));
        assert_eq!(failing.get(last), Ok(None), "it keeps nothing");
        assert!(set(failing, "refused").unwrap_err().starts_with("MISCONF "));
        assert_eq!(failing.get("before"), Ok(Some("before".to_owned())));

        disk.fail(Fault::None);
        await_disk(failing, "healthy");
        let key = format!("{name} after");
        set(failing, &key).unwrap();
        acknowledged.push(key);
        let log = failing.log();
        assert_eq!(count(&log, "disk failed; writes are stopped"), round + 1);
        assert_eq!(count(&log, "disk takes writes again"), round + 1);
        for node in &cluster.nodes {
            for key in &acknowledged {
                node.await_value(key, Some(key));
            }
        }
    }
    assert_eq!(failing.pid(), pid);
    for node in &cluster.nodes {
        assert_eq!(node.get("refused"), Ok(None));
        assert_eq!(node.status().unwrap()["dot_conflicts"], "0");
    }
    println!(
        "{FAULTS:?}: {} writes acknowledged, 0 lost, no dot of two writes, one process",
        acknowledged.len()
    );
}

/// Writes unique keys at `durability=always` until told to stop.
fn write_always(addr: SocketAddr, name: &str, stop: &AtomicBool, done: &Mutex<Vec<String>>) {
    let mut connection = Connection::open(addr).unwrap();
    let level = ["NETDB", "CONSISTENCY", "durability=always"];
    connection.call(&level).unwrap();
    for at in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let key = format!("{name} {at}");
        match connection.call(&["SET", &key, &key]) {
            Ok(Value::Simple(_)) => done.lock().unwrap().push(key),
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// A node alone: what it acknowledged at `always`, before or while its disk failed or after,
/// is there when it starts again.
#[test]
fn a_lone_node_acknowledges_nothing_that_its_disk_has_not() {
    let mut cluster = Cluster::new();
    let mut node = cluster.prepare();
    let disk = FaultyDisk::under(&mut node);
    node.start_first();
    let mut all = Vec::new();
    for (round, fault) in FAULTS.into_iter().enumerate() {
        let stop = AtomicBool::new(false);
        let done = Mutex::<Vec<String>>::default();
        let acknowledged = || done.lock().unwrap().len();
        let more = |what: &str, than: usize| {
            eventually(what, LATER, || same(acknowledged() > than, true));
        };
        thread::scope(|scope| {
            for writer in 0..4 {
                let (addr, stop, done) = (node.ports.client, &stop, &done);
                let name = format!("{fault:?} {writer}");
                scope.spawn(move || write_always(addr, &name, stop, done));
            }
            more("writes before", 40);
            disk.fail(fault);
            await_disk(&node, "failed");
            // Two rounds are killed while the disk fails, two when it works again.
            if round % 2 == 1 {
                disk.fail(Fault::None);
                await_disk(&node, "healthy");
                more("writes after", acknowledged());
            }
            stop.store(true, Ordering::Relaxed);
            node.kill();
        });
        disk.fail(Fault::None);
        node.start();
        all.extend(done.into_inner().unwrap());
        for key in &all {
            assert_eq!(node.get(key), Ok(Some(key.clone())), "after {fault:?}");
        }
    }
    assert_eq!(node.status().unwrap()["dot_conflicts"], "0");
    println!("{FAULTS:?}: {} writes acknowledged, 0 lost", all.len());
}

/// What cannot be read is an error, never "there is none"; what is in memory is answered, and
/// when the disk can be read again nothing has to be done.
#[test]
fn what_cannot_be_read_is_not_absent() {
    const KEYS: usize = 200;
    let mut cluster = Cluster::new();
    let mut node = cluster.prepare();
    let disk = FaultyDisk::under(&mut node);
    // The least, so that most rows are read from the disk.
    node.more = ["--memory-budget".to_owned(), "32MB".to_owned()].into();
    node.start_first();
    let value = "v".repeat(256 * 1024);
    for at in 0..KEYS {
        node.put(&format!("key {at}"), &format!("{at} {value}"));
    }
    node.kill();
    node.start();
    disk.fail(Fault::Read);
    let mut unread = 0;
    for at in 0..KEYS {
        match node.get(&format!("key {at}")) {
            Ok(Some(found)) => assert!(found.starts_with(&format!("{at} "))),
            Ok(None) => panic!("key {at} is said to be absent"),
            Err(error) => {
                assert!(error.contains("Input/output error"), "{error}");
                unread += 1;
            }
        }
    }
    assert!(unread > 0, "everything was in memory");
    disk.fail(Fault::None);
    for at in 0..KEYS {
        let found = node.get(&format!("key {at}")).unwrap().unwrap();
        assert!(found.starts_with(&format!("{at} ")));
    }
    println!("{unread} of {KEYS} keys could not be read for a while");
}
