//! Values as bytes: the only place of the upper rooms that calls bincode.
//!
//! Three habits make bincode fit for bytes that a peer sent: a limit on every decode, so
//! that a declared length cannot make us allocate; the value must use up its input
//! exactly; and callers decode only what has authenticated. Wire types must not be
//! recursive and must not hold sequences of elements that take no bytes.

use bincode::config::{Configuration, Limit, standard};
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a value could not be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The value has no encoding, such as a sequence of unknown length.
    #[error("a value of type {what} cannot be encoded: {reason}")]
    Encode {
        /// The value's type.
        what: &'static str,
        /// What the encoder said.
        reason: String,
    },
    /// The bytes are not this value, or would exceed the limit.
    #[error("the bytes are no {what} within {limit} bytes: {reason}")]
    Decode {
        /// The expected type.
        what: &'static str,
        /// The limit in bytes that applied.
        limit: usize,
        /// What the decoder said.
        reason: String,
    },
    /// The value ended before the bytes did.
    #[error("{left} bytes are left over after a {what}, expected none")]
    Trailing {
        /// The expected type.
        what: &'static str,
        /// How many bytes were not used.
        left: usize,
    },
}

/// The encoding of `value`.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    encode_into(value, &mut out)?;
    Ok(out)
}

/// Appends the encoding of `value` to `out`, which is left as it was on an error.
pub fn encode_into<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let start = out.len();
    bincode::serde::encode_into_writer(value, Append(out), standard()).map_err(|error| {
        out.truncate(start);
        CodecError::Encode {
            what: std::any::type_name::<T>(),
            reason: error.to_string(),
        }
    })
}

/// The value that `bytes` hold, all of them, having claimed at most `LIMIT` bytes.
pub fn decode<T: DeserializeOwned, const LIMIT: usize>(bytes: &[u8]) -> Result<T, CodecError> {
    let what = std::any::type_name::<T>();
    let (value, used) =
        bincode::serde::decode_from_slice(bytes, limited::<LIMIT>()).map_err(|error| {
            CodecError::Decode {
                what,
                limit: LIMIT,
                reason: error.to_string(),
            }
        })?;
    match bytes.len().saturating_sub(used) {
        0 => Ok(value),
        left => Err(CodecError::Trailing { what, left }),
    }
}

const fn limited<const LIMIT: usize>()
-> Configuration<bincode::config::LittleEndian, bincode::config::Varint, Limit<LIMIT>> {
    standard().with_limit::<LIMIT>()
}

/// Appends to a vector that the caller reuses; bincode brings no such writer.
struct Append<'a>(&'a mut Vec<u8>);

impl Writer for Append<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Sample = (u64, Option<String>, Vec<(Vec<u8>, i32)>);

    proptest! {
        #[test]
        fn a_value_survives_the_round_trip(value: Sample) {
            let bytes = encode(&value).unwrap();
            prop_assert_eq!(decode::<Sample, 1_048_576>(&bytes).unwrap(), value);
        }

        #[test]
        fn a_prefix_or_an_extension_is_refused(value: Sample, extra: u8) {
            let mut bytes = encode(&value).unwrap();
            for cut in 0..bytes.len() {
                prop_assert!(decode::<Sample, 1_048_576>(&bytes[..cut]).is_err());
            }
            bytes.push(extra);
            let trailing = matches!(
                decode::<Sample, 1_048_576>(&bytes),
                Err(CodecError::Trailing { left: 1, .. })
            );
            prop_assert!(trailing);
        }

        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            let _ = decode::<Sample, 4_096>(&bytes);
        }
    }

    #[test]
    fn a_declared_length_over_the_limit_is_refused() {
        let bytes = encode(&u64::MAX).unwrap();
        assert!(decode::<Vec<u8>, 1_024>(&bytes).is_err());
        let fits = encode(&vec![7_u8; 100]).unwrap();
        assert!(decode::<Vec<u8>, 50>(&fits).is_err());
        assert!(decode::<Vec<u8>, 200>(&fits).is_ok());
    }

    #[test]
    fn a_failed_encoding_leaves_the_buffer_as_it_was() {
        struct Failing;
        impl Serialize for Failing {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::{Error, SerializeTuple};
                let mut tuple = serializer.serialize_tuple(2)?;
                tuple.serialize_element(&1_u64)?;
                Err(S::Error::custom("no second element"))
            }
        }
        let mut out = vec![1, 2, 3];
        let error = encode_into(&Failing, &mut out).unwrap_err();
        assert!(error.to_string().contains("no second element"), "{error}");
        assert_eq!(out, [1, 2, 3]);
    }
}
