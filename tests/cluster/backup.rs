//! Backups of real nodes, and what restoring them does to empty and to living clusters.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::client::Connection;
use crate::support::{Cluster, LATER, Node, SOON, eventually, finish, netdb, same};
use netdb::resp::Value;
use tempfile::TempDir;

/// Runs `netdb backup` or `netdb restore`.
fn run(command: &str, node: &Node, file: &Path) -> Output {
    run_by(command, node.ports.client, file)
}

fn run_by(command: &str, client: SocketAddr, file: &Path) -> Output {
    let client = client.to_string();
    let file = file.to_string_lossy();
    finish(&mut netdb([command, "--node", &client, &file]), "")
}

/// The same, which must succeed; what it said.
#[track_caller]
fn done(command: &str, node: &Node, file: &Path) -> String {
    done_by(command, node.ports.client, file)
}

#[track_caller]
fn done_by(command: &str, client: SocketAddr, file: &Path) -> String {
    // A node that has just started restores nothing until it has compared itself with another.
    eventually(command, LATER, || {
        let output = run_by(command, client, file);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr).into_owned();
        let may_be_tried_again = complained.contains("try again in a moment");
        let is_over = output.status.success() || !may_be_tried_again;
        is_over.then_some(()).ok_or(complained.clone())?;
        assert!(output.status.success(), "{command}: {said}{complained}");
        Ok(said)
    })
}

/// The same, which must fail with this status and one line; the line.
#[track_caller]
fn refused(output: &Output, status: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(status), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "{said}");
    said
}

fn verify(file: &Path) -> Output {
    let file = file.to_string_lossy();
    finish(&mut netdb(["verify", &*file]), "")
}

fn scratch() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("backup.netdb");
    (directory, file)
}

fn size(node: &Node) -> Value {
    node.call(&["DBSIZE"])
}

/// A value that shows when half of it is missing.
fn long_value(at: usize) -> String {
    format!("<{at}>").repeat(300)
}

/// Does `act` while a client writes one key after the other to `node`, having waited until
/// `first` writes were acknowledged, `within` that time. `write` does one of them, on a
/// connection. Returns how many were acknowledged before `act` and in all.
fn under_writes(
    node: SocketAddr,
    (first, within): (usize, Duration),
    write: impl Fn(&mut Connection, usize) + Send,
    act: impl FnOnce(),
) -> (usize, usize) {
    let (acknowledged, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let before = std::thread::scope(|scope| {
        let (acknowledged, stop) = (&acknowledged, &stop);
        scope.spawn(move || {
            let mut connection = Connection::open(node).unwrap();
            for at in 0.. {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                write(&mut connection, at);
                acknowledged.store(at + 1, Ordering::Release);
            }
        });
        eventually("some writes", within, || {
            let some = acknowledged.load(Ordering::Acquire);
            (some > first).then_some(()).ok_or(format!("{some}"))
        });
        let before = acknowledged.load(Ordering::Acquire);
        act();
        stop.store(true, Ordering::Release);
        before
    });
    (before, acknowledged.load(Ordering::Acquire))
}

#[test]
fn a_backup_under_writes_holds_all_that_was_acknowledged_before() {
    let cluster = Cluster::start(3);
    let (_directory, file) = scratch();
    let write = |connection: &mut Connection, at: usize| {
        let set = ["SET", &format!("key-{at}"), &long_value(at)];
        assert_eq!(connection.call(&set), Ok(Value::ok()));
    };
    // Not of the node that is written to.
    let back_up = || {
        done("backup", &cluster.nodes[2], &file);
    };
    let (before, after) = under_writes(cluster.nodes[0].ports.client, (300, SOON), write, back_up);
    assert!(verify(&file).status.success());

    // Into an empty cluster of another size.
    let other = Cluster::start(2);
    let said = done("restore", &other.nodes[0], &file);
    assert!(said.contains("every replica has it"), "{said}");
    for node in &other.nodes {
        for at in 0..=after {
            let found = node.get(&format!("key-{at}")).unwrap();
            assert!(found.is_some() || at >= before, "key-{at} of {before}");
            assert!(found.is_none_or(|found| found == long_value(at)));
        }
    }
    // They go on from there.
    other.nodes[1].put("key-0", "written after");
    other.nodes[0].await_value("key-0", Some("written after"));
}

/// Waits until each node owns its share and holds it whole.
fn await_shares(cluster: &Cluster) {
    let replicas = cluster.nodes.len().min(3);
    eventually("every partition is whole on its owners", LATER, || {
        let mut owned = 0;
        for node in &cluster.nodes {
            let status = node.status()?;
            let number = |name: &str| status[name].parse::<usize>().map_err(|e| e.to_string());
            same(number("quarantined_partitions")?, 0)?;
            owned += number("partitions_owned")?;
        }
        same(owned, 256 * replicas)
    });
}

#[test]
fn a_backup_of_a_cluster_of_which_no_node_holds_all() {
    let mut cluster = Cluster::start(5);
    await_shares(&cluster);
    let (_directory, file) = scratch();
    let mut doomed = cluster.nodes.remove(4);
    let write = |connection: &mut Connection, at: usize| {
        let (key, value) = (format!("key-{at}"), long_value(at));
        // While the owner that was asked dies nobody knows what became of it.
        eventually(&key, LATER, || {
            same(connection.call(&["SET", &key, &value])?, Value::ok())
        });
    };
    let asked = cluster.nodes[2].ports.client;
    let back_up = || {
        std::thread::scope(|scope| {
            let backup = scope.spawn(|| done_by("backup", asked, &file));
            doomed.kill();
            backup.join().unwrap();
        });
    };
    let (before, after) = under_writes(
        cluster.nodes[0].ports.client,
        (1_000, LATER),
        write,
        back_up,
    );
    assert!(verify(&file).status.success());

    // Into an empty cluster of another size, of which no node holds all either.
    let other = Cluster::start(4);
    await_shares(&other);
    let said = done("restore", &other.nodes[1], &file);
    assert!(said.contains("every replica has it"), "{said}");
    for node in &other.nodes {
        for at in (0..=after).step_by(3) {
            let found = node.get(&format!("key-{at}")).unwrap();
            assert!(found.is_some() || at >= before, "key-{at} of {before}");
            assert!(found.is_none_or(|found| found == long_value(at)));
        }
    }
    // All of it was there already when it comes again, by another node.
    let said = done("restore", &other.nodes[3], &file);
    assert!(said.contains(": 0 values taken in"), "{said}");
}

#[test]
fn a_node_that_dies_while_it_gives_is_replaced_by_another_owner() {
    let mut cluster = Cluster::start(5);
    await_shares(&cluster);
    let keys = 600;
    let large = "x".repeat(40_000);
    for at in 0..keys {
        cluster.nodes[at % 5].put(&format!("key-{at}"), &large);
    }
    let (directory, file) = scratch();
    // The one that is asked takes part for certain.
    let doomed = cluster.nodes.remove(0);
    let asked = doomed.ports.client;
    let said = std::thread::scope(|scope| {
        let backup = scope.spawn(|| done_by("backup", asked, &file));
        // Some of it is in the file, and the rest is not.
        eventually("the backup is on its way", SOON, || {
            let entries = std::fs::read_dir(directory.path()).map_err(|e| e.to_string())?;
            let lengths = entries.map(|entry| entry.and_then(|e| e.metadata()).map(|m| m.len()));
            let length = lengths.flatten().max().unwrap_or(0);
            (length > 1_000_000)
                .then_some(())
                .ok_or(format!("{length}"))
        });
        drop(doomed);
        backup.join().unwrap()
    });
    assert!(said.contains(&format!("{keys} values")), "{said}");
    assert!(verify(&file).status.success());

    // Each partition has another owner, and only the dead one is missed.
    let more = directory.path().join("more");
    let said = done("backup", &cluster.nodes[1], &more);
    assert!(said.contains("except what only n1 may have"), "{said}");
    // Where all owners are gone it says which partitions are theirs, and leaves no file.
    cluster.nodes.truncate(2);
    let none = directory.path().join("none");
    let output = run("backup", &cluster.nodes[1], &none);
    let said = String::from_utf8_lossy(&output.stderr);
    let words = "netdb: no node that can be reached serves partition";
    let last = said.lines().last().unwrap_or_default();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(last.starts_with(words) && !none.exists(), "{said}");
}

#[test]
fn a_living_cluster_keeps_what_is_newer() {
    let cluster = Cluster::start(3);
    let (_directory, file) = scratch();
    for at in 0..200 {
        cluster.nodes[at % 3].put(&format!("key-{at}"), "old");
    }
    let said = done("backup", &cluster.nodes[1], &file);
    assert!(said.contains("200 values"), "{said}");
    assert!(said.contains("every write that was acknowledged before it began.\n"));
    for at in 0..50 {
        cluster.nodes[0].put(&format!("key-{at}"), "new");
    }
    for at in 50..100 {
        cluster.nodes[0].call(&["DEL", &format!("key-{at}")]);
    }
    cluster.nodes[2].put("later", "new");
    let said = done("restore", &cluster.nodes[2], &file);
    let counts = "0 values taken in, 100 there already, 100 deleted or overwritten since";
    assert!(said.contains(counts), "{said}");
    for node in &cluster.nodes {
        eventually("151 keys", LATER, || {
            same(node.try_call(&["DBSIZE"])?, Value::Integer(151))
        });
        node.await_value("key-0", Some("new"));
        node.await_value("key-50", None);
        node.await_value("key-199", Some("old"));
        node.await_value("later", Some("new"));
    }
}

#[test]
fn what_all_disks_lost_comes_back_beside_what_is_new() {
    let mut cluster = Cluster::start(2);
    let (_directory, file) = scratch();
    for at in 0..100 {
        cluster.nodes[at % 2].put(&format!("key-{at}"), "old");
    }
    done("backup", &cluster.nodes[0], &file);
    for node in &mut cluster.nodes {
        node.kill();
        node.lose_disk();
    }
    cluster.nodes.iter_mut().for_each(Node::start);
    cluster.await_whole();
    cluster.nodes[1].put("key-0", "new");
    cluster.nodes[1].put("key-1", "doomed");
    cluster.nodes[0].await_value("key-1", Some("doomed"));
    cluster.nodes[0].call(&["DEL", "key-1"]);

    let said = done("restore", &cluster.nodes[0], &file);
    assert!(said.contains("100 values taken in"), "{said}");
    for node in &cluster.nodes {
        eventually("100 keys", LATER, || {
            same(node.try_call(&["DBSIZE"])?, Value::Integer(100))
        });
        // Newer. A delete removes what it has seen, and it had not seen the old value.
        node.await_value("key-0", Some("new"));
        node.await_value("key-1", Some("old"));
        node.await_value("key-99", Some("old"));
    }
    // What is deleted now stays so, whatever is restored again.
    cluster.nodes[1].call(&["DEL", "key-99"]);
    cluster.nodes[0].await_value("key-99", None);
    let said = done("restore", &cluster.nodes[0], &file);
    assert!(said.contains("0 values taken in"), "{said}");
    assert_eq!(cluster.nodes[0].get("key-99"), Ok(None));

    // It is on disk: all of it is there after a crash of both.
    cluster.nodes.iter_mut().for_each(Node::kill);
    cluster.nodes.iter_mut().for_each(Node::start);
    cluster.nodes[0].await_value("key-98", Some("old"));
    assert_eq!(size(&cluster.nodes[0]), Value::Integer(99));
}

#[test]
fn a_damaged_backup_restores_nothing() {
    let cluster = Cluster::start(1);
    let (directory, file) = scratch();
    for at in 0..500 {
        cluster.nodes[0].put(&format!("key-{at}"), "value");
    }
    done("backup", &cluster.nodes[0], &file);
    let whole = std::fs::read(&file).unwrap();

    let other = Cluster::start(1);
    let damaged = directory.path().join("damaged");
    let mut flipped = whole.clone();
    let late = whole.len() * 9 / 10;
    flipped[late] ^= 1;
    for (bytes, words) in [
        (&flipped[..], "damaged at byte "),
        (&whole[..late], "file ends in the middle"),
        (&whole[..0], "file ends in the middle"),
        (b"#!/bin/sh\n", "not a netdb backup"),
    ] {
        std::fs::write(&damaged, bytes).unwrap();
        for output in [verify(&damaged), run("restore", &other.nodes[0], &damaged)] {
            let said = refused(&output, 1);
            assert!(said.contains(words), "{said}");
        }
        assert_eq!(size(&other.nodes[0]), Value::Integer(0));
    }
    let missing = directory.path().join("missing");
    refused(&run("restore", &other.nodes[0], &missing), 2);
    refused(&verify(directory.path()), 2);
}

#[test]
fn what_does_not_fit_is_refused_in_one_line() {
    let cluster = Cluster::start(1);
    let (directory, file) = scratch();
    cluster.nodes[0].put("key", "value");
    done("backup", &cluster.nodes[0], &file);
    let before = std::fs::read(&file).unwrap();

    // Nothing is overwritten unasked.
    let said = refused(&run("backup", &cluster.nodes[0], &file), 2);
    assert!(said.contains("exists"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let nowhere = directory.path().join("missing/file");
    let said = refused(&run("backup", &cluster.nodes[0], &nowhere), 2);
    assert!(
        said.contains("missing") && said.contains("No such file"),
        "{said}"
    );

    // Another number of partitions.
    let mut other = Cluster::new();
    let mut node = other.prepare();
    node.more = vec!["--partitions".to_owned(), "8".to_owned()];
    node.start_first();
    other.nodes.push(node);
    let said = refused(&run("restore", &other.nodes[0], &file), 1);
    let words = "partitions is 8 here and 256 in the backup";
    assert!(
        said.contains(words) && said.contains("nothing was restored"),
        "{said}"
    );
    assert_eq!(size(&other.nodes[0]), Value::Integer(0));

    // A node that is not there leaves no file.
    let gone = directory.path().join("gone");
    other.nodes[0].kill();
    let said = refused(&run("backup", &other.nodes[0], &gone), 1);
    assert!(said.contains("is a node running there?"), "{said}");
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn garbage_in_place_of_pieces_is_refused_and_forgotten() {
    let cluster = Cluster::start(1);
    let node = &cluster.nodes[0];
    node.put("key", "value");
    let huge = "x".repeat(1 << 20);
    for piece in ["", "\x7f", "\u{7ff}\u{7ff}\u{7ff}", huge.as_str()] {
        for kind in ["ROWS", "END"] {
            assert_eq!(
                node.call(&["NETDB", "RESTORE", "BEGIN", "256", "0"]),
                Value::ok()
            );
            let refused = node.call(&["NETDB", "RESTORE", kind, "3", piece]);
            assert!(matches!(refused, Value::Error(_)), "{refused:?}");
        }
    }
    // One restore at a time, and none is left behind by a client that is gone.
    let begin = ["NETDB", "RESTORE", "BEGIN", "256", "0"];
    let mut other = node.connect();
    assert_eq!(other.call(&begin), Ok(Value::ok()));
    let busy = node.call(&begin);
    assert!(
        matches!(&busy, Value::Error(words) if words.starts_with("BUSY ")),
        "{busy:?}"
    );
    drop(other);
    eventually("the other is forgotten", SOON, || {
        same(node.try_call(&begin)?, Value::ok())
    });
    assert_eq!(node.get("key"), Ok(Some("value".to_owned())));
}
