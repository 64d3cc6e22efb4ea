//! Values that were written concurrently, and writes that replace exactly what was read.

use crate::support::client::text;
use crate::support::{Cluster, LATER, Node, eventually, same};
use netdb::resp::Value;

/// All values of a key, sorted, and their context.
fn get(node: &Node, key: &str) -> Result<(Vec<String>, String), String> {
    let answer = node.try_call(&["NETDB.GET", key])?;
    let shown = format!("{answer:?}");
    let pairs = answer.into_pairs().ok_or(shown)?;
    let (mut values, mut context) = (Vec::new(), String::new());
    for (name, value) in pairs {
        match (text(&name).as_str(), value) {
            ("values", Value::Array(all)) => values = all.iter().map(text).collect(),
            ("context", value) => context = text(&value),
            other => return Err(format!("{other:?}")),
        }
    }
    values.sort();
    Ok((values, context))
}

#[track_caller]
fn await_values(cluster: &Cluster, key: &str, values: &[&str]) -> String {
    let mut context = String::new();
    for node in &cluster.nodes {
        eventually(&format!("{values:?}"), LATER, || {
            let (found, with) = get(node, key)?;
            context = with;
            same(found.iter().map(String::as_str).collect(), values.to_vec())
        });
    }
    context
}

#[test]
fn a_write_replaces_exactly_what_came_with_its_context() {
    let cluster = Cluster::start(3);
    let [one, two, three] = &cluster.nodes[..] else {
        panic!("three nodes");
    };
    let (values, nothing) = get(one, "key").unwrap();
    assert!(values.is_empty());
    // Neither writer has seen the other.
    for (node, value) in [(one, "a"), (two, "b")] {
        let answer = node.call(&["NETDB.SET", "key", value, "CONTEXT", &nothing]);
        assert_eq!(answer, Value::ok());
    }
    let both = await_values(&cluster, "key", &["a", "b"]);
    let winner = one.get("key").unwrap().unwrap();
    assert_eq!(two.get("key").unwrap(), Some(winner));

    let answer = three.call(&["NETDB.SET", "key", "c", "CONTEXT", &both]);
    assert_eq!(answer, Value::ok());
    let last = await_values(&cluster, "key", &["c"]);
    // What came later is not covered by what was read before.
    let answer = one.call(&["NETDB.DEL", "key", "CONTEXT", &both]);
    assert_eq!(answer, Value::Integer(0));
    let answer = two.call(&["NETDB.SET", "key", "d", "CONTEXT", &both]);
    assert_eq!(answer, Value::ok());
    let all = await_values(&cluster, "key", &["c", "d"]);
    let answer = one.call(&["NETDB.DEL", "key", "CONTEXT", &last]);
    assert_eq!(answer, Value::Integer(1));
    await_values(&cluster, "key", &["d"]);
    let answer = one.call(&["NETDB.DEL", "key", "CONTEXT", &all]);
    assert_eq!(answer, Value::Integer(1));
    await_values(&cluster, "key", &[]);

    // Without a context they are `SET` and `DEL`.
    assert_eq!(one.call(&["NETDB.SET", "key", "e"]), Value::ok());
    assert_eq!(one.call(&["NETDB.DEL", "key"]), Value::Integer(1));
}

#[test]
fn what_no_replica_gave_is_no_context() {
    let cluster = Cluster::start(1);
    let node = &cluster.nodes[0];
    node.put("key", "value");
    let (_, context) = get(node, "key").unwrap();
    let mut changed = context.clone();
    let last = if changed.ends_with('0') { "1" } else { "0" };
    changed.replace_range(changed.len() - 1.., last);
    let (_, of_other) = get(node, "other").unwrap();
    for wrong in ["", "0", "xyz", "00", &changed, &of_other, &context[2..]] {
        for command in [
            &["NETDB.SET", "key", "new", "CONTEXT", wrong][..],
            &["NETDB.DEL", "key", "CONTEXT", wrong][..],
        ] {
            let Value::Error(error) = node.call(command) else {
                panic!("{command:?} was done");
            };
            assert!(error.starts_with("ERR this is no context of that key"));
        }
    }
    for command in [
        &["NETDB.SET", "key", "new", "CONTEXT"][..],
        &["NETDB.SET", "key", "new", "EX", "10"][..],
        &["NETDB.DEL", "key", "CONTEXT", &context, "more"][..],
    ] {
        let refused = node.call(command);
        assert_eq!(refused, Value::Error("ERR syntax error".into()));
    }
    assert_eq!(node.get("key"), Ok(Some("value".to_owned())));
    assert_eq!(
        node.call(&["NETDB.SET", "key", "new", "context", &context]),
        Value::ok()
    );
    assert_eq!(node.get("key"), Ok(Some("new".to_owned())));
}
