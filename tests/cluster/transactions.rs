//! Transactions on whole nodes: between clients of one node they are as in Redis, whichever
//! nodes have the keys.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use netdb::resp::Value;

use crate::support::client::{Connection, fields, text};
use crate::support::reshard::{owners, settled_cluster};
use crate::support::{LATER, Node, eventually, same};

/// Queues commands and executes them.
fn execute(connection: &mut Connection, commands: &[&[&str]]) -> Value {
    assert_eq!(connection.call(&["MULTI"]), Ok(Value::ok()));
    for command in commands {
        let queued = connection.call(command);
        assert_eq!(queued, Ok(Value::simple("QUEUED")), "{command:?}");
    }
    connection.call(&["EXEC"]).expect("an answer")
}

/// A key that begins with `prefix` and is, or is not, on `node` alone.
fn key(node: &Node, prefix: &str, is_here: bool) -> String {
    let mut keys = (0..1_000).map(|n| format!("{prefix}{n}"));
    let found = keys.find(|key| (owners(node, key).1 == [node.name.clone()]) == is_here);
    found.expect("each node has some of the keys")
}

/// Adds one to the number at `key` as often as told, each time if nobody else did meanwhile.
/// Returns how often somebody did.
fn count_up(connection: &mut Connection, key: &str, times: usize) -> usize {
    let (mut done, mut refused) = (0, 0);
    while done < times {
        assert_eq!(connection.call(&["WATCH", key]), Ok(Value::ok()));
        let before = connection.call(&["GET", key]).expect("a value");
        let before: usize = text(&before).parse().unwrap_or(0);
        let next = (before + 1).to_string();
        match execute(connection, &[&["SET", key, &next], &["GET", key]]) {
            Value::Null => refused += 1,
            answers => {
                assert_eq!(answers, Value::Array(vec![Value::ok(), Value::bulk(next)]));
                done += 1;
            }
        }
    }
    refused
}

#[test]
fn no_update_of_two_clients_of_one_node_is_lost() {
    const TIMES: usize = 150;
    let cluster = settled_cluster(3, 3);
    let addr = cluster.nodes[0].ports.client;
    let client = move || count_up(&mut Connection::open(addr).unwrap(), "counter", TIMES);
    let clients: Vec<_> = (0..2).map(|_| thread::spawn(client)).collect();
    let refused: usize = clients.into_iter().map(|one| one.join().unwrap()).sum();
    println!(
        "{refused} of {} times somebody was faster",
        2 * TIMES + refused
    );
    for node in &cluster.nodes {
        node.await_value("counter", Some(&(2 * TIMES).to_string()));
    }
    // A write that arrives from another node is noticed too.
    let mut connection = Connection::open(addr).unwrap();
    assert_eq!(connection.call(&["WATCH", "counter"]), Ok(Value::ok()));
    cluster.nodes[1].put("counter", "other");
    cluster.nodes[0].await_value("counter", Some("other"));
    let answers = execute(&mut connection, &[&["SET", "counter", "mine"]]);
    assert_eq!(answers, Value::Null);
    assert_eq!(
        cluster.nodes[0].get("counter"),
        Ok(Some("other".to_owned()))
    );
}

#[test]
fn batches_of_two_clients_never_mix() {
    const ROUNDS: usize = 200;
    static IS_OVER: AtomicBool = AtomicBool::new(false);
    let cluster = settled_cluster(3, 3);
    let addr = cluster.nodes[0].ports.client;
    let writer = move |me: &'static str| {
        let mut connection = Connection::open(addr).unwrap();
        for _ in 0..ROUNDS {
            let sets: Vec<[&str; 3]> = ["a", "b", "c", "d"].map(|key| ["SET", key, me]).into();
            let sets: Vec<&[&str]> = sets.iter().map(|set| &set[..]).collect();
            let answers = execute(&mut connection, &sets);
            assert_eq!(answers, Value::Array(vec![Value::ok(); 4]));
        }
    };
    let reader = move || {
        let mut connection = Connection::open(addr).unwrap();
        let (mut seen, mut before) = (0, Value::Null);
        while !IS_OVER.load(Ordering::Relaxed) {
            let mget: &[&str] = &["MGET", "a", "b", "c", "d"];
            let answers = execute(&mut connection, &[mget]);
            let Value::Array(answers) = answers else {
                panic!("{answers:?}");
            };
            let Value::Array(values) = &answers[0] else {
                panic!("{answers:?}");
            };
            assert!(values.iter().all(|value| value == &values[0]), "{values:?}");
            seen += usize::from(values[0] != before);
            before = values[0].clone();
        }
        seen
    };
    let reader = thread::spawn(reader);
    let writers = ["one", "two"].map(|me| thread::spawn(move || writer(me)));
    for writer in writers {
        writer.join().unwrap();
    }
    IS_OVER.store(true, Ordering::Relaxed);
    println!("{} changes seen", reader.join().unwrap());
}

#[test]
fn keys_of_other_nodes_are_part_of_a_batch() {
    let cluster = settled_cluster(3, 1);
    let node = &cluster.nodes[0];
    let (near, far, other) = (
        key(node, "near", true),
        key(node, "far", false),
        key(node, "other", false),
    );
    let (near, far, other) = (near.as_str(), far.as_str(), other.as_str());
    let mut connection = node.connect();
    let answers = execute(
        &mut connection,
        &[
            &["SET", near, "1"],
            &["SET", far, "2"],
            &["APPEND", far, "3"],
            &["MGET", near, far, other],
            &["RENAME", far, other],
            &["EXISTS", near, far, other],
            &["GETRANGE", other, "0", "x"],
            &["GETDEL", other],
            &["DBSIZE"],
        ],
    );
    let not_an_integer = "ERR value is not an integer or out of range";
    assert_eq!(
        answers,
        Value::Array(vec![
            Value::ok(),
            Value::ok(),
            Value::Integer(2),
            Value::Array(vec![Value::bulk("1"), Value::bulk("23"), Value::Null]),
            Value::ok(),
            Value::Integer(2),
            Value::error(not_an_integer),
            Value::bulk("23"),
            Value::Integer(1),
        ])
    );

    // Watching them works alike.
    for key in [near, far] {
        assert_eq!(connection.call(&["WATCH", near, far]), Ok(Value::ok()));
        let unchanged = execute(&mut connection, &[&["SET", key, "4"]]);
        assert_eq!(unchanged, Value::Array(vec![Value::ok()]));
        assert_eq!(connection.call(&["WATCH", near, far]), Ok(Value::ok()));
        cluster.nodes[1].put(key, "5");
        let changed = execute(&mut connection, &[&["SET", key, "6"]]);
        assert_eq!(changed, Value::Null, "{key}");
        assert_eq!(node.get(key), Ok(Some("5".to_owned())));
    }
    assert_eq!(node.call(&["DEL", far]), Value::Integer(1));
    assert_eq!(count_up(&mut connection, far, 20), 0);
    assert_eq!(node.get(far), Ok(Some("20".to_owned())));
    let addr = node.ports.client;
    let client = || count_up(&mut Connection::open(addr).unwrap(), far, 100);
    thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(client))));
    assert_eq!(node.get(far), Ok(Some("220".to_owned())));

    // Everything is deleted where it stands among the other commands.
    let answers = execute(&mut connection, &[&["FLUSHALL"], &["SET", far, "7"]]);
    assert_eq!(answers, Value::Array(vec![Value::ok(), Value::ok()]));
    for node in &cluster.nodes {
        eventually("one key is left", LATER, || {
            same(node.try_call(&["DBSIZE"])?, Value::Integer(1))
        });
    }
    let info = fields(node.call(&["NETDB", "OWNERS", far])).expect("a map");
    assert_eq!(info["serves"], "0");
}
