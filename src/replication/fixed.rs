//! Hashes as bytes: all of their bits are in use, so eight bytes, where a number of variable
//! length takes nine.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(super) fn serialize<S: Serializer>(hash: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    hash.to_le_bytes().serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(u64::from_le_bytes(Deserialize::deserialize(deserializer)?))
}

/// Half of a hash.
pub(super) mod half {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(
        half: &u32,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        half.to_le_bytes().serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<u32, D::Error> {
        Ok(u32::from_le_bytes(Deserialize::deserialize(deserializer)?))
    }
}
