//! What a node's data amounts to.

/// Sums over all partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataStats {
    /// Keys that have a value.
    pub keys: u64,
    /// Live versions; more than `keys` means siblings.
    pub dots_live: u64,
    /// Rows kept only for their causal context.
    pub rows_residual: u64,
    /// Rows of the dot logs.
    pub log_rows: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Writes that wait for replicas.
    pub waiting: u64,
    /// Partitions being fetched or waiting to be.
    pub sync_backlog: u64,
}
