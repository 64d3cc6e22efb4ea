//! Values of many keys at once. Each key is read or written for itself: other clients, and
//! other nodes, may see some of them written and not the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::strings::changed;
use crate::clock::Dot;
use crate::node::change::{Change, Changed, Ends, OnlyIf};
use crate::node::request::{Reply, Request};
use crate::resp::{BULK_BYTES_MAX_DEFAULT, Value};
use crate::runtime::Submitted;
use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Keys, Outcome, Spec, Worker};

/// Most bytes of values that one `MGET` answers: they are all in memory until they are sent.
const MGET_BYTES_MAX: usize = BULK_BYTES_MAX_DEFAULT;

const BASE: Spec = Spec {
    group: "string",
    ..Spec::NONE
};

/// A key and a value, in turn.
const PAIRS: Keys = Keys {
    first: 1,
    last: -1,
    step: 2,
    ..Keys::NONE
};

const DATA: &[Arg] = &[Arg::of(
    "data",
    "block",
    &[Arg::new("key", "key"), Arg::new("value", "string")],
)
.multiple()];

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        name: "mget",
        arity: -2,
        flags: &["readonly", "fast"],
        keys: Keys::ALL,
        summary: "Returns the string values of one or more keys.",
        args: &[Arg::new("key", "key").multiple()],
        run: Some(mget),
        only_submits: true,
        ..BASE
    },
    Spec {
        name: "mset",
        arity: -3,
        flags: &["write", "denyoom"],
        keys: PAIRS,
        since: "1.0.1",
        summary: "Sets the string values of one or more keys, one after the other.",
        args: DATA,
        run: Some(mset),
        only_submits: true,
        ..BASE
    },
    Spec {
        name: "msetnx",
        arity: -3,
        flags: &["write", "denyoom"],
        keys: PAIRS,
        since: "1.0.1",
        summary: "Sets the string values of one or more keys only when none of them exists.",
        args: DATA,
        run: Some(msetnx),
        ..BASE
    },
];

fn mget(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let mut bytes = 0_usize;
    let mut parts = Vec::with_capacity(args.len());
    for key in args.take_from(1) {
        let part = context.submit(Request::Find { key });
        if let Submitted::Ready(Reply::Value(Some(value))) = &part {
            bytes = bytes.saturating_add(value.len());
        }
        if bytes > MGET_BYTES_MAX {
            return Err(too_much());
        }
        parts.push(part);
    }
    Ok(Outcome::joined(parts, |replies| {
        let values: Vec<Value> = replies.into_iter().map(value).collect();
        let bytes = values.iter().filter_map(Value::as_bytes).map(<[u8]>::len);
        if bytes.sum::<usize>() > MGET_BYTES_MAX {
            return Value::Error(too_much().0.into_owned());
        }
        Value::Array(values)
    }))
}

fn too_much() -> Failure {
    Failure::new(format!(
        "ERR values are more than {MGET_BYTES_MAX} bytes together: ask for fewer keys"
    ))
}

fn value(reply: Reply) -> Value {
    match reply {
        Reply::Value(Some(value)) => Value::Bulk(value),
        _ => Value::Null,
    }
}

fn mset(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    check_pairs(args, "mset")?;
    let words = args.take_from(1);
    let parts = put_all(|request| context.submit(request), words);
    Ok(Outcome::joined(parts, |_| Value::ok()))
}

/// Looks at all keys before it writes any. Then each key's owner decides for itself, and where
/// one of them says no what was written is taken back: who is told yes has won every key, so of
/// those that have a key in common at most one is.
fn msetnx(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    check_pairs(args, "msetnx")?;
    let (worker, values) = (context.worker(), last_values(args.take_from(1)));
    Ok(Context::work(async move {
        for key in values.keys().cloned() {
            if worker.read(Request::Exists { key }).await? == Reply::Exists(true) {
                return Ok(Value::Integer(0));
            }
        }
        let asked = values.into_iter().map(|(key, value)| {
            let change = Change::Set {
                value,
                ends: Ends::Never,
                only_if: OnlyIf::Absent,
                is_swap: false,
            };
            let request = Request::Update {
                key: key.clone(),
                change,
            };
            (key, worker.submit(request))
        });
        let asked: Vec<_> = asked.collect();
        let (mut written, mut failure, mut is_whole) = (Vec::new(), None, true);
        for (key, answer) in asked {
            match answer.wait().await {
                Reply::Failed(error) => failure = failure.or(Some(error)),
                reply => {
                    let Changed { done, dot, .. } = changed(reply);
                    is_whole &= done;
                    written.extend(dot.map(|dot| (key, dot)));
                }
            }
        }
        if let Some(error) = failure {
            return Err(error.into());
        }
        if !is_whole {
            for (key, dot) in written {
                take_back(&worker, key, dot).await?;
            }
        }
        Ok(Value::Integer(is_whole.into()))
    }))
}

/// The value of each key; the last one of those that come twice.
fn last_values(words: Vec<Bytes>) -> BTreeMap<Bytes, Bytes> {
    let mut values = BTreeMap::new();
    let mut words = words.into_iter();
    while let (Some(key), Some(value)) = (words.next(), words.next()) {
        values.insert(key, value);
    }
    values
}

/// Deletes what that write made of a key, if it is all that the key has.
async fn take_back(worker: &Worker, key: Bytes, dot: Dot) -> Result<(), Failure> {
    let Reply::Object(object) = worker.read(Request::Inspect { key: key.clone() }).await? else {
        return Ok(());
    };
    if !object.versions.iter().map(|(dot, _)| dot).eq([dot]) {
        return Ok(());
    }
    let context = Some(Arc::new(object.context));
    let deleted = worker.submit(Request::Delete { key, context });
    match deleted.wait().await {
        Reply::Failed(error) => Err(error.into()),
        _ => Ok(()),
    }
}

fn check_pairs(args: &Args, command: &str) -> Result<(), Failure> {
    match args.len().is_multiple_of(2) {
        true => Err(Failure::arity(command)),
        false => Ok(()),
    }
}

fn put_all(submit: impl Fn(Request) -> Submitted, words: Vec<Bytes>) -> Vec<Submitted> {
    let mut words = words.into_iter();
    let mut parts = Vec::with_capacity(words.len() / 2);
    while let (Some(key), Some(value)) = (words.next(), words.next()) {
        parts.push(submit(Request::Put {
            key,
            value,
            context: None,
        }));
    }
    parts
}
