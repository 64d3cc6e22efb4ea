//! `OBJECT`: how Redis would hold a value, for tools that ask.

use crate::node::request::{Reply, Request};
use crate::object::{Kind, Version};
use crate::resp::{Value, parse_i64};
use crate::server::commands::help;
use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Keys, Outcome, Spec};

/// Longest value that Redis keeps beside its header.
const EMBEDDED_BYTES_MAX: usize = 44;

/// Most fields of a hash that Redis keeps in one piece, if they are short.
const PACKED_FIELDS_MAX: u64 = 128;

const BASE: Spec = Spec {
    arity: 3,
    flags: &["readonly"],
    keys: Keys {
        first: 2,
        last: 2,
        step: 1,
        ..Keys::NONE
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

/// What is asked of: a value, or how many elements of which kind.
enum Subject {
    Value(Version),
    Elements(Kind, u64),
}

/// Answers what `shape` makes of what the key holds and of now; null if that is nothing.
fn ask(
    context: &mut Context<'_>,
    args: &mut Args,
    shape: fn(&Subject, u64) -> Value,
) -> Result<Outcome, Failure> {
    let (worker, key) = (context.worker(), args.take(2));
    Ok(Context::work(async move {
        let held = worker.read(Request::Describe { key: key.clone() }).await?;
        let Reply::Held(Some(held)) = held else {
            return Ok(Value::Null);
        };
        let subject = match held.kind {
            Some(kind) => Subject::Elements(kind, held.size),
            None => match worker.read(Request::Lookup { key }).await? {
                Reply::Version(Some(version)) => Subject::Value(version),
                _ => return Ok(Value::Null),
            },
        };
        Ok(shape(&subject, worker.store.wall_ms()))
    }))
}

fn encoding(subject: &Subject, _: u64) -> Value {
    let value = match subject {
        Subject::Elements(Kind::Hash, 0..=PACKED_FIELDS_MAX) => return Value::bulk("listpack"),
        Subject::Elements(..) => return Value::bulk("hashtable"),
        Subject::Value(version) => &version.value,
    };
    Value::bulk(if parse_i64(value).is_some() {
        "int"
    } else if value.len() <= EMBEDDED_BYTES_MAX {
        "embstr"
    } else {
        "raw"
    })
}

/// When elements were written is not looked up: it would take all of them.
fn idle(subject: &Subject, now_ms: u64) -> Value {
    let idle_ms = match subject {
        Subject::Elements(..) => 0,
        Subject::Value(version) => now_ms.saturating_sub(version.hlc.wall_ms()),
    };
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
