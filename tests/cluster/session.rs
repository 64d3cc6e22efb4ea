//! `NETDB.TOKEN` and `NETDB.AFTER`: what a client has seen on one node, it finds on another.

use netdb::resp::Value;

use crate::support::client::{Connection, fields, text};
use crate::support::reshard::settled_cluster;
use crate::support::{LATER, Node, eventually, same};

fn token(connection: &mut Connection) -> String {
    text(&connection.call(&["NETDB.TOKEN"]).unwrap())
}

/// Waits until a node can reach only so many others.
fn await_links(node: &Node, count: &str) {
    eventually("links", LATER, || {
        same(
            fields(node.try_call(&["NETDB", "STATUS"])?)?["links_up"].as_str(),
            count,
        )
    });
}

#[test]
fn what_was_written_on_one_node_is_read_on_the_next() {
    for replicas in [3, 1] {
        let cluster = settled_cluster(3, replicas);
        let mut connections: Vec<Connection> = cluster.nodes.iter().map(Node::connect).collect();
        let one = ["NETDB", "CONSISTENCY", "write=one"];
        for connection in &mut connections {
            connection.call(&one).unwrap();
        }
        let mut before = token(&mut connections[0]);
        for round in 0..150 {
            // The last one's writes, whichever node they went to, and then one more.
            let connection = &mut connections[round % 3];
            assert_eq!(
                connection.call(&["NETDB.AFTER", &before, "0"]),
                Ok(Value::ok())
            );
            let log = connection.call(&["GET", "log"]).unwrap();
            assert_eq!(text(&log), "x".repeat(round), "round {round}");
            let log = format!("{}x", text(&log));
            assert_eq!(connection.call(&["SET", "log", &log]), Ok(Value::ok()));
            before = token(connection);
        }
    }
}

#[test]
fn a_node_that_is_behind_lets_wait_or_says_what_is_missing() {
    let cluster = settled_cluster(3, 3);
    let [one, two, three] = &cluster.nodes[..] else {
        panic!("three nodes");
    };
    let (mut writer, mut second, mut third) = (one.connect(), two.connect(), three.connect());
    for connection in [&mut second, &mut third] {
        assert_eq!(connection.call(&["PING"]), Ok(Value::simple("PONG")));
    }
    for node in [two, three] {
        node.signal("STOP");
    }
    await_links(one, "0");
    for n in 0..100 {
        assert_eq!(
            writer.call(&["SET", &format!("key{n}"), "new"]),
            Ok(Value::ok())
        );
    }
    let seen = token(&mut writer);

    // Nobody who has it is there.
    one.signal("STOP");
    for node in [two, three] {
        node.signal("CONT");
    }
    let late = second.call(&["NETDB.AFTER", &seen, "200"]).unwrap();
    let says_what = |late: &Value| format!("{late:?}").contains("TRYAGAIN");
    assert!(says_what(&late), "{late:?}");
    assert_eq!(second.call(&["GET", "key1"]), Ok(Value::Null));
    for command in [
        &["MULTI"][..],
        &["NETDB.AFTER", &seen, "0"],
        &["GET", "key1"],
    ] {
        second.call(command).unwrap();
    }
    let answers = second.call(&["EXEC"]).unwrap();
    assert!(says_what(&answers), "{answers:?}");

    one.signal("CONT");
    for connection in [&mut second, &mut third] {
        assert_eq!(
            connection.call(&["NETDB.AFTER", &seen, "9000"]),
            Ok(Value::ok())
        );
        for n in 0..100 {
            let value = connection.call(&["GET", &format!("key{n}")]);
            assert_eq!(value, Ok(Value::bulk("new")));
        }
    }
    // What was waited for is handed on.
    let handed_on = token(&mut third);
    let mut fourth = one.connect();
    assert_eq!(fourth.call(&["NETDB.AFTER", &handed_on]), Ok(Value::ok()));
    println!("a token of 100 keys has {} characters", seen.len());

    let last = if seen.ends_with('0') { '1' } else { '0' };
    let forged = format!("{}{last}", &seen[..seen.len() - 1]);
    for wrong in [forged.as_str(), "", "nonsense"] {
        let refused = fourth.call(&["NETDB.AFTER", wrong, "0"]).unwrap();
        assert!(
            format!("{refused:?}").contains("no token of this cluster"),
            "{refused:?}"
        );
    }
}
