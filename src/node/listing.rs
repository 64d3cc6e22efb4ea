//! Which keys a node has: in the order of hashes, from a cursor on, and by their beginnings.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use super::Data;
use crate::machine::Now;
use crate::placement::PartitionId;
use crate::store::StoreError;

/// Names that are read at once of a partition at least. Less costs more turns than it saves.
const NAMES_MIN: usize = 16;

impl<W> Data<W> {
    /// Number of keys that have a value now.
    ///
    /// # Errors
    /// Of a partition whose keys cannot be read.
    pub fn live_key_count(&self, now: Now) -> Result<u64, StoreError> {
        let mut count = 0;
        for shard in &self.shards {
            for partition in shard.lock().partitions() {
                count += partition.key_count(now.wall_ms)?;
            }
        }
        Ok(count)
    }

    /// Up to about `count` live keys whose hash is at least `from`, in hash order, and the
    /// hash to go on from; `None` when there are no more. Keys of equal hash come together.
    ///
    /// # Errors
    /// Of a partition whose keys cannot be read.
    pub fn scan(
        &self,
        now: Now,
        from: u64,
        count: usize,
    ) -> Result<(Vec<Bytes>, Option<u64>), StoreError> {
        let mut keys = Vec::new();
        let mut last_hash = None;
        let first = self.keyspace.partition_at(from);
        for id in self.keyspace.all().skip(usize::from(first.0)) {
            let mut next = Some(from);
            while let Some(from) = next {
                let shard = self.shard(id).lock();
                let Some(partition) = shard.partition(id) else {
                    break;
                };
                // One more than is asked for tells where to go on.
                let wanted = (count - keys.len().min(count)).saturating_add(1);
                let found = partition.keys_from(from, wanted)?;
                let is_all = found.len() < wanted;
                next = found.last().and_then(|(hash, _)| hash.checked_add(1));
                next = next.filter(|_| !is_all);
                for (hash, key) in found {
                    if keys.len() >= count && last_hash != Some(hash) {
                        return Ok((keys, Some(hash)));
                    }
                    if partition.has_value(&key, now.wall_ms)? {
                        keys.push(key);
                        last_hash = Some(hash);
                    }
                }
            }
        }
        Ok((keys, None))
    }

    /// The next `count` live keys after `after` that begin with `prefix`, in ascending order;
    /// fewer when there are no more. Reads what lies in the prefix, in all partitions.
    ///
    /// # Errors
    /// Of a partition whose keys cannot be read.
    pub fn list(
        &self,
        now: Now,
        prefix: &[u8],
        after: Option<&[u8]>,
        count: usize,
    ) -> Result<Vec<Bytes>, StoreError> {
        let even = count / usize::from(self.keyspace.partitions).max(1);
        let at_once = (even * 2).max(NAMES_MIN);
        let mut sources = Vec::new();
        let mut heads = BTreeSet::new();
        for id in self.keyspace.all() {
            let mut names = Names {
                id,
                ahead: VecDeque::new(),
                is_read: false,
            };
            self.read_names(now, prefix, after, at_once, &mut names)?;
            let at = sources.len();
            heads.extend(names.ahead.pop_front().map(|key| (key, at)));
            sources.push(names);
        }
        let mut keys = Vec::new();
        while keys.len() < count
            && let Some((key, at)) = heads.pop_first()
        {
            if let Some(names) = sources.get_mut(at) {
                if names.ahead.is_empty() {
                    self.read_names(now, prefix, Some(&key), at_once, names)?;
                }
                heads.extend(names.ahead.pop_front().map(|key| (key, at)));
            }
            keys.push(key);
        }
        Ok(keys)
    }

    /// Reads the next live keys of one partition, if there are any.
    fn read_names(
        &self,
        now: Now,
        prefix: &[u8],
        after: Option<&[u8]>,
        count: usize,
        names: &mut Names,
    ) -> Result<(), StoreError> {
        let mut after = after.map(Bytes::copy_from_slice);
        while names.ahead.is_empty() && !names.is_read {
            let shard = self.shard(names.id).lock();
            let Some(partition) = shard.partition(names.id) else {
                return Ok(());
            };
            let found = partition.names(prefix, after.as_deref(), count)?;
            names.is_read = found.len() < count;
            after = found.last().cloned();
            for key in found {
                if partition.has_value(&key, now.wall_ms)? {
                    names.ahead.push_back(key);
                }
            }
        }
        Ok(())
    }
}

/// The names of one partition that were read and not given out.
struct Names {
    id: PartitionId,
    ahead: VecDeque<Bytes>,
    /// There are no more after those.
    is_read: bool,
}
