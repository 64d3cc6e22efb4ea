//! `WAIT` and `WAITAOF`: how many owners have what a connection has written.

use std::io::Write;
use std::net::TcpStream;

use netdb::resp::Value;

use crate::support::client::text;
use crate::support::reshard::{owners, settled_cluster};
use crate::support::{Cluster, LATER, Node, eventually, same};

fn on_disks(accepted: i64, others: i64) -> Value {
    Value::Array(vec![Value::Integer(accepted), Value::Integer(others)])
}

#[test]
fn replicas_are_counted_while_all_are_there_and_while_one_is_not() {
    let mut cluster = settled_cluster(3, 3);
    for node in &cluster.nodes {
        let mut connection = node.connect();
        assert_eq!(connection.call(&["WAIT", "0", "0"]), Ok(Value::Integer(2)));
        for n in 0..50 {
            let key = format!("key{n}");
            // Some are done here, others on the owner that decides.
            let command: &[&str] = match n % 3 {
                0 => &["SET", &key, "v"],
                1 => &["APPEND", &key, "v"],
                _ => &["DEL", &key],
            };
            connection.call(command).unwrap();
            let reached = connection.call(&["WAIT", "2", "0"]);
            assert_eq!(reached, Ok(Value::Integer(2)));
        }
        let reached = connection.call(&["WAITAOF", "1", "2", "0"]);
        assert_eq!(reached, Ok(on_disks(1, 2)));
    }

    let mut connection = cluster.nodes[0].connect();
    cluster.nodes[2].signal("STOP");
    assert_eq!(connection.call(&["SET", "key", "v"]), Ok(Value::ok()));
    assert_eq!(connection.call(&["WAIT", "1", "0"]), Ok(Value::Integer(1)));
    let late = connection.call(&["WAIT", "2", "300"]);
    assert_eq!(late, Ok(Value::Integer(1)));
    let late = connection.call(&["WAITAOF", "1", "2", "300"]);
    assert_eq!(late, Ok(on_disks(1, 1)));
    // Other connections have written nothing, or are served meanwhile.
    assert_eq!(cluster.nodes[0].get("key"), Ok(Some("v".to_owned())));
    cluster.nodes[2].signal("CONT");
    assert_eq!(connection.call(&["WAIT", "2", "0"]), Ok(Value::Integer(2)));

    cluster.nodes[2].kill();
    eventually("a write without it", LATER, || {
        same(connection.call(&["SET", "key", "w"])?, Value::ok())
    });
    let late = connection.call(&["WAIT", "2", "300"]);
    assert_eq!(late, Ok(Value::Integer(1)));
    let late = connection.call(&["WAITAOF", "1", "2", "300"]);
    assert_eq!(late, Ok(on_disks(1, 1)));
    cluster.nodes[2].start();
    assert_eq!(
        connection.call(&["WAITAOF", "1", "2", "0"]),
        Ok(on_disks(1, 2))
    );
}

#[test]
fn writes_that_another_node_accepted_are_counted_alike() {
    let cluster = settled_cluster(3, 2);
    let node = &cluster.nodes[0];
    let is_elsewhere = |key: &String| !owners(node, key).1.contains(&node.name);
    let keys: Vec<String> = (0..200)
        .map(|n| format!("key{n}"))
        .filter(is_elsewhere)
        .collect();
    let mut connection = node.connect();
    for key in &keys {
        assert_eq!(connection.call(&["SET", key, "v"]), Ok(Value::ok()));
    }
    assert_eq!(connection.call(&["WAIT", "1", "0"]), Ok(Value::Integer(1)));
    assert_eq!(connection.call(&["WAIT", "2", "50"]), Ok(Value::Integer(1)));
    let on_both = connection.call(&["WAITAOF", "1", "1", "0"]);
    assert_eq!(on_both, Ok(on_disks(1, 1)));
}

#[test]
fn who_waits_for_ever_waits_as_long_as_it_is_there_and_a_transaction_for_nobody() {
    let cluster = Cluster::start(1);
    let node = &cluster.nodes[0];
    let waiting = TcpStream::connect(node.ports.client).unwrap();
    (&waiting)
        .write_all(b"SET key v\r\nWAIT 1 0\r\nGET key\r\n")
        .unwrap();
    let clients = |node: &Node| {
        let list = text(&node.call(&["CLIENT", "LIST"]));
        list.lines()
            .filter(|line| line.contains("cmd=wait"))
            .count()
    };
    eventually("it waits", LATER, || same(clients(node), 1));
    drop(waiting);
    eventually("it has gone", LATER, || same(clients(node), 0));

    let mut connection = node.connect();
    for command in [&["MULTI"][..], &["SET", "key", "w"], &["WAIT", "1", "0"]] {
        connection.call(command).unwrap();
    }
    let answers = Value::Array(vec![Value::ok(), Value::Integer(0)]);
    assert_eq!(connection.call(&["EXEC"]), Ok(answers));
    for (command, error) in [
        (&["WAIT", "1", "-1"][..], "ERR timeout is negative"),
        (
            &["WAITAOF", "2", "1", "0"],
            "ERR value is out of range, value must between 0 and 1",
        ),
        (
            &["WAITAOF", "1", "-1", "0"],
            "ERR value is out of range, must be positive",
        ),
    ] {
        assert_eq!(connection.call(command), Ok(Value::error(error)));
    }
}
