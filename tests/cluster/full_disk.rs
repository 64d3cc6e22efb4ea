//! A disk that is full for real: a small file system in a mount namespace of the node's own,
//! where the system permits that.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{Cluster, LATER, NETDB, Node, eventually, same};
use netdb::resp::Value;
use rand::distr::Alphanumeric;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// Bytes of a value: enough to fill the file system in a few hundred writes.
const VALUE_BYTES: usize = 100_000;

/// A node on a file system of 48 MB, of which 20 MB are taken by a file named `ballast`.
/// None, and why, where a process may not have mounts of its own.
fn on_small_disk(cluster: &mut Cluster) -> Option<Node> {
    let script = "mount -t tmpfs -o size=48m tmpfs \"$0\" && \
                  head -c 20000000 /dev/zero > \"$0/ballast\"";
    let mut node = cluster.prepare();
    let data = node.data();
    fs::create_dir_all(&data).unwrap();
    let tried = Command::new("unshare")
        .args(["-Urm", "sh", "-c", script])
        .arg(&data)
        .output();
    match tried {
        Ok(tried) if tried.status.success() => {}
        Ok(tried) => {
            let said = String::from_utf8_lossy(&tried.stderr);
            println!("skipped: no mount namespace is permitted here: {said}");
            return None;
        }
        Err(error) => {
            println!("skipped: unshare does not run here: {error}");
            return None;
        }
    }
    let program = data.with_extension("sh");
    let data = data.display();
    fs::write(
        &program,
        format!(
            "#!/bin/sh\nexec unshare -Urm sh -c '{script} && exec \"{NETDB}\" \"$@\"' \"{data}\" \"$@\"\n"
        ),
    )
    .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    node.program = program;
    node.start_first();
    Some(node)
}

/// A path of the node's file system as other processes reach it.
fn inside(node: &Node, name: &str) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{}/root", node.pid()));
    root.join(node.data().strip_prefix("/").unwrap()).join(name)
}

/// Waits until the node has noticed half of the room that went. Else a node that gets no
/// turn on a busy machine is told by a failing write what it would have seen.
#[track_caller]
fn await_notice(node: &Node) {
    eventually("the node sees what room is left", LATER, || {
        let known: u64 = node.status()?["disk_free_bytes"].parse().unwrap();
        let stat = rustix::fs::statvfs(inside(node, "")).unwrap();
        let free = stat.f_bavail * stat.f_frsize;
        if free >= known / 2 {
            return Ok(());
        }
        Err(format!("{free} bytes are free, and it knows of {known}"))
    });
}

/// Writes keys of the largest number so far on until writes are stopped, and says by what.
/// Calls `before_each` before each write.
#[track_caller]
fn fill(node: &Node, acknowledged: &mut Vec<String>, before_each: impl Fn(&Node)) -> String {
    // What nobody can compress.
    let random = SmallRng::seed_from_u64(acknowledged.len() as u64).sample_iter(Alphanumeric);
    let value: String = random.take(VALUE_BYTES).map(char::from).collect();
    let mut at = acknowledged.len();
    eventually("writes are stopped", LATER, || {
        loop {
            before_each(node);
            let key = format!("key {at}");
            at += 1;
            match node.try_call(&["SET", &key, &value])? {
                Value::Simple(_) => acknowledged.push(key),
                Value::Error(error) if error.starts_with("MISCONF ") => return Ok(error),
                other => return Err(format!("{other:?}")),
            }
        }
    })
}

#[track_caller]
fn await_writable(node: &Node) {
    eventually("writes go on", LATER, || {
        same(node.try_call(&["SET", "again", "yes"])?, Value::ok())
    });
    assert_eq!(node.status().unwrap()["disk"], "healthy");
}

#[test]
fn a_full_disk_stops_writes_and_room_lets_them_go_on() {
    let mut cluster = Cluster::new();
    let Some(node) = on_small_disk(&mut cluster) else {
        return;
    };
    let pid = node.pid();
    let mut acknowledged = Vec::new();
    let stopped = fill(&node, &mut acknowledged, await_notice);
    let path = node.data().display().to_string();
    assert!(
        stopped.contains(&path) && stopped.contains("free"),
        "{stopped}"
    );
    let before = acknowledged.len();
    assert!(before > 50, "{before} writes");
    let status = node.status().unwrap();
    assert_eq!(status["disk"], "full", "before it is");
    assert!(status["disk_free_bytes"].parse::<u64>().unwrap() > 0);
    let deleted = node.call(&["DEL", "key 0"]);
    assert!(matches!(&deleted, Value::Error(error) if error.starts_with("MISCONF ")));
    assert_eq!(node.call(&["EXISTS", "key 0"]), Value::Integer(1));

    fs::remove_file(inside(&node, "ballast")).unwrap();
    await_writable(&node);

    // Somebody else takes the last byte: now the engine's own writes fail.
    let taken = fs::write(inside(&node, "ballast"), vec![1; 64_000_000]);
    assert!(taken.is_err(), "it is full to the last byte");
    let stopped = fill(&node, &mut acknowledged, |_| ());
    assert!(stopped.contains(&path), "{stopped}");
    fs::remove_file(inside(&node, "ballast")).unwrap();
    await_writable(&node);
    let after = acknowledged.len();
    fill(&node, &mut acknowledged, |_| ());
    assert!(acknowledged.len() > after, "writes are taken again");

    for key in &acknowledged {
        assert_eq!(node.call(&["EXISTS", key]), Value::Integer(1), "{key}");
    }
    assert_eq!(node.pid(), pid);
    println!(
        "{before} writes of 100 kB on a disk of 48 MB with 28 MB free, {} in all, 0 lost",
        acknowledged.len()
    );
}
