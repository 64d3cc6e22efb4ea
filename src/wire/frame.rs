//! What one frame of a peer stream says, once it is open.
//!
//! ```text
//! version 1 | kind 1 | Hello: bincode | Batch: ( length 4 | bincode )* | Ping, Pong: 8 | Refused: UTF-8
//! ```
//!
//! A stream begins with a `Hello` each way, which carries all that must agree before
//! anything else is said; whoever disagrees answers `Refused` with the reason and closes.
//! Batches hold each message with its own length rather than one encoded list, so that
//! they can be filled up to a budget in place, and so that the number of messages is
//! bounded before they are decoded: a message of one byte may take hundreds in memory.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::codec;
use super::error::WireError;
use super::record::FRAME_BYTES_MAX;

/// The layout above, as a number.
pub const FRAME_VERSION: u8 = 1;

/// Longest encoded `Hello`: names and addresses, no lists.
pub const HELLO_BYTES_MAX: usize = 1_024;

/// Longest reason of a refusal: a few sentences for an operator. Longer ones are cut.
pub const REFUSED_BYTES_MAX: usize = 512;

/// Most messages in one batch: at the least size of a real message (about 50 bytes) a
/// batch of the usual budget holds fewer, so only malice and bugs meet it.
pub const BATCH_MESSAGES_MAX: usize = 8_192;

pub(super) const KIND_BATCH: u8 = 2;
pub(super) const FRAME_HEADER: usize = 2;
const KIND_HELLO: u8 = 1;
const KIND_PING: u8 = 3;
const KIND_PONG: u8 = 4;
const KIND_REFUSED: u8 = 5;
const MESSAGE_HEADER_BYTES: usize = 4;
const WHAT: &str = "frame";

/// One frame; `M` is a message between replicas, `H` the first word of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<M, H> {
    /// Who speaks, and what must agree.
    Hello(H),
    /// Messages between replicas, in order.
    Batch(Vec<M>),
    /// Asks for a `Pong` with the same number.
    Ping(u64),
    /// The answer to a `Ping`.
    Pong(u64),
    /// The peer will not go on, for this reason.
    Refused(String),
}

/// The first frame each way; `F` is the fingerprint of the cluster-wide settings and `I`
/// the identity of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerHello<F, I> {
    /// Version of the messages between replicas.
    pub protocol: u16,
    /// What must be the same in the whole cluster.
    pub fingerprint: F,
    /// Which member speaks.
    pub identity: I,
    /// Its name, for people.
    pub name: String,
}

impl<M: Serialize, H: Serialize> Frame<M, H> {
    /// The frame's bytes, to be sealed.
    ///
    /// # Errors
    /// If they exceed a limit or a value has no encoding.
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        let mut out = Vec::new();
        match self {
            Self::Hello(hello) => {
                put_header(KIND_HELLO, &mut out);
                codec::encode_into(hello, &mut out)?;
                check_len("hello", out.len() - FRAME_HEADER, HELLO_BYTES_MAX)?;
            }
            Self::Batch(messages) => {
                if messages.len() > BATCH_MESSAGES_MAX {
                    return Err(TOO_MANY);
                }
                put_header(KIND_BATCH, &mut out);
                for message in messages {
                    put_message(message, &mut out)?;
                }
            }
            Self::Ping(number) => put_number(KIND_PING, *number, &mut out),
            Self::Pong(number) => put_number(KIND_PONG, *number, &mut out),
            Self::Refused(reason) => {
                put_header(KIND_REFUSED, &mut out);
                out.extend_from_slice(cut(reason, REFUSED_BYTES_MAX).as_bytes());
            }
        }
        check_len(WHAT, out.len(), FRAME_BYTES_MAX)?;
        Ok(out)
    }
}

impl<M: DeserializeOwned, H: DeserializeOwned> Frame<M, H> {
    /// What `bytes`, opened from a stream, say.
    ///
    /// # Errors
    /// If they are of another version or kind, exceed a limit, or hold something that this
    /// version does not know.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        check_len(WHAT, bytes.len(), FRAME_BYTES_MAX)?;
        let (&[version, kind], body) = bytes
            .split_first_chunk::<FRAME_HEADER>()
            .ok_or(WireError::Truncated { what: WHAT })?;
        if version != FRAME_VERSION {
            return Err(WireError::Version {
                what: WHAT,
                got: version,
                known: FRAME_VERSION,
            });
        }
        match kind {
            KIND_HELLO => Ok(Self::Hello(codec::decode::<H, HELLO_BYTES_MAX>(body)?)),
            KIND_BATCH => read_messages(body).map(Self::Batch),
            KIND_PING => read_number(body).map(Self::Ping),
            KIND_PONG => read_number(body).map(Self::Pong),
            KIND_REFUSED => read_reason(body).map(Self::Refused),
            kind => Err(WireError::UnknownKind { what: WHAT, kind }),
        }
    }
}

const TOO_MANY: WireError = WireError::TooManyMessages {
    limit: BATCH_MESSAGES_MAX,
};

pub(super) fn put_header(kind: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[FRAME_VERSION, kind]);
}

/// Appends a message behind its length; `out` is left as it was on an error.
pub(super) fn put_message<M: Serialize>(message: &M, out: &mut Vec<u8>) -> Result<(), WireError> {
    let start = out.len();
    out.extend_from_slice(&[0; MESSAGE_HEADER_BYTES]);
    let body = out.len();
    let written = codec::encode_into(message, out)
        .map_err(WireError::from)
        .and_then(|()| message_len(out.len() - body));
    match written {
        Ok(len) => {
            out[start..body].copy_from_slice(&len.to_be_bytes());
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}

fn message_len(len: usize) -> Result<u32, WireError> {
    check_len("message", len, FRAME_BYTES_MAX)?;
    u32::try_from(len).map_err(|_| WireError::TooLong {
        what: "message",
        len,
        limit: FRAME_BYTES_MAX,
    })
}

fn read_messages<M: DeserializeOwned>(mut body: &[u8]) -> Result<Vec<M>, WireError> {
    const CUT: WireError = WireError::Truncated { what: "batch" };
    let mut messages = Vec::new();
    while !body.is_empty() {
        if messages.len() >= BATCH_MESSAGES_MAX {
            return Err(TOO_MANY);
        }
        let (&len, rest) = body
            .split_first_chunk::<MESSAGE_HEADER_BYTES>()
            .ok_or(CUT)?;
        let len = u32::from_be_bytes(len) as usize;
        let (message, rest) = rest.split_at_checked(len).ok_or(CUT)?;
        messages.push(codec::decode::<M, FRAME_BYTES_MAX>(message)?);
        body = rest;
    }
    Ok(messages)
}

fn put_number(kind: u8, number: u64, out: &mut Vec<u8>) {
    put_header(kind, out);
    out.extend_from_slice(&number.to_be_bytes());
}

fn read_number(body: &[u8]) -> Result<u64, WireError> {
    let bytes = body.try_into().map_err(|_| {
        if body.len() < size_of::<u64>() {
            WireError::Truncated { what: "ping" }
        } else {
            WireError::TooLong {
                what: "ping",
                len: body.len(),
                limit: size_of::<u64>(),
            }
        }
    })?;
    Ok(u64::from_be_bytes(bytes))
}

fn read_reason(body: &[u8]) -> Result<String, WireError> {
    check_len("refusal", body.len(), REFUSED_BYTES_MAX)?;
    let text = std::str::from_utf8(body).map_err(|_| WireError::NotText)?;
    Ok(text.to_owned())
}

fn check_len(what: &'static str, len: usize, limit: usize) -> Result<(), WireError> {
    if len > limit {
        return Err(WireError::TooLong { what, len, limit });
    }
    Ok(())
}

/// The longest beginning of `text` that takes at most `limit` bytes.
fn cut(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len()))
        .rev()
        .find(|&end| text.is_char_boundary(end));
    text.get(..end.unwrap_or(0)).unwrap_or(text)
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
