//! `CONFIG`: what tools ask of a server's settings, by Redis's names.
//!
//! The settings of a node are those that it was started with (flags, environment, file). Here
//! are those of them that Redis has too. While the node runs two can be changed, which lasts
//! until it ends: which changes of keys are told, and how long a client may be silent.

use std::time::Duration;

use bytes::Bytes;

use crate::node::request::Durability;
use crate::resp::{Value, parse_i64};
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
        summary: "Sets notify-keyspace-events and timeout on this node; the other parameters are \
                  those that it was started with.",
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

/// Those that can be changed.
const EVENTS: &str = "notify-keyspace-events";
const TIMEOUT: &str = "timeout";

/// The longest time-out, in seconds: Redis's own.
const TIMEOUT_MAX: u64 = i32::MAX as u64;

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
        ("maxmemory-clients", limits.memory_bytes_max.to_string()),
        owned("maxmemory-policy", "noeviction"),
        (EVENTS, context.shared.events.letters()),
        owned("port", &status.client_addr.port().to_string()),
        (
            "proto-max-bulk-len",
            limits.request.bulk_bytes_max.to_string(),
        ),
        owned("save", ""),
        (TIMEOUT, seconds(*context.shared.idle.borrow()).to_string()),
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
    let (mut events, mut timeout) = (None, None);
    for pair in args.from(2).chunks(2) {
        let [name, value] = pair else { continue };
        if !parameters.iter().any(|(known, _)| is(name, known)) {
            let name = quoted(name, 128);
            return Err(Failure::new(format!(
                "ERR Unknown option or number of arguments for CONFIG SET - '{name}'"
            )));
        }
        let slot = match name {
            name if is(name, EVENTS) => &mut events,
            name if is(name, TIMEOUT) => &mut timeout,
            _ => return Err(refused(name, "can't set immutable config")),
        };
        if slot.replace(value).is_some() {
            return Err(refused(name, "duplicate parameter"));
        }
    }
    // All are checked before one takes effect.
    let events = events.map(|letters| letters_of(letters)).transpose()?;
    let timeout = timeout.map(|text| timeout_of(text)).transpose()?;
    if let Some(bits) = events {
        context.shared.events.set(bits);
    }
    if let Some(timeout) = timeout {
        context.shared.idle.send_replace(timeout);
    }
    Ok(Outcome::Ok)
}

/// Which events are told.
fn letters_of(letters: &[u8]) -> Result<u16, Failure> {
    Events::parse(letters).map_err(|bad| match bad {
        BadLetter::Unknown => refused(
            EVENTS.as_bytes(),
            "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.",
        ),
        BadLetter::Untold(letter) => refused(
            EVENTS.as_bytes(),
            &format!("events of class '{letter}' are not told by this server"),
        ),
    })
}

/// How long clients may be silent.
fn timeout_of(text: &[u8]) -> Result<Duration, Failure> {
    let seconds = parse_i64(text).ok_or_else(|| {
        refused(
            TIMEOUT.as_bytes(),
            "argument couldn't be parsed into an integer",
        )
    })?;
    let seconds = u64::try_from(seconds).ok().filter(|n| *n <= TIMEOUT_MAX);
    seconds.map(Duration::from_secs).ok_or_else(|| {
        let range = format!("argument must be between 0 and {TIMEOUT_MAX} inclusive");
        refused(TIMEOUT.as_bytes(), &range)
    })
}

/// Whole seconds; a part of one counts as one, since 0 is for ever.
fn seconds(duration: Duration) -> u64 {
    let part = u64::from(duration.subsec_nanos() > 0);
    duration.as_secs().saturating_add(part)
}

fn refused(name: &[u8], why: &str) -> Failure {
    Failure::new(format!(
        "ERR CONFIG SET failed (possibly related to argument '{}') - {why}",
        quoted(name, 128)
    ))
}
