//! What several sets have together, in common, or one without the others.
//!
//! Each set is read for itself, page by page, so that sets of any size can be compared: of all
//! but one only those members are asked for that may be in the answer. What is written meanwhile
//! may be seen in one set and not in another.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::carry::Placing;
use super::elements::{KEY, Pages, Room, Steps, divided_names, number, values_of};
use super::sets::{BASE, question, size, written};
use crate::node::request::{Ask, Reply, Request};
use crate::object::Kind;
use crate::resp::Value;
use crate::server::events::Events;
use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Keys, Outcome, Spec, Worker};

const KEYS: &[Arg] = &[KEY.multiple()];
const TO_AND_KEYS: &[Arg] = &[Arg::new("destination", "key"), KEY.multiple()];

const READ: Spec = Spec {
    arity: -2,
    flags: &["readonly"],
    keys: Keys::ALL,
    args: KEYS,
    ..BASE
};

const STORE: Spec = Spec {
    arity: -3,
    flags: &["write", "denyoom"],
    keys: Keys::ALL,
    args: TO_AND_KEYS,
    ..BASE
};

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        name: "sdiff",
        summary: "Returns the difference of multiple sets.",
        run: Some(|context, args| read(context, args, Operation::Difference)),
        ..READ
    },
    Spec {
        name: "sdiffstore",
        summary: "Stores the difference of multiple sets in a key.",
        run: Some(|context, args| store(context, args, Operation::Difference, "sdiffstore")),
        ..STORE
    },
    Spec {
        name: "sinter",
        summary: "Returns the intersect of multiple sets.",
        run: Some(|context, args| read(context, args, Operation::Intersection)),
        ..READ
    },
    Spec {
        name: "sintercard",
        arity: -3,
        keys: Keys::COUNTED,
        since: "7.0.0",
        summary: "Returns the number of members of the intersect of multiple sets.",
        args: &[
            Arg::new("numkeys", "integer"),
            KEY.multiple(),
            Arg::new("limit", "integer").token("LIMIT").optional(),
        ],
        run: Some(sintercard),
        ..READ
    },
    Spec {
        name: "sinterstore",
        summary: "Stores the intersect of multiple sets in a key.",
        run: Some(|context, args| store(context, args, Operation::Intersection, "sinterstore")),
        ..STORE
    },
    Spec {
        name: "sunion",
        summary: "Returns the union of multiple sets.",
        run: Some(|context, args| read(context, args, Operation::Union)),
        ..READ
    },
    Spec {
        name: "sunionstore",
        summary: "Stores the union of multiple sets in a key.",
        run: Some(|context, args| store(context, args, Operation::Union, "sunionstore")),
        ..STORE
    },
];

/// What is made of several sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    /// The first without the others.
    Difference,
}

fn read(
    context: &mut Context<'_>,
    args: &mut Args,
    operation: Operation,
) -> Result<Outcome, Failure> {
    let (worker, keys) = (context.worker(), args.take_from(1));
    Ok(Context::begin(async move {
        let members = combined(&worker, operation, keys).await?.into_iter();
        Ok(Value::Set(members.map(Value::Bulk).collect()))
    }))
}

/// What is stored takes the place of whatever the key holds. More than goes in one request
/// follows in others, so that for a moment a part of it is there.
fn store(
    context: &mut Context<'_>,
    args: &mut Args,
    operation: Operation,
    event: &'static str,
) -> Result<Outcome, Failure> {
    let (worker, keys, to) = (context.worker(), args.take_from(2), args.take(1));
    Ok(Context::begin(async move {
        let members = combined(&worker, operation, keys).await?;
        let count = members.len() as u64;
        if members.is_empty() {
            let delete = Request::Delete {
                key: to.clone(),
                context: None,
            };
            if matches!(worker.run_part(delete).await?, Reply::Deleted(Some(_))) {
                worker.tell("del", &to);
            }
            return Ok(Value::Integer(0));
        }
        let mut placing = Placing::at(&worker, to.clone(), Kind::Set);
        placing.put(written(members)).await?;
        worker.tell_of(Events::SET, event, &to);
        Ok(number(count))
    }))
}

fn sintercard(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let numkeys = args.integer(1).ok().filter(|numkeys| *numkeys > 0);
    let numkeys = numkeys.ok_or(Failure::new("ERR numkeys should be greater than 0"))?;
    let end = usize::try_from(numkeys).unwrap_or(usize::MAX);
    let end = end.saturating_add(2);
    if end > args.len() {
        return Err(Failure::new(
            "ERR Number of keys can't be greater than number of args",
        ));
    }
    let mut limit = 0;
    let mut at = end;
    while at < args.len() {
        let value = at.saturating_add(1);
        if !args.is(at, "limit") || value >= args.len() {
            return Err(Failure::SYNTAX);
        }
        let given = args.integer(value).ok().filter(|limit| *limit >= 0);
        limit = given.ok_or(Failure::new("ERR LIMIT can't be negative"))?;
        at = value.saturating_add(1);
    }
    let limit = match limit {
        0 => u64::MAX,
        limit => limit.unsigned_abs(),
    };
    args.take_from(end);
    let (worker, keys) = (context.worker(), args.take_from(2));
    Ok(Context::begin(async move {
        let mut count = 0_u64;
        let Some((base, others)) = ordered(&worker, Operation::Intersection, keys).await? else {
            return Ok(number(count));
        };
        let mut kept = Kept::of(&worker, base, others, true);
        while let Some(members) = kept.next().await? {
            count = count.saturating_add(members.len() as u64);
            if count >= limit {
                return Ok(number(limit));
            }
        }
        Ok(number(count))
    }))
}

/// The members that an operation makes of some sets, each once.
async fn combined(
    worker: &Worker,
    operation: Operation,
    keys: Vec<Bytes>,
) -> Result<Vec<Bytes>, Failure> {
    let mut room = Room::of(Kind::Set);
    if operation == Operation::Union {
        return union(worker, keys, room).await;
    }
    let Some((base, others)) = ordered(worker, operation, keys).await? else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    let mut kept = Kept::of(worker, base, others, operation == Operation::Intersection);
    while let Some(members) = kept.next().await? {
        for member in &members {
            room.take(member, &Bytes::new())?;
        }
        found.extend(members);
    }
    Ok(found)
}

async fn union(worker: &Worker, keys: Vec<Bytes>, mut room: Room) -> Result<Vec<Bytes>, Failure> {
    let (mut found, mut steps) = (BTreeSet::new(), Steps::default());
    for key in keys {
        let mut pages = Pages::of(worker, key, Kind::Set);
        while let Some(page) = pages.next().await? {
            steps.take(page.len().saturating_add(1)).await;
            for (member, nothing) in page {
                if !found.contains(&member) {
                    room.take(&member, &nothing)?;
                    found.insert(member);
                }
            }
        }
    }
    Ok(found.into_iter().collect())
}

/// The set to read, and those to ask for its members; none if there is nothing to find. Of an
/// intersection the least one is read. Fails if a key holds something else, whatever the others
/// hold.
async fn ordered(
    worker: &Worker,
    operation: Operation,
    keys: Vec<Bytes>,
) -> Result<Option<(Bytes, Vec<Bytes>)>, Failure> {
    let (mut sized, mut steps) = (Vec::with_capacity(keys.len()), Steps::default());
    for key in keys {
        steps.take(1).await;
        sized.push((size(worker, key.clone()).await?, key));
    }
    let is_empty = |(size, _): &(u64, Bytes)| *size == 0;
    let is_nothing = match operation {
        Operation::Intersection => {
            sized.sort();
            sized.dedup();
            sized.iter().any(is_empty)
        }
        Operation::Difference | Operation::Union => sized.first().is_none_or(is_empty),
    };
    let mut keys = sized.into_iter().map(|(_, key)| key);
    Ok(match keys.next() {
        Some(base) if !is_nothing => Some((base, keys.collect())),
        _ => None,
    })
}

/// Those members of a set that are in all others, or in none, some at a time.
struct Kept<'a> {
    worker: &'a Worker,
    pages: Pages<'a>,
    others: Vec<Bytes>,
    /// Whether they are in all.
    in_all: bool,
    steps: Steps,
}

impl<'a> Kept<'a> {
    fn of(worker: &'a Worker, base: Bytes, others: Vec<Bytes>, in_all: bool) -> Self {
        Self {
            worker,
            pages: Pages::of(worker, base, Kind::Set),
            others,
            in_all,
            steps: Steps::default(),
        }
    }

    /// Those of the next page; none if there are no more pages.
    async fn next(&mut self) -> Result<Option<Vec<Bytes>>, Failure> {
        let Some(page) = self.pages.next().await? else {
            return Ok(None);
        };
        let mut members: Vec<Bytes> = page.into_iter().map(|(member, _)| member).collect();
        for other in &self.others {
            let mut kept = Vec::with_capacity(members.len());
            for elements in divided_names(members) {
                self.steps.take(elements.len()).await;
                let ask = Ask::Values {
                    elements: elements.clone(),
                };
                let reply = self.worker.read(question(other.clone(), ask)).await?;
                let asked = elements.into_iter().zip(values_of(reply));
                let asked = asked.filter(|(_, found)| found.is_some() == self.in_all);
                kept.extend(asked.map(|(member, _)| member));
            }
            members = kept;
        }
        Ok(Some(members))
    }
}
