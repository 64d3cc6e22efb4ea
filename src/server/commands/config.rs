//! `CONFIG`: what tools ask of a server's settings, by Redis's names.
//!
//! The settings of a node are those that it was started with (flags, environment, file). Here
//! are those of them that Redis has too; none can be changed while the node runs.

use crate::node::request::Durability;
use crate::resp::Value;
use crate::server::commands::help;
use crate::server::failure::{Failure, quoted};
use crate::server::glob::{self, PATTERN_BYTES_MAX};
use crate::server::spec::{Arg, Args, Context, Outcome, Spec};

const BASE: Spec = Spec {
    flags: &["admin", "noscript", "loading", "stale"],
    since: "2.0.0",
    ..Spec::NONE
};

pub(super) const COMMANDS: &[Spec] = &[Spec {
    name: "config",
    arity: -2,
    summary: "A container for server configuration commands.",
    subcommands: SUBCOMMANDS,
    ..BASE
}];

const SUBCOMMANDS: &[Spec] = &[
    Spec {
        name: "get",
        arity: -3,
        summary: "Returns the effective values of configuration parameters.",
        args: &[Arg::new("parameter", "string").multiple()],
        run: Some(get),
        ..BASE
    },
    help::HELP,
    Spec {
        name: "set",
        arity: -4,
        summary: "Always an error: settings are those that the node was started with.",
        args: &[Arg::of(
            "data",
            "block",
            &[Arg::new("parameter", "string"), Arg::new("value", "string")],
        )
        .multiple()],
        run: Some(set),
        ..BASE
    },
];

/// A parameter's name and the value that it has.
type Parameter = (&'static str, String);

fn parameters(context: &Context<'_>) -> Vec<Parameter> {
    let status = context.store.status();
    let limits = &context.shared.limits;
    let on_disk = status.data != "memory";
    // Redis's second is the nearest that it has to our tenth of one.
    let fsync = match context.store.consistency().durability {
        Durability::Always => "always",
        Durability::Interval => "everysec",
        Durability::Os => "no",
    };
    let yes_or_no = |yes| if yes { "yes" } else { "no" };
    let owned = |name, value: &str| (name, value.to_owned());
    vec![
        owned("appendfsync", fsync),
        owned("appendonly", yes_or_no(on_disk)),
        owned("bind", &status.client_addr.ip().to_string()),
        owned("cluster-enabled", "no"),
        owned("databases", "1"),
        ("maxclients", limits.clients_max.to_string()),
        ("maxmemory", status.memory_budget().to_string()),
        owned("maxmemory-policy", "noeviction"),
        owned("port", &status.client_addr.port().to_string()),
        (
            "proto-max-bulk-len",
            limits.request.bulk_bytes_max.to_string(),
        ),
        owned("save", ""),
        owned("timeout", "0"),
    ]
}

fn get(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let patterns: Vec<Vec<u8>> = args
        .from(2)
        .iter()
        .filter(|pattern| pattern.len() <= PATTERN_BYTES_MAX)
        .map(|pattern| pattern.to_ascii_lowercase())
        .collect();
    let parameters = parameters(context).into_iter();
    let asked = parameters.filter(|(name, _)| {
        let mut patterns = patterns.iter();
        patterns.any(|pattern| glob::matches(pattern, name.as_bytes()))
    });
    let pairs = asked.map(|(name, value)| (Value::bulk(name), Value::bulk(value)));
    Ok(Value::Map(pairs.collect()).into())
}

fn set(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    if !args.len().is_multiple_of(2) {
        return Err(Failure::SYNTAX);
    }
    let parameters = parameters(context);
    let unknown = args.from(2).iter().step_by(2).find(|name| {
        let mut known = parameters.iter();
        !known.any(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))
    });
    Err(Failure::new(match unknown {
        Some(name) => format!(
            "ERR Unknown option or number of arguments for CONFIG SET - '{}'",
            quoted(name, 128)
        ),
        None => format!(
            "ERR CONFIG SET failed (possibly related to argument '{}') - can't set immutable config",
            quoted(args.bytes(2), 128)
        ),
    }))
}
