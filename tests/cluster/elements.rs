//! Sets and hashes on whole nodes: through any of them, of any size, while others write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use netdb::resp::Value;

use crate::support::client::{fields, text};
use crate::support::reshard::settled_cluster;
use crate::support::{Connection, LATER, Node, call, eventually, same};

const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";

/// Calls a command with many words.
#[track_caller]
fn call_with(node: &Node, command: &[&str], words: impl IntoIterator<Item = String>) -> Value {
    let words: Vec<String> = words.into_iter().collect();
    let mut all = command.to_vec();
    all.extend(words.iter().map(String::as_str));
    node.call(&all)
}

fn items(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) | Value::Set(items) => items,
        other => panic!("{other:?}"),
    }
}

fn words(value: Value) -> Vec<String> {
    items(value).iter().map(text).collect()
}

/// The elements of an answer, of which none may come twice.
#[track_caller]
fn distinct(value: Value) -> BTreeSet<String> {
    let words = words(value);
    let count = words.len();
    let set: BTreeSet<String> = words.into_iter().collect();
    assert_eq!(set.len(), count, "some came twice");
    set
}

/// The elements of an answer in order, divided by blanks.
fn sorted(value: Value) -> String {
    let all: Vec<String> = distinct(value).into_iter().collect();
    all.join(" ")
}

fn members(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!("m{n}"))
}

fn number(n: usize) -> Value {
    Value::Integer(n as i64)
}

#[test]
fn any_node_serves_any_set_and_hash() {
    let cluster = settled_cluster(3, 2);
    let nodes = &cluster.nodes;
    for (n, node) in nodes.iter().enumerate() {
        let next = &nodes[(n + 1) % 3];
        let (s, h) = (format!("s{n}"), format!("h{n}"));
        // Through one node, and then another.
        assert_eq!(call(node, &format!("SADD {s} a b")), number(2));
        assert_eq!(call(next, &format!("SADD {s} b c")), number(1));
        assert_eq!(call(node, &format!("SREM {s} a x")), number(1));
        assert_eq!(call(node, &format!("HSET {h} f 1 g 2")), number(2));
        assert_eq!(call(next, &format!("HSET {h} g 3 i 4")), number(1));
        assert_eq!(call(next, &format!("HDEL {h} i")), number(1));
        for node in nodes {
            call(node, &format!("HINCRBY {h} f 5"));
        }
        assert_eq!(
            call(next, &format!("HINCRBYFLOAT {h} f 0.5")),
            Value::bulk("16.5")
        );
        assert_eq!(call(node, &format!("SET v{n} text")), Value::ok());
    }
    for node in nodes {
        for n in 0..3 {
            let (s, h) = (format!("s{n}"), format!("h{n}"));
            eventually("every node has all of it", LATER, || {
                let all = node.try_call(&["HGETALL", &h])?;
                same(fields(all)?, [("f", "16.5"), ("g", "3")].map(owned).into())
            });
            eventually("every node has all of it", LATER, || {
                same(sorted(node.try_call(&["SMEMBERS", &s])?), "b c".to_owned())
            });
            assert_eq!(call(node, &format!("SCARD {s}")), number(2));
            assert_eq!(call(node, &format!("HLEN {h}")), number(2));
            assert_eq!(words(call(node, &format!("HMGET {h} g x"))), ["3", ""]);
            assert_eq!(
                words(call(node, &format!("SMISMEMBER {s} a b"))),
                ["0", "1"]
            );
            assert_eq!(sorted(call(node, &format!("HKEYS {h}"))), "f g");
            assert_eq!(sorted(call(node, &format!("HVALS {h}"))), "16.5 3");
            for (line, of) in [
                (format!("GET {s}"), "a set"),
                (format!("NETDB.GET {h}"), "a hash"),
                (format!("HGET {s} f"), "a set"),
                (format!("SADD {h} a"), "a hash"),
                (format!("INCR {h}"), "a hash"),
                (format!("SMEMBERS v{n}"), "a value"),
                (format!("HSET v{n} f 1"), "a value"),
                (format!("SUNION s0 v{n}"), "a value"),
                (format!("SMOVE {s} v{n} b"), "a value"),
            ] {
                assert_eq!(call(node, &line), Value::error(WRONG_TYPE), "{line}: {of}");
            }
        }
    }
}

fn owned((field, value): (&str, &str)) -> (String, String) {
    (field.to_owned(), value.to_owned())
}

#[test]
fn sets_of_several_owners_are_compared_and_combined() {
    let cluster = settled_cluster(3, 2);
    let [one, two, three] = &cluster.nodes[..] else {
        panic!("three nodes");
    };
    call(one, "SADD odd 1 3 5 7 9");
    call(two, "SADD prime 2 3 5 7");
    call(three, "SADD small 1 2 3 4 5");
    for node in &cluster.nodes {
        assert_eq!(sorted(call(node, "SINTER odd prime small")), "3 5");
        assert_eq!(
            sorted(call(node, "SUNION odd prime small")),
            "1 2 3 4 5 7 9"
        );
        assert_eq!(sorted(call(node, "SDIFF small odd prime none")), "4");
        assert_eq!(call(node, "SINTERCARD 2 odd prime"), number(3));
        assert_eq!(call(node, "SINTERCARD 2 odd prime LIMIT 2"), number(2));
    }
    assert_eq!(call(one, "SUNIONSTORE to odd prime"), number(6));
    assert_eq!(sorted(call(two, "SMEMBERS to")), "1 2 3 5 7 9");
    assert_eq!(call(two, "SDIFFSTORE to to odd"), number(1));
    assert_eq!(sorted(call(three, "SMEMBERS to")), "2");
    assert_eq!(call(three, "SMOVE prime to 7"), number(1));
    assert_eq!(sorted(call(one, "SMEMBERS prime")), "2 3 5");
    assert_eq!(sorted(call(two, "SMEMBERS to")), "2 7");
    assert_eq!(call(two, "SMOVE prime to 7"), number(0));
    assert_eq!(call(one, "SINTERSTORE to odd none"), number(0));
    for node in &cluster.nodes {
        eventually("it is gone", LATER, || {
            same(node.try_call(&["EXISTS", "to"])?, number(0))
        });
    }
}

#[test]
fn what_has_thousands_of_elements_is_whole() {
    const COUNT: usize = 12_000;
    const PART: usize = 2_000;
    let cluster = settled_cluster(3, 2);
    let nodes = &cluster.nodes;
    for (n, part) in members(COUNT).collect::<Vec<_>>().chunks(PART).enumerate() {
        let node = &nodes[n % 3];
        let added = call_with(node, &["SADD", "set"], part.iter().cloned());
        assert_eq!(added, number(PART));
        let pairs = part
            .iter()
            .flat_map(|field| [field.clone(), "v".repeat(100)]);
        let set = call_with(node, &["HSET", "hash"], pairs);
        assert_eq!(set, number(PART));
    }
    let all: BTreeSet<String> = members(COUNT).collect();
    for node in nodes {
        eventually("every node has all", LATER, || {
            same(node.try_call(&["SCARD", "set"])?, number(COUNT))
        });
        assert_eq!(distinct(call(node, "SMEMBERS set")), all);
        assert_eq!(distinct(call(node, "HKEYS hash")), all);
        let fields = fields(call(node, "HGETALL hash")).expect("a map");
        assert_eq!(fields.len(), COUNT);
        let values = call_with(node, &["HMGET", "hash"], members(PART + 1_000));
        let values = words(values);
        assert!(values.len() == PART + 1_000 && values.iter().all(|value| value.len() == 100));
        let there = call_with(node, &["SMISMEMBER", "set"], members(COUNT + 5));
        let there = words(there).into_iter().filter(|there| there == "1");
        assert_eq!(there.count(), COUNT);
        for count in [10, 1_000] {
            let some = distinct(call(node, &format!("SRANDMEMBER set {count}")));
            assert!(some.len() == count && some.is_subset(&all));
            let some = words(call(node, &format!("HRANDFIELD hash -{count}")));
            assert!(some.len() == count && some.iter().all(|field| all.contains(field)));
        }
    }
    let [one, two, three] = &nodes[..] else {
        panic!("three nodes");
    };
    // It takes the place of as many, which go in steps; and again of its own.
    assert_eq!(call(one, "SUNIONSTORE hash set"), number(COUNT));
    assert_eq!(call(two, "SUNIONSTORE hash hash set"), number(COUNT));
    assert_eq!(call(two, "SINTERCARD 2 hash set"), number(COUNT));
    assert_eq!(
        call_with(two, &["SREM", "hash"], members(PART)),
        number(PART)
    );
    assert_eq!(
        distinct(call(one, "SDIFF set hash")),
        members(PART).collect()
    );
    assert_eq!(call(three, "SDIFFSTORE hash set set"), number(0));
    assert_eq!(call(one, "EXISTS hash"), number(0));
    // All of it is taken, each once.
    let mut taken = BTreeSet::new();
    for (count, node) in [(5_000, one), (1, two), (6_000, three), (5_000, one)] {
        let some = distinct(call(node, &format!("SPOP set {count}")));
        assert_eq!(some.len(), count.min(COUNT - taken.len()));
        taken.extend(some);
    }
    assert_eq!(taken, all);
    assert_eq!(call(two, "EXISTS set"), number(0));
}

#[test]
fn long_elements_are_answered_in_parts() {
    const COUNT: usize = 40;
    let cluster = settled_cluster(3, 2);
    let value = "v".repeat(200_000);
    let pairs = || (0..COUNT).flat_map(|n| [format!("{n:030000}"), value.clone()]);
    for (n, node) in cluster.nodes.iter().enumerate() {
        let key = format!("long{n}");
        assert_eq!(call_with(node, &["HSET", &key], pairs()), number(COUNT));
    }
    for node in &cluster.nodes {
        for key in ["long0", "long1", "long2"] {
            let all = fields(call(node, &format!("HGETALL {key}"))).expect("a map");
            assert!(all.len() == COUNT && all.values().all(|found| *found == value));
            let some = words(call(node, &format!("HRANDFIELD {key} {COUNT}")));
            assert_eq!(some.len(), COUNT);
            let names = (0..COUNT).map(|n| format!("{n:030000}"));
            let many = words(call_with(node, &["HMGET", key], names));
            assert!(many.len() == COUNT && many.iter().all(|found| *found == value));
        }
        let too_long = "x".repeat(32 * 1024);
        let refused = node.call(&["SADD", "s", &too_long]);
        assert!(matches!(refused, Value::Error(_)), "{refused:?}");
    }
}

/// The elements that a scan finds, with how often, each page of it on the next node.
fn scanned(nodes: &[Node], command: &str, key: &str, step: usize) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    let mut cursor = "0".to_owned();
    for node in nodes.iter().cycle() {
        let page = items(node.call(&[command, key, &cursor, "COUNT", "37"]));
        let [next, Value::Array(page)] = &page[..] else {
            panic!("{page:?}");
        };
        for element in page.iter().step_by(step) {
            *found.entry(text(element)).or_default() += 1;
        }
        cursor = text(next);
        if cursor == "0" {
            break;
        }
    }
    found
}

#[test]
fn a_scan_finds_what_stays_once_while_others_write() {
    const STAY: usize = 1_000;
    let cluster = settled_cluster(3, 2);
    let nodes = &cluster.nodes;
    assert_eq!(
        call_with(&nodes[0], &["SADD", "s"], members(STAY)),
        number(STAY)
    );
    let pairs = members(STAY).flat_map(|field| [field, "1".to_owned()]);
    assert_eq!(call_with(&nodes[1], &["HSET", "h"], pairs), number(STAY));
    let is_over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..3)
        .map(|me| {
            let (addr, is_over) = (nodes[me].ports.client, Arc::clone(&is_over));
            thread::spawn(move || {
                let mut connection = Connection::open(addr).unwrap();
                let mut rounds = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let name = format!("{me} {rounds}");
                    let writes = [
                        vec!["SADD", "s", &name, "m7"],
                        vec!["HSET", "h", &name, "2", "m7", "3"],
                        vec!["SREM", "s", &name],
                        vec!["HDEL", "h", &name],
                    ];
                    for write in &writes {
                        let done = connection.call(write).expect("an answer");
                        assert!(matches!(done, Value::Integer(_)), "{done:?}");
                    }
                    rounds += 1;
                }
                rounds
            })
        })
        .collect();
    for _ in 0..10 {
        for (command, key, step) in [("SSCAN", "s", 1), ("HSCAN", "h", 2)] {
            let found = scanned(nodes, command, key, step);
            assert!(found.values().all(|times| *times == 1), "{found:?}");
            for name in members(STAY) {
                assert!(found.contains_key(&name), "{command} has missed {name}");
            }
        }
    }
    is_over.store(true, Ordering::Relaxed);
    for writer in writers {
        assert!(writer.join().unwrap() > 0);
    }
    let found = scanned(nodes, "SSCAN", "s", 1);
    assert_eq!(found.len(), STAY, "and nothing else once it is over");
    assert_eq!(call(&nodes[2], "HSCAN s 0"), Value::error(WRONG_TYPE));
}

#[test]
fn clients_of_one_node_take_each_member_once() {
    const COUNT: usize = 600;
    let cluster = settled_cluster(3, 2);
    let node = &cluster.nodes[0];
    assert_eq!(
        call_with(node, &["SADD", "jobs"], members(COUNT)),
        number(COUNT)
    );
    let addr = node.ports.client;
    let clients: Vec<_> = (0..4)
        .map(|me| {
            thread::spawn(move || {
                let mut connection = Connection::open(addr).unwrap();
                let mut taken = Vec::new();
                loop {
                    let (command, is_one) = match me % 2 {
                        0 => (vec!["SPOP", "jobs"], true),
                        _ => (vec!["SPOP", "jobs", "7"], false),
                    };
                    let some = match connection.call(&command).unwrap() {
                        Value::Null if is_one => Vec::new(),
                        one @ Value::Bulk(_) if is_one => vec![text(&one)],
                        some => words(some),
                    };
                    if some.is_empty() {
                        return taken;
                    }
                    taken.extend(some);
                }
            })
        })
        .collect();
    let taken: Vec<String> = (clients.into_iter())
        .flat_map(|client| client.join().unwrap())
        .collect();
    assert_eq!(taken.len(), COUNT);
    assert_eq!(
        taken.into_iter().collect::<BTreeSet<_>>(),
        members(COUNT).collect()
    );
    assert_eq!(call(node, "EXISTS jobs"), number(0));
}

#[test]
fn each_answer_has_its_type_in_both_dialects() {
    let cluster = settled_cluster(3, 2);
    let addr = cluster.nodes[0].ports.client;
    let mut connections = [(); 2].map(|()| Connection::open(addr).unwrap());
    connections[1].call(&["HELLO", "3"]).unwrap();
    // Keys of all owners: answers of other nodes have the same types.
    for n in 0..6 {
        let (s, h) = (format!("s{n}"), format!("h{n}"));
        connections[0].call(&["SADD", &s, "m"]).unwrap();
        connections[0].call(&["HSET", &h, "f", "1"]).unwrap();
        let (m, f, v) = (Value::bulk("m"), Value::bulk("f"), Value::bulk("1"));
        let array = |items: &[&Value]| Value::Array(items.iter().map(|v| (*v).clone()).collect());
        let set = |items: &[&Value]| Value::Set(items.iter().map(|v| (*v).clone()).collect());
        let pair = array(&[&f, &v]);
        let map = Value::Map(vec![(f.clone(), v.clone())]);
        let page = |item: Value| Value::Array(vec![Value::bulk("0"), item]);
        for (line, old, new) in [
            (format!("HGETALL {h}"), pair.clone(), map),
            (format!("HGETALL none{n}"), array(&[]), Value::Map(vec![])),
            (format!("HKEYS {h}"), array(&[&f]), array(&[&f])),
            (format!("HVALS {h}"), array(&[&v]), array(&[&v])),
            (format!("SMEMBERS {s}"), array(&[&m]), set(&[&m])),
            (format!("SMEMBERS none{n}"), array(&[]), set(&[])),
            (format!("SUNION {s} s0"), array(&[&m]), set(&[&m])),
            (format!("SINTER {s} s0"), array(&[&m]), set(&[&m])),
            (format!("SDIFF {s} none"), array(&[&m]), set(&[&m])),
            (format!("SRANDMEMBER {s}"), m.clone(), m.clone()),
            (format!("SRANDMEMBER {s} 2"), array(&[&m]), array(&[&m])),
            (format!("SPOP {s} 0"), array(&[]), set(&[])),
            (format!("SISMEMBER {s} m"), number(1), number(1)),
            (format!("HRANDFIELD {h} 2"), array(&[&f]), array(&[&f])),
            (
                format!("HRANDFIELD {h} -2 WITHVALUES"),
                array(&[&f, &v, &f, &v]),
                array(&[&pair, &pair]),
            ),
            (
                format!("HSCAN {h} 0"),
                page(pair.clone()),
                page(pair.clone()),
            ),
            (
                format!("SSCAN {s} 0"),
                page(array(&[&m])),
                page(array(&[&m])),
            ),
            (format!("HINCRBYFLOAT {h} f 0"), v.clone(), v.clone()),
            (format!("HGET {h} none"), Value::Null, Value::Null),
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            for (connection, expected) in connections.iter_mut().zip([old, new]) {
                assert_eq!(connection.call(&words), Ok(expected), "{line}");
            }
        }
    }
}

/// A read that asks several replicas sees what is acknowledged, on whichever node, however far
/// its own copy is.
#[test]
fn elements_are_read_at_the_strength_that_was_asked_for() {
    let mut cluster = settled_cluster(3, 3);
    let mut writer = cluster.nodes[0].connect();
    let mut reader = cluster.nodes[2].connect();
    let quorum = reader.call(&["NETDB", "CONSISTENCY", "read=quorum"]);
    assert!(
        matches!(quorum, Ok(Value::Map(_) | Value::Array(_))),
        "{quorum:?}"
    );
    for n in 0..10 {
        cluster.nodes[2].signal("STOP");
        let member = format!("member{n}");
        eventually("a write without the third", LATER, || {
            writer.call(&["HSET", "hash", &member, "v"])?;
            same(writer.call(&["SADD", "set", &member])?, Value::Integer(1)).or_else(|_| {
                same(
                    writer.call(&["SISMEMBER", "set", &member])?,
                    Value::Integer(1),
                )
            })
        });
        let new = format!("set{n}");
        eventually("a set without the third", LATER, || {
            writer.call(&["SADD", &new, "member"])?;
            same(writer.call(&["EXPIRE", &new, "1000"])?, Value::Integer(1))
        });
        cluster.nodes[2].signal("CONT");
        let yes = Ok(Value::Integer(1));
        match n % 3 {
            0 => assert_eq!(reader.call(&["EXISTS", &new]), yes),
            1 => assert_eq!(
                reader.call(&["TYPE", &new]),
                Ok(Value::Simple("set".into()))
            ),
            _ => {
                let left = reader.call(&["TTL", &new]);
                assert!(matches!(left, Ok(Value::Integer(900..=1000))), "{left:?}");
            }
        }
        assert_eq!(reader.call(&["SISMEMBER", "set", &member]), yes);
        assert_eq!(reader.call(&["HEXISTS", "hash", &member]), yes);
        assert_eq!(reader.call(&["SCARD", "set"]), Ok(Value::Integer(n + 1)));
    }
    // A majority of all, of which one is left.
    let strict = reader.call(&["NETDB", "CONSISTENCY", "read=strict-quorum"]);
    assert!(strict.is_ok());
    cluster.nodes[0].kill();
    cluster.nodes[1].kill();
    eventually("too few replicas", LATER, || {
        match reader.call(&["SCARD", "set"])? {
            Value::Error(refused) if refused.starts_with("NOREPLICAS ") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}
