//! What is decided on one owner: on a healthy cluster one caller wins, whichever nodes are
//! asked, and the caller sees it on its own node at once.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Barrier};
use std::thread;

use netdb::resp::Value;

use crate::support::client::{Connection, text};
use crate::support::reshard::{await_death, owners, settled_cluster};
use crate::support::{Cluster, LATER, Node, eventually, same};

/// One client on each node does `each` with its number and the round's, all at once, round after
/// round; what each got, by round.
fn race<R: Send>(
    cluster: &Cluster,
    rounds: usize,
    each: impl Fn(&mut Connection, usize, usize) -> R + Sync,
) -> Vec<Vec<R>> {
    let start = Arc::new(Barrier::new(cluster.nodes.len()));
    let addrs: Vec<SocketAddr> = cluster.nodes.iter().map(|node| node.ports.client).collect();
    let results = thread::scope(|scope| {
        let client = |(me, addr): (usize, &SocketAddr)| {
            let (start, each, addr) = (start.clone(), &each, *addr);
            scope.spawn(move || {
                let mut connection = Connection::open(addr).unwrap();
                let mut results = Vec::new();
                for round in 0..rounds {
                    start.wait();
                    results.push(each(&mut connection, me, round));
                }
                results
            })
        };
        let clients: Vec<_> = addrs.iter().enumerate().map(client).collect();
        let results = clients.into_iter().map(|client| client.join().unwrap());
        results.collect::<Vec<_>>()
    });
    let mut by_client: Vec<_> = results.into_iter().map(Vec::into_iter).collect();
    let round = |_| by_client.iter_mut().filter_map(Iterator::next).collect();
    (0..rounds).map(round).collect()
}

/// The key of a round, and a command by which client `me` claims it.
fn claim(me: usize, round: usize) -> (String, Vec<String>) {
    let (key, value) = (format!("lock{round}"), format!("{me}"));
    let words: Vec<&str> = match round % 4 {
        0 => vec!["SET", &key, &value, "NX"],
        1 => vec!["SETNX", &key, &value],
        2 => vec!["SET", &key, &value, "NX", "PX", "600000"],
        _ => vec!["MSETNX", &key, &value],
    };
    let words = words.into_iter().map(str::to_owned).collect();
    (key, words)
}

fn is_won(answer: &Value) -> bool {
    match answer {
        Value::Null | Value::Integer(0) => false,
        Value::Integer(1) => true,
        answer if *answer == Value::ok() => true,
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_clients_on_all_nodes_one_wins_each_key_and_sees_it_at_once() {
    const ROUNDS: usize = 300;
    for replicas in [3, 2] {
        let cluster = settled_cluster(3, replicas);
        let results = race(&cluster, ROUNDS, |connection, me, round| {
            let (key, words) = claim(me, round);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let is_won = is_won(&connection.call(&words).unwrap());
            let seen = text(&connection.call(&["GET", &key]).unwrap());
            (me, is_won, seen)
        });
        for (round, results) in results.iter().enumerate() {
            let winners: Vec<_> = results.iter().filter(|(_, is_won, _)| *is_won).collect();
            let [(winner, _, _)] = winners[..] else {
                panic!("round {round} with {replicas} replicas: {results:?}");
            };
            let winner = winner.to_string();
            // Who lost on an owner that had not heard of it yet may have seen nothing.
            let own = |(me, _, seen): &&(usize, bool, String)| {
                me.to_string() == winner && *seen != winner
            };
            assert_eq!(results.iter().find(own), None, "round {round}");
            for node in &cluster.nodes {
                node.await_value(&format!("lock{round}"), Some(&winner));
            }
        }
        let winners = results.iter().flatten().filter(|(_, is_won, _)| *is_won);
        let winners: BTreeSet<usize> = winners.map(|(me, _, _)| *me).collect();
        println!("with {replicas} replicas won: {winners:?}");
    }
}

/// Each key of a round by its own order, so that they cross: nobody gets a part.
#[test]
fn of_claims_of_several_keys_at_most_one_wins_and_the_others_leave_nothing() {
    const ROUNDS: usize = 100;
    let cluster = settled_cluster(3, 3);
    let results = race(&cluster, ROUNDS, |connection, me, round| {
        let keys = ["a", "b", "c", "d"].map(|key| format!("{key}{round}"));
        let value = me.to_string();
        let mut command = vec!["MSETNX"];
        for at in 0..3 {
            command.extend([keys[(me + at) % 4].as_str(), value.as_str()]);
        }
        (me, is_won(&connection.call(&command).unwrap()))
    });
    let mut won = 0;
    for (round, results) in results.iter().enumerate() {
        let winners: Vec<usize> = results
            .iter()
            .filter(|(_, is_won)| *is_won)
            .map(|(me, _)| *me)
            .collect();
        assert!(winners.len() <= 1, "round {round}: {winners:?}");
        won += winners.len();
        let winner = winners.first();
        for at in 0..4 {
            let key = format!("{}{round}", ["a", "b", "c", "d"][at]);
            let has_it = |me: &&usize| (0..3).any(|next| (**me + next) % 4 == at);
            let value = winner.filter(has_it).map(usize::to_string);
            for node in &cluster.nodes {
                node.await_value(&key, value.as_deref());
            }
        }
    }
    println!("{won} of {ROUNDS} rounds were won");
}

#[test]
fn of_what_changes_on_all_nodes_at_once_nothing_is_lost() {
    const ROUNDS: usize = 100;
    let cluster = settled_cluster(3, 3);
    race(&cluster, ROUNDS, |connection, me, _| {
        let letter = ["x", "y", "z"][me];
        connection.call(&["APPEND", "log", letter]).unwrap();
    });
    let log = cluster.nodes[0].get("log").unwrap().unwrap();
    for letter in ["x", "y", "z"] {
        assert_eq!(log.matches(letter).count(), ROUNDS, "{letter} in {log}");
    }
    for node in &cluster.nodes {
        node.await_value("log", Some(&log));
    }

    // Each value is put by one and taken by one.
    let results = race(&cluster, ROUNDS, |connection, me, round| {
        let value = format!("{me}.{round}");
        let before = connection.call(&["GETSET", "swapped", &value]).unwrap();
        let taken = connection.call(&["GETDEL", "swapped"]).unwrap();
        [before, taken]
    });
    let taken = results
        .iter()
        .flatten()
        .flatten()
        .filter(|value| **value != Value::Null);
    let taken: Vec<String> = taken.map(text).collect();
    let different: BTreeSet<&String> = taken.iter().collect();
    assert_eq!((taken.len(), different.len()), (3 * ROUNDS, 3 * ROUNDS));
}

/// Sends a pipeline in one packet and reads as many bytes as the answer should have.
fn pipeline(node: &Node, commands: &str, answer: &str) -> String {
    let mut stream = TcpStream::connect(node.ports.client).unwrap();
    stream.write_all(commands.as_bytes()).unwrap();
    let mut answered = vec![0; answer.len()];
    stream.read_exact(&mut answered).unwrap();
    String::from_utf8(answered).unwrap()
}

#[test]
fn a_pipeline_sees_what_was_decided_elsewhere() {
    for replicas in [3, 1] {
        let cluster = settled_cluster(3, replicas);
        for round in 0..60 {
            let node = &cluster.nodes[round % 3];
            let key = format!("key{round}");
            let commands = format!(
                "SET {key} a NX\r\nGET {key}\r\nAPPEND {key} b\r\nGET {key}\r\nMULTI\r\n\
                 SETNX {key} c\r\nGETSET {key} d\r\nGET {key}\r\nEXEC\r\nGETDEL {key}\r\n\
                 EXISTS {key}\r\n"
            );
            let answer = "+OK\r\n$1\r\na\r\n:2\r\n$2\r\nab\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n\
                          +QUEUED\r\n*3\r\n:0\r\n$2\r\nab\r\n$1\r\nd\r\n$1\r\nd\r\n:0\r\n";
            assert_eq!(pipeline(node, &commands, answer), answer, "{key}");
        }
    }
}

#[test]
fn others_decide_when_the_preferred_owner_dies_and_it_knows_of_that_when_it_is_back() {
    let mut cluster = settled_cluster(3, 3);
    let key = |n: usize| format!("key{n}");
    let preferred = |node: &Node, n: usize| owners(node, &key(n)).1[0].clone();
    // Keys that the last node decides.
    let last = cluster.nodes[2].name.clone();
    let keys: Vec<usize> = (0..200)
        .filter(|n| preferred(&cluster.nodes[0], *n) == last)
        .collect();
    assert!(keys.len() > 10, "{keys:?}");
    cluster.nodes[2].kill();
    let survivors = [&cluster.nodes[0], &cluster.nodes[1]];
    for (round, n) in keys.iter().enumerate() {
        let winner = survivors[round % 2];
        // What was asked of it when it died was done or not: here, it was not.
        eventually("a winner", LATER, || {
            let answer = winner.try_call(&["SET", &key(*n), &winner.name, "NX"])?;
            same(answer, Value::ok())
        });
        loses(survivors[(round + 1) % 2], &key(*n));
    }
    await_death(survivors[0], &last);

    // From the first moment on, it does not give away again what was won meanwhile.
    cluster.nodes[2].launch();
    for n in keys.iter().cycle() {
        for node in &cluster.nodes[..2] {
            loses(node, &key(*n));
        }
        if cluster.nodes[2].ready_line().is_some() {
            break;
        }
    }
    for n in &keys {
        for node in &cluster.nodes {
            loses(node, &key(*n));
        }
    }
}

/// The key is taken. What was asked of a node as it died, or over a link to it that broke, is not
/// answered, and is asked again.
#[track_caller]
fn loses(node: &Node, key: &str) {
    eventually("an answer", LATER, || {
        match node.try_call(&["SETNX", key, "other"])? {
            Value::Error(error) if error.starts_with("TIMEOUT ") => Err(error.to_string()),
            answer => {
                assert_eq!(answer, Value::Integer(0), "{key}");
                Ok(())
            }
        }
    });
}
