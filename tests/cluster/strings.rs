//! The commands on values and keys: on one node as Redis answers them, on two as one store.

use std::thread;

use crate::support::{Cluster, Connection, LATER, eventually, same};
use netdb::resp::Value;

/// What Redis 7.0.15, empty at first, answers: a line with `> ` and a command, words divided by
/// blanks and `""` an empty one; then a line with the answer, as [`shown`] has it.
const TRANSCRIPT: &str = include_str!("redis-7.0.15.txt");

/// Seconds that a slow machine may take between two commands.
const SLACK: i64 = 60;

#[test]
fn one_node_answers_as_redis_does() {
    let cluster = Cluster::start(1);
    let node = &cluster.nodes[0];
    follow(|command| node.try_call(command));
}

/// The transcript itself: `NETDB_REDIS=HOST:PORT` is that of a Redis that may be emptied.
#[test]
#[ignore = "needs a Redis"]
fn redis_answers_as_the_transcript_says() {
    let addr = std::env::var("NETDB_REDIS").expect("NETDB_REDIS is set");
    let mut redis = Connection::open(addr.parse().expect("an address")).unwrap();
    assert_eq!(redis.call(&["FLUSHALL"]), Ok(Value::ok()));
    follow(|command| redis.call(command));
}

/// Sends every command of the transcript and compares the answers.
fn follow(mut call: impl FnMut(&[&str]) -> Result<Value, String>) {
    let mut lines = TRANSCRIPT.lines();
    let mut wrong = Vec::new();
    let mut count = 0;
    while let (Some(command), Some(expected)) = (lines.next(), lines.next()) {
        let words = command.strip_prefix("> ").expect("a command").split(' ');
        let words: Vec<&str> = words
            .map(|word| if word == "\"\"" { "" } else { word })
            .collect();
        let answer = call(&words).expect("an answer");
        count += 1;
        let expected_ttl = expected.strip_prefix(':').and_then(|n| n.parse().ok());
        let is_same = match (&answer, expected_ttl) {
            (Value::Integer(left), Some(ttl @ 1..)) if words[0] == "TTL" => {
                (ttl - SLACK..=ttl).contains(left)
            }
            _ => shown(&answer) == expected,
        };
        if !is_same {
            wrong.push(format!("{command}: {}, not {expected}", shown(&answer)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 300, "{count} commands");
}

/// An answer in one line.
fn shown(value: &Value) -> String {
    match value {
        Value::Simple(text) => format!("+{text}"),
        Value::Error(text) => format!("-{text}"),
        Value::Integer(n) => format!(":{n}"),
        Value::Bulk(bytes) => format!("\"{}\"", bytes.escape_ascii()),
        Value::Null => "nil".to_owned(),
        Value::Array(items) | Value::Set(items) => {
            let items: Vec<String> = items.iter().map(shown).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(pairs) => {
            let words = pairs.iter().flat_map(|(key, value)| [key, value]);
            let words: Vec<String> = words.map(shown).collect();
            format!("[{}]", words.join(", "))
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn a_value_ends_on_all_nodes() {
    let cluster = Cluster::start(2);
    let [one, two] = &cluster.nodes[..] else {
        panic!("two nodes");
    };
    assert_eq!(one.call(&["SET", "short", "v", "PX", "2000"]), Value::ok());
    assert_eq!(one.call(&["SET", "long", "v"]), Value::ok());
    two.await_value("short", Some("v"));
    two.await_value("long", Some("v"));
    let end = one.call(&["PEXPIRETIME", "short"]);
    assert_eq!(two.call(&["PEXPIRETIME", "short"]), end);

    // The end is chosen and taken away on either node.
    assert_eq!(two.call(&["EXPIRE", "long", "1000"]), Value::Integer(1));
    eventually("an end on n1", LATER, || {
        let left = one.try_call(&["TTL", "long"])?;
        let is_left = matches!(left, Value::Integer(900..=1000));
        is_left.then_some(()).ok_or(format!("{left:?}"))
    });
    let info = fields_of_keyspace(&one.call(&["INFO", "keyspace"]));
    assert!(info.contains("expires=2"), "{info}");
    assert_eq!(one.call(&["PERSIST", "long"]), Value::Integer(1));
    eventually("no end on n2", LATER, || {
        same(two.try_call(&["TTL", "long"])?, Value::Integer(-1))
    });

    for node in [one, two] {
        node.await_value("short", None);
        // Once it has ended it is absent for everyone, removed or not.
        assert_eq!(node.call(&["DBSIZE"]), Value::Integer(1));
        assert_eq!(node.call(&["EXISTS", "short"]), Value::Integer(0));
        assert_eq!(node.call(&["TTL", "short"]), Value::Integer(-2));
        assert_eq!(node.call(&["PEXPIRETIME", "short"]), Value::Integer(-2));
        assert_eq!(node.call(&["TYPE", "short"]), Value::simple("none"));
        assert_eq!(shown(&node.call(&["KEYS", "*"])), "[\"long\"]");
        let page = node.call(&["SCAN", "0", "COUNT", "100"]);
        assert_eq!(shown(&page), "[\"0\", [\"long\"]]");
        assert_eq!(node.call(&["RANDOMKEY"]), Value::bulk("long"));
        assert_eq!(node.call(&["DEL", "short"]), Value::Integer(0));
        assert_eq!(node.call(&["EXPIRE", "short", "10"]), Value::Integer(0));
        eventually("it is removed", LATER, || {
            let info = fields_of_keyspace(&node.try_call(&["INFO", "keyspace"])?);
            same(info.contains("keys=1,expires=0"), true)
        });
    }

    // A time that has passed deletes, everywhere.
    assert_eq!(two.call(&["PEXPIRE", "long", "-1"]), Value::Integer(1));
    assert_eq!(two.call(&["GET", "long"]), Value::Null);
    one.await_value("long", None);
    let status = one.status().unwrap();
    assert_eq!(status["dot_conflicts"], "0");
}

fn fields_of_keyspace(info: &Value) -> String {
    String::from_utf8_lossy(info.as_bytes().unwrap_or_default()).into_owned()
}

#[test]
fn clients_of_one_node_change_a_key_one_after_the_other() {
    const CLIENTS: usize = 4;
    const ROUNDS: usize = 100;
    let cluster = Cluster::start(2);
    let addr = cluster.nodes[0].ports.client;
    let client = move |me: usize| {
        let mut connection = Connection::open(addr).unwrap();
        let mut won = 0;
        for round in 0..ROUNDS {
            let set = connection.call(&["SETNX", &format!("lock{round}"), &me.to_string()]);
            won += usize::from(set == Ok(Value::Integer(1)));
            connection.call(&["APPEND", "log", "x"]).unwrap();
        }
        won
    };
    let clients: Vec<_> = (0..CLIENTS)
        .map(|me| thread::spawn(move || client(me)))
        .collect();
    let won: usize = clients.into_iter().map(|one| one.join().unwrap()).sum();
    assert_eq!(won, ROUNDS, "each lock has one holder");
    for node in &cluster.nodes {
        let log = "x".repeat(CLIENTS * ROUNDS);
        node.await_value("log", Some(&log));
    }
}

#[test]
fn renaming_and_copying_keep_value_and_end() {
    let cluster = Cluster::start(2);
    let [one, two] = &cluster.nodes[..] else {
        panic!("two nodes");
    };
    let end = "33177117420123";
    assert_eq!(one.call(&["SET", "a", "v", "PXAT", end]), Value::ok());
    let idle = one.call(&["OBJECT", "IDLETIME", "a"]);
    assert!(matches!(idle, Value::Integer(0..=SLACK)), "{idle:?}");
    assert_eq!(one.call(&["RENAME", "a", "b"]), Value::ok());
    two.await_value("b", Some("v"));
    two.await_value("a", None);
    assert_eq!(two.call(&["COPY", "b", "c"]), Value::Integer(1));
    one.await_value("c", Some("v"));
    for key in ["b", "c"] {
        let left = one.call(&["PEXPIRETIME", key]);
        assert_eq!(left, Value::Integer(end.parse().unwrap()));
    }
    assert_eq!(one.call(&["RENAMENX", "b", "c"]), Value::Integer(0));
    assert_eq!(two.call(&["GETDEL", "c"]), Value::bulk("v"));
    one.await_value("c", None);
    assert_eq!(one.call(&["RENAMENX", "b", "c"]), Value::Integer(1));
    two.await_value("c", Some("v"));
    two.await_value("b", None);
}

#[test]
fn what_one_client_flushes_is_gone_everywhere_and_others_are_served() {
    const KEYS: usize = 20_000;
    let cluster = Cluster::start(2);
    let [one, two] = &cluster.nodes[..] else {
        panic!("two nodes");
    };
    for first in (0..KEYS).step_by(1_000) {
        let pairs: Vec<String> = (first..first + 1_000)
            .flat_map(|n| [format!("key{n}"), n.to_string()])
            .collect();
        let mut mset = vec!["MSET"];
        mset.extend(pairs.iter().map(String::as_str));
        assert_eq!(one.call(&mset), Value::ok());
    }
    let all = Value::Integer(KEYS as i64);
    eventually("all keys on n2", LATER, || {
        same(two.try_call(&["DBSIZE"])?, all.clone())
    });
    let addr = one.ports.client;
    let flush = thread::spawn(move || Connection::open(addr).unwrap().call(&["FLUSHALL"]));
    // Meanwhile another client is answered, and sees it happen.
    let mut between = 0;
    loop {
        let left = one.call(&["DBSIZE"]);
        between += usize::from(left != all && left != Value::Integer(0));
        if flush.is_finished() {
            break;
        }
    }
    assert_eq!(flush.join().unwrap(), Ok(Value::ok()));
    assert!(between > 0, "nobody was served before it was over");
    for node in [one, two] {
        eventually("no keys", LATER, || {
            same(node.try_call(&["DBSIZE"])?, Value::Integer(0))
        });
        assert_eq!(node.call(&["RANDOMKEY"]), Value::Null);
    }
}

#[test]
fn a_value_that_would_be_too_long_is_refused_and_nothing_changes() {
    let cluster = Cluster::start(1);
    let node = &cluster.nodes[0];
    node.put("key", "value");
    for offset in ["67108864", "4294967296", "9223372036854775807"] {
        let refused = node.call(&["SETRANGE", "key", offset, "x"]);
        let Value::Error(text) = refused else {
            panic!("{refused:?}");
        };
        assert!(text.starts_with("ERR value of "), "{text}");
    }
    let longest = "x".repeat(64 * 1024 * 1024);
    node.put("long", &longest);
    let refused = node.call(&["APPEND", "long", "y"]);
    assert!(matches!(refused, Value::Error(_)), "{refused:?}");
    let length = Value::Integer(longest.len() as i64);
    assert_eq!(node.call(&["STRLEN", "long"]), length);
    assert_eq!(node.get("key"), Ok(Some("value".to_owned())));
    let refused = node.call(&["LCS", "long", "long", "LEN"]);
    assert!(matches!(refused, Value::Error(_)), "{refused:?}");
}
