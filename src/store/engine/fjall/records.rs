//! Records: a version, a value, and a checksum over both and their place.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::codec;
use crate::store::engine::EngineError;

/// First byte of every record.
const RECORD_VERSION: u8 = 1;

/// Bytes of the checksum at the end of a record.
const CHECKSUM_BYTES: usize = 4;

/// What one decoded record may take: a row of more unresolved versions than can be merged,
/// each near the largest value, is no row of ours.
const RECORD_LIMIT: usize = 1024 * 1024 * 1024;

/// Version, value, checksum over `place` and both.
pub(super) fn seal_record<T: Serialize>(place: &[u8], value: &T) -> Result<Vec<u8>, EngineError> {
    let mut record = vec![RECORD_VERSION];
    codec::encode_into(value, &mut record)?;
    let checksum = checksum(place, &record);
    record.extend_from_slice(&checksum.to_le_bytes());
    Ok(record)
}

pub(super) fn open_record<T: DeserializeOwned>(
    place: &[u8],
    record: &[u8],
) -> Result<T, EngineError> {
    let (sealed, stored) = record
        .split_last_chunk::<CHECKSUM_BYTES>()
        .ok_or(EngineError::Damaged("too short"))?;
    if checksum(place, sealed) != u32::from_le_bytes(*stored) {
        return Err(EngineError::Damaged("checksum does not match"));
    }
    let (version, value) = sealed
        .split_first()
        .ok_or(EngineError::Damaged("too short"))?;
    if *version != RECORD_VERSION {
        return Err(EngineError::Damaged("unknown version"));
    }
    Ok(codec::decode::<T, RECORD_LIMIT>(value)?)
}

fn checksum(place: &[u8], record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(place), record)
}
