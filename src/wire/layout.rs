//! The layout of a datagram, and every reason not to believe one.
//!
//! ```text
//! version 1 | key id 4 | nonce 24 | sealed( sender 8 | session 8 | counter 8 | payload ) | tag 16
//! └─── authenticated, in the clear ──┘
//! ```

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};

use super::key::{ClusterKey, KeyId};

/// Longest datagram: with IP and UDP headers (IPv6: 48 bytes) it stays below the 1,500
/// bytes that an Ethernet frame carries, tunnels included, so it is never fragmented by IP.
pub const DATAGRAM_BYTES_MAX: usize = 1_400;

/// Longest payload of one datagram.
pub const PAYLOAD_BYTES_MAX: usize = DATAGRAM_BYTES_MAX - DATAGRAM_BYTES_MIN;

/// The layout above, as a number.
pub const DATAGRAM_VERSION: u8 = 1;

/// Length of a nonce.
pub const NONCE_BYTES: usize = 24;

pub(super) const HEADER_BYTES: usize = 1 + KeyId::BYTES + NONCE_BYTES;
pub(super) const STAMP_BYTES: usize = 3 * 8;
pub(super) const TAG_BYTES: usize = 16;
pub(super) const DATAGRAM_BYTES_MIN: usize = HEADER_BYTES + STAMP_BYTES + TAG_BYTES;

/// Why a datagram was not sealed or not opened. Nothing has changed but a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    /// The payload to seal does not fit.
    #[error("a payload of {len} bytes does not fit a datagram, which takes {PAYLOAD_BYTES_MAX}")]
    PayloadTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Fewer bytes than an empty payload would need.
    #[error("a datagram of {len} bytes is too short, the least is {DATAGRAM_BYTES_MIN}")]
    TooShort {
        /// Its length in bytes.
        len: usize,
    },
    /// More bytes than any member sends.
    #[error("a datagram of {len} bytes is too long, the most is {DATAGRAM_BYTES_MAX}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A version that is no longer, or was never, spoken.
    #[error("a datagram has the old version {got}, this node speaks {DATAGRAM_VERSION}")]
    OldVersion {
        /// The version that arrived.
        got: u8,
    },
    /// A version of a newer program, or no datagram of ours.
    #[error("a datagram has the version {got}, this node speaks {DATAGRAM_VERSION} only")]
    NewVersion {
        /// The version that arrived.
        got: u8,
    },
    /// Sealed with a key that this node does not know.
    #[error(
        "a datagram is sealed with the unknown key {id}: another cluster, or a key file that differs"
    )]
    UnknownKey {
        /// The key's name.
        id: KeyId,
    },
    /// The tag does not match: damaged, or made by somebody without the key.
    #[error("a datagram does not authenticate")]
    Forged,
    /// This process sent it.
    #[error("a datagram of this node came back to it")]
    Reflected,
    /// From an unknown session, while a newer one of the same sender speaks.
    #[error("a datagram of session {session} arrived while its sender speaks in session {newest}")]
    StaleSession {
        /// The session that arrived.
        session: u64,
        /// The sender's newest session.
        newest: u64,
    },
    /// Arrived before.
    #[error("a datagram was replayed")]
    Replayed,
    /// Too far behind its successors to know whether it arrived before.
    #[error("a datagram is too old to tell whether it is a replay")]
    TooOld,
}

/// A datagram's fields, none of them believed yet.
pub(super) struct Parts<'a> {
    header: &'a [u8; HEADER_BYTES],
    pub(super) key_id: KeyId,
    nonce: &'a [u8; NONCE_BYTES],
    sealed: &'a [u8],
    tag: &'a [u8; TAG_BYTES],
}

impl<'a> Parts<'a> {
    pub(super) fn split(datagram: &'a [u8]) -> Result<Self, DatagramError> {
        let len = datagram.len();
        if len > DATAGRAM_BYTES_MAX {
            return Err(DatagramError::TooLong { len });
        }
        if len < DATAGRAM_BYTES_MIN {
            return Err(DatagramError::TooShort { len });
        }
        Self::fields(datagram)
            .ok_or(DatagramError::TooShort { len })
            .and_then(|(version, parts)| match version {
                DATAGRAM_VERSION => Ok(parts),
                got if got < DATAGRAM_VERSION => Err(DatagramError::OldVersion { got }),
                got => Err(DatagramError::NewVersion { got }),
            })
    }

    fn fields(datagram: &'a [u8]) -> Option<(u8, Self)> {
        let (header, rest) = datagram.split_first_chunk::<HEADER_BYTES>()?;
        let (sealed, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
        let (version, fields) = header.split_first()?;
        let (key_id, fields) = fields.split_first_chunk::<{ KeyId::BYTES }>()?;
        let parts = Self {
            header,
            key_id: KeyId(*key_id),
            nonce: fields.first_chunk::<NONCE_BYTES>()?,
            sealed,
            tag,
        };
        Some((*version, parts))
    }

    pub(super) fn decrypt(&self, key: &ClusterKey) -> Option<Vec<u8>> {
        let mut plain = self.sealed.to_vec();
        XChaCha20Poly1305::new(key.datagram().into())
            .decrypt_in_place_detached(self.nonce.into(), self.header, &mut plain, self.tag.into())
            .ok()?;
        Some(plain)
    }
}
