//! Some of the elements of a key: page by page, or as chance has it.

use bytes::Bytes;
use rand::RngExt;
use rand::seq::IndexedRandom;

use super::elements::{
    Elements, KEY, Pages, Room, all, alter, altered, ask, elements_of, names, names_and_values,
    step,
};
use super::keyspace::{cursor, scan_options};
use super::sets;
use crate::node::request::{Alter, Ask, ELEMENTS_MAX, Request};
use crate::object::Kind;
use crate::resp::{Protocol, Value};
use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Keys, Outcome, Spec, Worker};

/// Elements that a node is asked to choose. It looks at the neighbours of each, so more are
/// chosen here, among all.
const CHOSEN_THERE_MAX: usize = 64;

const HASH: Spec = Spec {
    keys: Keys::FIRST,
    group: "hash",
    ..Spec::NONE
};

const SCAN: Spec = Spec {
    arity: -3,
    flags: &["readonly"],
    since: "2.8.0",
    args: &[
        KEY,
        Arg::new("cursor", "integer"),
        Arg::new("pattern", "pattern").token("MATCH").optional(),
        Arg::new("count", "integer").token("COUNT").optional(),
    ],
    ..HASH
};

const COUNT: Arg = Arg::new("count", "integer").optional();

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        name: "hrandfield",
        arity: -2,
        flags: &["readonly"],
        since: "6.2.0",
        summary: "Returns one or more random fields from a hash.",
        args: &[
            KEY,
            Arg::of(
                "options",
                "block",
                &[
                    Arg::new("count", "integer"),
                    Arg::word("withvalues", "WITHVALUES").optional(),
                ],
            )
            .optional(),
        ],
        run: Some(hrandfield),
        ..HASH
    },
    Spec {
        name: "hscan",
        summary: "Iterates over fields and values of a hash.",
        run: Some(|context, args| scan(context, args, Kind::Hash, names_and_values)),
        ..SCAN
    },
    Spec {
        name: "spop",
        arity: -2,
        flags: &["write", "fast"],
        summary: "Returns one or more random members from a set after removing them. Deletes the \
                  set if the last member was popped.",
        args: &[KEY, COUNT],
        run: Some(spop),
        ..sets::BASE
    },
    Spec {
        name: "srandmember",
        arity: -2,
        flags: &["readonly"],
        summary: "Returns one or multiple random members from a set.",
        args: &[KEY, COUNT],
        run: Some(srandmember),
        ..sets::BASE
    },
    Spec {
        name: "sscan",
        summary: "Iterates over members of a set.",
        run: Some(|context, args| scan(context, args, Kind::Set, names)),
        group: "set",
        ..SCAN
    },
];

/// A cursor is the hash of the element to go on with, so whatever is there all the time is found,
/// and found once.
fn scan(
    context: &mut Context<'_>,
    args: &mut Args,
    kind: Kind,
    shape: fn(Elements) -> Vec<Value>,
) -> Result<Outcome, Failure> {
    let from = cursor(args.bytes(2))?;
    let options = scan_options(args, 3, false)?;
    let count = options.count;
    let submitted = ask(context, args.take(1), kind, Ask::Page { from, count });
    Ok(Outcome::shaped(submitted, move |reply| {
        let (mut page, next) = elements_of(reply);
        page.retain(|(element, _)| options.matches(element));
        let cursor = next.unwrap_or(0).to_string();
        Value::Array(vec![Value::bulk(cursor), Value::Array(shape(page))])
    }))
}

/// The number of elements that are asked for; negative if the same may come again.
fn count(args: &Args) -> Result<i64, Failure> {
    match args.integer(2)? {
        i64::MIN => Err(Failure::new(format!(
            "ERR value is out of range, value must between {} and {}",
            -i64::MAX,
            i64::MAX
        ))),
        count => Ok(count),
    }
}

/// One element by chance, or null.
fn any_one(context: &mut Context<'_>, args: &mut Args, kind: Kind) -> Outcome {
    let seed = rand::rng().random();
    let sample = Ask::Sample { seed, count: 1 };
    Outcome::shaped(ask(context, args.take(1), kind, sample), |reply| {
        let chosen = elements_of(reply).0.pop();
        chosen.map_or(Value::Null, |(element, _)| Value::Bulk(element))
    })
}

fn srandmember(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    match args.len() {
        2 => return Ok(any_one(context, args, Kind::Set)),
        3 => {}
        _ => return Err(Failure::SYNTAX),
    }
    let count = count(args)?;
    let (worker, key) = (context.worker(), args.take(1));
    Ok(Context::begin(async move {
        let members = chosen(&worker, key, Kind::Set, count).await?;
        Ok(Value::Array(names(members)))
    }))
}

fn hrandfield(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    if args.len() == 2 {
        return Ok(any_one(context, args, Kind::Hash));
    }
    let count = count(args)?;
    let with_values = args.is(3, "withvalues");
    if args.len() > 4 || (args.len() == 4 && !with_values) {
        return Err(Failure::SYNTAX);
    }
    if with_values && count.unsigned_abs() > i64::MAX.unsigned_abs() / 2 {
        return Err(Failure::new("ERR value is out of range"));
    }
    let protocol = context.session.protocol;
    let (worker, key) = (context.worker(), args.take(1));
    Ok(Context::begin(async move {
        let fields = chosen(&worker, key, Kind::Hash, count).await?;
        Ok(Value::Array(match (with_values, protocol) {
            (false, _) => names(fields),
            (true, Protocol::Resp2) => names_and_values(fields),
            (true, Protocol::Resp3) => pairs(fields),
        }))
    }))
}

fn pairs(fields: Elements) -> Vec<Value> {
    let pairs = fields.into_iter();
    let pair = |(field, value)| Value::Array(vec![Value::Bulk(field), Value::Bulk(value)]);
    pairs.map(pair).collect()
}

/// So many elements by chance, each once, or all; if `count` is negative so many of which some
/// may be the same.
async fn chosen(worker: &Worker, key: Bytes, kind: Kind, count: i64) -> Result<Elements, Failure> {
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count < 0 {
        return repeated(worker, key, kind, wanted).await;
    }
    if wanted <= CHOSEN_THERE_MAX {
        let chosen = sample(worker, key.clone(), kind, wanted).await?;
        if chosen.len() == wanted {
            return Ok(chosen);
        }
    }
    let mut elements = all(worker, key, kind).await?;
    if wanted < elements.len() {
        elements = elements.sample(&mut rand::rng(), wanted).cloned().collect();
    }
    Ok(elements)
}

/// What a node chooses: fewer if there are no more, or if they are long.
async fn sample(
    worker: &Worker,
    key: Bytes,
    kind: Kind,
    count: usize,
) -> Result<Elements, Failure> {
    let seed = rand::rng().random();
    let ask = Ask::Sample { seed, count };
    let reply = worker.read(Request::Ask { key, kind, ask }).await?;
    Ok(elements_of(reply).0)
}

/// So many elements by chance, each chosen among all.
async fn repeated(
    worker: &Worker,
    key: Bytes,
    kind: Kind,
    wanted: usize,
) -> Result<Elements, Failure> {
    let mut pages = Pages::of(worker, key.clone(), kind);
    let mut among = pages.next().await?.unwrap_or_default();
    let mut chosen = Elements::new();
    let mut room = Room::of(kind);
    if pages.has_more() {
        if wanted <= CHOSEN_THERE_MAX {
            for _ in 0..wanted {
                chosen.extend(sample(worker, key.clone(), kind, 1).await?);
            }
            return Ok(chosen);
        }
        among = all(worker, key, kind).await?;
    }
    for _ in 0..wanted {
        let Some((element, value)) = among.choose(&mut rand::rng()) else {
            break;
        };
        room.take(element, value)?;
        chosen.push((element.clone(), value.clone()));
    }
    Ok(chosen)
}

fn spop(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    match args.len() {
        2 => {
            let seed = rand::rng().random();
            let pop = Alter::Pop { seed, count: 1 };
            let submitted = alter(context, args.take(1), Kind::Set, pop);
            return Ok(Outcome::shaped(submitted, |reply| {
                let taken = altered(reply).taken.pop();
                taken.map_or(Value::Null, Value::Bulk)
            }));
        }
        3 => {}
        _ => return Err(Failure::SYNTAX),
    }
    let count = args.integer(2).ok().filter(|count| *count >= 0);
    let count = count.ok_or(Failure::new("ERR value is out of range, must be positive"))?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let (worker, key) = (context.worker(), args.take(1));
    Ok(Context::begin(async move {
        let taken = taken(&worker, key, count).await?.into_iter();
        Ok(Value::Set(taken.map(Value::Bulk).collect()))
    }))
}

/// Takes so many members, some at a time, or all, or as many as one answer has. What was taken
/// is answered, also if no more could be.
async fn taken(worker: &Worker, key: Bytes, count: usize) -> Result<Vec<Bytes>, Failure> {
    let mut taken = Vec::new();
    let mut room = Room::of(Kind::Set);
    loop {
        let seed = rand::rng().random();
        let pop = Alter::Pop {
            seed,
            count: count.saturating_sub(taken.len()).min(ELEMENTS_MAX),
        };
        let step = match step(worker, key.clone(), Kind::Set, pop).await {
            Err(failure) if taken.is_empty() => return Err(failure),
            Err(_) => break,
            Ok(step) => step,
        };
        let is_full = step.taken.iter().any(|member| {
            let nothing = Bytes::new();
            room.take(member, &nothing).is_err()
        });
        let is_last = step.taken.is_empty() || step.is_emptied;
        taken.extend(step.taken);
        if is_full || is_last || taken.len() >= count {
            break;
        }
        tokio::task::yield_now().await;
    }
    Ok(taken)
}
