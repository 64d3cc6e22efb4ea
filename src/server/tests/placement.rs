//! Who holds what, and what changes that: words in, maps out, in both dialects.

use super::*;
use crate::node::Progress;
use crate::runtime::{OwnerView, PlannedMember, SeatProgress, SeatView};

fn seat(name: &str, progress: Option<SeatProgress>) -> SeatView {
    SeatView {
        name: name.to_owned(),
        id: NodeId(7),
        zone: "a".to_owned(),
        host: "10.0.0.1".to_owned(),
        weight: 100,
        phase: "active",
        state: "alive",
        owns: 5,
        will_own: 6,
        progress,
        me: name == "one",
    }
}

fn seats() -> Vec<SeatView> {
    let progress = SeatProgress {
        to_move: 1,
        moved: 2,
        bytes: 3,
        since_ms: 4,
        until_ms: 0,
        is_current: true,
    };
    vec![seat("one", Some(progress)), seat("two", None)]
}

pub(super) fn placed() -> PlacementView {
    PlacementView {
        roster_version: 9,
        roster_fingerprint: u64::MAX,
        fingerprint: 0xab,
        partitions: 64,
        replicas: 3,
        members: seats(),
    }
}

pub(super) fn owners(key: &[u8]) -> OwnersView {
    let owner = |name: &str, id| OwnerView {
        name: name.to_owned(),
        id: NodeId(id),
        client_addr: None,
        state: "alive",
        phase: "active",
        owns_now: true,
        will_own: false,
        reachable: id < 9,
        decides: id == 7,
        me: id == 7,
    };
    OwnersView {
        partition: u16::try_from(key.len()).unwrap(),
        hash: 0xab,
        owners: vec![owner("one", 7), owner("two", 8), owner("three", 9)],
        serves: true,
    }
}

pub(super) fn rebalance() -> RebalanceView {
    RebalanceView {
        phase: "active",
        // Nothing is done yet, so nobody knows when all will be.
        own: Progress {
            owned: 5,
            held: 4,
            to_fetch: 1,
            bytes: 3,
            elapsed_ms: 1_000,
            ..Progress::default()
        },
        copies: 1,
        to_move: 1,
        moved: 2,
        bytes_moved: 3,
        is_settled: false,
        members: seats(),
    }
}

/// A plan whose members are the words that it was asked for.
pub(super) fn plan(joins: &[PlannedJoin], leaves: &[String]) -> Result<PlanView, String> {
    let member = |name: String, change| PlannedMember {
        name,
        change,
        before: 0,
        after: 1,
        takes: 1,
        gives: 0,
    };
    let joins = joins.iter().map(|join| {
        let PlannedJoin { name, zone, weight } = join;
        member(format!("{name}/{zone}/{weight}"), "joins")
    });
    let leaves = leaves.iter().map(|name| member(name.clone(), "leaves"));
    let members: Vec<PlannedMember> = joins.chain(leaves).collect();
    match members.is_empty() {
        true => Err("nothing is planned".to_owned()),
        false => Ok(PlanView {
            members,
            copies: 5,
            copies_min: 4,
            bytes: 1_000,
            imbalance: 1.25,
        }),
    }
}

fn pairs(value: &Value) -> Vec<(Value, Value)> {
    value.clone().into_pairs().unwrap()
}

#[tokio::test]
async fn who_holds_what_in_both_dialects() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        peer.call(&format!("HELLO {}", protocol.number())).await;
        let placed = pairs(&peer.call("NETDB PLACEMENT").await);
        assert_eq!(field(&placed, "roster_version"), &Value::Integer(9));
        let fingerprint = field(&placed, "roster_fingerprint");
        assert_eq!(fingerprint, &Value::bulk("ffffffffffffffff"));
        let Value::Array(members) = field(&placed, "members") else {
            panic!("members");
        };
        let (one, two) = (pairs(&members[0]), pairs(&members[1]));
        assert_eq!(field(&one, "zone"), &Value::bulk("a"));
        assert_eq!(field(&one, "moved"), &Value::Integer(2));
        assert_eq!(field(&two, "moved"), &Value::Null);

        let owners = pairs(&peer.call("NETDB OWNERS four").await);
        assert_eq!(field(&owners, "partition"), &Value::Integer(4));
        let Value::Array(owners) = field(&owners, "owners") else {
            panic!("owners");
        };
        assert_eq!(field(&pairs(&owners[0]), "client"), &Value::Null);

        let moving = pairs(&peer.call("NETDB REBALANCE").await);
        assert_eq!(field(&moving, "copies"), &Value::Integer(1));
        assert_eq!(field(&moving, "left_ms"), &Value::Null);
    }
}

#[tokio::test]
async fn what_each_owner_has_in_both_dialects() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    peer.call("SET four value").await;
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        peer.call(&format!("HELLO {}", protocol.number())).await;
        let explained = pairs(&peer.call("NETDB.EXPLAIN four").await);
        assert_eq!(field(&explained, "partition"), &Value::Integer(4));
        assert_eq!(field(&explained, "hash"), &Value::bulk("00000000000000ab"));
        assert_eq!(field(&explained, "type"), &Value::bulk("string"));
        let Value::Array(owners) = field(&explained, "owners") else {
            panic!("owners");
        };
        assert_eq!(field(&pairs(&owners[0]), "name"), &Value::bulk("one"));
        let Value::Array(replicas) = field(&explained, "replicas") else {
            panic!("replicas");
        };
        let [one, two, three] = [0, 1, 2].map(|at: usize| pairs(&replicas[at]));
        assert_eq!(field(&one, "error"), &Value::Null);
        let Value::Array(versions) = field(&one, "versions") else {
            panic!("versions");
        };
        let version = pairs(&versions[0]);
        let actor = "0000000000000007:0000000000000001";
        assert_eq!(field(&version, "dot"), &Value::bulk(format!("{actor}:118")));
        assert_eq!(field(&version, "part"), &Value::bulk("value"));
        assert_eq!(field(&version, "bytes"), &Value::Integer(5));
        let context = pairs(field(&one, "context"));
        assert_eq!(field(&context, actor), &Value::Integer(118));
        let is = |yes| match protocol {
            Protocol::Resp2 => Value::Integer(i64::from(yes)),
            Protocol::Resp3 => Value::Boolean(yes),
        };
        assert_eq!(field(&version, "shows"), &is(true));
        let serve = [&one, &two, &three].map(|replica| field(replica, "serves").clone());
        assert_eq!(serve, [is(true), is(false), Value::Null]);
        for (replica, code) in [(&two, "LOADING "), (&three, "CLUSTERDOWN ")] {
            let error = field(replica, "error").as_bytes().unwrap();
            assert!(error.starts_with(code.as_bytes()), "{replica:?}");
            assert_eq!(field(replica, "versions"), &Value::Null);
        }

        let explained = pairs(&peer.call("NETDB.EXPLAIN other").await);
        assert_eq!(field(&explained, "type"), &Value::bulk("none"));
    }
}

#[tokio::test]
async fn a_plan_is_made_of_words() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    peer.call("HELLO 3").await;
    let line = "NETDB PLAN JOIN a ZONE z WEIGHT 50 join b LEAVE c leave leave";
    let plan = pairs(&peer.call(line).await);
    assert_eq!(field(&plan, "imbalance"), &Value::Double(1.25));
    let Value::Array(members) = field(&plan, "members") else {
        panic!("members");
    };
    let names: Vec<Value> = members
        .iter()
        .map(|member| field(&pairs(member), "name").clone())
        .collect();
    let expected = ["a/z/50", "b//100", "c", "leave"].map(Value::bulk);
    assert_eq!(names, expected);
    assert_eq!(peer.error("NETDB PLAN").await, "ERR nothing is planned");
    for wrong in [
        "JOIN",
        "ZONE z",
        "LEAVE a WEIGHT 5",
        "JOIN a LEAVE b ZONE z",
        "JOIN a WEIGHT",
        "MOVE a",
    ] {
        let line = format!("NETDB PLAN {wrong}");
        assert_eq!(peer.error(&line).await, "ERR syntax error", "{wrong}");
    }
    let heavy = "NETDB PLAN JOIN a WEIGHT 5000000000";
    assert!(peer.error(heavy).await.starts_with("ERR value is not"));
}

#[tokio::test]
async fn leaving_and_removing_are_refused_in_words() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let refusal = peer.error("NETDB LEAVE").await;
    assert!(
        refusal.starts_with("ERR this node is the last"),
        "{refusal}"
    );
    assert_eq!(peer.call("NETDB LEAVE FORCE").await, Value::ok());
    assert_eq!(peer.error("NETDB LEAVE NOW").await, "ERR syntax error");
    assert_eq!(peer.error("NETDB LEAVE FORCE x").await, "ERR syntax error");
    assert_eq!(peer.call("NETDB REMOVE two").await, Value::ok());
    let refusal = peer.error("NETDB REMOVE three").await;
    assert_eq!(refusal, "ERR there is no such member");
    let refusal = peer.error("NETDB REMOVE one").await;
    assert!(refusal.contains("netdb leave"), "{refusal}");
    let Value::Array(help) = peer.call("NETDB HELP").await else {
        panic!("help");
    };
    let line = "PLAN [JOIN name [ZONE zone] [WEIGHT weight] [JOIN name [ZONE zone] [WEIGHT weight] ...]] [LEAVE name [LEAVE name ...]]";
    assert!(help.contains(&Value::simple(line)), "{help:?}");
}
