//! What clients ask about sets and hashes.
//!
//! One replica answers, whatever the strength: what it has. Elements are rows of their own, and
//! merging those of several replicas would take all of them to one.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use xxhash_rust::xxh3::Xxh3;

use super::request::{Reply, RequestError};
use crate::machine::Now;
use crate::object::{Kind, Lifetime, VALUE_BYTES_MAX, Version, end_row, value_row};
use crate::replication::{Ask, ELEMENTS_MAX, Held, KEYS_BYTES_MAX, check_elements};
use crate::store::{PageSize, Partition, Shown};

/// Most elements of one page, whatever was asked for.
const PAGE_MAX: usize = 10_000;

/// Most bytes of the values of one answer to [`Ask::Values`]: with what is beside them they fit a
/// message, as each does alone.
const VALUES_BYTES_MAX: usize = VALUE_BYTES_MAX;

/// Of collections up to this size all names are read to choose among them. Of larger ones those
/// of the neighbours of a place are, [`AMONG`] of them: the first alone would be the likelier the
/// wider the gap before it.
const WHOLE_MAX: u64 = 4_096;

const AMONG: usize = 64;

/// How often a place is tried for each element that is asked for, since one may be found twice.
const TRIES: usize = 4;

/// Some elements with what they show.
type Elements = Vec<(Bytes, Version)>;

/// Refuses to look for elements of a kind where the key shows something else. Says by when they
/// end.
pub(super) fn checked(
    partition: &Partition,
    key: &Bytes,
    kind: Kind,
    wall_ms: u64,
) -> Result<Lifetime, RequestError> {
    match partition.shown(key, wall_ms)? {
        Some(shown) if shown != Shown::Elements(kind) => Err(RequestError::WrongType),
        _ => Ok(partition.lifetime(key, wall_ms)?),
    }
}

/// The answer to a question about elements.
pub(super) fn answer(
    partition: &Partition,
    now: Now,
    key: &Bytes,
    kind: Kind,
    ask: Ask,
) -> Result<Reply, RequestError> {
    let lifetime = checked(partition, key, kind, now.wall_ms)?;
    let collection = kind.collection(key);
    Ok(match ask {
        Ask::Count => Reply::Number(partition.count_elements(kind, key, &lifetime)?),
        Ask::Values { elements } => {
            check_elements(elements.len())?;
            let mut values = Vec::with_capacity(elements.len());
            let mut bytes = 0_usize;
            for element in &elements {
                let version = partition.element(&collection, element, &lifetime)?;
                let value = version.map(|version| version.value);
                bytes = bytes.saturating_add(value.as_ref().map_or(0, Bytes::len));
                if bytes > VALUES_BYTES_MAX {
                    return Err(RequestError::Refused(format!(
                        "values are more than {VALUES_BYTES_MAX} bytes together: ask for fewer \
                         fields"
                    )));
                }
                values.push(value);
            }
            Reply::Values(values)
        }
        Ask::Page { from, count } => {
            let size = page_size(count);
            let page = partition.page(&collection, from, size, &lifetime)?;
            shown(page.elements, page.next)
        }
        Ask::Sample { seed, count } => {
            let count = count.min(ELEMENTS_MAX);
            let sample = sample(partition, (kind, key), seed, count, &lifetime)?;
            shown(sample, None)
        }
    })
}

fn page_size(count: usize) -> PageSize {
    PageSize {
        elements: count.clamp(1, PAGE_MAX),
        bytes: KEYS_BYTES_MAX,
    }
}

fn shown(elements: Elements, next: Option<u64>) -> Reply {
    let elements = elements.into_iter();
    Reply::Elements {
        elements: elements.map(|(e, version)| (e, version.value)).collect(),
        next,
    }
}

/// A number that tells states of a key apart: a hash of the live dots of its value, of what its
/// elements are together and of their end.
pub(super) fn fingerprint(
    partition: &Partition,
    now: Now,
    key: &Bytes,
) -> Result<Reply, RequestError> {
    let mut hasher = Xxh3::new();
    let value = partition.object(&value_row(key.clone()))?.versions;
    if value.value_at(now.wall_ms).is_some() {
        let alive = value
            .iter()
            .filter(|(_, version)| !version.expired(now.wall_ms));
        alive.for_each(|(dot, _)| dot.hash(&mut hasher));
    }
    if let Some(kind) = partition.shown_kind(key, now.wall_ms)? {
        let elements = partition.elements(kind, key)?;
        (kind, elements.rows, elements.fingerprint).hash(&mut hasher);
        let end = partition.object(&end_row(key))?.versions;
        end.dots().for_each(|dot| dot.hash(&mut hasher));
    }
    Ok(Reply::Number(hasher.finish()))
}

/// Some elements by chance, each once; all of them if there are no more than `count`. Fewer, but
/// one, if they are more than fits an answer.
pub(super) fn sample(
    partition: &Partition,
    (kind, key): (Kind, &Bytes),
    seed: u64,
    count: usize,
    lifetime: &Lifetime,
) -> Result<Elements, RequestError> {
    let collection = kind.collection(key);
    let mut rng = SmallRng::seed_from_u64(seed);
    let names = match partition.elements(kind, key)?.rows {
        0..=WHOLE_MAX => {
            let all = partition.shown_names(&collection, 0, usize::MAX, lifetime)?;
            all.sample(&mut rng, count).cloned().collect()
        }
        _ => among_neighbours(partition, &collection, &mut rng, count, lifetime)?,
    };
    let (mut sample, mut bytes) = (Elements::new(), 0_usize);
    for name in names {
        let Some(version) = partition.element(&collection, &name, lifetime)? else {
            continue;
        };
        bytes = bytes
            .saturating_add(name.len())
            .saturating_add(version.value.len());
        if bytes > KEYS_BYTES_MAX && !sample.is_empty() {
            break;
        }
        sample.push((name, version));
    }
    Ok(sample)
}

/// Names of elements, each once, of which each is chosen among those behind a place at random.
fn among_neighbours(
    partition: &Partition,
    collection: &Bytes,
    rng: &mut SmallRng,
    count: usize,
    lifetime: &Lifetime,
) -> Result<Vec<Bytes>, RequestError> {
    let (mut names, mut known) = (Vec::new(), BTreeSet::new());
    for _ in 0..count.saturating_mul(TRIES) {
        if names.len() >= count {
            break;
        }
        let mut near = partition.shown_names(collection, rng.next_u64(), AMONG, lifetime)?;
        if near.is_empty() {
            near = partition.shown_names(collection, 0, AMONG, lifetime)?;
        }
        near.retain(|name| !known.contains(name));
        if let Some(name) = near.choose(rng) {
            known.insert(name.clone());
            names.push(name.clone());
        }
    }
    Ok(names)
}

/// What a key without a value holds.
pub(super) fn describe(
    partition: &Partition,
    key: &Bytes,
    kind: Kind,
    wall_ms: u64,
) -> Result<Held, RequestError> {
    let lifetime = partition.lifetime(key, wall_ms)?;
    Ok(Held {
        kind: Some(kind),
        size: partition.count_elements(kind, key, &lifetime)?,
        ends_at_ms: lifetime.ends_at_ms,
    })
}
