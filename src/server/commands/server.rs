//! The server itself: its time, its name.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::resp::Value;
use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Outcome, Spec};

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        name: "lolwut",
        arity: -1,
        flags: &["readonly", "fast"],
        since: "5.0.0",
        summary: "Returns the version of the server.",
        args: &[Arg::new("version", "integer").token("VERSION").optional()],
        run: Some(lolwut),
        ..Spec::NONE
    },
    Spec {
        name: "time",
        flags: &["loading", "stale", "fast"],
        since: "2.6.0",
        summary: "Returns the server time.",
        run: Some(time),
        ..Spec::NONE
    },
];

/// Whatever its arguments: there is one picture, and it has no parameters.
fn lolwut(_: &mut Context<'_>, _: &mut Args) -> Result<Outcome, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    Ok(Value::Verbatim {
        format: *b"txt",
        text: format!("o--o--o\n|  |  |\no--o--o\n\nnetdb ver. {version}\n").into(),
    }
    .into())
}

/// Seconds since the Unix epoch, and microseconds beyond.
fn time(_: &mut Context<'_>, _: &mut Args) -> Result<Outcome, Failure> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.unwrap_or_default();
    Ok(Value::Array(vec![
        Value::bulk(since.as_secs().to_string()),
        Value::bulk(since.subsec_micros().to_string()),
    ])
    .into())
}
