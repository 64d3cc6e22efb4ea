//! What a key loses with its elements: all of them when it is deleted or gets a value, those that
//! an end has taken when that has come.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::request::RequestError;
use crate::clock::VersionVector;
use crate::object::{Kind, Lifetime, end_row, value_row};
use crate::replication::ELEMENTS_MAX;
use crate::store::exchange::Push;
use crate::store::{EXPIRE_KEYS_MAX, Partition, Shown, StoreError, Write};

/// The writes of one request, by the row that they are of.
pub(super) type Writes = BTreeMap<Bytes, Write>;

/// The writes that empty `key`, as many as go in one step, and whether there are more.
pub(super) fn emptied(partition: &Partition, key: &Bytes) -> Result<(Writes, bool), RequestError> {
    let mut writes = Writes::new();
    let mut has_more = false;
    for kind in Kind::ALL {
        has_more |= remove_some(partition, key, kind, &mut writes)?;
    }
    if !has_more && partition.has_end(key)? {
        writes.insert(end_row(key), Write::Delete);
    }
    Ok((writes, has_more))
}

/// The writes by which a key loses its elements, whether they show or not.
///
/// # Errors
/// [`RequestError::InSteps`] if that is too much for one step.
pub(super) fn cleared(partition: &Partition, key: &Bytes) -> Result<Writes, RequestError> {
    let (writes, has_more) = emptied(partition, key)?;
    match has_more {
        true => Err(RequestError::InSteps(ELEMENTS_MAX)),
        false => Ok(writes),
    }
}

/// What is written beside the value of a key because of its elements; none if it has none. A
/// value that takes the place of elements leaves none of them, or they would show again after it.
///
/// # Errors
/// [`RequestError::InSteps`] if they are too many, and [`RequestError::WrongType`] if `context`
/// is that of a value: it says nothing of elements.
pub(super) fn beside_value(
    partition: &Partition,
    key: &Bytes,
    context: Option<&VersionVector>,
    wall_ms: u64,
) -> Result<Option<Writes>, RequestError> {
    if !partition.has_collections() || !partition.has_rows_of_elements(key)? {
        return Ok(None);
    }
    if context.is_none() {
        return cleared(partition, key).map(Some);
    }
    match partition.shown(key, wall_ms)? {
        Some(Shown::Elements(_)) => Err(RequestError::WrongType),
        _ => Ok(None),
    }
}

/// Deletes elements of a kind until there are as many writes as go in one step; whether there
/// are more.
pub(super) fn remove_some(
    partition: &Partition,
    key: &Bytes,
    kind: Kind,
    writes: &mut Writes,
) -> Result<bool, RequestError> {
    let all = partition.elements(kind, key)?.rows;
    let room = ELEMENTS_MAX.saturating_sub(writes.len());
    if all == 0 {
        return Ok(false);
    }
    let names = partition.element_names(&kind.collection(key), &kind.collection(key), room)?;
    let found = names.len() as u64;
    writes.extend(names.into_iter().map(|name| (name, Write::Delete)));
    Ok(found < all)
}

/// Deletes elements that an end has taken, as many as go in one step for each key. With the last
/// of them goes what says that they ended, unless others began behind it; its row is then
/// added to `ended` like that of a value. The pushes are for the other replicas.
pub(super) fn remove_ended(
    partition: &mut Partition,
    wall_ms: u64,
    ended: &mut Vec<Bytes>,
) -> Result<Vec<Push>, StoreError> {
    let mut pushes = Vec::new();
    for key in partition.ended_collections(wall_ms)? {
        let writes = ended_elements(partition, &key, wall_ms)?;
        let is_last = writes.contains_key(&end_row(&key));
        for (row, write) in writes {
            pushes.extend(partition.write(row, write, None, wall_ms)?);
        }
        if is_last {
            ended.push(value_row(key));
        }
        if pushes.len() >= EXPIRE_KEYS_MAX {
            break;
        }
    }
    Ok(pushes)
}

/// Deletes elements that are gone, as many as go in one step of each kind.
pub(super) fn removed(
    partition: &Partition,
    key: &Bytes,
    lifetime: &Lifetime,
) -> Result<Writes, StoreError> {
    let mut writes = Writes::new();
    for kind in Kind::ALL {
        let gone = partition.gone(&kind.collection(key), lifetime, ELEMENTS_MAX)?;
        writes.extend(gone.into_iter().map(|row| (row, Write::Delete)));
    }
    Ok(writes)
}

fn ended_elements(partition: &Partition, key: &Bytes, wall_ms: u64) -> Result<Writes, StoreError> {
    let lifetime = partition.lifetime(key, wall_ms)?;
    let mut rows = 0_u64;
    for kind in Kind::ALL {
        rows = rows.saturating_add(partition.elements(kind, key)?.rows);
    }
    let mut writes = removed(partition, key, &lifetime)?;
    let gone = writes.len() as u64;
    if gone == rows {
        writes.insert(end_row(key), Write::Delete);
    } else if gone == 0 {
        writes.insert(end_row(key), Write::Lifetime(lifetime.ending(None)));
    }
    Ok(writes)
}
