//! Values as bytes: the only place of the upper rooms that calls bincode.
//!
//! Three habits make bincode fit for bytes that a peer sent: a limit on every decode, so
//! that a declared length cannot make us allocate; the value must use up its input
//! exactly; and callers decode only what has authenticated. Wire types must not be
//! recursive and must not hold sequences of elements that take no bytes.
//!
//! A trap: bincode's own limit counts integers at their full width (8 bytes for a `u64`
//! that takes one byte), so a limit equal to the longest input refuses honest values. Here
//! the limit that callers name is on the input, and bincode's is eight times the longest input
//! of about that length.

use bincode::config::standard;
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use bincode::serde::decode_from_slice;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest input that any caller may allow: above the longest frame of a stream.
pub const INPUT_BYTES_MAX: usize = 66 * 1024 * 1024;

/// Input up to this length, such as every datagram, may claim little memory.
const SHORT_BYTES_MAX: usize = 8 * 1024;

/// Input up to this length, such as a delta, may claim some: only one that is long itself may
/// claim much.
const MIDDLE_BYTES_MAX: usize = 1024 * 1024;

/// How much more than its encoding a value may claim: a `u64` takes 1 byte at least and
/// claims 8. (A `u128` would claim 16, so wire types have none.)
const WIDENING: usize = 8;

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
    /// More bytes than this value may have.
    #[error("a {what} of {len} bytes is longer than the limit of {limit} bytes")]
    TooLong {
        /// The expected type.
        what: &'static str,
        /// The length of the input in bytes.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The bytes are not this value, or claim more memory than they can be worth.
    #[error("the bytes are no {what}: {reason}")]
    Decode {
        /// The expected type.
        what: &'static str,
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

/// The value that `bytes` hold: all of them, and at most `LIMIT` of them.
pub fn decode<T: DeserializeOwned, const LIMIT: usize>(bytes: &[u8]) -> Result<T, CodecError> {
    const { assert!(LIMIT <= INPUT_BYTES_MAX) };
    let what = std::any::type_name::<T>();
    let len = bytes.len();
    if len > LIMIT {
        return Err(CodecError::TooLong {
            what,
            len,
            limit: LIMIT,
        });
    }
    let (value, used) = decode_some(bytes).map_err(|error| CodecError::Decode {
        what,
        reason: error.to_string(),
    })?;
    match len.saturating_sub(used) {
        0 => Ok(value),
        left => Err(CodecError::Trailing { what, left }),
    }
}

fn decode_some<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize), DecodeError> {
    const SHORT: usize = SHORT_BYTES_MAX * WIDENING;
    const MIDDLE: usize = MIDDLE_BYTES_MAX * WIDENING;
    const LONG: usize = INPUT_BYTES_MAX * WIDENING;
    match bytes.len() {
        len if len <= SHORT_BYTES_MAX => decode_from_slice(bytes, standard().with_limit::<SHORT>()),
        len if len <= MIDDLE_BYTES_MAX => {
            decode_from_slice(bytes, standard().with_limit::<MIDDLE>())
        }
        _ => decode_from_slice(bytes, standard().with_limit::<LONG>()),
    }
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
    fn a_declared_length_beyond_all_sense_is_refused() {
        let bytes = encode(&u64::MAX).unwrap();
        assert!(decode::<Vec<u8>, 1_024>(&bytes).is_err());
        assert!(decode::<Vec<u64>, 1_024>(&bytes).is_err());
    }

    #[test]
    fn input_over_the_limit_is_refused() {
        let bytes = encode(&vec![7_u8; 99]).unwrap();
        assert!(decode::<Vec<u8>, 100>(&bytes).is_ok());
        let error = decode::<Vec<u8>, 99>(&bytes).unwrap_err();
        assert!(matches!(error, CodecError::TooLong { len: 100, .. }));
    }

    /// Many small integers in a full datagram or frame: bincode's limit, set to the length
    /// of the input, refused them.
    #[test]
    fn small_integers_may_fill_the_limit() {
        let short = encode(&vec![1_u64; 1_297]).unwrap();
        assert!(decode::<Vec<u64>, 1_300>(&short).is_ok());
        let long = encode(&vec![1_u64; 4_000_000]).unwrap();
        assert!(decode::<Vec<u64>, 4_194_304>(&long).is_ok());
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
