//! Parts of a value: its length, a range of its bytes, bytes added or replaced.

use bytes::Bytes;

use crate::node::change::Change;
use crate::node::request::{Reply, Request};
use crate::resp::Value;
use crate::server::commands::strings::{BASE, KEY, VALUE, changed};
use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Outcome, Spec};

const RANGE: &[Arg] = &[
    KEY,
    Arg::new("start", "integer"),
    Arg::new("end", "integer"),
];

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        name: "append",
        arity: 3,
        flags: &["write", "denyoom", "fast"],
        since: "2.0.0",
        summary: "Appends a string to the value of a key. Creates the key if it doesn't exist.",
        args: &[KEY, VALUE],
        run: Some(append),
        ..BASE
    },
    Spec {
        name: "getrange",
        arity: 4,
        flags: &["readonly"],
        since: "2.4.0",
        summary: "Returns a substring of the string stored at a key.",
        args: RANGE,
        run: Some(getrange),
        ..BASE
    },
    Spec {
        name: "setrange",
        arity: 4,
        flags: &["write", "denyoom"],
        since: "2.2.0",
        summary: "Overwrites a part of a string value with another by an offset. Creates the \
                  key if it doesn't exist.",
        args: &[KEY, Arg::new("offset", "integer"), VALUE],
        run: Some(setrange),
        ..BASE
    },
    Spec {
        name: "strlen",
        arity: 2,
        flags: &["readonly", "fast"],
        since: "2.2.0",
        summary: "Returns the length of a string value.",
        args: &[KEY],
        run: Some(strlen),
        ..BASE
    },
    Spec {
        name: "substr",
        arity: 4,
        flags: &["readonly"],
        summary: "Returns a substring from a string value; the old name of GETRANGE.",
        args: RANGE,
        run: Some(getrange),
        ..BASE
    },
];

/// The value of a reply to `Get`; empty if there is none.
pub(super) fn value_of(reply: Reply) -> Bytes {
    match reply {
        Reply::Value(Some(value)) => value,
        _ => Bytes::new(),
    }
}

/// A length as commands answer it.
pub(super) fn length(bytes: usize) -> Value {
    Value::Integer(i64::try_from(bytes).unwrap_or(i64::MAX))
}

fn append(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let (key, tail) = (args.take(1), args.take(2));
    Ok(length_after(context, key, Change::Append { tail }))
}

fn setrange(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let offset = usize::try_from(args.integer(2)?)
        .map_err(|_| Failure::new("ERR offset is out of range"))?;
    let (key, bytes) = (args.take(1), args.take(3));
    Ok(length_after(
        context,
        key,
        Change::Overwrite { offset, bytes },
    ))
}

/// Does a change and answers the length of the value after it.
fn length_after(context: &Context<'_>, key: Bytes, change: Change) -> Outcome {
    let submitted = context.update(key, change);
    Outcome::shaped(submitted, |reply| length(changed(reply).length))
}

fn strlen(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let key = args.take(1);
    let submitted = context.submit(Request::Get { key });
    Ok(Outcome::shaped(submitted, |reply| {
        length(value_of(reply).len())
    }))
}

fn getrange(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let (start, end) = (args.integer(2)?, args.integer(3)?);
    let key = args.take(1);
    let submitted = context.submit(Request::Get { key });
    Ok(Outcome::shaped(submitted, move |reply| {
        Value::Bulk(part(&value_of(reply), start, end))
    }))
}

/// The bytes from `start` to `end`, both included; negative places count from the end.
fn part(value: &Bytes, start: i64, end: i64) -> Bytes {
    let length = i64::try_from(value.len()).unwrap_or(i64::MAX);
    if start < 0 && end < 0 && start > end {
        return Bytes::new();
    }
    let place = |at: i64| match at {
        // Before the beginning is at it, even for the end: so it is in Redis.
        ..0 => at.saturating_add(length).max(0),
        _ => at,
    };
    let first = place(start);
    let behind_last = place(end).saturating_add(1).min(length);
    if first >= behind_last {
        return Bytes::new();
    }
    let place = |at: i64| usize::try_from(at).unwrap_or(value.len());
    value.slice(place(first)..place(behind_last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_as_redis_does() {
        let value = Bytes::from_static(b"This is a string");
        for (start, end, text) in [
            (0, 3, "This"),
            (-3, -1, "ing"),
            (0, -1, "This is a string"),
            (10, 100, "string"),
            (0, -100, "T"),
            (-100, -200, ""),
            (5, 3, ""),
            (16, 20, ""),
            (i64::MIN, i64::MAX, "This is a string"),
            (i64::MAX, i64::MAX, ""),
            (i64::MIN, i64::MIN, "T"),
        ] {
            assert_eq!(part(&value, start, end), text.as_bytes(), "{start} {end}");
            assert_eq!(part(&Bytes::new(), start, end), b""[..]);
        }
    }
}
