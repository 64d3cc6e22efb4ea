//! Each key on some of the nodes: any node serves any key, and members come and go without
//! losing or hiding a write. `scripts/measure-sharding.sh` is the long version.

use std::collections::BTreeSet;
use std::time::Duration;

use netdb::resp::Value;

use crate::support::client::{Fields, fields, text};
use crate::support::reshard::{
    Load, addresses, await_death, await_settled, lost, owners, settled_cluster,
};
use crate::support::{LATER, Node, eventually, finish, netdb, same};

fn placement(node: &Node) -> Fields {
    fields(node.call(&["NETDB", "PLACEMENT"])).expect("a map")
}

fn keys_of(value: Value) -> Vec<String> {
    let Value::Array(keys) = value else {
        panic!("{value:?}");
    };
    keys.iter().map(text).collect()
}

#[test]
fn any_node_serves_any_key() {
    let cluster = settled_cluster(5, 2);
    let fingerprints: BTreeSet<String> = (cluster.nodes.iter())
        .map(|node| placement(node)["fingerprint"].clone())
        .collect();
    assert_eq!(fingerprints.len(), 1, "all see the same placement");
    let key = |n: usize| format!("key {n}");
    for n in 0..100 {
        let node = &cluster.nodes[n % 5];
        node.put(&key(n), &n.to_string());
        assert_eq!(node.get(&key(n)), Ok(Some(n.to_string())), "its own write");
    }
    let mut held = 0;
    for (at, node) in cluster.nodes.iter().enumerate() {
        assert_eq!(owners(node, "key 7"), owners(&cluster.nodes[0], "key 7"));
        for n in 0..100 {
            eventually("every node has an answer", LATER, || {
                same(node.get(&key(n))?, Some(n.to_string()))
            });
        }
        // In the order in which they were asked for, whoever has them.
        let values = node.call(&["MGET", "key 3", "never", "key 1", "key 2"]);
        let values: Vec<String> = keys_of(values);
        assert_eq!(values, ["3", "", "1", "2"], "node {at}");
        assert_eq!(node.call(&["DBSIZE"]), Value::Integer(100));
        let mut found = keys_of(node.call(&["KEYS", "key *"]));
        found.sort();
        let mut all: Vec<String> = (0..100).map(key).collect();
        all.sort();
        assert_eq!(found, all);
        assert_eq!(scanned(node), all);
        held += node.status().expect("status")["keys"]
            .parse::<usize>()
            .unwrap();
    }
    assert_eq!(held, 200, "each key is on two nodes");
    let node = &cluster.nodes[1];
    assert_eq!(node.call(&["RENAME", "key 1", "renamed"]), Value::ok());
    assert_eq!(node.call(&["APPEND", "renamed", "!"]), Value::Integer(2));
    assert_eq!(node.get("renamed"), Ok(Some("1!".to_owned())));
    assert_eq!(node.call(&["FLUSHALL"]), Value::ok());
    for node in &cluster.nodes {
        eventually("nothing is left", LATER, || {
            same(node.try_call(&["DBSIZE"])?, Value::Integer(0))
        });
    }
}

/// What a scan of everything finds, sorted.
fn scanned(node: &Node) -> Vec<String> {
    let (mut cursor, mut keys) = ("0".to_owned(), Vec::new());
    loop {
        let Value::Array(page) = node.call(&["SCAN", &cursor, "COUNT", "7"]) else {
            panic!("no page");
        };
        cursor = text(&page[0]);
        keys.extend(keys_of(page[1].clone()));
        if cursor == "0" {
            keys.sort();
            keys.dedup();
            return keys;
        }
    }
}

/// While an owner is away another member keeps the writes. Here the other owner dies too before
/// the first is back, so that nobody else has them.
#[test]
fn what_was_written_while_an_owner_was_away_waits_for_it_elsewhere() {
    let mut cluster = settled_cluster(4, 2);
    let keys: Vec<String> = (0..40).map(|n| format!("key {n}")).collect();
    let (_, pair) = owners(&cluster.nodes[0], &keys[0]);
    let both = |key: &&String| {
        let (_, mut these) = owners(&cluster.nodes[0], key);
        let mut those = pair.clone();
        these.sort();
        those.sort();
        these == those
    };
    let keys: Vec<&String> = keys.iter().filter(both).collect();
    let at = |name: &str| name[1..].parse::<usize>().unwrap() - 1;
    let (first, second) = (at(&pair[0]), at(&pair[1]));
    let other = (0..4).find(|at| ![first, second].contains(at)).unwrap();

    cluster.nodes[second].kill();
    for node in [first, other] {
        await_death(&cluster.nodes[node], &pair[1]);
    }
    for key in &keys {
        cluster.nodes[other].put(key, "kept");
    }
    cluster.nodes[first].kill();
    await_death(&cluster.nodes[other], &pair[0]);
    let refused = cluster.nodes[other].get(keys[0]);
    let refused = refused.expect_err("no owner is there");
    assert!(refused.contains("CLUSTERDOWN"), "{refused}");

    cluster.nodes[second].start();
    for key in &keys {
        cluster.nodes[other].await_value(key, Some("kept"));
    }
}

#[test]
fn members_come_and_go_while_clients_write() {
    let mut cluster = settled_cluster(5, 3);
    let load = Load::begin(4, 50, 100, addresses(&cluster));
    cluster.add();
    cluster.add();
    await_settled(&cluster.nodes, LATER);
    load.connect_to(addresses(&cluster));

    // One leaves for good.
    let mut leaving = cluster.nodes.remove(2);
    load.connect_to(addresses(&cluster));
    let mut leave = netdb(["leave", "--node", &leaving.ports.client.to_string()]);
    let left = finish(&mut leave, "");
    assert!(left.status.success(), "{left:?}");
    assert!(leaving.ended().success());

    // One dies, and another takes its place.
    let mut dead = cluster.nodes.remove(1);
    load.connect_to(addresses(&cluster));
    dead.kill();
    await_death(&cluster.nodes[0], &dead.name);
    cluster
        .more
        .extend(["--replace".to_owned(), dead.name.clone()]);
    cluster.add();
    await_settled(&cluster.nodes, LATER);
    let step = load.look();
    let written = load.end();
    println!(
        "{} writes acknowledged, {} tries not; longest pause {:?}; last error {:?}",
        step.acknowledged,
        step.failed,
        step.pauses.iter().max().unwrap_or(&Duration::ZERO),
        step.error
    );
    for node in &cluster.nodes {
        let mut connection = node.connect();
        let found = lost(&mut connection, &written);
        assert_eq!(found, Vec::<String>::new(), "as {} sees it", node.name);
        let names = placement(node)["members"].clone();
        assert!(!names.contains(&format!("\"{}\"", dead.name)), "{names}");
    }
}

#[test]
fn nodes_that_differ_in_what_a_cluster_must_share_do_not_meet() {
    let cluster = settled_cluster(1, 3);
    for (flag, value) in [
        ("--replicas", "2"),
        ("--partitions", "128"),
        ("--hash-seed", "7"),
    ] {
        let mut other = Node::new("other", &cluster.name, cluster.directory());
        other = other.seeds([cluster.nodes[0].seed()]);
        other.more = vec![flag.to_owned(), value.to_owned()];
        other.launch();
        let setting = flag.trim_start_matches("--").replace('-', " ");
        eventually("it says why", LATER, || {
            let log = other.log();
            let is_said = log.contains(&format!("{setting} is {value} here and"));
            is_said.then_some(()).ok_or(log)
        });
        assert_eq!(cluster.nodes[0].states(), Ok("n1 alive".to_owned()));
        other.kill();
        other.lose_disk();
    }
}
