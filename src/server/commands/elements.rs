//! What the commands on sets and hashes have in common.
//!
//! A request names a bounded number of elements, and its answer has a bounded number of bytes. A
//! command that names more is several requests, each for itself: they are submitted one after
//! the other, and between two of them other clients may have their turn. What has many elements
//! is read page by page, and is not one moment either.

use bytes::Bytes;

use crate::node::request::{Alter, Altered, Ask, ELEMENTS_MAX, KEYS_BYTES_MAX, Reply, Request};
use crate::object::Kind;
use crate::resp::{ARG_OVERHEAD_BYTES, BULK_BYTES_MAX_DEFAULT, Value};
use crate::runtime::Submitted;
use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Outcome, Worker};

/// Most bytes of elements and values that one command answers or keeps, with what each costs
/// beyond its bytes: they are all in memory until they are sent.
const WHOLE_BYTES_MAX: usize = BULK_BYTES_MAX_DEFAULT;

/// Elements of one page where all are read: as many as a node gives, and as are looked at in one
/// turn.
const PAGE_ELEMENTS: usize = 10_000;

/// Fields of which one request asks the values: their values together must fit one answer.
const ASKED_FIELDS_MAX: usize = 64;

pub(super) const KEY: Arg = Arg::new("key", "key");

/// Elements with what they show, which is nothing for members.
pub(super) type Elements = Vec<(Bytes, Bytes)>;

/// Asks something about the elements of a key.
pub(super) fn ask(context: &Context<'_>, key: Bytes, kind: Kind, ask: Ask) -> Submitted {
    context.submit(Request::Ask { key, kind, ask })
}

/// Changes elements of a key.
pub(super) fn alter(context: &Context<'_>, key: Bytes, kind: Kind, alter: Alter) -> Submitted {
    context.submit(Request::Alter { key, kind, alter })
}

/// The answer to an [`Alter`], which is always this.
pub(super) fn altered(reply: Reply) -> Altered {
    match reply {
        Reply::Altered(altered) => altered,
        _ => Altered::default(),
    }
}

/// The elements of an answer, and where to go on.
pub(super) fn elements_of(reply: Reply) -> (Elements, Option<u64>) {
    match reply {
        Reply::Elements { elements, next } => (elements, next),
        _ => (Elements::new(), None),
    }
}

/// The answer to a question about single elements.
pub(super) fn values_of(reply: Reply) -> Vec<Option<Bytes>> {
    match reply {
        Reply::Values(values) => values,
        _ => Vec::new(),
    }
}

/// A number as clients are told it.
pub(super) fn number(n: u64) -> Value {
    Value::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}

/// Divides elements among requests, of which each has at most `count_max` and about as many
/// bytes as an answer, or one element.
pub(super) fn divided<T>(
    elements: impl IntoIterator<Item = T>,
    count_max: usize,
    bytes: impl Fn(&T) -> usize,
) -> Vec<Vec<T>> {
    let mut parts: Vec<Vec<T>> = Vec::new();
    let mut room = 0_usize;
    for element in elements {
        let bytes = bytes(&element);
        match parts.last_mut() {
            Some(part) if part.len() < count_max && bytes <= room => {
                room = room.saturating_sub(bytes);
                part.push(element);
            }
            _ => {
                room = KEYS_BYTES_MAX.saturating_sub(bytes);
                parts.push(vec![element]);
            }
        }
    }
    parts
}

/// The same of elements without values.
pub(super) fn divided_names(names: Vec<Bytes>) -> Vec<Vec<Bytes>> {
    divided(names, ELEMENTS_MAX, Bytes::len)
}

/// The same of elements with values.
pub(super) fn divided_pairs(elements: Elements) -> Vec<Elements> {
    divided(elements, ELEMENTS_MAX, |(element, value)| {
        element.len().saturating_add(value.len())
    })
}

/// Changes that are parts of one command; it answers how many elements came or went.
pub(super) fn counted(
    context: &Context<'_>,
    key: &Bytes,
    kind: Kind,
    parts: impl Iterator<Item = Alter>,
) -> Outcome {
    let submit = |part| alter(context, key.clone(), kind, part);
    let mut parts: Vec<Submitted> = parts.map(submit).collect();
    match parts.pop() {
        Some(only) if parts.is_empty() => Outcome::Node(only),
        last => {
            parts.extend(last);
            Outcome::joined(parts, |replies| {
                let counts = replies.into_iter().map(|reply| altered(reply).count);
                number(counts.fold(0, u64::saturating_add))
            })
        }
    }
}

/// `HDEL` and `SREM`.
pub(super) fn remove(
    context: &mut Context<'_>,
    args: &mut Args,
    kind: Kind,
) -> Result<Outcome, Failure> {
    let parts = divided_names(args.take_from(2)).into_iter();
    let parts = parts.map(|elements| Alter::Remove { elements });
    Ok(counted(context, &args.take(1), kind, parts))
}

/// `HLEN` and `SCARD`.
pub(super) fn count(
    context: &mut Context<'_>,
    args: &mut Args,
    kind: Kind,
) -> Result<Outcome, Failure> {
    Ok(Outcome::Node(ask(context, args.take(1), kind, Ask::Count)))
}

/// Answers what `shape` makes of what one element shows.
pub(super) fn one(
    context: &mut Context<'_>,
    args: &mut Args,
    kind: Kind,
    shape: fn(Option<Bytes>) -> Value,
) -> Result<Outcome, Failure> {
    let elements = vec![args.take(2)];
    let submitted = ask(context, args.take(1), kind, Ask::Values { elements });
    Ok(Outcome::shaped(submitted, move |reply| {
        shape(values_of(reply).pop().flatten())
    }))
}

/// Answers what `shape` makes of what each of several elements shows.
pub(super) fn several(
    context: &mut Context<'_>,
    args: &mut Args,
    kind: Kind,
    shape: fn(Option<Bytes>) -> Value,
) -> Result<Outcome, Failure> {
    let count_max = match kind {
        Kind::Hash => ASKED_FIELDS_MAX,
        Kind::Set => ELEMENTS_MAX,
    };
    let parts = divided(args.take_from(2), count_max, Bytes::len).into_iter();
    let key = args.take(1);
    let submit = |elements| ask(context, key.clone(), kind, Ask::Values { elements });
    Ok(Outcome::joined(
        parts.map(submit).collect(),
        move |replies| {
            let values = replies.into_iter().flat_map(values_of).collect::<Vec<_>>();
            let bytes = values.iter().flatten().map(Bytes::len);
            if bytes.fold(0, usize::saturating_add) > WHOLE_BYTES_MAX {
                return Value::error(format!(
                    "ERR values are more than {WHOLE_BYTES_MAX} bytes together: ask for fewer \
                     fields"
                ));
            }
            Value::Array(values.into_iter().map(shape).collect())
        },
    ))
}

/// Answers what `shape` makes of all elements of a key.
pub(super) fn whole(
    context: &mut Context<'_>,
    args: &mut Args,
    kind: Kind,
    shape: fn(Elements) -> Value,
) -> Result<Outcome, Failure> {
    let (worker, key) = (context.worker(), args.take(1));
    Ok(Context::begin(async move {
        Ok(shape(all(&worker, key, kind).await?))
    }))
}

/// All elements of a key.
pub(super) async fn all(worker: &Worker, key: Bytes, kind: Kind) -> Result<Elements, Failure> {
    let (mut found, mut room) = (Elements::new(), Room::of(kind));
    let mut pages = Pages::of(worker, key, kind);
    while let Some(page) = pages.next().await? {
        for (element, value) in &page {
            room.take(element, value)?;
        }
        match found.is_empty() {
            true => found = page,
            false => found.extend(page),
        }
    }
    Ok(found)
}

/// What becomes of a change that is a step of a command. It is told.
pub(super) async fn step(
    worker: &Worker,
    key: Bytes,
    kind: Kind,
    alter: Alter,
) -> Result<Altered, Failure> {
    let submitted = worker.submit(Request::Alter { key, kind, alter });
    match submitted.wait().await {
        Reply::Failed(error) => Err(error.into()),
        reply => Ok(altered(reply)),
    }
}

/// The elements of a key, page by page. What comes or goes meanwhile may be among them or not;
/// what is there all the time is, once.
pub(super) struct Pages<'a> {
    worker: &'a Worker,
    key: Bytes,
    kind: Kind,
    /// The hash of the next one, if there is one.
    from: Option<u64>,
}

impl<'a> Pages<'a> {
    pub(super) fn of(worker: &'a Worker, key: Bytes, kind: Kind) -> Self {
        let from = Some(0);
        Self {
            worker,
            key,
            kind,
            from,
        }
    }

    /// The next page; none if there are no more. Between two of them others have their turn.
    pub(super) async fn next(&mut self) -> Result<Option<Elements>, Failure> {
        let Some(from) = self.from else {
            return Ok(None);
        };
        if from > 0 {
            tokio::task::yield_now().await;
        }
        let request = Request::Ask {
            key: self.key.clone(),
            kind: self.kind,
            ask: Ask::Page {
                from,
                count: PAGE_ELEMENTS,
            },
        };
        let (page, next) = elements_of(self.worker.read(request).await?);
        self.from = next;
        Ok(Some(page))
    }

    /// Whether there may be more.
    pub(super) fn has_more(&self) -> bool {
        self.from.is_some()
    }
}

/// How many elements of several keys were looked at in this turn.
#[derive(Default)]
pub(super) struct Steps(usize);

impl Steps {
    /// Lets others have their turn, if so many more are too many for one.
    pub(super) async fn take(&mut self, count: usize) {
        self.0 = self.0.saturating_add(count);
        if self.0 > PAGE_ELEMENTS {
            self.0 = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// Bytes that are left for elements that one command answers or keeps.
pub(super) struct Room {
    left: usize,
    kind: Kind,
}

impl Room {
    pub(super) fn of(kind: Kind) -> Self {
        let left = WHOLE_BYTES_MAX;
        Self { left, kind }
    }

    /// Takes what an element needs.
    pub(super) fn take(&mut self, element: &Bytes, value: &Bytes) -> Result<(), Failure> {
        let bytes = element.len().saturating_add(value.len());
        let left = self
            .left
            .checked_sub(bytes.saturating_add(ARG_OVERHEAD_BYTES));
        let scan = match self.kind {
            Kind::Hash => "HSCAN",
            Kind::Set => "SSCAN",
        };
        self.left = left.ok_or_else(|| {
            Failure::new(format!(
                "ERR the elements are more than {WHOLE_BYTES_MAX} bytes together: use {scan}"
            ))
        })?;
        Ok(())
    }
}

/// Elements as an array of their names.
pub(super) fn names(elements: Elements) -> Vec<Value> {
    let names = elements.into_iter().map(|(element, _)| element);
    names.map(Value::Bulk).collect()
}

/// Elements and what they show, in turn.
pub(super) fn names_and_values(elements: Elements) -> Vec<Value> {
    let words = elements.into_iter().flat_map(<[Bytes; 2]>::from);
    words.map(Value::Bulk).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_bounded_in_elements_and_in_bytes() {
        let names = |count: usize, bytes: usize| vec![Bytes::from(vec![b'x'; bytes]); count];
        let sizes = |names| -> Vec<usize> {
            let parts = divided_names(names).into_iter();
            parts.map(|part| part.len()).collect()
        };
        assert_eq!(sizes(Vec::new()), [0_usize; 0]);
        assert_eq!(sizes(names(512, 1)), [512]);
        assert_eq!(sizes(names(1_025, 1)), [512, 512, 1]);
        assert_eq!(sizes(names(5, KEYS_BYTES_MAX / 2)), [2, 2, 1]);
        assert_eq!(sizes(names(2, KEYS_BYTES_MAX + 1)), [1, 1]);
        let mut mixed = names(1, 10);
        mixed.extend(names(1, KEYS_BYTES_MAX));
        mixed.extend(names(1, 10));
        assert_eq!(sizes(mixed), [1, 1, 1]);
    }

    #[test]
    fn room_is_taken_by_bytes_and_by_number() {
        let mut room = Room::of(Kind::Hash);
        let nothing = Bytes::new();
        let taken = (0..).take_while(|_| room.take(&nothing, &nothing).is_ok());
        assert_eq!(taken.count(), WHOLE_BYTES_MAX / ARG_OVERHEAD_BYTES);
        let refused = room.take(&nothing, &nothing).unwrap_err();
        assert!(refused.0.ends_with("use HSCAN"), "{}", refused.0);
    }
}
