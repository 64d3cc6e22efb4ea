//! All keys of the cluster: every partition is asked of this node or of an owner, and what
//! they say put together.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use super::handle::{Handle, failure};
use super::views::{ScanPage, Submitted};
use crate::node::request::{Consistency, Reply, Request, RequestError, Strength};
use crate::placement::{Keyspace, PartitionId};

/// Names that are read at once of a partition at least. Less costs more turns than it saves.
const NAMES_MIN: usize = 16;

/// Partitions that a scan asks at once at most, where many have few keys.
const ASKED_AT_ONCE: usize = 64;

/// Some keys of a partition, and where the next ones begin.
type Found = (Vec<Bytes>, Option<u64>);

impl Handle {
    /// About `count` keys from `cursor` on; start with 0, go on with the page's cursor
    /// until that is 0. A key that exists throughout is seen at least once.
    ///
    /// # Errors
    /// See [`RequestError`]: keys cannot be read, or a partition's owners not be reached.
    pub async fn scan(&self, cursor: u64, count: usize) -> Result<ScanPage, RequestError> {
        // The cursor is the hash to go on from. It is never 0: at least one key, of a
        // smaller hash, or a partition came before it.
        let count = count.max(1);
        let keyspace = self.keyspace();
        let mut from = cursor;
        let mut keys = Vec::new();
        let mut at_once = 1;
        loop {
            let first = keyspace.partition_at(from);
            let wanted = count - keys.len();
            let begins = begins(&keyspace, first, from, at_once);
            let asked: Vec<Submitted> = begins
                .iter()
                .map(|(partition, from)| {
                    self.ask(Request::Scan {
                        partition: *partition,
                        from: *from,
                        count: wanted,
                    })
                })
                .collect();
            for ((_, begin), asked) in begins.iter().zip(asked) {
                if keys.len() >= count {
                    return Ok(ScanPage {
                        cursor: *begin,
                        keys,
                    });
                }
                let (found, next) = found(asked).await?;
                keys.extend(found);
                if let Some(next) = next {
                    return Ok(ScanPage { cursor: next, keys });
                }
            }
            let last = begins.last().map_or(first, |(partition, _)| *partition);
            match last
                .0
                .checked_add(1)
                .filter(|next| *next < keyspace.partitions)
            {
                None => return Ok(ScanPage { cursor: 0, keys }),
                Some(next) => from = keyspace.first_hash(PartitionId(next)),
            }
            if keys.len() >= count {
                return Ok(ScanPage { cursor: from, keys });
            }
            at_once = (at_once * 2).min(ASKED_AT_ONCE);
        }
    }

    /// The next `count` keys after `after` that begin with `prefix`, in ascending order; fewer
    /// when there are no more. Costs the keys that begin so, not all keys.
    ///
    /// # Errors
    /// See [`scan`](Self::scan).
    pub async fn list(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        count: usize,
    ) -> Result<Vec<Bytes>, RequestError> {
        let keyspace = self.keyspace();
        let even = count / usize::from(keyspace.partitions).max(1);
        let at_once = (even * 2).max(NAMES_MIN);
        let prefix = Bytes::copy_from_slice(prefix);
        let names = |partition, after| {
            self.ask(Request::Names {
                partition,
                prefix: prefix.clone(),
                after,
                count: at_once,
            })
        };
        let after = after.map(Bytes::copy_from_slice);
        let all = keyspace.all();
        let asked: Vec<_> = all.map(|id| (id, names(id, after.clone()))).collect();
        let (mut sources, mut heads) = (Vec::new(), BTreeSet::new());
        for (id, asked) in asked {
            let (found, next) = found(asked).await?;
            let mut ahead = VecDeque::from(found);
            heads.extend(ahead.pop_front().map(|key| (key, sources.len())));
            sources.push((id, ahead, next.is_some()));
        }
        let mut keys = Vec::new();
        while keys.len() < count
            && let Some((key, at)) = heads.pop_first()
        {
            if let Some((id, ahead, has_more)) = sources.get_mut(at) {
                if ahead.is_empty() && *has_more {
                    let (found, next) = found(names(*id, Some(key.clone()))).await?;
                    *ahead = VecDeque::from(found);
                    *has_more = next.is_some();
                }
                heads.extend(ahead.pop_front().map(|key| (key, at)));
            }
            keys.push(key);
        }
        Ok(keys)
    }

    /// Number of keys that have a value. After a burst of endings those of the burst that are
    /// not removed yet may be counted.
    ///
    /// # Errors
    /// See [`scan`](Self::scan).
    pub async fn key_count(&self) -> Result<u64, RequestError> {
        let all = self.keyspace().all();
        let asked: Vec<Submitted> = all
            .map(|partition| self.ask(Request::Count { partition }))
            .collect();
        let mut keys = 0_u64;
        for asked in asked {
            keys = match asked.wait().await {
                Reply::Count(count) => keys.saturating_add(count),
                other => return Err(failure(other)),
            };
        }
        Ok(keys)
    }

    fn ask(&self, request: Request) -> Submitted {
        let one = Consistency {
            read: Strength::One,
            ..self.consistency()
        };
        self.submit_at(one, request)
    }
}

/// Where a scan goes on in each of the next partitions.
fn begins(
    keyspace: &Keyspace,
    first: PartitionId,
    from: u64,
    count: usize,
) -> Vec<(PartitionId, u64)> {
    let next = keyspace.all().skip(usize::from(first.0)).take(count);
    next.map(|id| (id, keyspace.first_hash(id).max(from)))
        .collect()
}

async fn found(asked: Submitted) -> Result<Found, RequestError> {
    match asked.wait().await {
        Reply::Keys { keys, next } => Ok((keys, next)),
        other => Err(failure(other)),
    }
}
