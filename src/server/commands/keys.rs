//! Keys whatever they hold: their type, other names and copies of them, one at random.
//!
//! What a command does to two keys is two writes, each atomic for its key. A new name is
//! written before the old one is deleted, and exactly what was read is deleted: a crash between
//! leaves both, and what somebody wrote to the old name meanwhile stays.

use std::sync::Arc;

use bytes::Bytes;
use rand::RngExt;

use crate::node::change::{Change, Ends, OnlyIf};
use crate::node::request::{Reply, Request};
use crate::object::{Object, Version};
use crate::resp::Value;
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
    let submitted = context.submit(Request::Exists { key: args.take(1) });
    Ok(Outcome::shaped(submitted, |reply| {
        let exists = reply == Reply::Exists(true);
        Value::simple(if exists { "string" } else { "none" })
    }))
}

/// The last write of a key here that has not ended, and all that is known of the key.
async fn seen(worker: &Worker, key: Bytes) -> Result<Option<(Version, Object)>, Failure> {
    let Reply::Object(object) = worker.read(Request::Inspect { key }).await? else {
        return Ok(None);
    };
    let value = object.versions.value_at(worker.store.wall_ms());
    Ok(value.map(|version| (version, object)))
}

/// Writes to another key what was read of one. Returns whether it did: not if the other key has
/// a value and must not.
async fn write_copy(
    worker: &Worker,
    to: Bytes,
    version: Version,
    only_if: OnlyIf,
) -> Result<bool, Failure> {
    let change = Change::Set {
        value: version.value,
        ends: version.expire_at_ms.map_or(Ends::Never, Ends::At),
        only_if,
        is_swap: false,
    };
    let changed = worker.run_part(Request::Update { key: to, change }).await?;
    Ok(!matches!(changed, Reply::Changed(changed) if !changed.done))
}

fn rename(context: &mut Context<'_>, args: &mut Args, only_if: OnlyIf) -> Result<Outcome, Failure> {
    let done = match only_if {
        OnlyIf::Absent => Value::Integer(1),
        OnlyIf::Always | OnlyIf::Present => Value::ok(),
    };
    let (from, to) = (args.take(1), args.take(2));
    let worker = context.worker();
    Ok(Context::work(async move {
        let Some((version, object)) = seen(&worker, from.clone()).await? else {
            return Err(Failure::new("ERR no such key"));
        };
        if from == to && only_if != OnlyIf::Absent {
            return Ok(done);
        }
        if !write_copy(&worker, to.clone(), version, only_if).await? {
            return Ok(Value::Integer(0));
        }
        let context = Some(Arc::new(object.context));
        let key = from.clone();
        worker.run_part(Request::Delete { key, context }).await?;
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
        let Some((version, _)) = seen(&worker, from).await? else {
            return Ok(Value::Integer(0));
        };
        let is_written = write_copy(&worker, to.clone(), version, only_if).await?;
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
