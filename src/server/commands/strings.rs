//! One value per key.

use crate::node::request::Request;
use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Keys, Outcome, Spec};

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        name: "get",
        arity: 2,
        flags: &["readonly", "fast"],
        keys: Keys::FIRST,
        group: "string",
        summary: "Returns the string value of a key.",
        args: &[Arg::new("key", "key")],
        run: Some(get),
        ..Spec::NONE
    },
    Spec {
        name: "set",
        arity: -3,
        flags: &["write", "denyoom"],
        keys: Keys::FIRST,
        group: "string",
        summary: "Sets the string value of a key. The key is created if it doesn't exist.",
        args: &[Arg::new("key", "key"), Arg::new("value", "string")],
        run: Some(set),
        ..Spec::NONE
    },
];

fn get(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let key = args.take(1);
    Ok(Outcome::Node(context.submit(Request::Get { key })))
}

/// `SET key value`. Redis's options (`EX`, `NX`, …) are refused rather than ignored.
fn set(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    if args.len() > 3 {
        return Err(Failure::SYNTAX);
    }
    let (key, value) = (args.take(1), args.take(2));
    let request = Request::Put {
        key,
        value,
        context: None,
    };
    Ok(Outcome::Node(context.submit(request)))
}
