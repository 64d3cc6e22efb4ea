//! The handshake of a stream between two nodes: Noise NNpsk0, keyed by the cluster key.
//!
//! ```text
//! initiator → responder   version 1 | key id 4 | length 2 | Noise: e, psk        48
//! responder → initiator   version 1 | key id 4 | length 2 | Noise: e, ee         48
//! ```
//!
//! Both sides prove that they hold the cluster key, and agree on keys for this stream
//! only: whoever learns the cluster key later cannot read what was recorded before
//! (Noise Protocol Framework, revision 34, section 9). The version, the key id and the
//! purpose of the stream are mixed in, so that changing one of them on the way breaks it.
//!
//! A recorded first message, sent again, is answered, for the responder cannot know. But
//! nothing after it will open. So a responder treats its peer as a stranger, under the
//! handshake's deadline, until the first frame has been opened.
//!
//! The ephemeral key is an argument, so that the room stays pure: 32 bytes from the
//! operating system's generator, fresh for every handshake and never used again.

use std::fmt;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use snow::HandshakeState;

use super::key::{ClusterKey, KeyId, KeyRing};
use super::noise::{self, ENTROPY_BYTES, MESSAGE_BYTES as NOISE_BYTES};
use super::record::{FrameDecoder, FrameEncoder};

/// The layout above and that of the records, as a number.
pub const STREAM_VERSION: u8 = 1;

const HEADER_BYTES: usize = 1 + KeyId::BYTES + 2;
const MESSAGE_BYTES: usize = HEADER_BYTES + NOISE_BYTES;

/// Why a handshake failed. The connection must be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The peer speaks another version, or is no node at all.
    #[error("a stream begins with version {got}, this node speaks {STREAM_VERSION}")]
    Version {
        /// The version that arrived.
        got: u8,
    },
    /// The peer uses a key that this node does not know.
    #[error("a stream uses the unknown key {id}: another cluster, or a key file that differs")]
    UnknownKey {
        /// The key's name.
        id: KeyId,
    },
    /// A handshake message of an impossible length.
    #[error("a handshake message of {len} bytes arrived, expected {NOISE_BYTES}")]
    Length {
        /// Its length in bytes.
        len: usize,
    },
    /// The peer does not hold the key, or has another purpose in mind.
    #[error("a handshake message does not authenticate")]
    Forged,
    /// The handshake ended before.
    #[error("the handshake is over")]
    Over,
    /// The Noise library refused to begin.
    #[error("the handshake cannot begin: {reason}")]
    Setup {
        /// What it said.
        reason: String,
    },
}

/// A handshake in progress.
pub struct Handshake {
    side: Side,
    input: BytesMut,
}

enum Side {
    Initiator {
        noise: Box<HandshakeState>,
        key_id: KeyId,
    },
    Responder {
        keys: KeyRing,
        purpose: Vec<u8>,
        entropy: [u8; ENTROPY_BYTES],
    },
    Over,
}

/// What a handshake leads to.
#[derive(Debug)]
pub struct Established {
    /// To be written before anything that `encoder` seals; empty on the initiator's side.
    pub reply: Vec<u8>,
    /// Seals what goes out.
    pub encoder: FrameEncoder,
    /// Opens what comes in.
    pub decoder: FrameDecoder,
    /// The key that was used: the previous one tells that the peer is behind in a rotation.
    pub key_id: KeyId,
}

impl Handshake {
    /// The side that connected, and its first message, to be written at once.
    ///
    /// `purpose` says what the stream is for, the same on both sides.
    ///
    /// # Errors
    /// Only if the Noise library refuses, which no argument makes it do.
    pub fn initiator(
        keys: &KeyRing,
        purpose: &[u8],
        entropy: [u8; ENTROPY_BYTES],
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        let key = &keys.current;
        let prologue = prologue(key, purpose);
        let mut noise = noise::initiator(key, &prologue, entropy).map_err(setup)?;
        let message = write_message(&mut noise, key.id())?;
        let side = Side::Initiator {
            noise: Box::new(noise),
            key_id: key.id(),
        };
        Ok((Self::new(side), message))
    }

    /// The side that was connected to. It waits for the first message and takes whichever
    /// key of its ring that one uses.
    pub fn responder(keys: KeyRing, purpose: &[u8], entropy: [u8; ENTROPY_BYTES]) -> Self {
        Self::new(Side::Responder {
            keys,
            purpose: purpose.to_vec(),
            entropy,
        })
    }

    fn new(side: Side) -> Self {
        Self {
            side,
            input: BytesMut::new(),
        }
    }

    /// Takes bytes that arrived; what the handshake leads to, if they completed it. Bytes
    /// behind the handshake are not lost: they are in the decoder.
    ///
    /// # Errors
    /// If the peer must not be talked to; the handshake is over then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<Established>, HandshakeError> {
        if matches!(self.side, Side::Over) {
            return Err(HandshakeError::Over);
        }
        self.input.extend_from_slice(bytes);
        match parse(&self.input) {
            Ok(None) => Ok(None),
            Ok(Some(message)) => self.finish(message).map(Some),
            Err(error) => {
                self.side = Side::Over;
                Err(error)
            }
        }
    }

    fn finish(&mut self, message: Message) -> Result<Established, HandshakeError> {
        self.input.advance(MESSAGE_BYTES);
        let input = std::mem::take(&mut self.input);
        match std::mem::replace(&mut self.side, Side::Over) {
            Side::Initiator { noise, key_id } => conclude(*noise, key_id, &message, input),
            Side::Responder {
                keys,
                purpose,
                entropy,
            } => respond(&keys, &purpose, entropy, &message, input),
            Side::Over => Err(HandshakeError::Over),
        }
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Initiator { .. } => "initiator",
            Side::Responder { .. } => "responder",
            Side::Over => "over",
        };
        f.debug_struct("Handshake")
            .field("side", &side)
            .finish_non_exhaustive()
    }
}

/// The initiator's end: the answer has arrived.
fn conclude(
    mut noise: HandshakeState,
    key_id: KeyId,
    message: &Message,
    input: BytesMut,
) -> Result<Established, HandshakeError> {
    if message.key_id != key_id {
        return Err(HandshakeError::UnknownKey { id: message.key_id });
    }
    read_message(&mut noise, message)?;
    establish(noise, key_id, Vec::new(), input)
}

/// The responder's whole part: the first message has arrived.
fn respond(
    keys: &KeyRing,
    purpose: &[u8],
    entropy: [u8; ENTROPY_BYTES],
    message: &Message,
    input: BytesMut,
) -> Result<Established, HandshakeError> {
    let id = message.key_id;
    let mut outcome = Err(HandshakeError::UnknownKey { id });
    for key in keys.candidates(id) {
        let prologue = prologue(key, purpose);
        let mut noise = noise::responder(key, &prologue, entropy).map_err(setup)?;
        outcome = read_message(&mut noise, message).map(|()| noise);
        if outcome.is_ok() {
            break;
        }
    }
    let mut noise = outcome?;
    let reply = write_message(&mut noise, id)?;
    establish(noise, id, reply, input)
}

fn establish(
    noise: HandshakeState,
    key_id: KeyId,
    reply: Vec<u8>,
    input: BytesMut,
) -> Result<Established, HandshakeError> {
    let transport = Arc::new(noise.into_stateless_transport_mode().map_err(setup)?);
    Ok(Established {
        reply,
        encoder: FrameEncoder::new(Arc::clone(&transport)),
        decoder: FrameDecoder::new(transport, input),
        key_id,
    })
}

/// A handshake message's fields, none of them believed yet.
struct Message {
    key_id: KeyId,
    noise: [u8; NOISE_BYTES],
}

/// Reads a message as far as it has arrived, so that a stranger is turned away by the
/// first byte that is wrong.
fn parse(input: &[u8]) -> Result<Option<Message>, HandshakeError> {
    let Some((&version, rest)) = input.split_first() else {
        return Ok(None);
    };
    if version != STREAM_VERSION {
        return Err(HandshakeError::Version { got: version });
    }
    let Some((&key_id, rest)) = rest.split_first_chunk() else {
        return Ok(None);
    };
    let Some((&length, rest)) = rest.split_first_chunk() else {
        return Ok(None);
    };
    let len = usize::from(u16::from_be_bytes(length));
    if len != NOISE_BYTES {
        return Err(HandshakeError::Length { len });
    }
    Ok(rest.first_chunk().map(|&noise| Message {
        key_id: KeyId(key_id),
        noise,
    }))
}

fn write_message(noise: &mut HandshakeState, key_id: KeyId) -> Result<Vec<u8>, HandshakeError> {
    let mut message = [0; NOISE_BYTES];
    noise.write_message(&[], &mut message).map_err(setup)?;
    let mut out = Vec::with_capacity(MESSAGE_BYTES);
    out.push(STREAM_VERSION);
    out.extend_from_slice(&key_id.0);
    out.extend_from_slice(&(NOISE_BYTES as u16).to_be_bytes());
    out.extend_from_slice(&message);
    Ok(out)
}

fn read_message(noise: &mut HandshakeState, message: &Message) -> Result<(), HandshakeError> {
    let mut payload = [0; NOISE_BYTES];
    noise
        .read_message(&message.noise, &mut payload)
        .map(|_| ())
        .map_err(|_| HandshakeError::Forged)
}

/// What both sides must agree on before the first byte, so that changing it on the way
/// breaks the handshake.
fn prologue(key: &ClusterKey, purpose: &[u8]) -> Vec<u8> {
    let mut prologue = b"netdb stream\0".to_vec();
    prologue.push(STREAM_VERSION);
    prologue.extend_from_slice(&key.id().0);
    prologue.extend_from_slice(purpose);
    prologue
}

fn setup(error: snow::Error) -> HandshakeError {
    HandshakeError::Setup {
        reason: error.to_string(),
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
