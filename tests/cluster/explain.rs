//! `NETDB.EXPLAIN`: what each owner has of a key.

use netdb::resp::Value;

use crate::support::client::{Fields, fields, text};
use crate::support::reshard::{owners, settled_cluster};
use crate::support::{LATER, Node, eventually, same};

/// What is said of a key.
struct Explained {
    fields: Fields,
    owners: Vec<Fields>,
    replicas: Vec<Replica>,
}

/// What is said of one owner's copy.
struct Replica {
    fields: Fields,
    versions: Vec<Fields>,
    context: Fields,
}

impl Explained {
    fn replica(&self, name: &str) -> &Replica {
        let mut replicas = self.replicas.iter();
        let found = replicas.find(|replica| replica.fields["name"] == name);
        found.expect(name)
    }

    /// Who does what one owner decides.
    fn deciders(&self) -> Vec<&str> {
        let deciders = self.owners.iter().filter(|owner| owner["decides"] == "1");
        deciders.map(|owner| owner["name"].as_str()).collect()
    }
}

fn maps(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

/// Takes the value of that name out of a map.
fn take(pairs: &mut Vec<(Value, Value)>, name: &str) -> Option<Value> {
    let at = pairs.iter().position(|(key, _)| text(key) == name)?;
    Some(pairs.remove(at).1)
}

fn replica(value: Value) -> Result<Replica, String> {
    let mut pairs = value.into_pairs().ok_or("no map")?;
    let versions = maps(take(&mut pairs, "versions")).into_iter().map(fields);
    let versions = versions.collect::<Result<_, _>>()?;
    let context = match take(&mut pairs, "context") {
        None | Some(Value::Null) => Fields::new(),
        Some(context) => fields(context)?,
    };
    Ok(Replica {
        fields: fields(Value::Map(pairs))?,
        versions,
        context,
    })
}

fn explain(node: &Node, key: &str) -> Result<Explained, String> {
    let answer = node.try_call(&["NETDB.EXPLAIN", key])?;
    let shown = format!("{answer:?}");
    let mut pairs = answer.into_pairs().ok_or(shown)?;
    let owners = maps(take(&mut pairs, "owners")).into_iter().map(fields);
    let replicas = maps(take(&mut pairs, "replicas")).into_iter();
    Ok(Explained {
        owners: owners.collect::<Result<_, _>>()?,
        replicas: replicas.map(replica).collect::<Result<_, _>>()?,
        fields: fields(Value::Map(pairs))?,
    })
}

fn context_of(node: &Node, key: &str) -> String {
    let mut pairs = node.call(&["NETDB.GET", key]).into_pairs().unwrap();
    text(&take(&mut pairs, "context").unwrap())
}

#[test]
fn siblings_are_shown_on_every_owner_and_one_that_is_silent_is_named() {
    let cluster = settled_cluster(3, 3);
    let [one, two, three] = &cluster.nodes[..] else {
        panic!("three nodes");
    };
    let nothing = context_of(one, "key");
    for (node, value) in [(one, "a"), (two, "bcd")] {
        let answer = node.call(&["NETDB.SET", "key", value, "CONTEXT", &nothing]);
        assert_eq!(answer, Value::ok());
    }
    for node in &cluster.nodes {
        let (partition, names) = owners(node, "key");
        let explained = eventually("all have both", LATER, || {
            let explained = explain(node, "key")?;
            let replicas = explained.replicas.iter();
            let counts: Vec<usize> = replicas.map(|replica| replica.versions.len()).collect();
            same(counts, vec![2; 3])?;
            // One that has just started leaves it to others until it has compared itself.
            same(explained.deciders(), vec![names[0].as_str()])?;
            Ok(explained)
        });
        let winner = node.get("key").unwrap().unwrap();
        assert_eq!(explained.fields["partition"], partition);
        assert_eq!(explained.fields["type"], "string");
        for (name, replica) in names.iter().zip(&explained.replicas) {
            assert_eq!(&replica.fields["name"], name, "the preferred first");
            assert_eq!(replica.fields["serves"], "1");
            assert_eq!(replica.fields["error"], "");
            assert_eq!(replica.context.len(), 2, "two actors wrote");
            let shows = |version: &&Fields| version["shows"] == "1";
            let shown: Vec<&Fields> = replica.versions.iter().filter(shows).collect();
            assert_eq!(shown.len(), 1);
            assert_eq!(shown[0]["bytes"], winner.len().to_string());
            for version in &replica.versions {
                let (actor, n) = version["dot"].rsplit_once(':').unwrap();
                assert_eq!(replica.context[actor], n);
            }
            assert_eq!(replica.versions, explained.replicas[0].versions);
        }
    }

    three.signal("STOP");
    let explained = explain(one, "key").unwrap();
    let silent = &explained.replica(&three.name).fields;
    assert!(silent["error"].contains("did not answer"), "{silent:?}");
    assert_eq!(silent["serves"], "");
    assert_eq!(explained.replica(&two.name).versions.len(), 2);
    eventually("it is not asked any more", LATER, || {
        let explained = explain(one, "key")?;
        let away = &explained.replica(&three.name).fields["error"];
        same(away.as_str(), "CLUSTERDOWN this node cannot reach it")?;
        let is_three = |owner: &&Fields| owner["name"] == three.name;
        let owner = explained.owners.iter().find(is_three).unwrap();
        assert_eq!(
            (owner["reachable"].as_str(), &*owner["decides"]),
            ("0", "0")
        );
        Ok(())
    });
    three.signal("CONT");
}

#[test]
fn a_node_that_does_not_own_a_key_tells_what_its_owner_has() {
    let cluster = settled_cluster(3, 1);
    let node = &cluster.nodes[0];
    let is_elsewhere = |key: &String| !owners(node, key).1.contains(&node.name);
    let mut keys = (0..200).map(|n| format!("key{n}")).filter(is_elsewhere);
    let (number, hash) = (keys.next().unwrap(), keys.next().unwrap());

    node.call(&["SET", &number, "10", "EX", "1000"]);
    node.call(&["INCRBY", &number, "5"]);
    let explained = eventually("its owner decides", LATER, || {
        let explained = explain(node, &number)?;
        let owner = owners(node, &number).1.swap_remove(0);
        same(explained.deciders(), vec![owner.as_str()])?;
        Ok(explained)
    });
    let [replica] = &explained.replicas[..] else {
        panic!("{:?}", explained.fields);
    };
    let part = |name: &str| {
        let mut versions = replica.versions.iter();
        versions.find(|version| version["part"] == name).unwrap()
    };
    assert_eq!((&*part("sum")["sum"], &*part("sum")["shows"]), ("5", "1"));
    let base = replica.versions.iter().find(|one| one["part"] != "sum");
    let base = base.unwrap();
    assert_eq!((&*base["bytes"], &*base["shows"]), ("2", "1"));
    assert_ne!(base["ends_at_ms"], "");

    node.call(&["HSET", &hash, "a", "1", "b", "2"]);
    node.call(&["EXPIRE", &hash, "1000"]);
    let explained = explain(node, &hash).unwrap();
    assert_eq!(explained.fields["type"], "hash");
    let replica = &explained.replicas[0];
    assert_eq!(replica.fields["elements"], "2");
    assert_ne!(replica.fields["ends_at_ms"], "");
    assert!(replica.versions.is_empty());

    let explained = explain(node, "nothing").unwrap();
    assert_eq!(explained.fields["type"], "none");
    assert!(explained.replicas[0].versions.is_empty());
}
