//! Keys whatever they hold: their type, other names and copies of them, one at random.
//!
//! What a command does to two keys is two writes, each atomic for its key. A new name is
//! written before the old one is deleted, and exactly what was read is deleted: a crash between
//! leaves both, and what somebody wrote to the old name meanwhile stays. Of a set or hash the
//! elements that were copied go, with what was written to them meanwhile.

use std::sync::Arc;

use bytes::Bytes;
use rand::RngExt;

use crate::clock::VersionVector;
use crate::node::change::OnlyIf;
use crate::node::request::{Alter, ELEMENTS_MAX, Held, Reply, Request};
use crate::object::{Kind, Object, Version};
use crate::resp::Value;
use crate::server::commands::carry::{Placing, is_there, put_value};
use crate::server::commands::elements::Pages;
use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Keys, Outcome, Spec, Worker};

/// Keys among which `RANDOMKEY` chooses, from a place at random on: one alone would be the
/// likelier the wider the gap before it.
const RANDOM_AMONG: usize = 16;

const BASE: Spec = Spec {
    group: "generic",
    ..Spec::NONE
};

const TWO_KEYS: Keys = Keys {
    first: 1,
    last: 2,
    step: 1,
    ..Keys::NONE
};

const NEW_NAME: &[Arg] = &[Arg::new("key", "key"), Arg::new("newkey", "key")];

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        name: "copy",
        arity: -3,
        flags: &["write", "denyoom"],
        keys: TWO_KEYS,
        since: "6.2.0",
        summary: "Copies the value of a key to a new key.",
        args: &[
            Arg::new("source", "key"),
            Arg::new("destination", "key"),
            Arg::new("destination-db", "integer").token("DB").optional(),
            Arg::word("replace", "REPLACE").optional(),
        ],
        run: Some(copy),
        ..BASE
    },
    Spec {
        name: "randomkey",
        arity: 1,
        flags: &["readonly"],
        summary: "Returns a random key name from the database.",
        run: Some(randomkey),
        ..BASE
    },
    Spec {
        name: "rename",
        arity: 3,
        flags: &["write"],
        keys: TWO_KEYS,
        summary: "Renames a key and overwrites the destination.",
        args: NEW_NAME,
        run: Some(|context, args| rename(context, args, OnlyIf::Always)),
        ..BASE
    },
    Spec {
        name: "renamenx",
        arity: 3,
        flags: &["write", "fast"],
        keys: TWO_KEYS,
        summary: "Renames a key only when the target key name doesn't exist.",
        args: NEW_NAME,
        run: Some(|context, args| rename(context, args, OnlyIf::Absent)),
        ..BASE
    },
    Spec {
        name: "type",
        arity: 2,
        flags: &["readonly", "fast"],
        keys: Keys::FIRST,
        summary: "Determines the type of value stored at a key.",
        args: &[Arg::new("key", "key")],
        run: Some(kind),
        ..BASE
    },
];

fn kind(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let submitted = context.submit(Request::Describe { key: args.take(1) });
    Ok(Outcome::shaped(submitted, |reply| {
        Value::simple(match reply {
            Reply::Held(Some(held)) => type_name(&held),
            _ => "none",
        })
    }))
}

/// Redis's name for the type of what a key holds.
pub(super) fn type_name(held: &Held) -> &'static str {
    match held.kind {
        None => "string",
        Some(Kind::Hash) => "hash",
        Some(Kind::Set) => "set",
    }
}

/// The last write of a key here that has not ended, and all that is known of the key.
async fn seen(worker: &Worker, key: Bytes) -> Result<Option<(Version, Object)>, Failure> {
    let Reply::Object(object) = worker.read(Request::Inspect { key }).await? else {
        return Ok(None);
    };
    let value = object.versions.value_at(worker.store.wall_ms());
    Ok(value.map(|version| (version, object)))
}

/// Writes to another key what one holds.
async fn carry(
    worker: &Worker,
    from: &Bytes,
    to: &Bytes,
    only_if: OnlyIf,
) -> Result<Carried, Failure> {
    if let Some((version, object)) = seen(worker, from.clone()).await? {
        let Version {
            value,
            expire_at_ms,
            ..
        } = version;
        let is_written = put_value(worker, to.clone(), value, expire_at_ms, only_if).await?;
        return Ok(match is_written {
            true => Carried::Value(Arc::new(object.context)),
            false => Carried::Refused,
        });
    }
    let key = from.clone();
    let Reply::Held(Some(held)) = worker.read(Request::Describe { key }).await? else {
        return Ok(Carried::Nothing);
    };
    let Some(kind) = held.kind else {
        return Ok(Carried::Nothing);
    };
    if only_if == OnlyIf::Absent && is_there(worker, to.clone()).await? {
        return Ok(Carried::Refused);
    }
    let elements = copy_elements(worker, from, to, (kind, held.ends_at_ms)).await?;
    Ok(Carried::Elements(kind, elements))
}

/// What was written to another key.
enum Carried {
    /// Nothing: there was nothing.
    Nothing,
    /// Nothing: the other key holds something, and must not.
    Refused,
    /// A value, and what was known of it.
    Value(Arc<VersionVector>),
    /// Elements.
    Elements(Kind, Vec<Bytes>),
}

/// Puts the elements of one key in the place of what another holds, a page at a time; which they
/// were.
async fn copy_elements(
    worker: &Worker,
    from: &Bytes,
    to: &Bytes,
    (kind, ends_at_ms): (Kind, Option<u64>),
) -> Result<Vec<Bytes>, Failure> {
    let mut copied = Vec::new();
    let mut placing = Placing::at(worker, to.clone(), kind);
    let mut pages = Pages::of(worker, from.clone(), kind);
    while let Some(page) = pages.next().await? {
        copied.extend(page.iter().map(|(element, _)| element.clone()));
        placing.put(page).await?;
    }
    placing.finish(ends_at_ms).await?;
    Ok(copied)
}

fn rename(context: &mut Context<'_>, args: &mut Args, only_if: OnlyIf) -> Result<Outcome, Failure> {
    let done = match only_if {
        OnlyIf::Absent => Value::Integer(1),
        OnlyIf::Always | OnlyIf::Present => Value::ok(),
    };
    let (from, to) = (args.take(1), args.take(2));
    let worker = context.worker();
    Ok(Context::work(async move {
        if from == to {
            return match (is_there(&worker, from).await?, only_if) {
                (false, _) => Err(Failure::new("ERR no such key")),
                (true, OnlyIf::Absent) => Ok(Value::Integer(0)),
                (true, _) => Ok(done),
            };
        }
        match carry(&worker, &from, &to, only_if).await? {
            Carried::Nothing => return Err(Failure::new("ERR no such key")),
            Carried::Refused => return Ok(Value::Integer(0)),
            Carried::Value(context) => {
                let (key, context) = (from.clone(), Some(context));
                worker.run_part(Request::Delete { key, context }).await?;
            }
            Carried::Elements(kind, elements) => {
                for some in elements.chunks(ELEMENTS_MAX) {
                    let elements = some.to_vec();
                    let (key, alter) = (from.clone(), Alter::Remove { elements });
                    worker.run_part(Request::Alter { key, kind, alter }).await?;
                }
            }
        }
        worker.tell("rename_from", &from);
        worker.tell("rename_to", &to);
        Ok(done)
    }))
}

fn copy(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let mut only_if = OnlyIf::Absent;
    let mut at = 3_usize;
    while at < args.len() {
        let next = at.saturating_add(1);
        if args.is(at, "replace") {
            only_if = OnlyIf::Always;
        } else if args.is(at, "db") && next < args.len() {
            if args.integer(next)? != 0 {
                return Err(Failure::new("ERR DB index is out of range"));
            }
            at = next;
        } else {
            return Err(Failure::SYNTAX);
        }
        at = at.saturating_add(1);
    }
    let (from, to) = (args.take(1), args.take(2));
    if from == to {
        return Err(Failure::new(
            "ERR source and destination objects are the same",
        ));
    }
    let worker = context.worker();
    Ok(Context::work(async move {
        let carried = carry(&worker, &from, &to, only_if).await?;
        let is_written = matches!(carried, Carried::Value(_) | Carried::Elements(..));
        if is_written {
            worker.tell("copy_to", &to);
        }
        Ok(Value::Integer(is_written.into()))
    }))
}

fn randomkey(context: &mut Context<'_>, _: &mut Args) -> Result<Outcome, Failure> {
    let store = context.worker().store;
    Ok(Context::work(async move {
        let from = rand::rng().random();
        let mut page = store.scan(from, RANDOM_AMONG).await?;
        if page.keys.is_empty() {
            page = store.scan(0, RANDOM_AMONG).await?;
        }
        if page.keys.is_empty() {
            return Ok(Value::Null);
        }
        let chosen = rand::rng().random_range(0..page.keys.len());
        Ok(Value::Bulk(page.keys.swap_remove(chosen)))
    }))
}
