//! Values of the largest size, and what happens when there is too much of anything.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use netdb::resp::Value;

use crate::support::reshard::{await_settled, settled_cluster};
use crate::support::{Cluster, LATER, Node, eventually, finish, netdb, same};

/// The longest value.
const LONGEST: usize = 64 * 1024 * 1024;

/// How long a step with some of the longest values may take on a busy machine.
const SOME_TIME: Duration = Duration::from_secs(120);

/// A value of the longest size; each one is another.
fn longest(salt: u8) -> Vec<u8> {
    let byte = |n: usize| (n >> 8) as u8 ^ n as u8 ^ salt;
    (0..LONGEST).map(byte).collect()
}

/// Sets a key. A machine that is busy may have too few replicas confirm in time; then the write
/// stands, and is made again.
#[track_caller]
fn set(node: &Node, key: &str, value: &[u8]) {
    eventually("a write", SOME_TIME, || {
        same(
            node.try_call_bytes(&[b"SET", key.as_bytes(), value])?,
            Value::ok(),
        )
    });
}

#[track_caller]
fn shows(node: &Node, command: &[&str], value: &[u8]) {
    eventually("the value", SOME_TIME, || {
        let found = node.try_call(command)?;
        let found = found.as_bytes().ok_or("no value")?;
        // Neither is to be printed.
        (found == value)
            .then_some(())
            .ok_or(format!("{} other bytes", found.len()))
    });
}

/// Through every node, by pushes, by sync after a node was away, and from its disk.
#[test]
fn the_longest_values_are_on_all_nodes() {
    let mut cluster = settled_cluster(3, 3);
    let (first, second) = (longest(1), longest(2));
    set(&cluster.nodes[0], "first", &first);
    for node in &cluster.nodes {
        shows(node, &["GET", "first"], &first);
    }
    let field: [&[u8]; 4] = [b"HSET", b"hash", b"field", &second];
    eventually("a field", SOME_TIME, || {
        match cluster.nodes[1].try_call_bytes(&field)? {
            Value::Integer(_) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    for node in &cluster.nodes {
        shows(node, &["HGET", "hash", "field"], &second);
    }
    let Value::Error(refused) = cluster.nodes[1].call(&["APPEND", "first", "x"]) else {
        panic!("a value longer than the longest");
    };
    assert!(refused.contains("too long"), "{refused}");

    cluster.nodes[2].kill();
    set(&cluster.nodes[0], "first", &second);
    set(&cluster.nodes[0], "third", &first);
    cluster.nodes[2].start();
    shows(&cluster.nodes[2], &["GET", "third"], &first);
    shows(&cluster.nodes[2], &["GET", "first"], &second);
    shows(&cluster.nodes[2], &["HGET", "hash", "field"], &second);
}

/// Through a node that holds nothing of them, and into a node that joins.
#[test]
fn the_longest_values_are_forwarded_and_handed_over() {
    let mut cluster = settled_cluster(2, 1);
    let value = longest(3);
    let keys: Vec<String> = (0..4).map(|n| format!("key{n}")).collect();
    for key in &keys {
        set(&cluster.nodes[0], key, &value);
        shows(&cluster.nodes[1], &["GET", key], &value);
    }
    cluster.add();
    await_settled(&cluster.nodes, SOME_TIME);
    for key in &keys {
        shows(&cluster.nodes[2], &["GET", key], &value);
    }
}

/// In a backup, in a dump, and back.
#[test]
fn the_longest_values_are_backed_up_and_restored() {
    let cluster = Cluster::start(1);
    let value = longest(4);
    let node = &cluster.nodes[0];
    set(node, "key", &value);
    let dump = node.call(&["DUMP", "key"]);
    let dump = dump.as_bytes().unwrap();
    let restore: [&[u8]; 4] = [b"RESTORE", b"copy", b"0", dump];
    assert_eq!(node.try_call_bytes(&restore), Ok(Value::ok()));
    shows(node, &["GET", "copy"], &value);

    let file = cluster.directory().join("backup");
    let file = file.to_str().unwrap();
    let client = node.ports.client.to_string();
    let done = finish(&mut netdb(["backup", "--node", &client, file]), "");
    assert!(done.status.success(), "{done:?}");
    let empty = Cluster::start(1);
    let client = empty.nodes[0].ports.client.to_string();
    let done = finish(&mut netdb(["restore", "--node", &client, file]), "");
    assert!(done.status.success(), "{done:?}");
    shows(&empty.nodes[0], &["GET", "key"], &value);
    shows(&empty.nodes[0], &["GET", "copy"], &value);
}

/// A node without a disk refuses what would not fit its memory, and takes it once there is room.
#[test]
fn a_node_in_memory_refuses_what_does_not_fit() {
    let mut cluster = Cluster::new();
    let node = cluster.add_with(&["--memory", "--memory-budget", "32MB"]);
    let mut connection = node.connect();
    let value = "x".repeat(1_000_000);
    let mut set = |n: usize| connection.call(&["SET", &format!("key{n}"), &value]);
    let is_stored = |reply: Result<Value, String>| reply == Ok(Value::ok());
    let stored = (0..100).take_while(|n| is_stored(set(*n))).count();
    assert!((30..=32).contains(&stored), "{stored}");
    let Ok(Value::Error(refused)) = set(stored) else {
        panic!("more than there is room for");
    };
    let expected = "OOM command not allowed when used memory > 'maxmemory': ";
    assert!(refused.starts_with(expected), "{refused}");
    assert_eq!(node.get("key0"), Ok(Some(value.clone())));
    assert_eq!(node.call(&["DEL", "key0", "key1"]), Value::Integer(2));
    assert_eq!(set(stored), Ok(Value::ok()));
}

/// Clients that ask for more than there is memory for are told so, and others are served.
#[test]
fn clients_that_want_too_much_together_are_refused() {
    let mut cluster = Cluster::new();
    let node = cluster.add_with(&["--client-memory", "160MB"]);
    let value = longest(5);
    set(node, "key", &value);
    let mut reader = node.connect();
    // They ask, and do not read.
    let greedy: Vec<TcpStream> = (0..16)
        .map(|_| TcpStream::connect(node.ports.client).unwrap())
        .collect();
    for mut stream in &greedy {
        stream.write_all(b"GET key\r\n").unwrap();
    }
    eventually("an early end", LATER, || {
        match reader.call(&["GET", "none"])? {
            Value::Error(refused) if refused.starts_with("OOM ") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    assert_eq!(reader.call(&["PING"]), Ok(Value::simple("PONG")));
    drop(greedy);
    eventually("room", LATER, || {
        same(
            reader.call(&["STRLEN", "key"])?,
            Value::Integer(LONGEST as i64),
        )
    });
}

#[test]
fn an_operator_bounds_how_long_values_are() {
    let mut cluster = Cluster::new();
    let node = cluster.add_with(&["--argument-max", "1MB"]);
    set(node, "key", "x".repeat(1_000_000).as_bytes());
    let mut connection = node.connect();
    let refused = connection.call(&["SET", "key", &"x".repeat(1_000_001)]);
    let expected = "ERR Protocol error: invalid bulk length";
    assert_eq!(refused, Ok(Value::error(expected)));
    assert_eq!(node.call(&["STRLEN", "key"]), Value::Integer(1_000_000));
}
