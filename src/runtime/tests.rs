//! Whole nodes in one process, over real loopback sockets.
//!
//! Every wait is for a condition, with a bound that only a broken node reaches.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, sleep};

use super::{Handle, StartError, start};
use crate::config::{ClusterConfig, Config, HostPort, Listen, Network, Storage};

/// No condition of these tests takes longer on a machine that is not overwhelmed.
const BOUND: Duration = Duration::from_secs(20);

fn config(name: &str, seeds: &[SocketAddr]) -> Config {
    Config {
        cluster: ClusterConfig {
            name: "tests".to_owned(),
            partitions: 16,
            hash_seed: 0,
            replicas: 3,
        },
        name: Some(name.to_owned()),
        listen: loopback(0),
        client: Listen::Off,
        seeds: seeds.iter().map(host_port).collect(),
        storage: Storage::Memory,
        network: Network::Local,
        sync_interval_ms: 200,
        ..Config::default()
    }
}

fn host_port(addr: &SocketAddr) -> HostPort {
    HostPort {
        host: addr.ip().to_string(),
        port: addr.port(),
    }
}

fn loopback(port: u16) -> Listen {
    Listen::At(HostPort {
        host: "127.0.0.1".to_owned(),
        port,
    })
}

fn addr(node: &Handle) -> SocketAddr {
    node.status().cluster_addr
}

async fn node(name: &str, seeds: &[SocketAddr]) -> Handle {
    start(config(name, seeds)).await.unwrap()
}

/// Nodes `n0`, `n1`, … of which the first is everybody's seed, all ready.
async fn cluster(count: usize) -> Vec<Handle> {
    let first = node("n0", &[]).await;
    let seed = addr(&first);
    let mut nodes = vec![first];
    for i in 1..count {
        nodes.push(node(&format!("n{i}"), &[seed]).await);
    }
    for node in &nodes {
        eventually("all see all", || {
            alive(node) == count && links(node) == count - 1
        })
        .await;
        node.ready().await.unwrap();
    }
    nodes
}

async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < BOUND, "not within {BOUND:?}: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Reads `key` on every node until it is `value` there.
async fn eventually_holds(nodes: &[Handle], key: &'static str, value: Option<&'static str>) {
    for node in nodes {
        let began = Instant::now();
        while node.get(key).await.unwrap().as_deref() != value.map(str::as_bytes) {
            assert!(began.elapsed() < BOUND, "{key} does not become {value:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

fn alive(node: &Handle) -> usize {
    node.status().members_alive
}

fn links(node: &Handle) -> usize {
    counter(node, "links_up") as usize
}

/// Zero while membership has not published its counters yet.
fn counter(node: &Handle, name: &str) -> u64 {
    let counters = node.status().counters;
    let found = counters.iter().find(|(known, _)| *known == name);
    found.map_or(0, |(_, count)| *count)
}

fn state_of(node: &Handle, name: &str) -> &'static str {
    let members = node.members();
    let found = members.iter().find(|member| member.name == name);
    found.map_or("unknown", |member| member.state)
}

async fn shut_down(nodes: Vec<Handle>) {
    for node in nodes {
        node.shutdown().await;
    }
}

#[tokio::test]
async fn one_node_serves_alone() {
    let node = node("alone", &[]).await;
    node.ready().await.unwrap();
    assert_eq!(node.get("k").await.unwrap(), None);
    node.put("k", "v").await.unwrap();
    assert_eq!(node.get("k").await.unwrap().as_deref(), Some(&b"v"[..]));
    assert_eq!(node.key_count().await, Ok(1));
    assert!(node.delete("k").await.unwrap());
    assert!(!node.delete("k").await.unwrap());
    let status = node.status();
    assert_eq!((status.members_alive, status.members_total), (1, 1));
    assert_eq!(status.data, "memory");
    node.shutdown().await;
    assert!(node.stopping().is_cancelled());
    assert!(
        node.get("k").await.is_err(),
        "a stopped node serves nothing"
    );
}

#[tokio::test]
async fn a_scan_finds_every_key_once() {
    let node = node("scan", &[]).await;
    for i in 0..500 {
        node.put(format!("key {i}"), "v").await.unwrap();
    }
    let (mut found, mut cursor) = (Vec::new(), 0);
    loop {
        let page = node.scan(cursor, 7).await.unwrap();
        found.extend(page.keys);
        cursor = page.cursor;
        if cursor == 0 {
            break;
        }
    }
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 500);
    assert!(
        node.scan(0, 0).await.unwrap().keys.len() <= 1,
        "a count of 0 still makes progress"
    );
    node.shutdown().await;
}

#[tokio::test]
async fn three_nodes_converge() {
    let nodes = cluster(3).await;
    nodes[0].put("k", "one").await.unwrap();
    eventually_holds(&nodes, "k", Some("one")).await;
    nodes[1].put("k", "two").await.unwrap();
    eventually_holds(&nodes, "k", Some("two")).await;
    assert!(nodes[2].delete("k").await.unwrap());
    eventually_holds(&nodes, "k", None).await;
    for node in &nodes {
        eventually("names arrive", || {
            let names: Vec<String> = node.members().into_iter().map(|m| m.name).collect();
            names == ["n0", "n1", "n2"]
        })
        .await;
    }
    shut_down(nodes).await;
}

#[tokio::test]
async fn a_newcomer_is_ready_when_it_has_everything() {
    let nodes = cluster(2).await;
    for i in 0..300 {
        nodes[0].put(format!("key {i}"), "v").await.unwrap();
    }
    let late = node("late", &[addr(&nodes[1])]).await;
    late.ready().await.unwrap();
    assert_eq!(late.key_count().await, Ok(300));
    late.shutdown().await;
    shut_down(nodes).await;
}

#[tokio::test]
async fn who_leaves_is_seen_to_have_left_within_a_second() {
    let mut nodes = cluster(3).await;
    eventually("names arrive", || state_of(&nodes[0], "n2") == "alive").await;
    eventually("names arrive", || state_of(&nodes[1], "n2") == "alive").await;
    let began = Instant::now();
    nodes.pop().unwrap().shutdown().await;
    for node in &nodes {
        eventually("n2 has left", || state_of(node, "n2") == "left").await;
    }
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    nodes[0].put("k", "without it").await.unwrap();
    eventually_holds(&nodes, "k", Some("without it")).await;
    shut_down(nodes).await;
}

#[tokio::test]
async fn a_seed_may_come_up_later() {
    // A port that is free now, for a node that does not run yet.
    let holder = node("holder", &[]).await;
    let seed = addr(&holder);
    holder.shutdown().await;
    drop(holder);
    let early = node("early", &[seed]).await;
    early.ready().await.unwrap();
    assert_eq!(alive(&early), 1, "ready alone while the seed is silent");
    let mut late_config = config("late", &[]);
    late_config.listen = loopback(seed.port());
    let late = start(late_config).await.unwrap();
    eventually("they meet", || alive(&early) == 2 && alive(&late) == 2).await;
    shut_down(vec![early, late]).await;
}

#[tokio::test]
async fn another_cluster_stays_another_cluster() {
    let ours = node("ours", &[]).await;
    let mut other_config = config("theirs", &[addr(&ours)]);
    other_config.cluster.name = "others".to_owned();
    let theirs = start(other_config).await.unwrap();
    eventually("their knocks are dropped", || {
        counter(&ours, "datagrams_dropped_unknown_key") >= 2
    })
    .await;
    assert_eq!((alive(&ours), alive(&theirs)), (1, 1));
    shut_down(vec![ours, theirs]).await;
}

#[tokio::test]
async fn a_different_setting_is_refused() {
    let ours = node("ours", &[]).await;
    let mut other_config = config("theirs", &[addr(&ours)]);
    other_config.cluster.partitions = 32;
    let theirs = start(other_config).await.unwrap();
    eventually("they are refused", || {
        counter(&ours, "refusals_out") + counter(&theirs, "refusals_in") >= 2
    })
    .await;
    assert_eq!((alive(&ours), alive(&theirs)), (1, 1));
    shut_down(vec![ours, theirs]).await;
}

#[tokio::test]
async fn the_second_of_two_equal_names_is_told() {
    let nodes = cluster(2).await;
    let twin = node("n1", &[addr(&nodes[0])]).await;
    let error = twin.ready().await.unwrap_err();
    assert!(matches!(error, StartError::NameTaken { .. }), "{error}");
    twin.shutdown().await;
    eventually("the first is unharmed", || alive(&nodes[0]) == 2).await;
    shut_down(nodes).await;
}

#[tokio::test]
async fn garbage_on_every_port_does_no_harm() {
    let nodes = cluster(2).await;
    let target = addr(&nodes[0]);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut held = Vec::new();
    for round in 0..200_usize {
        let junk: Vec<u8> = (0..round * 7).map(|i| (i * 31 + round) as u8).collect();
        socket.send_to(&junk, target).await.unwrap();
        let mut stream = TcpStream::connect(target).await.unwrap();
        // Some write and hang up, some only hang about.
        let _ = stream.write_all(&junk).await;
        if round % 4 == 0 {
            held.push(stream);
        }
    }
    eventually("it is counted", || {
        counter(&nodes[0], "streams_refused") >= 50
    })
    .await;
    nodes[1].put("k", "still here").await.unwrap();
    eventually_holds(&nodes, "k", Some("still here")).await;
    assert_eq!((alive(&nodes[0]), alive(&nodes[1])), (2, 2));
    drop(held);
    shut_down(nodes).await;
}

#[tokio::test]
async fn data_on_disk_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut on_disk = config("keeper", &[]);
    on_disk.storage = Storage::Directory(directory.path().to_owned());
    let first = start(on_disk.clone()).await.unwrap();
    first.put("k", "kept").await.unwrap();
    let generation = first.members()[0].generation;
    let error = start(on_disk.clone()).await.unwrap_err();
    assert!(
        matches!(error, StartError::DirectoryInUse { .. }),
        "{error}"
    );
    first.shutdown().await;
    drop(first);
    let second = start(on_disk).await.unwrap();
    assert_eq!(
        second.get("k").await.unwrap().as_deref(),
        Some(&b"kept"[..])
    );
    assert!(second.members()[0].generation > generation);
    second.shutdown().await;
}

#[tokio::test]
async fn a_member_that_was_away_catches_up() {
    let directory = tempfile::tempdir().unwrap();
    let seed = node("seed", &[]).await;
    let mut away = config("away", &[addr(&seed)]);
    away.storage = Storage::Directory(directory.path().to_owned());
    let first = start(away.clone()).await.unwrap();
    first.ready().await.unwrap();
    seed.put("old", "v").await.unwrap();
    first.shutdown().await;
    drop(first);
    seed.put("new", "v").await.unwrap();
    assert!(seed.delete("old").await.unwrap());
    let second = start(away).await.unwrap();
    second.ready().await.unwrap();
    assert_eq!(second.get("new").await.unwrap().as_deref(), Some(&b"v"[..]));
    assert_eq!(second.get("old").await.unwrap(), None);
    shut_down(vec![second, seed]).await;
}

#[tokio::test]
async fn node_facts_survive_the_end_of_their_server() {
    let first = node("first", &[]).await;
    first.ready().await.unwrap();
    eventually("the server runs", || {
        !first.core().facts.borrow().is_empty()
    })
    .await;
    // Whoever opens the inbox takes it from chitchat's server, which then ends.
    drop(first.core().inbox.open());
    eventually("it is started anew", || {
        counter(&first, "facts_restarts") == 1
    })
    .await;
    let second = node("second", &[addr(&first)]).await;
    eventually("facts flow again", || {
        state_of(&first, "second") == "alive" && state_of(&second, "first") == "alive"
    })
    .await;
    shut_down(vec![first, second]).await;
}

#[tokio::test]
async fn a_node_without_a_vital_task_stops() {
    let node = node("victim", &[]).await;
    node.core().spawn_vital("doomed", async { panic!("a bug") });
    node.stopping().cancelled().await;
    node.shutdown().await;
}

#[tokio::test]
async fn shutting_down_twice_is_shutting_down_once() {
    let nodes = cluster(2).await;
    tokio::join!(nodes[0].shutdown(), nodes[0].shutdown());
    nodes[0].shutdown().await;
    eventually("it is gone", || alive(&nodes[1]) == 1).await;
    nodes[1].shutdown().await;
}

#[tokio::test]
async fn strangers_do_not_keep_peers_out() {
    let first = node("first", &[]).await;
    let mut held = Vec::new();
    for _ in 0..300 {
        held.push(TcpStream::connect(addr(&first)).await.unwrap());
    }
    eventually("the oldest made room", || {
        counter(&first, "streams_over_limit") > 100
    })
    .await;
    let second = node("second", &[addr(&first)]).await;
    eventually("both links are up", || {
        links(&first) == 1 && links(&second) == 1
    })
    .await;
    drop(held);
    shut_down(vec![first, second]).await;
}
