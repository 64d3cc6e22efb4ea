//! What one partition may use.

use std::time::Duration;

use crate::clock::RUNS_MAX;
use crate::placement::Keyspace;
use crate::store::mutation::Mutation;

/// What one partition may use.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How keys map to partitions; the same on all members.
    pub keyspace: Keyspace,
    /// The most rows of the dot log, at most [`RUNS_MAX`]. A peer that is behind by more costs
    /// a full sync instead of a delta.
    pub log_rows_max: usize,
    /// The most bytes that the dot log may take, keys included: about
    /// [`LOG_ROW_BYTES`](super::LOG_ROW_BYTES) per row and the key. A node's logs together
    /// take at most this times the number of its partitions, and only while a replica is
    /// away; when all are even they are empty.
    pub log_bytes_max: usize,
    /// How long the dot log reaches back for a replica that is away. One that comes back
    /// later costs a full sync of the partitions that changed.
    pub log_age_max: Duration,
    /// Bytes of rows in one delta or piece of a full sync, unless one row alone is larger.
    /// Small enough for a peer to apply between two requests of its clients.
    pub delta_bytes: usize,
    /// The most bytes of rows that a full sync may stage before it takes effect.
    pub stage_bytes_max: usize,
    /// Which rule is broken, to show that tests notice; none in earnest.
    #[cfg(any(test, feature = "mutations"))]
    pub mutation: Option<Mutation>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            keyspace: Keyspace::default(),
            log_rows_max: RUNS_MAX,
            log_bytes_max: 4 * 1024 * 1024,
            log_age_max: Duration::from_secs(24 * 3600),
            delta_bytes: 256 * 1024,
            stage_bytes_max: 1024 * 1024 * 1024,
            #[cfg(any(test, feature = "mutations"))]
            mutation: None,
        }
    }
}

impl Options {
    /// Whether the rule of `mutation` is broken in this run.
    #[cfg(any(test, feature = "mutations"))]
    pub(super) fn breaks(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// Whether every rule is kept in this run.
    #[cfg(any(test, feature = "mutations"))]
    pub(super) fn breaks_none(&self) -> bool {
        self.mutation.is_none()
    }

    /// Outside of tests that is so.
    #[cfg(not(any(test, feature = "mutations")))]
    pub(super) const fn breaks_none(&self) -> bool {
        true
    }

    /// Outside of tests no rule is broken.
    #[cfg(not(any(test, feature = "mutations")))]
    pub(super) const fn breaks(&self, _: Mutation) -> bool {
        false
    }
}
