//! `CLIENT`: what connections are called, who is connected, whether replies are sent.

use std::collections::BTreeSet;

use crate::resp::Value;
use crate::server::commands::{client_kill, help};
use crate::server::failure::{Failure, quoted};
use crate::server::shared::{ClientRecord, Profile};
use crate::server::spec::{Arg, Args, Context, Outcome, ReplyMode, Spec};

/// Longest name of a client or its library: it is kept per connection and shown in lists.
const NAME_BYTES_MAX: usize = 1_024;

const BASE: Spec = Spec {
    group: "connection",
    flags: &["noscript", "loading", "stale"],
    ..Spec::NONE
};

pub(super) const SUBCOMMANDS: &[Spec] = &[
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
    client_kill::KILL,
    Spec {
        name: "list",
        arity: -2,
        flags: &["admin", "noscript", "loading", "stale"],
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
        flags: &["admin", "noscript", "loading", "stale"],
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
        // Not in a transaction: the array that `EXEC` answers would lack parts.
        flags: &["noscript", "loading", "stale", "no_multi"],
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

/// A client's id as commands answer it.
pub(super) fn client_id(record: &ClientRecord) -> Value {
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
pub(super) fn check_name(name: &[u8], what: &str) -> Result<(), Failure> {
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
    let wanted = Wanted::parse(args)?;
    let mut text = String::new();
    for record in context.shared.clients() {
        if wanted.includes(&record) {
            text.push_str(&client_line(&record));
            text.push('\n');
        }
    }
    Ok(listing(text))
}

/// Which clients `CLIENT LIST` asks for.
enum Wanted {
    All,
    /// Those that have subscribed to something, or those that have not.
    Subscribers(bool),
    /// A type that exists in Redis but that no client here has.
    Nobody,
    Ids(BTreeSet<u64>),
}

impl Wanted {
    fn parse(args: &Args) -> Result<Self, Failure> {
        if args.len() == 2 {
            return Ok(Self::All);
        }
        if args.len() == 4 && args.is(2, "type") {
            let is_subscriber = client_kill::subscribers(args, 3)?;
            return Ok(is_subscriber.map_or(Self::Nobody, Self::Subscribers));
        }
        if args.len() < 4 || !args.is(2, "id") {
            return Err(Failure::SYNTAX);
        }
        let ids = (3..args.len()).map(|at| {
            let id = args.integer(at).ok();
            id.and_then(|id| u64::try_from(id).ok())
                .ok_or(Failure::new("ERR Invalid client ID"))
        });
        Ok(Self::Ids(ids.collect::<Result<_, _>>()?))
    }

    fn includes(&self, record: &ClientRecord) -> bool {
        match self {
            Self::Subscribers(wanted) => record.profile.lock().is_subscriber() == *wanted,
            Self::All => true,
            Self::Nobody => false,
            Self::Ids(ids) => ids.contains(&record.id),
        }
    }
}

fn listing(text: String) -> Outcome {
    Value::Verbatim {
        format: *b"txt",
        text: text.into(),
    }
    .into()
}

/// What it does beside one command after the other, by Redis's letters.
fn flags_of(profile: &Profile) -> String {
    let mut flags = String::new();
    if profile.is_subscriber() {
        flags.push('P');
    }
    if profile.queued.is_some() {
        flags.push('x');
    }
    if flags.is_empty() {
        flags.push('N');
    }
    flags
}

/// One client as `CLIENT LIST` shows it; fields that have no meaning here are left out.
fn client_line(record: &ClientRecord) -> String {
    let profile = record.profile.lock().clone();
    let queued = profile
        .queued
        .map(|queued| i64::try_from(queued).unwrap_or(i64::MAX));
    format!(
        "id={} addr={} laddr={} name={} age={} idle={} flags={} db=0 sub={} psub={} multi={} \
         watch={} cmd={} user=default resp={} lib-name={} lib-ver={}",
        record.id,
        record.addr,
        record.local_addr,
        String::from_utf8_lossy(&profile.name),
        record.since.elapsed().as_secs(),
        profile.last_at.elapsed().as_secs(),
        flags_of(&profile),
        profile.channels,
        profile.patterns,
        queued.unwrap_or(-1),
        profile.watched,
        profile.last_command,
        profile.protocol.number(),
        String::from_utf8_lossy(&profile.library),
        String::from_utf8_lossy(&profile.library_version),
    )
}
