//! `CONFIG`: what tools ask of a server's settings, by Redis's names.
//!
//! The settings of a node are those that it was started with (flags, environment, file). Here
//! are those of them that Redis has too. While the node runs one can be changed, which lasts
//! until it ends: which changes of keys are told.

use bytes::Bytes;

use crate::node::request::Durability;
use crate::resp::Value;
use crate::server::commands::help;
use crate::server::events::{BadLetter, Events};
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
        summary: "Sets notify-keyspace-events on this node; the other parameters are those that \
                  it was started with.",
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

/// The one that can be changed.
const EVENTS: &str = "notify-keyspace-events";

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
        (EVENTS, context.shared.events.letters()),
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
    let is = |name: &Bytes, known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    let mut events = None;
    for pair in args.from(2).chunks(2) {
        let [name, value] = pair else { continue };
        if !parameters.iter().any(|(known, _)| is(name, known)) {
            let name = quoted(name, 128);
            return Err(Failure::new(format!(
                "ERR Unknown option or number of arguments for CONFIG SET - '{name}'"
            )));
        }
        if !is(name, EVENTS) {
            return Err(refused(name, "can't set immutable config"));
        }
        if events.replace(value).is_some() {
            return Err(refused(name, "duplicate parameter"));
        }
    }
    if let Some(letters) = events {
        let bits = Events::parse(letters).map_err(|bad| match bad {
            BadLetter::Unknown => refused(
                EVENTS.as_bytes(),
                "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.",
            ),
            BadLetter::Untold(letter) => refused(
                EVENTS.as_bytes(),
                &format!("events of class '{letter}' are not told by this server"),
            ),
        })?;
        context.shared.events.set(bits);
    }
    Ok(Outcome::Ok)
}

fn refused(name: &[u8], why: &str) -> Failure {
    Failure::new(format!(
        "ERR CONFIG SET failed (possibly related to argument '{}') - {why}",
        quoted(name, 128)
    ))
}
