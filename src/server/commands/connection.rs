//! The connection itself: greeting, dialect, names, end.

use bytes::Bytes;

use crate::resp::{Protocol, Value};
use crate::server::commands::help;
use crate::server::failure::{Failure, quoted};
use crate::server::shared::ClientRecord;
use crate::server::spec::{Arg, Args, Context, Outcome, ReplyMode, Spec};

/// Longest name of a client or its library: it is kept per connection and shown in lists.
const NAME_BYTES_MAX: usize = 1_024;

const FLAGS: &[&str] = &["noscript", "loading", "stale", "fast"];

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
        subcommands: CLIENT,
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

const CLIENT: &[Spec] = &[
    Spec {
        name: "getname",
        arity: 2,
        summary: "Returns the name of the connection.",
        run: Some(client_getname),
        ..BASE
    },
    help::HELP,
    Spec {
        name: "id",
        arity: 2,
        summary: "Returns the unique client id of the connection.",
        run: Some(|context, _| Ok(client_id(&context.session.record).into())),
        ..BASE
    },
    Spec {
        name: "info",
        arity: 2,
        summary: "Returns information about the connection.",
        run: Some(client_info),
        ..BASE
    },
    Spec {
        name: "list",
        arity: -2,
        summary: "Lists open connections.",
        args: &[
            Arg::new("client-type", "string").token("TYPE").optional(),
            Arg::new("client-id", "integer")
                .token("ID")
                .optional()
                .multiple(),
        ],
        run: Some(client_list),
        ..BASE
    },
    Spec {
        name: "no-evict",
        arity: 3,
        summary: "Accepted for compatibility: clients are not evicted.",
        args: &[ON_OR_OFF],
        run: Some(on_or_off),
        ..BASE
    },
    Spec {
        name: "no-touch",
        arity: 3,
        summary: "Accepted for compatibility: reads do not change what is kept.",
        args: &[ON_OR_OFF],
        run: Some(on_or_off),
        ..BASE
    },
    Spec {
        name: "reply",
        arity: 3,
        summary: "Instructs the server whether to reply to commands.",
        args: &[Arg::of(
            "action",
            "oneof",
            &[
                Arg::word("on", "ON"),
                Arg::word("off", "OFF"),
                Arg::word("skip", "SKIP"),
            ],
        )],
        run: Some(client_reply),
        ..BASE
    },
    Spec {
        name: "setinfo",
        arity: 4,
        summary: "Sets information specific to the client or connection.",
        args: &[Arg::of(
            "attr",
            "oneof",
            &[
                Arg::new("libname", "string").token("LIB-NAME"),
                Arg::new("libver", "string").token("LIB-VER"),
            ],
        )],
        run: Some(client_setinfo),
        ..BASE
    },
    Spec {
        name: "setname",
        arity: 3,
        summary: "Sets the connection name.",
        args: &[Arg::new("connection-name", "string")],
        run: Some(client_setname),
        ..BASE
    },
];

const ON_OR_OFF: Arg = Arg::of(
    "enabled",
    "oneof",
    &[Arg::word("on", "ON"), Arg::word("off", "OFF")],
);

const BASE: Spec = Spec {
    group: "connection",
    flags: &["noscript", "loading", "stale"],
    ..Spec::NONE
};

fn ping(_: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    match args.len() {
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
    context.session.replies = ReplyMode::On;
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

fn client_id(record: &ClientRecord) -> Value {
    Value::Integer(i64::try_from(record.id).unwrap_or(i64::MAX))
}

fn client_getname(context: &mut Context<'_>, _: &mut Args) -> Result<Outcome, Failure> {
    let name = context.session.record.profile.lock().name.clone();
    Ok(if name.is_empty() {
        Value::Null.into()
    } else {
        Value::Bulk(name).into()
    })
}

fn client_setname(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let name = args.take(2);
    check_name(&name, "Client names")?;
    context.session.record.profile.lock().name = name;
    Ok(Outcome::Ok)
}

fn client_setinfo(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let value = args.take(3);
    let mut profile = context.session.record.profile.lock();
    if args.is(2, "lib-name") {
        check_name(&value, "lib-name")?;
        profile.library = value;
    } else if args.is(2, "lib-ver") {
        check_name(&value, "lib-ver")?;
        profile.library_version = value;
    } else {
        let option = quoted(args.bytes(2), 128);
        return Err(Failure::new(format!("ERR Unrecognized option '{option}'")));
    }
    Ok(Outcome::Ok)
}

/// Names appear in blank-separated lists, so they may hold visible ASCII only.
fn check_name(name: &[u8], what: &str) -> Result<(), Failure> {
    if name.len() > NAME_BYTES_MAX {
        return Err(Failure::new(format!(
            "ERR {what} cannot be longer than {NAME_BYTES_MAX} bytes."
        )));
    }
    if !name.iter().all(u8::is_ascii_graphic) {
        return Err(Failure::new(format!(
            "ERR {what} cannot contain spaces, newlines or special characters."
        )));
    }
    Ok(())
}

fn client_reply(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    if args.is(2, "on") {
        context.session.replies = ReplyMode::On;
        Ok(Outcome::Ok)
    } else if args.is(2, "off") {
        context.session.replies = ReplyMode::Off;
        Ok(Outcome::Silent)
    } else if args.is(2, "skip") {
        if context.session.replies == ReplyMode::On {
            context.session.replies = ReplyMode::SkipNext;
        }
        Ok(Outcome::Silent)
    } else {
        Err(Failure::SYNTAX)
    }
}

fn on_or_off(_: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    if args.is(2, "on") || args.is(2, "off") {
        Ok(Outcome::Ok)
    } else {
        Err(Failure::SYNTAX)
    }
}

fn client_info(context: &mut Context<'_>, _: &mut Args) -> Result<Outcome, Failure> {
    let mut text = client_line(&context.session.record);
    text.push('\n');
    Ok(listing(text))
}

fn client_list(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let mut wanted: Option<Vec<i64>> = None;
    let mut normal = true;
    if args.len() == 4 && args.is(2, "type") {
        normal = args.is(3, "normal");
        if !normal
            && !["master", "replica", "slave", "pubsub"]
                .iter()
                .any(|word| args.is(3, word))
        {
            return Err(Failure::new(format!(
                "ERR Unknown client type '{}'",
                quoted(args.bytes(3), 128)
            )));
        }
    } else if args.len() > 3 && args.is(2, "id") {
        let ids = (3..args.len()).map(|at| {
            args.integer(at)
                .map_err(|_| Failure::new("ERR Invalid client ID"))
        });
        wanted = Some(ids.collect::<Result<_, _>>()?);
    } else if args.len() > 2 {
        return Err(Failure::SYNTAX);
    }
    let mut text = String::new();
    for record in context.shared.clients() {
        let id = i64::try_from(record.id).unwrap_or(i64::MAX);
        if normal && wanted.as_ref().is_none_or(|wanted| wanted.contains(&id)) {
            text.push_str(&client_line(&record));
            text.push('\n');
        }
    }
    Ok(listing(text))
}

fn listing(text: String) -> Outcome {
    Value::Verbatim {
        format: *b"txt",
        text: text.into(),
    }
    .into()
}

/// One client as `CLIENT LIST` shows it; fields that have no meaning here are left out.
fn client_line(record: &ClientRecord) -> String {
    let profile = record.profile.lock().clone();
    format!(
        "id={} addr={} laddr={} name={} age={} idle={} flags=N db=0 sub=0 psub=0 multi=-1 \
         cmd={} user=default resp={} lib-name={} lib-ver={}",
        record.id,
        record.addr,
        record.local_addr,
        String::from_utf8_lossy(&profile.name),
        record.since.elapsed().as_secs(),
        profile.last_at.elapsed().as_secs(),
        profile.last_command,
        profile.protocol.number(),
        String::from_utf8_lossy(&profile.library),
        String::from_utf8_lossy(&profile.library_version),
    )
}
