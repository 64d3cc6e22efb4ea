//! How nodes find each other, notice failure, and part.

use std::time::Duration;

use crate::support::{Cluster, LATER, Node, SOON, eventually, same, unique_cluster_name};
use tempfile::TempDir;

#[test]
fn ten_nodes_find_each_other_from_one_seed() {
    let mut cluster = Cluster::new();
    for _ in 0..10 {
        cluster.add();
    }
    cluster.await_whole();
    for node in &cluster.nodes {
        let members = node.members().unwrap();
        let me: Vec<_> = members
            .iter()
            .filter(|member| member["me"] == "1")
            .collect();
        assert_eq!(me.len(), 1);
        assert_eq!(me[0]["name"], node.name);
        assert_eq!(me[0]["cluster"], node.ports.cluster.to_string());
        eventually("all client addresses", LATER, || {
            for member in node.members()? {
                let of = cluster
                    .nodes
                    .iter()
                    .find(|node| node.name == member["name"]);
                let of = of.ok_or("a stranger")?.ports.client.to_string();
                same(member["client"].as_str(), of.as_str())?;
            }
            Ok(())
        });
    }
}

#[test]
fn a_killed_node_is_failed_and_is_alive_again_when_it_is_back() {
    let mut cluster = Cluster::start(3);
    let generation = |cluster: &Cluster| {
        let members = cluster.nodes[0].members().unwrap();
        let n2 = members
            .iter()
            .find(|member| member["name"] == "n2")
            .unwrap();
        n2["generation"].parse::<u64>().unwrap()
    };
    let before = generation(&cluster);
    cluster.nodes[1].kill();
    cluster.nodes[0].await_states("n1 alive, n2 failed, n3 alive");
    cluster.nodes[2].await_states("n1 alive, n2 failed, n3 alive");
    cluster.nodes[1].start();
    cluster.await_whole();
    assert!(generation(&cluster) > before);
}

#[test]
fn the_seed_itself_may_die_and_come_back() {
    let mut cluster = Cluster::start(3);
    cluster.nodes[0].kill();
    cluster.nodes[1].await_states("n1 failed, n2 alive, n3 alive");
    cluster.nodes[0].start();
    cluster.await_whole();
}

#[test]
fn a_restart_faster_than_detection_is_no_failure() {
    let mut cluster = Cluster::start(3);
    cluster.nodes[2].kill();
    cluster.nodes[2].start();
    cluster.await_whole();
    cluster.nodes[0].put("key", "value");
    cluster.nodes[2].await_value("key", Some("value"));
}

#[test]
fn a_node_that_is_asked_to_stop_has_left() {
    for signal in ["TERM", "INT"] {
        let mut cluster = Cluster::start(3);
        let status = cluster.nodes[2].end_by(signal);
        assert!(status.success(), "SIG{signal}: {status}");
        cluster.nodes[0].await_states("n1 alive, n2 alive, n3 left");
        cluster.nodes[1].await_states("n1 alive, n2 alive, n3 left");
        cluster.nodes[2].start();
        cluster.await_whole();
    }
}

#[test]
fn the_seed_may_leave_and_return() {
    let mut cluster = Cluster::start(3);
    assert!(cluster.nodes[0].stop().success());
    cluster.nodes[1].await_states("n1 left, n2 alive, n3 alive");
    cluster.nodes[0].start();
    cluster.await_whole();
}

#[test]
fn a_frozen_node_fails_and_recovers_by_itself() {
    let cluster = Cluster::start(3);
    cluster.nodes[1].signal("STOP");
    cluster.nodes[0].await_states("n1 alive, n2 failed, n3 alive");
    cluster.nodes[2].await_states("n1 alive, n2 failed, n3 alive");
    cluster.nodes[0].put("key", "value");
    cluster.nodes[1].signal("CONT");
    cluster.await_whole();
    cluster.nodes[1].await_value("key", Some("value"));
}

#[test]
fn a_seed_may_come_up_later() {
    let mut cluster = Cluster::new();
    let mut seed = cluster.prepare();
    seed.name = "late".to_owned();
    let mut early = cluster
        .prepare()
        .seeds([seed.seed(), "no-such-host.invalid:7979".into()]);
    early.name = "early".to_owned();
    early.start();
    early.await_states("early alive");
    seed.start();
    cluster.nodes = vec![early, seed];
    cluster.await_whole();
}

#[test]
fn a_seed_may_be_a_name() {
    let mut cluster = Cluster::start(1);
    let port = cluster.nodes[0].ports.cluster.port();
    let mut node = cluster.prepare().seeds([format!("localhost:{port}")]);
    node.start();
    cluster.nodes.push(node);
    cluster.await_whole();
}

#[test]
fn clusters_of_different_names_stay_apart() {
    let ours = Cluster::start(2);
    let directory = TempDir::new().unwrap();
    let mut stranger = Node::new("stranger", &unique_cluster_name(), directory.path());
    stranger.seeds = vec![ours.nodes[0].seed(), ours.nodes[1].seed()];
    stranger.start();
    // That nothing happens can only be watched for a while: several rounds of knocking.
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        assert_eq!(stranger.states().as_deref(), Ok("stranger alive"));
        assert_eq!(ours.nodes[0].states().as_deref(), Ok("n1 alive, n2 alive"));
        std::thread::sleep(Duration::from_millis(100));
    }
    stranger.put("key", "theirs");
    assert_eq!(ours.nodes[0].get("key"), Ok(None));
}

#[test]
fn one_command_three_times_is_one_cluster() {
    super::terminal::with_default_ports(|mut nodes| {
        for node in &mut nodes {
            node.launch();
        }
        for node in &nodes {
            eventually("three members", LATER, || {
                let members = node.members()?;
                let alive = members.iter().filter(|member| member["state"] == "alive");
                same((members.len(), alive.count()), (3, 3))
            });
        }
        let set = nodes[0].call(&["SET", "key", "value"]);
        assert_eq!(set, Ok(netdb::resp::Value::ok()));
        for node in &nodes {
            eventually("the value", SOON, || {
                let got = node.call(&["GET", "key"])?;
                same(got.as_bytes(), Some(&b"value"[..]))
            });
        }
    });
}
