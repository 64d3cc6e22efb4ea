//! What the tests of this room share.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use super::{DataParams, MemberParams, settled};
use crate::clock::NodeId;
use crate::machine::{Instant, Now};
use crate::placement::{Keyspace, Profile};
use crate::replication::{Durability, SyncParams};
use crate::store::Options;
use crate::store::engine::Engine;

/// The wall clock as a test begins, in milliseconds since the Unix epoch.
pub(super) const START_MS: u64 = 1_000_000;

/// So many milliseconds after a test has begun.
pub(super) fn at(ms: u64) -> Now {
    Now {
        mono: Instant::from_elapsed(Duration::from_millis(ms)),
        wall_ms: START_MS + ms,
    }
}

/// A node with one partition and no limits of its own.
pub(super) fn params(me: NodeId) -> DataParams {
    DataParams {
        me,
        member: MemberParams {
            profile: Profile::new(me, &me.to_string()),
            generation: 1,
            replace: None,
            evict_after: Duration::MAX,
        },
        keyspace: Keyspace {
            partitions: 1,
            hash_seed: 0,
        },
        replicas: u8::MAX,
        timeout: Duration::from_secs(2),
        sync: SyncParams::default(),
        sync_rate: NonZeroU64::MAX,
        durability: Durability::default(),
        options: Options::default(),
    }
}

/// What a node is opened with that has been one of these members from the beginning.
pub(super) fn remembering<E: Engine + 'static>(engine: E, members: &[NodeId]) -> Arc<dyn Engine> {
    engine.keep_note(&settled(members).unwrap()).unwrap();
    Arc::new(engine)
}
