//! Rows of the command table as values: what `COMMAND` and `COMMAND DOCS` show.

use crate::resp::Value;
use crate::server::commands::access::{Access, accesses};
use crate::server::spec::{Arg, Keys, Spec};

/// A row as `COMMAND` shows it, in the order that Redis fixed.
pub(super) fn row(spec: &Spec, name: &str) -> Value {
    let subcommands = spec.subcommands.iter();
    Value::Array(vec![
        Value::bulk(name.to_owned()),
        Value::Integer(spec.arity),
        words(flags(spec).into_iter()),
        Value::Integer(spec.keys.first),
        Value::Integer(spec.keys.last),
        Value::Integer(spec.keys.step),
        Value::Set(categories(spec).into_iter().map(Value::Simple).collect()),
        Value::Array(Vec::new()),
        Value::Array(key_specs(spec)),
        Value::Array(
            subcommands
                .map(|sub| row(sub, &format!("{name}|{}", sub.name)))
                .collect(),
        ),
    ])
}

/// What it does, and whether its keys are not where the row says.
fn flags(spec: &Spec) -> Vec<&'static str> {
    let mut flags = spec.flags.to_vec();
    if spec.keys.count != 0 {
        flags.push("movablekeys");
    }
    flags
}

/// Words that have no order.
pub(super) fn words<'a>(words: impl Iterator<Item = &'a str>) -> Value {
    Value::Set(words.map(Value::simple).collect())
}

/// Access categories, which follow from the flags and the group.
pub(super) fn categories(spec: &Spec) -> Vec<String> {
    let has = |flag| spec.flags.contains(&flag);
    let mut categories = Vec::new();
    if has("write") {
        categories.push("@write".to_owned());
    }
    if has("readonly") {
        categories.push("@read".to_owned());
    }
    if has("admin") {
        categories.push("@admin".to_owned());
    }
    if has("admin") || matches!(spec.name, "flushall" | "flushdb" | "keys" | "restore") {
        categories.push("@dangerous".to_owned());
    }
    match spec.group {
        _ if matches!(spec.name, "flushall" | "flushdb") => {
            categories.push("@keyspace".to_owned());
        }
        "generic" => categories.push("@keyspace".to_owned()),
        "server" => {}
        "transactions" => categories.push("@transaction".to_owned()),
        group => categories.push(format!("@{group}")),
    }
    categories.push(if has("fast") { "@fast" } else { "@slow" }.to_owned());
    categories
}

/// Where the keys are, in the form that replaced first, last and step.
fn key_specs(spec: &Spec) -> Vec<Value> {
    accesses(spec).into_iter().map(key_spec).collect()
}

fn key_spec((keys, access): (Keys, Access)) -> Value {
    let Keys {
        first,
        last,
        step,
        count,
    } = keys;
    let last = if last < 0 {
        last
    } else {
        last.saturating_sub(first)
    };
    let (begin, find) = match count {
        0 => (
            first,
            typed(
                "range",
                vec![("lastkey", last), ("keystep", step), ("limit", 0)],
            ),
        ),
        count => (
            count,
            typed(
                "keynum",
                vec![("keynumidx", 0), ("firstkey", 1), ("keystep", 1)],
            ),
        ),
    };
    Value::Map(vec![
        (Value::bulk("flags"), words(access.iter().copied())),
        (
            Value::bulk("begin_search"),
            typed("index", vec![("index", begin)]),
        ),
        (Value::bulk("find_keys"), find),
    ])
}

fn typed(kind: &'static str, fields: Vec<(&'static str, i64)>) -> Value {
    let fields = fields.into_iter();
    let spec = fields.map(|(name, value)| (Value::bulk(name), Value::Integer(value)));
    Value::Map(vec![
        (Value::bulk("type"), Value::bulk(kind)),
        (Value::bulk("spec"), Value::Map(spec.collect())),
    ])
}

/// A row as `COMMAND DOCS` shows it.
pub(super) fn documentation(spec: &Spec, name: &str) -> Value {
    let mut fields = vec![
        (Value::bulk("summary"), Value::bulk(spec.summary)),
        (Value::bulk("since"), Value::bulk(spec.since)),
        (Value::bulk("group"), Value::bulk(spec.group)),
    ];
    if !spec.args.is_empty() {
        let last_keys = accesses(spec).len().saturating_sub(1);
        fields.push((Value::bulk("arguments"), arguments(spec.args, last_keys)));
    }
    if !spec.subcommands.is_empty() {
        let subcommands = spec.subcommands.iter().map(|sub| {
            let full_name = format!("{name}|{}", sub.name);
            let docs = documentation(sub, &full_name);
            (Value::bulk(full_name), docs)
        });
        fields.push((
            Value::bulk("subcommands"),
            Value::Map(subcommands.collect()),
        ));
    }
    Value::Map(fields)
}

/// Arguments, of which the keys are in ranges up to the number `last_keys`.
fn arguments(args: &[Arg], last_keys: usize) -> Value {
    let mut keys = 0_usize;
    let numbered = args.iter().map(|arg| {
        let range = keys.min(last_keys);
        keys = keys.saturating_add(usize::from(arg.kind == "key"));
        argument(arg, range)
    });
    Value::Array(numbered.collect())
}

/// An argument that is in the range of keys `range`, if it is a key.
fn argument(arg: &Arg, range: usize) -> Value {
    let mut fields = vec![
        (Value::bulk("name"), Value::bulk(arg.name)),
        (Value::bulk("type"), Value::bulk(arg.kind)),
    ];
    if !matches!(arg.kind, "block" | "oneof" | "pure-token") {
        fields.push((Value::bulk("display_text"), Value::bulk(arg.name)));
    }
    if arg.kind == "key" {
        let range = i64::try_from(range).unwrap_or(i64::MAX);
        fields.push((Value::bulk("key_spec_index"), Value::Integer(range)));
    }
    if let Some(token) = arg.token {
        fields.push((Value::bulk("token"), Value::bulk(token)));
    }
    let flags = [(arg.optional, "optional"), (arg.multiple, "multiple")];
    let flags: Vec<&str> = flags
        .into_iter()
        .filter_map(|(set, flag)| set.then_some(flag))
        .collect();
    if !flags.is_empty() {
        fields.push((Value::bulk("flags"), words(flags.into_iter())));
    }
    if !arg.parts.is_empty() {
        fields.push((Value::bulk("arguments"), arguments(arg.parts, range)));
    }
    Value::Map(fields)
}
