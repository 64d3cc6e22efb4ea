//! Members of a key: add them, ask for them, remove them. What is done to one member does not
//! touch the others, on whatever nodes it is done.

use bytes::Bytes;

use super::elements::{
    Elements, KEY, altered, count, counted, divided_names, names, number, one, remove, several,
    values_of, whole,
};
use crate::node::request::{Alter, Ask, Only, Reply, Request};
use crate::object::Kind;
use crate::resp::Value;
use crate::server::events::Events;
use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Keys, Outcome, Spec, Worker};

/// What the commands on sets have in common.
pub(super) const BASE: Spec = Spec {
    keys: Keys::FIRST,
    group: "set",
    ..Spec::NONE
};

const MEMBER: Arg = Arg::new("member", "string");

const READ: &[&str] = &["readonly", "fast"];

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        name: "sadd",
        arity: -3,
        flags: &["write", "denyoom", "fast"],
        summary: "Adds one or more members to a set. Creates the key if it doesn't exist.",
        args: &[KEY, MEMBER.multiple()],
        run: Some(sadd),
        ..BASE
    },
    Spec {
        name: "scard",
        arity: 2,
        flags: READ,
        summary: "Returns the number of members in a set.",
        args: &[KEY],
        run: Some(|context, args| count(context, args, Kind::Set)),
        ..BASE
    },
    Spec {
        name: "sismember",
        arity: 3,
        flags: READ,
        summary: "Determines whether a member belongs to a set.",
        args: &[KEY, MEMBER],
        run: Some(|context, args| one(context, args, Kind::Set, is_there)),
        ..BASE
    },
    Spec {
        name: "smembers",
        arity: 2,
        flags: &["readonly"],
        summary: "Returns all members of a set.",
        args: &[KEY],
        run: Some(|context, args| {
            whole(context, args, Kind::Set, |members| {
                Value::Set(names(members))
            })
        }),
        ..BASE
    },
    Spec {
        name: "smismember",
        arity: -3,
        flags: READ,
        since: "6.2.0",
        summary: "Determines whether multiple members belong to a set.",
        args: &[KEY, MEMBER.multiple()],
        run: Some(|context, args| several(context, args, Kind::Set, is_there)),
        ..BASE
    },
    Spec {
        name: "smove",
        arity: 4,
        flags: &["write", "fast"],
        keys: Keys {
            first: 1,
            last: 2,
            step: 1,
            ..Keys::NONE
        },
        summary: "Moves a member from one set to another.",
        args: &[
            Arg::new("source", "key"),
            Arg::new("destination", "key"),
            MEMBER,
        ],
        run: Some(smove),
        ..BASE
    },
    Spec {
        name: "srem",
        arity: -3,
        flags: &["write", "fast"],
        summary: "Removes one or more members from a set. Deletes the set if the last member was \
                  removed.",
        args: &[KEY, MEMBER.multiple()],
        run: Some(|context, args| remove(context, args, Kind::Set)),
        ..BASE
    },
];

fn is_there(member: Option<Bytes>) -> Value {
    Value::Integer(member.is_some().into())
}

/// Members as they are written.
pub(super) fn written(members: Vec<Bytes>) -> Elements {
    let members = members.into_iter();
    members.map(|member| (member, Bytes::new())).collect()
}

fn sadd(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let parts = divided_names(args.take_from(2)).into_iter();
    let parts = parts.map(|members| Alter::Put {
        elements: written(members),
        only: Only::All,
    });
    Ok(counted(context, &args.take(1), Kind::Set, parts))
}

/// Two writes: the member is in the other set before it is taken out of the one. A crash between
/// leaves it in both.
fn smove(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let (from, to, member) = (args.take(1), args.take(2), args.take(3));
    let worker = context.worker();
    Ok(Context::begin(async move {
        if size(&worker, from.clone()).await? == 0 {
            return Ok(Value::Integer(0));
        }
        // It is refused if the other key holds something else, and nothing is written.
        size(&worker, to.clone()).await?;
        let elements = vec![member.clone()];
        let there = worker
            .read(question(from.clone(), Ask::Values { elements }))
            .await?;
        let is_there = values_of(there).pop().flatten().is_some();
        if !is_there || from == to {
            return Ok(Value::Integer(is_there.into()));
        }
        let put = Alter::Put {
            elements: written(vec![member.clone()]),
            only: Only::All,
        };
        let added = altered(worker.run_part(change(to.clone(), put)).await?);
        let elements = vec![member];
        let remove = Alter::Remove { elements };
        let removed = altered(worker.run_part(change(from.clone(), remove)).await?);
        if removed.count > 0 {
            worker.tell_of(Events::SET, "srem", &from);
        }
        if removed.is_emptied {
            worker.tell("del", &from);
        }
        if added.count > 0 {
            worker.tell_of(Events::SET, "sadd", &to);
        }
        // Without it somebody else has taken it since.
        Ok(number(removed.count))
    }))
}

/// How many members a key has.
pub(super) async fn size(worker: &Worker, key: Bytes) -> Result<u64, Failure> {
    match worker.read(question(key, Ask::Count)).await? {
        Reply::Number(size) => Ok(size),
        _ => Ok(0),
    }
}

pub(super) fn question(key: Bytes, ask: Ask) -> Request {
    let kind = Kind::Set;
    Request::Ask { key, kind, ask }
}

pub(super) fn change(key: Bytes, alter: Alter) -> Request {
    let kind = Kind::Set;
    Request::Alter { key, kind, alter }
}
