//! Why a payload could not be written or read.

use super::codec::CodecError;

/// A payload that cannot be sent, or that authenticated and still makes no sense.
///
/// The latter comes from a member of another version or from a bug; the connection or
/// datagram is dropped and counted, and nothing else changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A value inside could not be written or read.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// More bytes than the limit.
    #[error("a {what} of {len} bytes is longer than the limit of {limit} bytes")]
    TooLong {
        /// What was too long.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The bytes end within a field.
    #[error("a {what} ends early")]
    Truncated {
        /// What ended early.
        what: &'static str,
    },
    /// Another version's payload.
    #[error("a {what} of version {got} arrived, this node speaks version {known}")]
    Version {
        /// What has the version.
        what: &'static str,
        /// The version that arrived.
        got: u8,
        /// The version of this node.
        known: u8,
    },
    /// A kind of payload that this version does not have.
    #[error("a {what} of the unknown kind {kind} arrived")]
    UnknownKind {
        /// What has the kind.
        what: &'static str,
        /// The kind's number.
        kind: u8,
    },
    /// More messages in one batch than the limit.
    #[error("a batch holds more messages than the limit of {limit}")]
    TooManyMessages {
        /// The limit.
        limit: usize,
    },
    /// A reason that is no text.
    #[error("the reason of a refusal is not UTF-8")]
    NotText,
}
