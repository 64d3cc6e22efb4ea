//! Members come and go by the program's own commands, and what they hold is handed on.

use std::net::SocketAddr;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::{Cluster, Connection, LATER, Node, eventually, finish, netdb, same};
use netdb::resp::Value;

/// Enough keys that every partition of a few has some.
const KEYS: usize = 200;

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a command of the program on `node`.
fn run(node: &Node, command: &str, words: &[&str]) -> Output {
    let client = node.ports.client.to_string();
    let arguments = [&[command, "--node", &client], words].concat();
    finish(&mut netdb(arguments), "")
}

#[track_caller]
fn done(node: &Node, command: &str, words: &[&str]) -> String {
    let output = run(node, command, words);
    assert!(output.status.success(), "{command}: {}", stderr(&output));
    stdout(&output)
}

fn cluster(nodes: usize) -> Cluster {
    let mut cluster = Cluster::new();
    for _ in 0..nodes {
        add(&mut cluster, &[]);
    }
    cluster
}

fn add(cluster: &mut Cluster, more: &[&str]) {
    let settings = ["--partitions", "32", "--network", "local"];
    cluster.add_with(&[&settings, more].concat());
}

fn write(node: &Node) {
    for n in 0..KEYS {
        node.put(&format!("k{n}"), &format!("v{n}"));
    }
}

fn await_values(node: &Node) {
    eventually("all values", LATER, || {
        for n in 0..KEYS {
            same(node.get(&format!("k{n}"))?, Some(format!("v{n}")))?;
        }
        Ok(())
    });
}

/// The names in the placement that `node` shows, and what it says below.
fn placement(node: &Node) -> (Vec<String>, String) {
    let text = done(node, "exec", &["placement"]);
    let mut lines: Vec<&str> = text.lines().skip(1).collect();
    let last = lines.pop().unwrap_or_default().to_owned();
    let name = |line: &str| {
        line.split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    (lines.into_iter().map(name).collect(), last)
}

#[test]
fn nodes_join_and_leave_and_the_program_shows_it() {
    let mut cluster = cluster(3);
    write(&cluster.nodes[0]);

    let plan = done(
        &cluster.nodes[0],
        "plan",
        &["--join", "n4,zone=b", "--leave", "n2"],
    );
    assert!(plan.contains("n4    joins   0 "), "{plan}");
    assert!(plan.contains("n2    leaves  32 "), "{plan}");
    assert!(plan.contains("the least possible is"), "{plan}");
    let (names, _) = placement(&cluster.nodes[0]);
    assert_eq!(names, ["n1", "n2", "n3"], "a plan changes nothing");

    add(&mut cluster, &["--leave", "--zone", "b"]);
    let watched = done(&cluster.nodes[0], "rebalance", &["watch"]);
    assert!(
        watched.contains("Nothing is left to be moved."),
        "{watched}"
    );
    eventually("all place alike", LATER, || {
        let known: Vec<_> = cluster.nodes.iter().map(placement).collect();
        known.iter().try_for_each(|one| same(&known[0], one))
    });
    let report = done(&cluster.nodes[3], "exec", &["rebalance"]);
    assert!(report.contains("to fetch: 0"), "{report}");
    let owners = done(&cluster.nodes[1], "exec", &["owners", "k1"]);
    assert_eq!(owners.lines().count(), 2 + 3, "{owners}");
    await_values(&cluster.nodes[3]);

    assert!(cluster.nodes[3].stop().success(), "a signal, with --leave");
    let left = done(&cluster.nodes[1], "leave", &[]);
    assert!(left.contains("has left its cluster"), "{left}");
    assert!(cluster.nodes[1].ended().success());
    assert_eq!(placement(&cluster.nodes[0]).0, ["n1", "n3"]);
    await_values(&cluster.nodes[2]);

    done(&cluster.nodes[0], "leave", &[]);
    assert!(cluster.nodes[0].ended().success());
    await_values(&cluster.nodes[2]);
    let refused = run(&cluster.nodes[2], "leave", &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("the last that owns data"),
        "{}",
        stderr(&refused)
    );
    await_values(&cluster.nodes[2]);
}

/// There is no moment at which others have everything while clients write: a node that waited
/// for one never left.
#[test]
fn a_node_leaves_while_clients_write() {
    let mut cluster = cluster(4);
    done(&cluster.nodes[0], "rebalance", &["watch"]);
    let is_over = &AtomicBool::new(false);
    let (clients, leaver) = ([0, 2, 3], 1);
    let ports = clients.map(|at| cluster.nodes[at].ports.client);
    let written: Vec<usize> = thread::scope(|scope| {
        let writers = ports.map(|port| scope.spawn(move || write_until(is_over, port)));
        let over = Over(is_over);
        let left = run(&cluster.nodes[leaver], "leave", &[]);
        drop(over);
        assert!(left.status.success(), "{}", stderr(&left));
        writers.map(|writer| writer.join().unwrap()).into()
    });
    assert!(cluster.nodes[leaver].ended().success());
    for (port, written) in ports.iter().zip(written) {
        assert!(written > 0);
        eventually("what was acknowledged", LATER, || {
            for n in 0..written {
                let value = cluster.nodes[0].get(&format!("{port}-{n}"))?;
                same(value, Some("v".to_owned()))?;
            }
            Ok(())
        });
    }
}

/// Ends the writers, also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes key after key; how many. Every one must be acknowledged.
fn write_until(is_over: &AtomicBool, port: SocketAddr) -> usize {
    let mut connection = Connection::open(port).unwrap();
    let mut written = 0;
    while !is_over.load(Ordering::Relaxed) {
        let reply = connection.call(&["SET", &format!("{port}-{written}"), "v"]);
        assert_eq!(reply, Ok(Value::ok()), "write {written}");
        written += 1;
    }
    written
}

#[test]
fn a_member_is_removed_when_it_is_dead() {
    let mut cluster = cluster(4);
    write(&cluster.nodes[0]);
    done(&cluster.nodes[0], "rebalance", &["watch"]);
    let refused = run(&cluster.nodes[0], "remove", &["n4"]);
    assert!(
        stderr(&refused).contains("is alive"),
        "{}",
        stderr(&refused)
    );
    cluster.nodes[3].kill();
    eventually("n4 is removed", LATER, || {
        let output = run(&cluster.nodes[0], "remove", &["n4"]);
        output
            .status
            .success()
            .then_some(())
            .ok_or_else(|| stderr(&output))
    });
    let watched = done(&cluster.nodes[1], "rebalance", &["watch"]);
    assert!(
        watched.contains("Nothing is left to be moved."),
        "{watched}"
    );
    assert_eq!(placement(&cluster.nodes[2]).0, ["n1", "n2", "n3"]);
    await_values(&cluster.nodes[1]);
}

/// Nobody does anything: its time is over, and most members are there to say so.
#[test]
fn a_member_that_is_away_for_too_long_is_removed() {
    let mut cluster = Cluster::new();
    for _ in 0..4 {
        add(&mut cluster, &["--evict-after", "10s"]);
    }
    write(&cluster.nodes[0]);
    done(&cluster.nodes[0], "rebalance", &["watch"]);
    cluster.nodes[3].kill();
    for node in &cluster.nodes[..3] {
        eventually("n4 is removed", LATER, || {
            same(
                placement(node).0,
                ["n1", "n2", "n3"].map(str::to_owned).to_vec(),
            )
        });
    }
    done(&cluster.nodes[1], "rebalance", &["watch"]);
    await_values(&cluster.nodes[2]);
}
