//! Datagrams sealed: XChaCha20-Poly1305 under the cluster key.
//!
//! The nonce is random although sender, session and counter would make a unique one of
//! the same length: a copied data directory or a clock set back repeats those, and a
//! repeated nonce gives the key stream away. 24 random bytes never repeat.

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};

use super::key::{KeyId, KeyRing};
use super::layout::{
    DATAGRAM_BYTES_MIN, DATAGRAM_VERSION, DatagramError, HEADER_BYTES, NONCE_BYTES,
    PAYLOAD_BYTES_MAX,
};
use crate::clock::NodeId;

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
