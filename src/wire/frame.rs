//! What one frame of a peer stream says, once it is open.
//!
//! ```text
//! version 1 | kind 1 | Hello: bincode | Batch: ( length 1-4 | bincode )* | Ping, Pong: 8 | Refused: UTF-8
//! ```
//!
//! A stream begins with a `Hello` each way, which carries all that must agree before
//! anything else is said; whoever disagrees answers `Refused` with the reason and closes.
//! Batches hold each message with its own length rather than one encoded list, so that
//! they can be filled up to a budget in place, and so that the number of messages is
//! bounded before they are decoded: a message of one byte may take hundreds in memory. A
//! length is seven bits a byte, the lowest first, with a mark on all but the last.
//!
//! Messages name actors by the places that these have on the stream: see
//! [`ActorNames`]. So a batch can only be read after all batches before it.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::codec;
use super::error::WireError;
use super::record::FRAME_BYTES_MAX;
use crate::clock::ActorNames;

/// The layout above, as a number.
pub const FRAME_VERSION: u8 = 3;

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
/// Bytes of the longest length: enough for [`FRAME_BYTES_MAX`], four times over.
const LENGTH_BYTES_MAX: usize = 4;
/// What each byte of a length holds, and the mark of all but its last.
const LENGTH_BITS: usize = 7;
const LENGTH_GOES_ON: u8 = 1 << LENGTH_BITS;
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
    /// The frame's bytes, to be sealed. A batch must be the first of its stream; a
    /// [`BatchPacker`](super::BatchPacker) makes further ones.
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
                let mut names = ActorNames::default();
                for message in messages {
                    put_message(message, &mut names, &mut out)?;
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
    /// What `bytes`, opened from a stream on which no batch came before, say.
    ///
    /// # Errors
    /// As those of [`decode_with`](Self::decode_with).
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        Self::decode_with(bytes, &mut ActorNames::default(), Vec::new())
    }

    /// What `bytes`, opened from a stream, say. `names` are those of the batches before, and
    /// `room` is what its messages go to: a list from before, for its memory.
    ///
    /// # Errors
    /// If they are of another version or kind, exceed a limit, or hold something that this
    /// version does not know. `names` are of no use any more then.
    pub fn decode_with(
        bytes: &[u8],
        names: &mut ActorNames,
        room: Vec<M>,
    ) -> Result<Self, WireError> {
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
            KIND_BATCH => read_messages(body, names, room).map(Self::Batch),
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
pub(super) fn put_message<M: Serialize>(
    message: &M,
    names: &mut ActorNames,
    out: &mut Vec<u8>,
) -> Result<(), WireError> {
    let place = out.len();
    out.push(0);
    let start = out.len();
    let encoded = names.within(|| codec::encode_into(message, out));
    let len = out.len() - start;
    let checked = encoded
        .map_err(WireError::from)
        .and_then(|()| check_len("message", len, FRAME_BYTES_MAX));
    if let Err(error) = checked {
        out.truncate(place);
        return Err(error);
    }
    // Most lengths are of one byte; for a longer one the message is moved, which costs little
    // beside encoding it.
    out.splice(place..start, length_bytes(len));
    Ok(())
}

fn length_bytes(len: usize) -> impl Iterator<Item = u8> {
    let mut rest = Some(len);
    std::iter::from_fn(move || {
        let len = rest?;
        let low = (len % usize::from(LENGTH_GOES_ON)) as u8;
        let high = len >> LENGTH_BITS;
        rest = (high > 0).then_some(high);
        Some(if high > 0 { low | LENGTH_GOES_ON } else { low })
    })
}

/// The length at the beginning of `bytes`, and what follows it.
fn split_length(bytes: &[u8]) -> Result<(usize, &[u8]), WireError> {
    const CUT: WireError = WireError::Truncated { what: "length" };
    let goes_on = bytes.iter().take_while(|byte| **byte >= LENGTH_GOES_ON);
    let count = goes_on.count() + 1;
    if count > LENGTH_BYTES_MAX {
        return Err(WireError::TooLong {
            what: "length",
            len: count,
            limit: LENGTH_BYTES_MAX,
        });
    }
    let (length, rest) = bytes.split_at_checked(count).ok_or(CUT)?;
    let bits = length.iter().rev().map(|byte| byte & !LENGTH_GOES_ON);
    let len = bits.fold(0, |len, bits| len << LENGTH_BITS | usize::from(bits));
    Ok((len, rest))
}

fn read_messages<M: DeserializeOwned>(
    mut body: &[u8],
    names: &mut ActorNames,
    mut messages: Vec<M>,
) -> Result<Vec<M>, WireError> {
    const CUT: WireError = WireError::Truncated { what: "batch" };
    messages.clear();
    while !body.is_empty() {
        if messages.len() >= BATCH_MESSAGES_MAX {
            return Err(TOO_MANY);
        }
        let (len, rest) = split_length(body)?;
        let (message, rest) = rest.split_at_checked(len).ok_or(CUT)?;
        messages.push(names.within(|| codec::decode::<M, FRAME_BYTES_MAX>(message))?);
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
