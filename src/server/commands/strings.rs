//! One value per key: read it, replace it, take it.

use bytes::Bytes;

use crate::node::change::{Change, Changed, Ends, EndsIf, OnlyIf};
use crate::node::request::{Reply, Request};
use crate::resp::Value;
use crate::runtime::Submitted;
use crate::server::commands::options::{EX, EXAT, NX_OR_XX, NewEnd, PX, PXAT, SetOptions, Unit};
use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Keys, Outcome, Spec};

/// What the commands on one string have in common.
pub(super) const BASE: Spec = Spec {
    keys: Keys::FIRST,
    group: "string",
    ..Spec::NONE
};

pub(super) const KEY: Arg = Arg::new("key", "key");
pub(super) const VALUE: Arg = Arg::new("value", "string");

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        name: "get",
        arity: 2,
        flags: &["readonly", "fast"],
        summary: "Returns the string value of a key.",
        args: &[KEY],
        run: Some(get),
        only_submits: true,
        ..BASE
    },
    Spec {
        name: "getdel",
        arity: 2,
        flags: &["write", "fast"],
        since: "6.2.0",
        summary: "Returns the string value of a key after deleting the key.",
        args: &[KEY],
        run: Some(|context, args| Ok(before(context, args.take(1), Change::Take))),
        ..BASE
    },
    Spec {
        name: "getex",
        arity: -2,
        flags: &["write", "fast"],
        since: "6.2.0",
        summary: "Returns the string value of a key after setting its expiration time.",
        args: &[
            KEY,
            Arg::of(
                "expiration",
                "oneof",
                &[EX, PX, EXAT, PXAT, Arg::word("persist", "PERSIST")],
            )
            .optional(),
        ],
        run: Some(getex),
        ..BASE
    },
    Spec {
        name: "getset",
        arity: 3,
        flags: &["write", "denyoom", "fast"],
        summary: "Returns the previous string value of a key after setting it to a new value.",
        args: &[KEY, VALUE],
        run: Some(getset),
        only_submits: true,
        ..BASE
    },
    Spec {
        name: "psetex",
        arity: 4,
        flags: &["write", "denyoom"],
        since: "2.6.0",
        summary: "Sets both string value and expiration time in milliseconds of a key. The key \
                  is created if it doesn't exist.",
        args: &[KEY, Arg::new("milliseconds", "integer"), VALUE],
        run: Some(|context, args| set_with_end(context, args, Unit::PX, "psetex")),
        only_submits: true,
        ..BASE
    },
    Spec {
        name: "set",
        arity: -3,
        flags: &["write", "denyoom"],
        summary: "Sets the string value of a key, ignoring its type. The key is created if it \
                  doesn't exist.",
        args: &[
            KEY,
            VALUE,
            NX_OR_XX,
            Arg::word("get", "GET").optional(),
            Arg::of(
                "expiration",
                "oneof",
                &[EX, PX, EXAT, PXAT, Arg::word("keepttl", "KEEPTTL")],
            )
            .optional(),
        ],
        run: Some(set),
        only_submits: true,
        ..BASE
    },
    Spec {
        name: "setex",
        arity: 4,
        flags: &["write", "denyoom"],
        since: "2.0.0",
        summary: "Sets the string value and expiration time of a key. Creates the key if it \
                  doesn't exist.",
        args: &[KEY, Arg::new("seconds", "integer"), VALUE],
        run: Some(|context, args| set_with_end(context, args, Unit::EX, "setex")),
        only_submits: true,
        ..BASE
    },
    Spec {
        name: "setnx",
        arity: 3,
        flags: &["write", "denyoom", "fast"],
        summary: "Sets the string value of a key only when the key doesn't exist.",
        args: &[KEY, VALUE],
        run: Some(setnx),
        only_submits: true,
        ..BASE
    },
];

/// The answer to a [`Change`], which is always this.
pub(super) fn changed(reply: Reply) -> Changed {
    match reply {
        Reply::Changed(changed) => changed,
        _ => Changed::default(),
    }
}

/// Whether a [`Change`] was made.
pub(super) fn is_done(submitted: Submitted) -> Outcome {
    Outcome::shaped(submitted, |reply| {
        Value::Integer(changed(reply).done.into())
    })
}

/// A value, or null.
fn value_or_null(value: Option<Bytes>) -> Value {
    value.map_or(Value::Null, Value::Bulk)
}

/// Does a change and answers the value before it.
fn before(context: &Context<'_>, key: Bytes, change: Change) -> Outcome {
    let submitted = context.update(key, change);
    Outcome::shaped(submitted, |reply| value_or_null(changed(reply).before))
}

fn get(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let key = args.take(1);
    Ok(Outcome::Node(context.submit(Request::Get { key })))
}

fn getex(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let change = match NewEnd::parse(args, context.store.wall_ms())? {
        NewEnd::Kept => return get(context, args),
        NewEnd::Never => Change::Persist,
        NewEnd::At(at_ms) => Change::End {
            at_ms,
            only_if: EndsIf::Any,
        },
    };
    Ok(before(context, args.take(1), change))
}

fn getset(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let change = Change::Set {
        value: args.take(2),
        ends: Ends::Never,
        only_if: OnlyIf::Always,
        is_swap: true,
    };
    Ok(before(context, args.take(1), change))
}

fn set(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    if args.len() == 3 {
        return Ok(Outcome::Node(context.submit(Request::Put {
            key: args.take(1),
            value: args.take(2),
            context: None,
        })));
    }
    let SetOptions { ends, only_if, get } = SetOptions::parse(args, context.store.wall_ms())?;
    let key = args.take(1);
    let change = Change::Set {
        value: args.take(2),
        ends,
        only_if,
        is_swap: get,
    };
    if get {
        return Ok(before(context, key, change));
    }
    let submitted = context.update(key, change);
    Ok(Outcome::shaped(submitted, |reply| {
        match changed(reply).done {
            true => Value::ok(),
            false => Value::Null,
        }
    }))
}

fn setnx(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let key = args.take(1);
    let change = Change::Set {
        value: args.take(2),
        ends: Ends::Never,
        only_if: OnlyIf::Absent,
        is_swap: false,
    };
    Ok(is_done(context.update(key, change)))
}

/// `SETEX` and `PSETEX`.
fn set_with_end(
    context: &mut Context<'_>,
    args: &mut Args,
    unit: Unit,
    command: &str,
) -> Result<Outcome, Failure> {
    let at_ms = unit.time(args, 2, context.store.wall_ms(), command)?;
    let key = args.take(1);
    let change = Change::Set {
        value: args.take(3),
        ends: Ends::At(at_ms),
        only_if: OnlyIf::Always,
        is_swap: false,
    };
    let submitted = context.update(key, change);
    Ok(Outcome::shaped(submitted, |_| Value::ok()))
}
