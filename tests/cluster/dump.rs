//! `DUMP` and `RESTORE` on whole nodes: through any of them, of every type and size.

use std::collections::BTreeSet;

use netdb::resp::Value;

use crate::support::client::{fields, text};
use crate::support::reshard::settled_cluster;
use crate::support::{Connection, LATER, Node, call, eventually, same};

const BUSY: &str = "BUSYKEY Target key name already exists.";

#[track_caller]
fn dump(node: &Node, key: &str) -> Vec<u8> {
    let answer = node.call(&["DUMP", key]);
    answer.as_bytes().expect("a payload").to_vec()
}

#[track_caller]
fn restore(node: &Node, key: &str, ttl: &str, payload: &[u8], more: &str) -> Value {
    let mut words: Vec<&[u8]> = vec![b"RESTORE", key.as_bytes(), ttl.as_bytes(), payload];
    words.extend(more.split_whitespace().map(str::as_bytes));
    let mut connection = node.connect();
    connection.call_bytes(&words).unwrap()
}

fn words(value: Value) -> BTreeSet<String> {
    match value {
        Value::Array(items) | Value::Set(items) => items.iter().map(text).collect(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn await_answer(node: &Node, line: &str, answer: &Value) {
    let words: Vec<&str> = line.split(' ').collect();
    eventually(line, LATER, || same(&node.try_call(&words)?, answer));
}

#[test]
fn every_type_goes_from_any_node_to_any_node() {
    let cluster = settled_cluster(3, 2);
    let nodes = &cluster.nodes;
    for n in 0..3 {
        let (one, next, last) = (&nodes[n], &nodes[(n + 1) % 3], &nodes[(n + 2) % 3]);
        call(one, &format!("SET v{n} text"));
        call(one, &format!("INCRBY n{n} 5"));
        await_answer(next, &format!("GET n{n}"), &Value::bulk("5"));
        call(next, &format!("INCRBY n{n} 7"));
        call(one, &format!("HSET h{n} f 1 g two"));
        call(one, &format!("HINCRBY h{n} f 4"));
        call(one, &format!("SADD s{n} a b"));
        for kind in ["v", "n", "h", "s"] {
            let payload = eventually("it is all there", LATER, || {
                let payload = dump(one, &format!("{kind}{n}"));
                same(&dump(next, &format!("{kind}{n}")), &payload)?;
                Ok(payload)
            });
            let to = format!("to:{kind}{n}");
            assert_eq!(restore(next, &to, "0", &payload, ""), Value::ok());
            assert_eq!(restore(next, &to, "0", &payload, ""), Value::error(BUSY));
            eventually("it is the same there", LATER, || {
                let answer = last.try_call(&["DUMP", &to])?;
                same(answer.as_bytes(), Some(&payload[..]))
            });
        }
        assert_eq!(call(next, &format!("GET to:v{n}")), Value::bulk("text"));
        assert_eq!(call(next, &format!("GET to:n{n}")), Value::bulk("12"));
        let hash = fields(call(next, &format!("HGETALL to:h{n}"))).unwrap();
        assert_eq!((&*hash["f"], &*hash["g"], hash.len()), ("5", "two", 2));
        let set = words(call(next, &format!("SMEMBERS to:s{n}")));
        assert_eq!(set, ["a", "b"].map(str::to_owned).into());
        // What is restored goes on.
        assert_eq!(call(next, &format!("INCR to:n{n}")), Value::Integer(13));
    }
}

#[test]
fn what_is_there_is_replaced_and_ends_as_it_is_told() {
    let cluster = settled_cluster(3, 2);
    let [one, two, three] = &cluster.nodes[..] else {
        panic!("three nodes");
    };
    call(one, "SET v text EX 1000");
    call(one, "SADD s a b");
    call(one, "HSET h f 1");
    let payloads = ["v", "s", "h"].map(|key| dump(one, key));
    for (n, payload) in payloads.iter().enumerate() {
        // Over a value, and over more elements than go in one step.
        let key = format!("key{n}");
        call(two, &format!("SET {key} old"));
        let done = restore(three, &key, "500000", payload, "REPLACE");
        assert_eq!(done, Value::ok());
        let Value::Integer(left) = call(three, &format!("TTL {key}")) else {
            panic!("no end");
        };
        assert!((400..=500).contains(&left), "{left}");
        assert_eq!(dump(three, &key), *payload);

        let key = format!("many{n}");
        let members: Vec<String> = (0..2_000).map(|n| format!("m{n}")).collect();
        let mut command = vec!["SADD", &key];
        command.extend(members.iter().map(String::as_str));
        two.call(&command);
        await_answer(three, &format!("SCARD {key}"), &Value::Integer(2_000));
        let at = "99999999999999";
        let done = restore(three, &key, at, payload, "ABSTTL REPLACE");
        assert_eq!(done, Value::ok());
        let answer = Value::Integer(99_999_999_999_999);
        assert_eq!(call(three, &format!("PEXPIRETIME {key}")), answer);
        assert_eq!(dump(three, &key), *payload);

        // A time that has come deletes.
        let done = restore(three, &key, "1", payload, "ABSTTL REPLACE");
        assert_eq!(done, Value::ok());
        for node in &cluster.nodes {
            await_answer(node, &format!("EXISTS {key}"), &Value::Integer(0));
        }
    }
    // An end is not in the payload.
    assert_eq!(restore(two, "again", "0", &payloads[0], ""), Value::ok());
    assert_eq!(call(two, "TTL again"), Value::Integer(-1));
}

#[test]
fn what_has_thousands_of_elements_is_restored_whole() {
    const COUNT: usize = 12_000;
    let cluster = settled_cluster(3, 2);
    let nodes = &cluster.nodes;
    let value = "v".repeat(300);
    let names: Vec<String> = (0..COUNT).map(|n| format!("m{n}")).collect();
    for some in names.chunks(2_000) {
        let mut command = vec!["HSET", "hash"];
        command.extend(some.iter().flat_map(|name| [name.as_str(), value.as_str()]));
        nodes[0].call(&command);
    }
    let payload = dump(&nodes[0], "hash");
    for (n, node) in nodes.iter().enumerate() {
        let key = format!("to{n}");
        assert_eq!(restore(node, &key, "0", &payload, ""), Value::ok());
        assert_eq!(dump(node, &key), payload);
        call(node, &format!("COPY {key} copy{n}"));
        assert_eq!(dump(node, &format!("copy{n}")), payload);
        assert_eq!(call(node, &format!("RENAME copy{n} new{n}")), Value::ok());
        assert_eq!(dump(node, &format!("new{n}")), payload);
        call(node, &format!("HDEL {key} m0"));
        let refused = restore(node, &key, "0", &payload, "");
        assert_eq!(refused, Value::error(BUSY));
        assert_ne!(dump(node, &key), payload);
    }
}

/// Of callers on all nodes at once one wins, as with `SETNX`.
#[test]
fn a_value_is_restored_once() {
    let cluster = settled_cluster(3, 2);
    let nodes = &cluster.nodes;
    call(&nodes[0], "SET v text");
    let payload = dump(&nodes[0], "v");
    let addresses: Vec<_> = nodes.iter().map(|node| node.ports.client).collect();
    for round in 0..20 {
        let key = format!("key{round}");
        let answers: Vec<Value> = std::thread::scope(|scope| {
            let restore = |address| {
                let (key, payload) = (&key, &payload);
                scope.spawn(move || {
                    let mut connection = Connection::open(address).unwrap();
                    let words: [&[u8]; 4] = [b"RESTORE", key.as_bytes(), b"0", payload];
                    connection.call_bytes(&words).unwrap()
                })
            };
            let threads: Vec<_> = addresses.iter().copied().map(restore).collect();
            threads.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let won = answers.iter().filter(|answer| **answer == Value::ok());
        assert_eq!(won.count(), 1, "{answers:?}");
        let lost = answers
            .iter()
            .filter(|answer| **answer == Value::error(BUSY));
        assert_eq!(lost.count(), 2, "{answers:?}");
    }
}
