//! The one place where values become bytes and bytes become values (bincode 2, serde).
//!
//! Varint integers, little endian, no field names: both sides must be of the same version,
//! which is why every record and frame starts with one. Nothing is decoded but by
//! [`decode`]: it takes a limit, and refuses what does not end where the input ends.

use bincode::config::{self, Configuration};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Why a value did not become bytes, or bytes no value.
#[derive(Debug, Error)]
pub enum CodecError {
    /// The value has no encoding.
    #[error("cannot encode: {0}")]
    Encode(#[from] bincode::error::EncodeError),
    /// The bytes are no such value, or one beyond the limit.
    #[error("cannot decode: {0}")]
    Decode(#[from] bincode::error::DecodeError),
    /// The bytes go on after the value.
    #[error("{extra} bytes too many after the value")]
    Trailing {
        /// How many bytes are left over.
        extra: usize,
    },
}

/// `value` as bytes.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    Ok(bincode::serde::encode_to_vec(value, config::standard())?)
}

/// Appends `value` to `out`; on an error `out` may have grown.
pub fn encode_into<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    bincode::serde::encode_into_std_write(value, out, config::standard())?;
    Ok(())
}

/// The value that is exactly `bytes`.
///
/// `LIMIT` bounds what the value may take *decoded*, integers at their full width: eight for
/// a `u64` that is one byte encoded. No single allocation exceeds it, whatever the bytes
/// declare. Authenticate bytes from the network before they come here.
pub fn decode<T: DeserializeOwned, const LIMIT: usize>(bytes: &[u8]) -> Result<T, CodecError> {
    let limited: Configuration<_, _, config::Limit<LIMIT>> =
        config::standard().with_limit::<LIMIT>();
    let (value, used) = bincode::serde::borrow_decode_from_slice(bytes, limited)?;
    match bytes.len() - used {
        0 => Ok(value),
        extra => Err(CodecError::Trailing { extra }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_must_end_where_its_bytes_end() {
        let bytes = encode(&(1u64, "text".to_owned())).unwrap();
        assert!(decode::<(u64, String), 1024>(&bytes).is_ok());
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(matches!(
            decode::<(u64, String), 1024>(&longer),
            Err(CodecError::Trailing { extra: 1 })
        ));
        for cut in 0..bytes.len() {
            assert!(decode::<(u64, String), 1024>(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn a_declared_size_is_refused_before_it_is_allocated() {
        let bytes = encode(&u64::MAX).unwrap();
        assert!(decode::<bytes::Bytes, 4096>(&bytes).is_err());
        assert!(decode::<Vec<u64>, 4096>(&bytes).is_err());
    }

    #[test]
    fn the_limit_counts_decoded_integers() {
        let bytes = encode(&vec![0u64; 100]).unwrap();
        assert!(decode::<Vec<u64>, 1000>(&bytes).is_ok());
        assert!(decode::<Vec<u64>, 700>(&bytes).is_err());
    }
}
