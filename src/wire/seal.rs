//! Datagrams sealed and opened: XChaCha20-Poly1305 under the cluster key.
//!
//! ```text
//! version 1 | key id 4 | nonce 24 | sealed( sender 8 | session 8 | counter 8 | payload ) | tag 16
//! └─── authenticated, in the clear ──┘
//! ```
//!
//! The nonce is random although sender, session and counter would make a unique one of
//! the same length: a copied data directory or a clock set back repeats those, and a
//! repeated nonce gives the key stream away. 24 random bytes never repeat.
//!
//! Opening goes from cheap to dear: size, version, key id, tag, and only then who sent it
//! and whether it came before. Every refusal has its reason and its counter, because
//! "nothing arrives" is the hardest failure to find from outside.

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};

use super::key::{ClusterKey, KeyId, KeyRing};
use super::replay::{Repeat, ReplayGuard};
use crate::clock::NodeId;
use crate::machine::Instant;

/// Longest datagram: with IP and UDP headers (IPv6: 48 bytes) it stays below the 1,500
/// bytes that an Ethernet frame carries, tunnels included, so it is never fragmented by IP.
pub const DATAGRAM_BYTES_MAX: usize = 1_400;

/// Longest payload of one datagram.
pub const PAYLOAD_BYTES_MAX: usize = DATAGRAM_BYTES_MAX - DATAGRAM_BYTES_MIN;

/// The layout above, as a number.
pub const DATAGRAM_VERSION: u8 = 1;

/// Length of a nonce.
pub const NONCE_BYTES: usize = 24;

const HEADER_BYTES: usize = 1 + KeyId::BYTES + NONCE_BYTES;
const STAMP_BYTES: usize = 3 * 8;
const TAG_BYTES: usize = 16;
const DATAGRAM_BYTES_MIN: usize = HEADER_BYTES + STAMP_BYTES + TAG_BYTES;

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
    /// A process of another session sent it under this node's name: an earlier run of this
    /// node if the session is older, else certainly a second process.
    #[error("a datagram arrived under this node's own name from its session {session}")]
    Namesake {
        /// The other process's session.
        session: u64,
    },
    /// From a session that ended before the newest of its sender began.
    #[error("a datagram of session {session} arrived after its sender began session {newest}")]
    StaleSession {
        /// The session that arrived.
        session: u64,
        /// The newest session of this sender.
        newest: u64,
    },
    /// Arrived before.
    #[error("a datagram was replayed")]
    Replayed,
    /// Too far behind its successors to know whether it arrived before.
    #[error("a datagram is too old to tell whether it is a replay")]
    TooOld,
}

/// How many datagrams ended which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatagramStats {
    /// Opened and given on.
    pub opened: u64,
    /// See [`DatagramError::TooShort`].
    pub too_short: u64,
    /// See [`DatagramError::TooLong`].
    pub too_long: u64,
    /// See [`DatagramError::OldVersion`].
    pub old_version: u64,
    /// See [`DatagramError::NewVersion`].
    pub new_version: u64,
    /// See [`DatagramError::UnknownKey`].
    pub unknown_key: u64,
    /// See [`DatagramError::Forged`].
    pub forged: u64,
    /// See [`DatagramError::Reflected`].
    pub reflected: u64,
    /// See [`DatagramError::Namesake`].
    pub namesake: u64,
    /// See [`DatagramError::StaleSession`].
    pub stale_session: u64,
    /// See [`DatagramError::Replayed`].
    pub replayed: u64,
    /// See [`DatagramError::TooOld`].
    pub too_old: u64,
    /// Senders forgotten to make room for others.
    pub senders_evicted: u64,
}

impl DatagramStats {
    fn count(&mut self, outcome: &Result<Opened, DatagramError>) {
        let counter = match outcome {
            Ok(_) => &mut self.opened,
            Err(DatagramError::PayloadTooLong { .. } | DatagramError::TooLong { .. }) => {
                &mut self.too_long
            }
            Err(DatagramError::TooShort { .. }) => &mut self.too_short,
            Err(DatagramError::OldVersion { .. }) => &mut self.old_version,
            Err(DatagramError::NewVersion { .. }) => &mut self.new_version,
            Err(DatagramError::UnknownKey { .. }) => &mut self.unknown_key,
            Err(DatagramError::Forged) => &mut self.forged,
            Err(DatagramError::Reflected) => &mut self.reflected,
            Err(DatagramError::Namesake { .. }) => &mut self.namesake,
            Err(DatagramError::StaleSession { .. }) => &mut self.stale_session,
            Err(DatagramError::Replayed) => &mut self.replayed,
            Err(DatagramError::TooOld) => &mut self.too_old,
        };
        *counter = counter.saturating_add(1);
    }
}

/// Seals what this process sends.
pub struct DatagramSealer {
    cipher: XChaCha20Poly1305,
    key_id: KeyId,
    sender: NodeId,
    session: u64,
    counter: u64,
}

impl DatagramSealer {
    /// A sealer for one process: `session` must be greater than that of every earlier run
    /// under this name (the node's generation is).
    pub fn new(keys: &KeyRing, sender: NodeId, session: u64) -> Self {
        Self {
            cipher: XChaCha20Poly1305::new(keys.current.datagram().into()),
            key_id: keys.current.id(),
            sender,
            session,
            counter: 0,
        }
    }

    /// The datagram that carries `payload`. The nonce must be fresh random bytes.
    ///
    /// # Errors
    /// If the payload is longer than [`PAYLOAD_BYTES_MAX`].
    pub fn seal(
        &mut self,
        nonce: [u8; NONCE_BYTES],
        payload: &[u8],
    ) -> Result<Vec<u8>, DatagramError> {
        let mut out = Vec::new();
        self.seal_into(nonce, payload, &mut out)?;
        Ok(out)
    }

    /// [`seal`](Self::seal) into a buffer that is cleared first.
    pub fn seal_into(
        &mut self,
        nonce: [u8; NONCE_BYTES],
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), DatagramError> {
        let too_long = DatagramError::PayloadTooLong { len: payload.len() };
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(too_long);
        }
        // Wraps after 2⁶⁴ datagrams, which no process lives to see.
        self.counter = self.counter.wrapping_add(1);
        out.clear();
        out.reserve(DATAGRAM_BYTES_MIN + payload.len());
        out.push(DATAGRAM_VERSION);
        out.extend_from_slice(&self.key_id.0);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&self.sender.0.to_be_bytes());
        out.extend_from_slice(&self.session.to_be_bytes());
        out.extend_from_slice(&self.counter.to_be_bytes());
        out.extend_from_slice(payload);
        let (header, plain) = out.split_at_mut(HEADER_BYTES);
        let tag = self
            .cipher
            .encrypt_in_place_detached(XNonce::from_slice(&nonce), header, plain)
            .map_err(|_| too_long)?;
        out.extend_from_slice(&tag);
        Ok(())
    }
}

/// What a datagram held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Who says that it sent it, with the cluster's key to vouch for it.
    pub sender: NodeId,
    /// The sender's session, which is its generation.
    pub session: u64,
    /// What it says.
    pub payload: Vec<u8>,
}

/// Opens what arrives, each datagram once.
pub struct DatagramOpener {
    keys: KeyRing,
    me: NodeId,
    session: u64,
    guard: ReplayGuard,
    stats: DatagramStats,
}

impl DatagramOpener {
    /// An opener for the process that seals as `me` in `session`.
    pub fn new(keys: KeyRing, me: NodeId, session: u64) -> Self {
        Self {
            keys,
            me,
            session,
            guard: ReplayGuard::default(),
            stats: DatagramStats::default(),
        }
    }

    /// How many datagrams ended which way.
    pub fn stats(&self) -> DatagramStats {
        DatagramStats {
            senders_evicted: self.guard.evicted(),
            ..self.stats
        }
    }

    /// Opens one datagram.
    ///
    /// # Errors
    /// With the reason why it must not be used; the reason has been counted.
    pub fn open(&mut self, now: Instant, datagram: &[u8]) -> Result<Opened, DatagramError> {
        let outcome = self
            .authenticate(datagram)
            .and_then(|(opened, counter)| self.admit(now, opened, counter));
        self.stats.count(&outcome);
        outcome
    }

    fn authenticate(&self, datagram: &[u8]) -> Result<(Opened, u64), DatagramError> {
        let parts = Parts::split(datagram)?;
        let mut candidates = self.keys.candidates(parts.key_id).peekable();
        if candidates.peek().is_none() {
            return Err(DatagramError::UnknownKey { id: parts.key_id });
        }
        let plain = candidates
            .find_map(|key| parts.decrypt(key))
            .ok_or(DatagramError::Forged)?;
        read_stamp(&plain).ok_or(DatagramError::Forged)
    }

    fn admit(
        &mut self,
        now: Instant,
        opened: Opened,
        counter: u64,
    ) -> Result<Opened, DatagramError> {
        let session = opened.session;
        if opened.sender == self.me {
            return Err(if session == self.session {
                DatagramError::Reflected
            } else {
                DatagramError::Namesake { session }
            });
        }
        match self.guard.admit(now, opened.sender, session, counter) {
            Ok(()) => Ok(opened),
            Err(Repeat::StaleSession { newest }) => {
                Err(DatagramError::StaleSession { session, newest })
            }
            Err(Repeat::Replayed) => Err(DatagramError::Replayed),
            Err(Repeat::TooOld) => Err(DatagramError::TooOld),
        }
    }
}

/// A datagram's fields, none of them believed yet.
struct Parts<'a> {
    header: &'a [u8; HEADER_BYTES],
    key_id: KeyId,
    nonce: &'a [u8; NONCE_BYTES],
    sealed: &'a [u8],
    tag: &'a [u8; TAG_BYTES],
}

impl<'a> Parts<'a> {
    fn split(datagram: &'a [u8]) -> Result<Self, DatagramError> {
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

    fn decrypt(&self, key: &ClusterKey) -> Option<Vec<u8>> {
        let mut plain = self.sealed.to_vec();
        XChaCha20Poly1305::new(key.datagram().into())
            .decrypt_in_place_detached(self.nonce.into(), self.header, &mut plain, self.tag.into())
            .ok()?;
        Some(plain)
    }
}

fn read_stamp(plain: &[u8]) -> Option<(Opened, u64)> {
    let (sender, rest) = plain.split_first_chunk()?;
    let (session, rest) = rest.split_first_chunk()?;
    let (counter, payload) = rest.split_first_chunk()?;
    let opened = Opened {
        sender: NodeId(u64::from_be_bytes(*sender)),
        session: u64::from_be_bytes(*session),
        payload: payload.to_vec(),
    };
    Some((opened, u64::from_be_bytes(*counter)))
}

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
