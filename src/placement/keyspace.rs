//! The keyspace: the range of a 64-bit hash, cut into equal contiguous ranges, one per
//! partition. Order by hash is therefore order by partition too, which is what lets a scan
//! use a hash as its cursor.

use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::object::key_of;

/// A cluster's number of partitions unless it was configured otherwise.
///
/// Fixed for a cluster's life. More cost clock bytes per node, fewer move more per step
/// when members come and go.
pub const PARTITIONS_DEFAULT: u16 = 256;

/// One range of the keyspace, replicated and reconciled on its own.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct PartitionId(pub u16);

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a cluster cuts its keyspace. Equal on all members: it is part of the fingerprint
/// that they compare before they speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyspace {
    /// Number of partitions, at least 1.
    pub partitions: u16,
    /// Seed of the key hash.
    pub hash_seed: u64,
}

impl Default for Keyspace {
    fn default() -> Self {
        Self {
            partitions: PARTITIONS_DEFAULT,
            hash_seed: 0,
        }
    }
}

impl Keyspace {
    /// The place of `key` in the keyspace.
    pub fn hash(&self, key: &[u8]) -> u64 {
        xxh3_64_with_seed(key, self.hash_seed)
    }

    /// The partition that holds `key`.
    pub fn partition_of(&self, key: &[u8]) -> PartitionId {
        self.partition_at(self.hash(key))
    }

    /// The place of a row in the keyspace: that of its key.
    pub fn hash_of_row(&self, row: &[u8]) -> u64 {
        self.hash(&key_of(row))
    }

    /// The partition that holds a row: that of its key.
    pub fn partition_of_row(&self, row: &[u8]) -> PartitionId {
        self.partition_at(self.hash_of_row(row))
    }

    /// The partition that holds the keys whose hash is `hash`.
    pub fn partition_at(&self, hash: u64) -> PartitionId {
        let scaled = (u128::from(hash) * u128::from(self.partitions)) >> 64;
        // Below `partitions` by construction, hence within 16 bits.
        PartitionId(u16::try_from(scaled).unwrap_or(u16::MAX))
    }

    /// The least hash of a partition.
    pub fn first_hash(&self, partition: PartitionId) -> u64 {
        let partitions = u128::from(self.partitions.max(1));
        let first = (u128::from(partition.0) << 64).div_ceil(partitions);
        u64::try_from(first).unwrap_or(u64::MAX)
    }

    /// All partitions, in the order of their hashes.
    pub fn all(&self) -> impl Iterator<Item = PartitionId> + use<> {
        (0..self.partitions).map(PartitionId)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn partitions_are_contiguous_ranges_of_the_hash(a: u64, b: u64, partitions in 1u16..) {
            let keyspace = Keyspace { partitions, hash_seed: 0 };
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(keyspace.partition_at(low) <= keyspace.partition_at(high));
            prop_assert!(keyspace.partition_at(high).0 < partitions);
            let partition = keyspace.partition_at(a);
            let first = keyspace.first_hash(partition);
            prop_assert_eq!(keyspace.partition_at(first), partition);
            prop_assert!(first == 0 || keyspace.partition_at(first - 1) < partition);
        }
    }

    #[test]
    fn the_whole_range_is_used() {
        let keyspace = Keyspace::default();
        assert_eq!(keyspace.partition_at(0), PartitionId(0));
        assert_eq!(
            keyspace.partition_at(u64::MAX),
            PartitionId(PARTITIONS_DEFAULT - 1)
        );
        assert_eq!(keyspace.all().count(), usize::from(PARTITIONS_DEFAULT));
    }

    #[test]
    fn keys_spread_evenly() {
        let keyspace = Keyspace::default();
        let mut counts = vec![0u32; usize::from(PARTITIONS_DEFAULT)];
        for i in 0..256_000u32 {
            counts[usize::from(keyspace.partition_of(&i.to_be_bytes()).0)] += 1;
        }
        assert!(
            counts.iter().all(|&count| (850..1_150).contains(&count)),
            "{counts:?}"
        );
    }
}
