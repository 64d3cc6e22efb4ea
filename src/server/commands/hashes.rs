//! Fields of a key, each with a value of its own: write them, read them, add to them, delete
//! them. What is written to one field does not touch the others, on whatever nodes it is done.

use bytes::Bytes;

use super::elements::{
    Elements, KEY, alter, altered, count, counted, divided_pairs, names, number, one, remove,
    several, whole,
};
use super::numbers::decimal;
use crate::node::request::{Alter, Only};
use crate::object::{Amount, Kind};
use crate::resp::Value;
use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Keys, Outcome, Spec};

/// What the commands on one hash have in common.
const BASE: Spec = Spec {
    keys: Keys::FIRST,
    group: "hash",
    since: "2.0.0",
    ..Spec::NONE
};

const FIELD: Arg = Arg::new("field", "string");
const VALUE: Arg = Arg::new("value", "string");

const DATA: Arg = Arg::of("data", "block", &[FIELD, VALUE]).multiple();

const WRITE: &[&str] = &["write", "denyoom", "fast"];
const READ: &[&str] = &["readonly", "fast"];
const READ_WHOLE: &[&str] = &["readonly"];

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        name: "hdel",
        arity: -3,
        flags: &["write", "fast"],
        summary: "Deletes one or more fields and their values from a hash. Deletes the hash if \
                  no fields remain.",
        args: &[KEY, FIELD.multiple()],
        run: Some(|context, args| remove(context, args, Kind::Hash)),
        ..BASE
    },
    Spec {
        name: "hexists",
        arity: 3,
        flags: READ,
        summary: "Determines whether a field exists in a hash.",
        args: &[KEY, FIELD],
        run: Some(|context, args| {
            one(context, args, Kind::Hash, |value| {
                Value::Integer(value.is_some().into())
            })
        }),
        ..BASE
    },
    Spec {
        name: "hget",
        arity: 3,
        flags: READ,
        summary: "Returns the value of a field in a hash.",
        args: &[KEY, FIELD],
        run: Some(|context, args| one(context, args, Kind::Hash, value_or_null)),
        ..BASE
    },
    Spec {
        name: "hgetall",
        arity: 2,
        flags: READ_WHOLE,
        summary: "Returns all fields and values in a hash.",
        args: &[KEY],
        run: Some(|context, args| whole(context, args, Kind::Hash, map)),
        ..BASE
    },
    Spec {
        name: "hincrby",
        arity: 4,
        flags: WRITE,
        summary: "Increments the integer value of a field in a hash by a number. Uses 0 as \
                  initial value if the field doesn't exist.",
        args: &[KEY, FIELD, Arg::new("increment", "integer")],
        run: Some(hincrby),
        ..BASE
    },
    Spec {
        name: "hincrbyfloat",
        arity: 4,
        flags: WRITE,
        since: "2.6.0",
        summary: "Increments the floating point value of a field by a number. Uses 0 as initial \
                  value if the field doesn't exist.",
        args: &[KEY, FIELD, Arg::new("increment", "double")],
        run: Some(hincrbyfloat),
        ..BASE
    },
    Spec {
        name: "hkeys",
        arity: 2,
        flags: READ_WHOLE,
        summary: "Returns all fields in a hash.",
        args: &[KEY],
        run: Some(|context, args| {
            whole(context, args, Kind::Hash, |fields| {
                Value::Array(names(fields))
            })
        }),
        ..BASE
    },
    Spec {
        name: "hlen",
        arity: 2,
        flags: READ,
        summary: "Returns the number of fields in a hash.",
        args: &[KEY],
        run: Some(|context, args| count(context, args, Kind::Hash)),
        ..BASE
    },
    Spec {
        name: "hmget",
        arity: -3,
        flags: READ,
        summary: "Returns the values of all given fields in a hash.",
        args: &[KEY, FIELD.multiple()],
        run: Some(|context, args| several(context, args, Kind::Hash, value_or_null)),
        ..BASE
    },
    Spec {
        name: "hmset",
        arity: -4,
        flags: WRITE,
        summary: "Sets the values of multiple fields.",
        args: &[KEY, DATA],
        run: Some(hmset),
        ..BASE
    },
    Spec {
        name: "hset",
        arity: -4,
        flags: WRITE,
        summary: "Creates or modifies the value of a field in a hash.",
        args: &[KEY, DATA],
        run: Some(|context, args| {
            let parts = puts(args, "hset")?;
            Ok(counted(context, &args.take(1), Kind::Hash, parts))
        }),
        ..BASE
    },
    Spec {
        name: "hsetnx",
        arity: 4,
        flags: WRITE,
        summary: "Sets the value of a field in a hash only when the field doesn't exist.",
        args: &[KEY, FIELD, VALUE],
        run: Some(hsetnx),
        ..BASE
    },
    Spec {
        name: "hstrlen",
        arity: 3,
        flags: READ,
        since: "3.2.0",
        summary: "Returns the length of the value of a field.",
        args: &[KEY, FIELD],
        run: Some(|context, args| {
            one(context, args, Kind::Hash, |value| {
                number(value.map_or(0, |value| value.len() as u64))
            })
        }),
        ..BASE
    },
    Spec {
        name: "hvals",
        arity: 2,
        flags: READ_WHOLE,
        summary: "Returns all values in a hash.",
        args: &[KEY],
        run: Some(|context, args| whole(context, args, Kind::Hash, values)),
        ..BASE
    },
];

fn value_or_null(value: Option<Bytes>) -> Value {
    value.map_or(Value::Null, Value::Bulk)
}

fn map(fields: Elements) -> Value {
    let pairs = fields.into_iter();
    Value::Map(
        pairs
            .map(|(field, value)| (Value::Bulk(field), Value::Bulk(value)))
            .collect(),
    )
}

fn values(fields: Elements) -> Value {
    let values = fields.into_iter().map(|(_, value)| value);
    Value::Array(values.map(Value::Bulk).collect())
}

/// The writes of fields and values in turn, in as many parts as it takes.
fn puts(args: &mut Args, command: &str) -> Result<impl Iterator<Item = Alter> + use<>, Failure> {
    if !args.len().is_multiple_of(2) {
        return Err(Failure::arity(command));
    }
    let mut words = args.take_from(2).into_iter();
    let mut elements = Elements::with_capacity(words.len() / 2);
    while let (Some(field), Some(value)) = (words.next(), words.next()) {
        elements.push((field, value));
    }
    let parts = divided_pairs(elements).into_iter();
    Ok(parts.map(|elements| Alter::Put {
        elements,
        only: Only::All,
    }))
}

fn hmset(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let parts = puts(args, "hmset")?;
    let key = args.take(1);
    let parts = parts.map(|part| alter(context, key.clone(), Kind::Hash, part));
    Ok(Outcome::joined(parts.collect(), |_| Value::ok()))
}

fn hsetnx(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let put = Alter::Put {
        elements: vec![(args.take(2), args.take(3))],
        only: Only::Absent,
    };
    let submitted = alter(context, args.take(1), Kind::Hash, put);
    Ok(Outcome::Node(submitted))
}

/// Answers what `shape` makes of the sum.
fn add(
    context: &mut Context<'_>,
    args: &mut Args,
    (amount, whole): (Amount, bool),
    shape: fn(Amount) -> Value,
) -> Outcome {
    let add = Alter::Add {
        element: args.take(2),
        amount,
        whole,
    };
    let submitted = alter(context, args.take(1), Kind::Hash, add);
    Outcome::shaped(submitted, move |reply| {
        shape(altered(reply).sum.unwrap_or_default())
    })
}

fn hincrby(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let amount = Amount::from(args.integer(3)?);
    Ok(add(context, args, (amount, true), |sum| {
        Value::Integer(sum.to_i64().unwrap_or_default())
    }))
}

fn hincrbyfloat(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let infinite = || Failure::new("ERR value is NaN or Infinity");
    let amount = decimal(args.bytes(3), infinite)?;
    Ok(add(context, args, (amount, false), |sum| {
        Value::Bulk(sum.to_string().into())
    }))
}
