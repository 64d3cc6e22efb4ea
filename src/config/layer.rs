//! What one source of settings says, as plain values.

use std::path::PathBuf;

use super::{Durability, HostPort, Network, Secret, Storage, Strength};

/// Form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object per line.
    Json,
}

/// Where a cluster key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// It is in this file.
    File(PathBuf),
    /// It was in the environment.
    Inline(Secret),
}

/// What one source says; each field is explained by its row in [`KNOBS`](super::KNOBS).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table of knobs has the words")]
pub struct Settings {
    pub name: Option<String>,
    pub cluster: Option<String>,
    pub listen: Option<HostPort>,
    pub advertise: Option<HostPort>,
    pub seeds: Option<Vec<HostPort>>,
    pub client: Option<HostPort>,
    pub storage: Option<Storage>,
    pub memory_budget: Option<u64>,
    pub write: Option<Strength>,
    pub read: Option<Strength>,
    pub durability: Option<Durability>,
    pub write_timeout_ms: Option<u64>,
    pub sync_interval_ms: Option<u64>,
    pub sync_rate: Option<u64>,
    pub dot_log_bytes: Option<u64>,
    pub dot_log_age_ms: Option<u64>,
    pub network: Option<Network>,
    pub clients_max: Option<usize>,
    pub client_memory: Option<u64>,
    pub argument_max: Option<u64>,
    pub client_timeout_ms: Option<u64>,
    pub partitions: Option<u16>,
    pub replicas: Option<u8>,
    pub hash_seed: Option<u64>,
    pub zone: Option<String>,
    pub weight: Option<u32>,
    pub replace: Option<String>,
    pub evict_after_ms: Option<u64>,
    pub leave: Option<bool>,
    pub cluster_key: Option<KeySource>,
    pub previous_cluster_key: Option<KeySource>,
    pub insecure: Option<bool>,
    pub no_repl: Option<bool>,
    pub log: Option<String>,
    pub log_format: Option<LogFormat>,
}
