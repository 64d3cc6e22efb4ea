//! `OBJECT`: how Redis would hold a value, for tools that ask.

use crate::node::request::{Reply, Request};
use crate::object::Version;
use crate::resp::{Value, parse_i64};
use crate::server::commands::help;
use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Keys, Outcome, Spec};

/// Longest value that Redis keeps beside its header.
const EMBEDDED_BYTES_MAX: usize = 44;

const BASE: Spec = Spec {
    arity: 3,
    flags: &["readonly"],
    keys: Keys {
        first: 2,
        last: 2,
        step: 1,
    },
    group: "generic",
    args: &[Arg::new("key", "key")],
    since: "2.2.3",
    ..Spec::NONE
};

pub(super) const COMMANDS: &[Spec] = &[Spec {
    name: "object",
    arity: -2,
    group: "generic",
    since: "2.2.3",
    summary: "A container for object introspection commands.",
    subcommands: SUBCOMMANDS,
    ..Spec::NONE
}];

const SUBCOMMANDS: &[Spec] = &[
    Spec {
        name: "encoding",
        summary: "Returns the internal encoding that Redis would use for the value.",
        run: Some(|context, args| ask(context, args, encoding)),
        ..BASE
    },
    Spec {
        name: "freq",
        since: "4.0.0",
        summary: "Always an error: how often keys are used is not counted.",
        run: Some(|context, args| ask(context, args, |_, _| not_counted())),
        ..BASE
    },
    help::HELP,
    Spec {
        name: "idletime",
        summary: "Returns the seconds since the value was written; reads are not noted.",
        run: Some(|context, args| ask(context, args, idle)),
        ..BASE
    },
    Spec {
        name: "refcount",
        summary: "Returns the reference count of the value, which is 1.",
        run: Some(|context, args| ask(context, args, |_, _| Value::Integer(1))),
        ..BASE
    },
];

/// Answers what `shape` makes of the key's value and of now; null if there is none.
fn ask(
    context: &mut Context<'_>,
    args: &mut Args,
    shape: fn(&Version, u64) -> Value,
) -> Result<Outcome, Failure> {
    let now_ms = context.store.wall_ms();
    let submitted = context.submit(Request::Lookup { key: args.take(2) });
    Ok(Outcome::shaped(submitted, move |reply| match reply {
        Reply::Version(Some(version)) => shape(&version, now_ms),
        _ => Value::Null,
    }))
}

fn encoding(version: &Version, _: u64) -> Value {
    let value = &version.value;
    Value::bulk(if parse_i64(value).is_some() {
        "int"
    } else if value.len() <= EMBEDDED_BYTES_MAX {
        "embstr"
    } else {
        "raw"
    })
}

fn idle(version: &Version, now_ms: u64) -> Value {
    let idle_ms = now_ms.saturating_sub(version.hlc.wall_ms());
    Value::Integer(i64::try_from(idle_ms / 1_000).unwrap_or(i64::MAX))
}

/// Redis's own words.
fn not_counted() -> Value {
    Value::error(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note \
         that when switching between policies at runtime LRU and LFU data will take some time to \
         adjust.",
    )
}
