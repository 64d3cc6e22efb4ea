//! When values end: choose it, take it away, ask for it.
//!
//! An end is part of the value that it ends (PROTOCOL R22), so choosing one writes the value
//! anew: among concurrent writes of other nodes one wins, with its own end. That of a set or
//! hash is beside its elements.

use crate::node::change::Change;
use crate::node::request::{Reply, Request};
use crate::resp::Value;
use crate::server::commands::options::{Unit, ends_if};
use crate::server::commands::strings::is_done;
use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Keys, Outcome, Run, Spec};

const CONDITION: Arg = Arg::of(
    "condition",
    "oneof",
    &[
        Arg::word("nx", "NX"),
        Arg::word("xx", "XX"),
        Arg::word("gt", "GT"),
        Arg::word("lt", "LT"),
    ],
)
.optional();

const KEY: Arg = Arg::new("key", "key");

const SECONDS: &[Arg] = &[KEY, Arg::new("seconds", "integer"), CONDITION];
const MILLISECONDS: &[Arg] = &[KEY, Arg::new("milliseconds", "integer"), CONDITION];
const AT_SECONDS: &[Arg] = &[KEY, Arg::new("unix-time-seconds", "unix-time"), CONDITION];
const AT_MILLISECONDS: &[Arg] = &[
    KEY,
    Arg::new("unix-time-milliseconds", "unix-time"),
    CONDITION,
];

const BASE: Spec = Spec {
    keys: Keys::FIRST,
    group: "generic",
    ..Spec::NONE
};

const fn expire(
    name: &'static str,
    since: &'static str,
    summary: &'static str,
    args: &'static [Arg],
    run: Run,
) -> Spec {
    Spec {
        name,
        arity: -3,
        flags: &["write", "fast"],
        since,
        summary,
        args,
        run: Some(run),
        ..BASE
    }
}

const fn ask(name: &'static str, since: &'static str, summary: &'static str, run: Run) -> Spec {
    Spec {
        name,
        arity: 2,
        flags: &["readonly", "fast"],
        since,
        summary,
        args: &[KEY],
        run: Some(run),
        ..BASE
    }
}

pub(super) const COMMANDS: &[Spec] = &[
    expire(
        "expire",
        "1.0.0",
        "Sets the expiration time of a key in seconds.",
        SECONDS,
        |context, args| end(context, args, Unit::EX, "expire"),
    ),
    expire(
        "expireat",
        "1.2.0",
        "Sets the expiration time of a key to a Unix timestamp.",
        AT_SECONDS,
        |context, args| end(context, args, Unit::EXAT, "expireat"),
    ),
    ask(
        "expiretime",
        "7.0.0",
        "Returns the expiration time of a key as a Unix timestamp.",
        |context, args| when(context, args, |at_ms, _| seconds(at_ms)),
    ),
    Spec {
        name: "persist",
        arity: 2,
        flags: &["write", "fast"],
        since: "2.2.0",
        summary: "Removes the expiration time of a key.",
        args: &[KEY],
        run: Some(|context, args| {
            let submitted = context.update(args.take(1), Change::Persist);
            Ok(is_done(submitted))
        }),
        ..BASE
    },
    expire(
        "pexpire",
        "2.6.0",
        "Sets the expiration time of a key in milliseconds.",
        MILLISECONDS,
        |context, args| end(context, args, Unit::PX, "pexpire"),
    ),
    expire(
        "pexpireat",
        "2.6.0",
        "Sets the expiration time of a key to a Unix milliseconds timestamp.",
        AT_MILLISECONDS,
        |context, args| end(context, args, Unit::PXAT, "pexpireat"),
    ),
    ask(
        "pexpiretime",
        "7.0.0",
        "Returns the expiration time of a key as a Unix milliseconds timestamp.",
        |context, args| when(context, args, |at_ms, _| at_ms),
    ),
    ask(
        "pttl",
        "2.6.0",
        "Returns the expiration time in milliseconds of a key.",
        |context, args| when(context, args, u64::saturating_sub),
    ),
    ask(
        "ttl",
        "1.0.0",
        "Returns the expiration time in seconds of a key.",
        |context, args| {
            when(context, args, |at_ms, now_ms| {
                seconds(at_ms.saturating_sub(now_ms))
            })
        },
    ),
];

/// The nearest whole seconds.
fn seconds(ms: u64) -> u64 {
    ms.saturating_add(500) / 1_000
}

fn end(
    context: &mut Context<'_>,
    args: &mut Args,
    unit: Unit,
    command: &str,
) -> Result<Outcome, Failure> {
    let only_if = ends_if(args)?;
    let at_ms = unit.any_time(args, 2, context.store.wall_ms(), command)?;
    let change = Change::End { at_ms, only_if };
    Ok(is_done(context.update(args.take(1), change)))
}

/// Answers what `shape` makes of the end and of now, both in milliseconds since the Unix epoch;
/// -1 for a value without an end, -2 for none.
fn when(
    context: &mut Context<'_>,
    args: &mut Args,
    shape: fn(u64, u64) -> u64,
) -> Result<Outcome, Failure> {
    let now_ms = context.store.wall_ms();
    let submitted = context.submit(Request::Describe { key: args.take(1) });
    Ok(Outcome::shaped(submitted, move |reply| {
        let Reply::Held(Some(held)) = reply else {
            return Value::Integer(-2);
        };
        let shaped = held.ends_at_ms.map(|at_ms| shape(at_ms, now_ms));
        Value::Integer(shaped.map_or(-1, |n| i64::try_from(n).unwrap_or(i64::MAX)))
    }))
}
