//! The connection itself: greeting, dialect, names, end.

use bytes::Bytes;

use crate::resp::{Protocol, Value};
use crate::server::commands::client::{self, check_name, client_id};
use crate::server::failure::{Failure, quoted};
use crate::server::shared::ClientRecord;
use crate::server::spec::{Arg, Args, Context, Outcome, ReplyMode, Spec};

const FLAGS: &[&str] = &[
    "noscript",
    "loading",
    "stale",
    "fast",
    "no_auth",
    "allow_busy",
];

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        name: "auth",
        arity: -2,
        flags: FLAGS,
        summary: "Authenticates the connection.",
        args: &[
            Arg::new("username", "string").optional(),
            Arg::new("password", "string"),
        ],
        run: Some(auth),
        ..BASE
    },
    Spec {
        name: "client",
        arity: -2,
        since: "2.4.0",
        summary: "A container for client connection commands.",
        subcommands: client::SUBCOMMANDS,
        ..BASE
    },
    Spec {
        name: "echo",
        arity: 2,
        flags: &["loading", "stale", "fast"],
        summary: "Returns the given string.",
        args: &[Arg::new("message", "string")],
        run: Some(|_, args| Ok(Value::Bulk(args.take(1)).into())),
        ..BASE
    },
    Spec {
        name: "hello",
        arity: -1,
        flags: FLAGS,
        since: "6.0.0",
        summary: "Handshakes with the server.",
        args: &[Arg::of("arguments", "block", HELLO_ARGS).optional()],
        run: Some(hello),
        ..BASE
    },
    Spec {
        name: "ping",
        arity: -1,
        flags: &["fast"],
        summary: "Returns the server's liveliness response.",
        args: &[Arg::new("message", "string").optional()],
        run: Some(ping),
        ..BASE
    },
    Spec {
        name: "quit",
        arity: -1,
        flags: FLAGS,
        summary: "Closes the connection.",
        run: Some(quit),
        ..BASE
    },
    Spec {
        name: "reset",
        flags: FLAGS,
        since: "6.2.0",
        summary: "Resets the connection.",
        run: Some(reset),
        ..BASE
    },
    Spec {
        name: "select",
        arity: 2,
        flags: &["loading", "stale", "fast"],
        summary: "Changes the selected database; there is only database 0.",
        args: &[Arg::new("index", "integer")],
        run: Some(select),
        ..BASE
    },
];

const HELLO_ARGS: &[Arg] = &[
    Arg::new("protover", "integer"),
    Arg::of(
        "auth",
        "block",
        &[
            Arg::new("username", "string"),
            Arg::new("password", "string"),
        ],
    )
    .token("AUTH")
    .optional(),
    Arg::new("clientname", "string").token("SETNAME").optional(),
];

const BASE: Spec = Spec {
    group: "connection",
    flags: &["noscript", "loading", "stale"],
    ..Spec::NONE
};

fn ping(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let only_listens = context.session.only_listens();
    match args.len() {
        // In the form of a message, which is all that such a client expects.
        1 | 2 if only_listens => {
            Ok(Value::Array(vec![Value::bulk("pong"), Value::Bulk(args.take(1))]).into())
        }
        1 => Ok(Value::simple("PONG").into()),
        2 => Ok(Value::Bulk(args.take(1)).into()),
        _ => Err(Failure::arity("ping")),
    }
}

fn quit(context: &mut Context<'_>, _: &mut Args) -> Result<Outcome, Failure> {
    context.session.closing = true;
    Ok(Outcome::Ok)
}

fn reset(context: &mut Context<'_>, _: &mut Args) -> Result<Outcome, Failure> {
    context.session.end_transaction();
    context.session.replies = ReplyMode::On;
    context.session.consistency = None;
    context.session.subscriptions.clear();
    context.session.show_subscriptions();
    context.session.set_protocol(Protocol::Resp2);
    context.session.record.profile.lock().name = Bytes::new();
    Ok(Value::simple("RESET").into())
}

fn select(_: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    match args.integer(1)? {
        0 => Ok(Outcome::Ok),
        _ => Err(Failure::new("ERR DB index is out of range")),
    }
}

fn auth(_: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    match args.len() {
        2 => Err(Failure::new(
            "ERR AUTH <password> called without any password configured for the default user. \
             Are you sure your configuration is correct?",
        )),
        3 => authenticate(args.bytes(1)).map(|()| Outcome::Ok),
        _ => Err(Failure::SYNTAX),
    }
}

/// Nobody has a password yet. As in Redis, the user `default` is then let in with any,
/// and there is no other user.
fn authenticate(user: &[u8]) -> Result<(), Failure> {
    if user == b"default" {
        Ok(())
    } else {
        Err(Failure::new(
            "WRONGPASS invalid username-password pair or user is disabled.",
        ))
    }
}

/// Everything is checked before anything is changed.
fn hello(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let mut protocol = context.session.protocol;
    if args.len() > 1 {
        let version = args
            .integer(1)
            .map_err(|_| Failure::new("ERR Protocol version is not an integer or out of range"))?;
        protocol = match version {
            2 => Protocol::Resp2,
            3 => Protocol::Resp3,
            _ => return Err(Failure::new("NOPROTO unsupported protocol version")),
        };
    }
    let mut name = None;
    let mut at = 2_usize;
    while at < args.len() {
        let left = args.len().saturating_sub(at);
        if args.is(at, "auth") && left > 2 {
            authenticate(args.bytes(at.saturating_add(1)))?;
            at = at.saturating_add(3);
        } else if args.is(at, "setname") && left > 1 {
            let wanted = args.take(at.saturating_add(1));
            check_name(&wanted, "Client names")?;
            name = Some(wanted);
            at = at.saturating_add(2);
        } else {
            let option = quoted(args.bytes(at), 128);
            return Err(Failure::new(format!(
                "ERR Syntax error in HELLO option '{option}'"
            )));
        }
    }
    context.session.set_protocol(protocol);
    if let Some(name) = name {
        context.session.record.profile.lock().name = name;
    }
    Ok(greeting(&context.session.record, protocol).into())
}

/// What `HELLO` answers. The mode is `standalone`, because clients that read `cluster`
/// would look for slots and redirections, and every node here serves every key.
fn greeting(record: &ClientRecord, protocol: Protocol) -> Value {
    let field = |name: &'static str, value| (Value::bulk(name), value);
    Value::Map(vec![
        field("server", Value::bulk("netdb")),
        field("version", Value::bulk(env!("CARGO_PKG_VERSION"))),
        field("proto", Value::Integer(protocol.number())),
        field("id", client_id(record)),
        field("mode", Value::bulk("standalone")),
        field("role", Value::bulk("master")),
        field("modules", Value::Array(Vec::new())),
    ])
}
