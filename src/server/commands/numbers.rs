//! Numbers: every addition counts, also of those that several nodes are asked for at once.

use bytes::Bytes;

use super::strings::{BASE, KEY, changed};
use crate::node::change::Change;
use crate::node::request::RequestError;
use crate::object::Amount;
use crate::resp::{Value, parse_i64};
use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Outcome, Spec};

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        name: "decr",
        arity: 2,
        flags: &["write", "denyoom", "fast"],
        summary: "Decrements the integer value of a key by one. Uses 0 as initial value if the \
                  key doesn't exist.",
        args: &[KEY],
        run: Some(|context, args| Ok(add(context, args.take(1), -1))),
        only_submits: true,
        ..BASE
    },
    Spec {
        name: "decrby",
        arity: 3,
        flags: &["write", "denyoom", "fast"],
        summary: "Decrements a number from the integer value of a key. Uses 0 as initial value \
                  if the key doesn't exist.",
        args: &[KEY, Arg::new("decrement", "integer")],
        run: Some(decrby),
        only_submits: true,
        ..BASE
    },
    Spec {
        name: "incr",
        arity: 2,
        flags: &["write", "denyoom", "fast"],
        summary: "Increments the integer value of a key by one. Uses 0 as initial value if the \
                  key doesn't exist.",
        args: &[KEY],
        run: Some(|context, args| Ok(add(context, args.take(1), 1))),
        only_submits: true,
        ..BASE
    },
    Spec {
        name: "incrby",
        arity: 3,
        flags: &["write", "denyoom", "fast"],
        summary: "Increments the integer value of a key by a number. Uses 0 as initial value if \
                  the key doesn't exist.",
        args: &[KEY, Arg::new("increment", "integer")],
        run: Some(|context, args| {
            let amount = integer(args, 2)?;
            Ok(add(context, args.take(1), amount))
        }),
        only_submits: true,
        ..BASE
    },
    Spec {
        name: "incrbyfloat",
        arity: 3,
        flags: &["write", "denyoom", "fast"],
        since: "2.6.0",
        summary: "Increment the floating point value of a key by a number. Uses 0 as initial \
                  value if the key doesn't exist.",
        args: &[KEY, Arg::new("increment", "double")],
        run: Some(incrbyfloat),
        only_submits: true,
        ..BASE
    },
];

fn integer(args: &Args, at: usize) -> Result<i64, Failure> {
    parse_i64(args.bytes(at)).ok_or(Failure::NOT_AN_INTEGER)
}

fn add(context: &Context<'_>, key: Bytes, amount: i64) -> Outcome {
    let change = Change::Add {
        amount: amount.into(),
        whole: true,
    };
    Outcome::shaped(context.update(key, change), |reply| {
        let sum = changed(reply).sum.and_then(Amount::to_i64);
        Value::Integer(sum.unwrap_or_default())
    })
}

fn decrby(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let amount = integer(args, 2)?.checked_neg();
    let amount = amount.ok_or(Failure::new("ERR decrement would overflow"))?;
    Ok(add(context, args.take(1), amount))
}

/// An argument as a decimal number; what `infinite` says if it is the word for no end of them.
pub(super) fn decimal(word: &[u8], infinite: impl Fn() -> Failure) -> Result<Amount, Failure> {
    let is_infinite = || {
        let text = std::str::from_utf8(word).ok()?;
        text.parse().ok().map(f64::is_infinite)
    };
    Amount::parse(word).ok_or_else(|| match is_infinite() {
        Some(true) => infinite(),
        _ => RequestError::NotAFloat.into(),
    })
}

fn incrbyfloat(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let amount = decimal(args.bytes(2), || RequestError::Infinite.into())?;
    let change = Change::Add {
        amount,
        whole: false,
    };
    let submitted = context.update(args.take(1), change);
    Ok(Outcome::shaped(submitted, |reply| {
        let sum = changed(reply).sum.unwrap_or_default();
        Value::Bulk(sum.to_string().into())
    }))
}
