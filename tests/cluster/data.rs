//! What happens to values when nodes come, go, and come back.

use crate::support::{Cluster, LATER, copy_directory, eventually, same};
use netdb::resp::Value;

#[test]
fn a_value_put_on_one_is_read_on_all() {
    let cluster = Cluster::start(3);
    for (i, node) in cluster.nodes.iter().enumerate() {
        let key = format!("from-n{}", i + 1);
        node.put(&key, "value with spaces\nand\0bytes");
        for reader in &cluster.nodes {
            reader.await_value(&key, Some("value with spaces\nand\0bytes"));
        }
    }
    assert_eq!(
        cluster.nodes[1].call(&["DEL", "from-n1"]),
        Value::Integer(1)
    );
    for reader in &cluster.nodes {
        reader.await_value("from-n1", None);
        reader.await_value("from-n2", Some("value with spaces\nand\0bytes"));
    }
}

#[test]
fn a_killed_node_catches_up_and_brings_nothing_back() {
    let mut cluster = Cluster::start(3);
    cluster.nodes[0].put("kept", "old");
    cluster.nodes[0].put("doomed", "old");
    for node in &cluster.nodes {
        node.await_value("kept", Some("old"));
        node.await_value("doomed", Some("old"));
    }
    cluster.nodes[2].kill();

    // At once, while the others still believe that it lives.
    cluster.nodes[0].put("kept", "new");
    cluster.nodes[1].put("news", "written while n3 was down");
    assert_eq!(cluster.nodes[0].call(&["DEL", "doomed"]), Value::Integer(1));
    for node in &cluster.nodes[..2] {
        node.await_states("n1 alive, n2 alive, n3 failed");
    }
    cluster.nodes[1].put("later", "written when they knew");

    cluster.nodes[2].start();
    cluster.await_whole();
    let back = &cluster.nodes[2];
    back.await_value("kept", Some("new"));
    back.await_value("news", Some("written while n3 was down"));
    back.await_value("later", Some("written when they knew"));
    back.await_value("doomed", None);

    // Once all hold the same, the deleted value is nowhere, and three keys are everywhere.
    for node in &cluster.nodes {
        eventually("three keys", LATER, || {
            same(node.try_call(&["DBSIZE"])?, Value::Integer(3))
        });
        assert_eq!(node.get("doomed"), Ok(None));
        assert_eq!(node.get("kept"), Ok(Some("new".to_owned())));
    }
}

#[test]
fn a_restarted_node_writes_again_and_is_heard() {
    let mut cluster = Cluster::start(2);
    for round in 0..3 {
        let value = format!("round {round}");
        cluster.nodes[1].put("counter", &value);
        cluster.nodes[0].await_value("counter", Some(&value));
        cluster.nodes[1].kill();
        cluster.nodes[1].start();
        cluster.await_whole();
        cluster.nodes[1].await_value("counter", Some(&value));
    }
}

#[test]
fn data_survives_the_death_of_all_nodes() {
    let mut cluster = Cluster::start(3);
    for i in 0..100 {
        cluster.nodes[i % 3].put(&format!("key-{i}"), &format!("value-{i}"));
    }
    cluster.nodes.iter_mut().for_each(|node| node.kill());
    cluster.nodes.iter_mut().for_each(|node| node.start());
    cluster.await_whole();
    for i in 0..100 {
        let node = &cluster.nodes[(i + 1) % 3];
        node.await_value(&format!("key-{i}"), Some(&format!("value-{i}")));
    }
}

#[test]
fn a_node_that_lost_its_disk_fetches_everything() {
    let mut cluster = Cluster::start(3);
    for i in 0..100 {
        cluster.nodes[i % 3].put(&format!("key-{i}"), &format!("value-{i}"));
    }
    for i in 0..100 {
        cluster.nodes[0].await_value(&format!("key-{i}"), Some(&format!("value-{i}")));
    }
    cluster.nodes[2].kill();
    cluster.nodes[2].lose_disk();
    cluster.nodes[2].start();
    cluster.nodes[0].await_alive(&["n1", "n2", "n3"]);
    let bare = &cluster.nodes[2];
    for i in 0..100 {
        bare.await_value(&format!("key-{i}"), Some(&format!("value-{i}")));
    }
    bare.put("key-0", "written after");
    for node in &cluster.nodes {
        node.await_value("key-0", Some("written after"));
    }
}

/// What it wrote since the copy was made, and under which names, only the others know.
#[test]
fn an_old_copy_of_a_disk_is_noticed_and_healed() {
    let mut cluster = Cluster::start(3);
    let all = ["NETDB", "CONSISTENCY", "write=all"];
    let node = &mut cluster.nodes[2];
    node.put("kept", "old");
    assert!(node.stop().success());
    let backup = tempfile::tempdir().expect("directory");
    let copy = backup.path().join("data");
    copy_directory(&node.data(), &copy);
    node.start();
    cluster.await_whole();
    let node = &mut cluster.nodes[2];
    node.call(&all);
    node.put("kept", "new");
    node.put("added", "later");
    node.put("doomed", "later");
    assert_eq!(node.call(&["DEL", "doomed"]), Value::Integer(1));
    node.kill();
    node.lose_disk();
    copy_directory(&copy, &node.data());
    node.start();
    cluster.await_whole();
    let node = &cluster.nodes[2];
    node.await_value("kept", Some("new"));
    node.await_value("added", Some("later"));
    node.await_value("doomed", None);
    eventually("the loss is noticed", LATER, || {
        same(node.status()?["own_writes_lost"] != "0", true)
    });
    eventually("the loss is told", LATER, || {
        same(
            node.log().contains("has lost writes that it had made"),
            true,
        )
    });
    node.put("kept", "newest");
    for node in &cluster.nodes {
        node.await_value("kept", Some("newest"));
        node.await_value("doomed", None);
        assert_eq!(node.status().expect("a status")["dot_conflicts"], "0");
    }
}

#[test]
fn a_node_that_joins_empty_holds_everything() {
    let mut cluster = Cluster::start(2);
    for i in 0..500 {
        cluster.nodes[i % 2].put(&format!("key-{i}"), &format!("value-{i}"));
    }
    cluster.add();
    let joined = &cluster.nodes[2];
    eventually("all keys", LATER, || {
        same(joined.try_call(&["DBSIZE"])?, Value::Integer(500))
    });
    for i in (0..500).step_by(50) {
        joined.await_value(&format!("key-{i}"), Some(&format!("value-{i}")));
    }
}

#[test]
fn concurrent_writes_end_in_one_value_on_all_nodes() {
    let cluster = Cluster::start(3);
    std::thread::scope(|scope| {
        for (i, node) in cluster.nodes.iter().enumerate() {
            let addr = node.ports.client;
            scope.spawn(move || {
                let mut connection = crate::support::client::Connection::open(addr).unwrap();
                for round in 0..50 {
                    let value = format!("n{} round {round}", i + 1);
                    connection.call(&["SET", "contested", &value]).unwrap();
                }
            });
        }
    });
    eventually("one value", LATER, || {
        let first = cluster.nodes[0].get("contested")?;
        for node in &cluster.nodes[1..] {
            same(node.get("contested")?, first.clone())?;
        }
        Ok(())
    });
}
