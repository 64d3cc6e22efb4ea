//! What must be equal on all members before they talk about anything else.

use serde::{Deserialize, Serialize};

/// Longest cluster name in bytes: it travels in every HELLO, and both names of a mismatch
/// must fit one datagram.
pub const CLUSTER_BYTES_MAX: usize = 64;

/// The cluster-wide settings that cannot differ between members.
///
/// Two nodes with different ones would place keys differently; they refuse each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Name of the cluster, at most [`CLUSTER_BYTES_MAX`] bytes.
    pub cluster: String,
    /// Number of partitions.
    pub partitions: u16,
    /// Replicas per partition.
    pub replicas: u8,
    /// Seed of the hash that places keys.
    pub hash_seed: u64,
    /// Version of the protocol between nodes.
    pub protocol: u16,
}

/// The first setting in which two fingerprints differ, with both values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is {ours} here and {theirs} there, it must be the same in the whole cluster")]
pub struct Mismatch {
    /// The setting's name.
    pub setting: &'static str,
    /// Its value on this node.
    pub ours: String,
    /// Its value on the other node.
    pub theirs: String,
}

impl Fingerprint {
    /// Whether it can have come from a node of ours at all.
    pub fn is_bounded(&self) -> bool {
        self.cluster.len() <= CLUSTER_BYTES_MAX
    }

    /// The first setting in which `theirs` differs, if any.
    pub fn mismatch(&self, theirs: &Self) -> Option<Mismatch> {
        fn differ<T: PartialEq + std::fmt::Debug>(
            setting: &'static str,
            ours: &T,
            theirs: &T,
        ) -> Option<Mismatch> {
            (ours != theirs).then(|| Mismatch {
                setting,
                ours: format!("{ours:?}"),
                theirs: format!("{theirs:?}"),
            })
        }
        differ("protocol version", &self.protocol, &theirs.protocol)
            .or_else(|| differ("cluster name", &self.cluster, &theirs.cluster))
            .or_else(|| differ("partitions", &self.partitions, &theirs.partitions))
            .or_else(|| differ("replicas", &self.replicas, &theirs.replicas))
            .or_else(|| differ("hash seed", &self.hash_seed, &theirs.hash_seed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mismatch_names_the_setting_and_both_values() {
        let ours = Fingerprint {
            cluster: "blue".into(),
            partitions: 256,
            replicas: 3,
            hash_seed: 0,
            protocol: 1,
        };
        assert_eq!(ours.mismatch(&ours), None);
        let theirs = Fingerprint {
            replicas: 2,
            ..ours.clone()
        };
        let said = ours.mismatch(&theirs).unwrap().to_string();
        assert!(said.contains("replicas is 3 here and 2 there"), "{said}");
        let theirs = Fingerprint {
            cluster: "red".into(),
            ..ours.clone()
        };
        let said = ours.mismatch(&theirs).unwrap().to_string();
        assert!(
            said.contains("\"blue\"") && said.contains("\"red\""),
            "{said}"
        );
    }
}
