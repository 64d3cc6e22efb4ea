//! Which keys a partition has: in the order of hashes, from one on, and by their beginnings.

use bytes::Bytes;

use crate::machine::Now;
use crate::object::shared_key_of;
use crate::replication::{KEYS_BYTES_MAX, Reply, Request};
use crate::store::{Partition, StoreError};

/// Most keys that are looked at for one answer, whatever was asked for.
const KEYS_MAX: usize = 10_000;

/// The answer to what asks for keys; nothing for anything else.
pub(super) fn listed(
    partition: &Partition,
    now: Now,
    request: &Request,
) -> Result<Reply, StoreError> {
    match request {
        Request::Count { .. } => Ok(Reply::Count(partition.key_count(now.wall_ms)?)),
        Request::Scan { from, count, .. } => scan(partition, now, *from, *count),
        Request::Names {
            prefix,
            after,
            count,
            ..
        } => names(partition, now, prefix, after.as_deref(), *count),
        _ => Ok(Reply::Keys {
            keys: Vec::new(),
            next: None,
        }),
    }
}

/// About `count` live keys whose hash is at least `from`. Keys of equal hash come together.
fn scan(partition: &Partition, now: Now, from: u64, count: usize) -> Result<Reply, StoreError> {
    let count = count.clamp(1, KEYS_MAX);
    // One more than is asked for tells where to go on.
    let found = partition.keys_from(from, count.saturating_add(1))?;
    let is_all = found.len() <= count;
    let end = found.last().and_then(|(hash, _)| hash.checked_add(1));
    let (mut keys, mut bytes, mut last) = (Vec::new(), 0_usize, None);
    let mut same_hash = 0;
    for (hash, key) in found {
        if (keys.len() >= count || bytes >= KEYS_BYTES_MAX) && last != Some(hash) {
            return Ok(Reply::Keys {
                keys,
                next: Some(hash),
            });
        }
        if partition.has_something(&key, now.wall_ms)? {
            if last != Some(hash) {
                (last, same_hash) = (Some(hash), keys.len());
            }
            let key = shared_key_of(&key);
            // One that has a value and elements, or elements of both kinds, comes with itself.
            if !keys.iter().skip(same_hash).any(|before| *before == key) {
                bytes = bytes.saturating_add(key.len());
                keys.push(key);
            }
        }
    }
    let next = end.filter(|_| !is_all);
    Ok(Reply::Keys { keys, next })
}

/// The next `count` live keys after `after` that begin with `prefix`, in ascending order.
fn names(
    partition: &Partition,
    now: Now,
    prefix: &[u8],
    after: Option<&[u8]>,
    count: usize,
) -> Result<Reply, StoreError> {
    let count = count.clamp(1, KEYS_MAX);
    let mut after = after.map(Bytes::copy_from_slice);
    let (mut keys, mut bytes) = (Vec::new(), 0_usize);
    loop {
        let found = partition.names(prefix, after.as_deref(), count)?;
        let is_all = found.len() < count;
        after = found.last().cloned();
        for key in found {
            if keys.len() >= count || bytes >= KEYS_BYTES_MAX {
                return Ok(Reply::Keys {
                    keys,
                    next: Some(0),
                });
            }
            if partition.has_key(&key, now.wall_ms)? {
                bytes = bytes.saturating_add(key.len());
                keys.push(key);
            }
        }
        // Names without a value are passed over, so that what comes is never nothing while
        // there is something.
        if is_all || !keys.is_empty() {
            let next = (!is_all).then_some(0);
            return Ok(Reply::Keys { keys, next });
        }
    }
}
