//! Causality for those who want it: all concurrent values of a key, and writes that replace
//! exactly what was read. On the same keys as everything else.

use std::sync::Arc;

use crate::clock::VersionVector;
use crate::node::request::{Held, Reply, Request, RequestError};
use crate::resp::Value;
use crate::server::failure::Failure;
use crate::server::outcome::failed;
use crate::server::spec::{Arg, Args, Context, Keys, Outcome, Spec};

const BASE: Spec = Spec {
    keys: Keys::FIRST,
    group: "generic",
    since: "0.1.0",
    ..Spec::NONE
};

const KEY: Arg = Arg::new("key", "key");
const CONTEXT: Arg = Arg::new("context", "string").token("CONTEXT").optional();

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        name: "netdb.del",
        arity: -2,
        flags: &["write"],
        summary: "Deletes exactly the values of a key that came with a context.",
        args: &[KEY, CONTEXT],
        run: Some(del),
        ..BASE
    },
    Spec {
        name: "netdb.get",
        arity: 2,
        flags: &["readonly"],
        summary: "Returns all concurrent values of a key, and the context that replaces them.",
        args: &[KEY],
        run: Some(get),
        ..BASE
    },
    Spec {
        name: "netdb.set",
        arity: -3,
        flags: &["write", "denyoom"],
        summary: "Sets a key in the place of exactly the values that came with a context.",
        args: &[KEY, Arg::new("value", "string"), CONTEXT],
        run: Some(set),
        ..BASE
    },
];

fn get(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let key = args.take(1);
    let store = Arc::clone(context.store);
    // What is known of a key's value says nothing of elements.
    let inspect = Request::Inspect { key: key.clone() };
    let describe = Request::Describe { key: key.clone() };
    let parts = [inspect, describe].map(|request| context.submit(request));
    Ok(Outcome::joined(parts.into(), move |replies| {
        let mut replies = replies.into_iter();
        let (Some(Reply::Object(object)), held) = (replies.next(), replies.next()) else {
            return Value::Null;
        };
        let values = object.versions.values_at(store.wall_ms());
        let has_elements = |held| matches!(held, Reply::Held(Some(Held { kind: Some(_), .. })));
        if values.is_empty() && held.is_some_and(has_elements) {
            return failed(&RequestError::WrongType);
        }
        let values = values.into_iter().map(|version| Value::Bulk(version.value));
        let context = store.seal_context(&key, &object.context);
        Value::Map(vec![
            (Value::bulk("values"), Value::Array(values.collect())),
            (Value::bulk("context"), Value::Bulk(context.into())),
        ])
    }))
}

fn set(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let seen = seen(context, args, 3)?;
    Ok(Outcome::Node(context.submit(Request::Put {
        key: args.take(1),
        value: args.take(2),
        context: seen,
    })))
}

fn del(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let seen = seen(context, args, 2)?;
    let request = Request::Delete {
        key: args.take(1),
        context: seen,
    };
    Ok(Outcome::Node(context.submit(request)))
}

/// What the writer has seen, by `CONTEXT` and a context at the end of the command; none if it
/// says nothing of that.
fn seen(
    context: &Context<'_>,
    args: &Args,
    from: usize,
) -> Result<Option<Arc<VersionVector>>, Failure> {
    if args.len() == from {
        return Ok(None);
    }
    if args.len() != from.saturating_add(2) || !args.is(from, "context") {
        return Err(Failure::SYNTAX);
    }
    let text = args.bytes(from.saturating_add(1));
    let seen = context.store.open_context(args.bytes(1), text);
    let seen = seen.map_err(|error| Failure::new(format!("ERR {error}")))?;
    Ok(Some(Arc::new(seen)))
}
