//! What the tests of this room share.

use std::num::NonZeroU64;
use std::time::Duration;

use super::DataParams;
use crate::clock::NodeId;
use crate::placement::Keyspace;
use crate::replication::{Durability, SyncParams};
use crate::store::Options;

/// A node with one partition and no limits of its own.
pub(super) fn params(me: NodeId) -> DataParams {
    DataParams {
        me,
        keyspace: Keyspace {
            partitions: 1,
            hash_seed: 0,
        },
        timeout: Duration::from_secs(2),
        sync: SyncParams::default(),
        sync_rate: NonZeroU64::MAX,
        durability: Durability::default(),
        options: Options::default(),
    }
}
