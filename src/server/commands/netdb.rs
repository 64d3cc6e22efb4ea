//! What only this database has: the cluster as one node sees it.

use crate::node::request::{Consistency, Durability, Strength};
use crate::resp::Value;
use crate::runtime::{DiskView, MemberView, Status};
use crate::server::commands::{help, keyspace, placement, transfer};
use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Outcome, Spec};

const BASE: Spec = Spec {
    flags: &["loading", "stale"],
    since: "0.1.0",
    arity: 2,
    ..Spec::NONE
};

pub(super) const COMMANDS: &[Spec] = &[Spec {
    name: "netdb",
    arity: -2,
    summary: "A container for commands about the cluster.",
    subcommands: &[
        help::HELP,
        Spec {
            name: "members",
            summary: "Returns every member of the cluster as this node sees it.",
            run: Some(members),
            ..BASE
        },
        Spec {
            name: "status",
            summary: "Returns what this node says of itself.",
            run: Some(status),
            ..BASE
        },
        Spec {
            name: "consistency",
            arity: -2,
            summary: "Chooses the strength and durability of this connection's writes and the \
                      strength of its reads, and returns them.",
            args: &[Arg::new("choice", "string")],
            run: Some(consistency),
            ..BASE
        },
        placement::PLACEMENT,
        placement::OWNERS,
        placement::REBALANCE,
        placement::PLAN,
        placement::LEAVE,
        placement::REMOVE,
        keyspace::NETDB_KEYS,
        transfer::BACKUP,
        transfer::RESTORE,
    ],
    ..BASE
}];

fn members(context: &mut Context<'_>, _: &mut Args) -> Result<Outcome, Failure> {
    let members = context.store.members();
    Ok(Value::Array(members.iter().map(member).collect()).into())
}

fn member(view: &MemberView) -> Value {
    let client = view.client_addr.map_or(Value::Null, text);
    Value::Map(vec![
        (Value::bulk("name"), text(&view.name)),
        (Value::bulk("id"), text(view.id)),
        (Value::bulk("cluster"), text(view.cluster_addr)),
        (Value::bulk("client"), client),
        (Value::bulk("state"), Value::bulk(view.state)),
        (Value::bulk("incarnation"), number(view.incarnation)),
        (Value::bulk("generation"), number(view.generation)),
        (Value::bulk("since_ms"), number(view.since_ms)),
        (Value::bulk("me"), Value::Boolean(view.me)),
    ])
}

fn status(context: &mut Context<'_>, _: &mut Args) -> Result<Outcome, Failure> {
    Ok(status_fields(&context.store.status()).into())
}

/// `NETDB CONSISTENCY [write=STRENGTH] [read=STRENGTH] [durability=LEVEL]`. All words are
/// checked before one takes effect.
fn consistency(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let mut chosen = context.consistency();
    let words = args.take_from(2);
    for word in &words {
        choose(&mut chosen, &String::from_utf8_lossy(word)).ok_or(Failure::new(
            "ERR write write=STRENGTH, read=STRENGTH or durability=LEVEL; a STRENGTH is one, \
             quorum, all or strict-quorum, a LEVEL os, interval or always",
        ))?;
    }
    if !words.is_empty() {
        context.session.consistency = Some(chosen);
    }
    Ok(Value::Map(vec![
        (Value::bulk("write"), Value::bulk(chosen.write.word())),
        (Value::bulk("read"), Value::bulk(chosen.read.word())),
        (
            Value::bulk("durability"),
            Value::bulk(chosen.durability.word()),
        ),
    ])
    .into())
}

fn choose(chosen: &mut Consistency, word: &str) -> Option<()> {
    let (which, choice) = word.split_once('=')?;
    match which.to_ascii_lowercase().as_str() {
        "write" => chosen.write = Strength::from_word(choice)?,
        "read" => chosen.read = Strength::from_word(choice)?,
        "durability" => chosen.durability = Durability::from_word(choice)?,
        _ => return None,
    }
    Some(())
}

fn status_fields(status: &Status) -> Value {
    let count = |count: usize| number(u64::try_from(count).unwrap_or(u64::MAX));
    let mut fields = vec![
        (Value::bulk("name"), text(&status.name)),
        (Value::bulk("id"), text(status.id)),
        (Value::bulk("cluster"), text(&status.cluster)),
        (Value::bulk("version"), Value::bulk(status.version)),
        (Value::bulk("cluster_addr"), text(status.cluster_addr)),
        (Value::bulk("client_addr"), text(status.client_addr)),
        (Value::bulk("uptime_ms"), number(status.uptime_ms)),
        (Value::bulk("members_alive"), count(status.members_alive)),
        (Value::bulk("members_total"), count(status.members_total)),
        (Value::bulk("partitions"), number(status.partitions.into())),
        (Value::bulk("keys"), number(status.keys)),
        (Value::bulk("data"), text(&status.data)),
        (Value::bulk("quarantine"), text(&status.quarantine)),
    ];
    fields.extend(disk_fields(&status.disk));
    let counters = status.counters.iter();
    fields.extend(counters.map(|(name, value)| (Value::bulk(*name), number(*value))));
    Value::Map(fields)
}

/// What is not known or does not apply is null.
fn disk_fields(disk: &DiskView) -> [(Value, Value); 4] {
    let known = |n: Option<u64>| n.map_or(Value::Null, number);
    let cause = disk.cause.as_ref().map_or(Value::Null, text);
    [
        (Value::bulk("disk"), Value::bulk(disk.state)),
        (Value::bulk("disk_cause"), cause),
        (Value::bulk("disk_stopped_ms"), known(disk.stopped_ms)),
        (Value::bulk("disk_free_bytes"), known(disk.free_bytes)),
    ]
}

fn text(value: impl ToString) -> Value {
    Value::bulk(value.to_string())
}

fn number(value: u64) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}
