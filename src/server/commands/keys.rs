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
use crate::runtime::Submitted;
use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Keys, Outcome, Spec};

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
fn seen(context: &Context<'_>, key: Bytes) -> Result<Option<(Version, Object)>, Failure> {
    let Reply::Object(object) = context.read_here(Request::Inspect { key })? else {
        return Ok(None);
    };
    let winner = object.versions.winner_at(context.store.wall_ms());
    Ok(winner
        .map(|(_, version)| version.clone())
        .map(|version| (version, object)))
}

/// Writes to another key what was read of one. `None` if the other key has a value and must not.
fn write_copy(
    context: &Context<'_>,
    to: Bytes,
    version: Version,
    only_if: OnlyIf,
) -> Result<Option<Submitted>, Failure> {
    let change = Change::Set {
        value: version.value,
        ends: version.expire_at_ms.map_or(Ends::Never, Ends::At),
        only_if,
    };
    match context.update(to, change) {
        Submitted::Ready(Reply::Failed(error)) => Err(error.into()),
        Submitted::Ready(Reply::Changed(changed)) if !changed.done => Ok(None),
        // It has been done here; what may be missing is other replicas.
        written => Ok(Some(written)),
    }
}

fn rename(context: &mut Context<'_>, args: &mut Args, only_if: OnlyIf) -> Result<Outcome, Failure> {
    let done = match only_if {
        OnlyIf::Absent => Value::Integer(1),
        OnlyIf::Always | OnlyIf::Present => Value::ok(),
    };
    let (from, to) = (args.take(1), args.take(2));
    let Some((version, object)) = seen(context, from.clone())? else {
        return Err(Failure::new("ERR no such key"));
    };
    if from == to && only_if != OnlyIf::Absent {
        return Ok(done.into());
    }
    let Some(written) = write_copy(context, to, version, only_if)? else {
        return Ok(Value::Integer(0).into());
    };
    let deleted = context.submit(Request::Delete {
        key: from,
        context: Some(Arc::new(object.context)),
    });
    Ok(Outcome::joined(vec![written, deleted], |_| done))
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
    let Some((version, _)) = seen(context, from)? else {
        return Ok(Value::Integer(0).into());
    };
    let written = write_copy(context, to, version, only_if)?;
    Ok(written.map_or(Value::Integer(0).into(), |written| {
        Outcome::shaped(written, |_| Value::Integer(1))
    }))
}

fn randomkey(context: &mut Context<'_>, _: &mut Args) -> Result<Outcome, Failure> {
    let mut chance = rand::rng();
    let mut page = context.store.scan(chance.random(), RANDOM_AMONG)?;
    if page.keys.is_empty() {
        page = context.store.scan(0, RANDOM_AMONG)?;
    }
    if page.keys.is_empty() {
        return Ok(Value::Null.into());
    }
    let chosen = chance.random_range(0..page.keys.len());
    Ok(Value::Bulk(page.keys.swap_remove(chosen)).into())
}
