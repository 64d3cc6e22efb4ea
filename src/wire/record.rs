//! Frames on a protected stream: cut into sealed records, and put together again.
//!
//! ```text
//! record  length 2 | sealed( … ) tag 16          in the clear: only the length
//! frame   length 4 | payload                     inside the seals, over as many records as it takes
//! ```
//!
//! A frame begins with a record of its own. The two-byte length in the clear can make
//! the receiver wait for at most one record; the frame's own length is inside the seal, so
//! it is read only after it authenticated, and refused before anything is allocated for it.
//! Records are numbered implicitly: one that is dropped, repeated or moved does not open.
//!
//! A large object travels in as many records as it takes: a sender seals some at a time
//! ([`Sealing`]), a receiver sees what is coming after the first of them
//! ([`FrameDecoder::awaited`]), before it has taken memory for the rest.
//!
//! Memory is bounded: at most one frame being put together, and the input up to
//! [`INPUT_BYTES_MAX`]. A stream that failed once stays failed, since nothing after the
//! failure can be trusted to be in its place.

use std::fmt;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use snow::StatelessTransportState;

/// Longest frame: the largest value and key, with room for their causality.
pub const FRAME_BYTES_MAX: usize = 65 * 1024 * 1024;

/// Frames up to this length are put together at once: a delta, or many writes. The memory of
/// longer ones is for the reader to grant ([`FrameDecoder::grant`]).
pub const GRANTED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// About how much is sealed in one step: some records, a fraction of a millisecond's work.
const STEP_BYTES: usize = 512 * 1024;

/// Most bytes waiting to be opened: some records, so that a reader may hand over whatever
/// one read gave it.
pub const INPUT_BYTES_MAX: usize = 256 * 1024;

/// Room that [`FrameDecoder::read_buffer`] offers: half a record, since most records are
/// short and there is one buffer per peer.
pub const READ_BYTES: usize = 32 * 1024;

/// A frame buffer above this is given away with its frame rather than kept for the next,
/// so that an idle stream does not hold the memory of its largest frame.
const FRAME_BUFFER_KEPT_MAX: usize = 256 * 1024;

/// Longest Noise message.
const RECORD_BYTES_MAX: usize = u16::MAX as usize;
const RECORD_HEADER_BYTES: usize = 2;
const TAG_BYTES: usize = 16;
const RECORD_PLAIN_MAX: usize = RECORD_BYTES_MAX - TAG_BYTES;
const FRAME_HEADER_BYTES: usize = 4;
const FIRST_PLAIN_MAX: usize = RECORD_PLAIN_MAX - FRAME_HEADER_BYTES;

/// Why a frame was not sealed, or why a stream must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A frame without bytes says nothing.
    #[error("a frame of no bytes, expected 1 to {FRAME_BYTES_MAX}")]
    Empty,
    /// More bytes than a frame may have, sent or declared.
    #[error("a frame of {len} bytes is longer than the limit of {FRAME_BYTES_MAX}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Too short to hold a tag and something to authenticate.
    #[error("a record of {len} bytes is too short to hold anything")]
    RecordTooShort {
        /// Its length in bytes.
        len: usize,
    },
    /// Damaged, out of place, or made by somebody who did not take part in the handshake.
    #[error("a record does not authenticate")]
    Forged,
    /// A record holds more than the rest of its frame.
    #[error("a record holds {extra} bytes more than its frame declared")]
    Overrun {
        /// How many bytes too many.
        extra: usize,
    },
    /// More bytes were pushed than are kept; whole frames must be taken out in between.
    #[error("{len} bytes wait to be opened, the limit is {INPUT_BYTES_MAX}")]
    Backlog {
        /// How many would wait.
        len: usize,
    },
    /// The cipher has no nonce left, after 2⁶⁴ records.
    #[error("the session has used up its nonces, a new one is needed")]
    Exhausted,
}

/// Seals the frames of one direction.
pub struct FrameEncoder {
    transport: Arc<StatelessTransportState>,
    nonce: u64,
    scratch: Vec<u8>,
}

impl FrameEncoder {
    pub(super) fn new(transport: Arc<StatelessTransportState>) -> Self {
        Self {
            transport,
            nonce: 0,
            scratch: Vec::new(),
        }
    }

    /// Appends the records that carry the frame `plain` to `out`.
    ///
    /// # Errors
    /// As those of [`begin`](Self::begin) and [`Sealing::step`].
    #[cfg(test)]
    pub fn seal(&mut self, plain: &[u8], out: &mut BytesMut) -> Result<(), FrameError> {
        let records = 1 + plain.len().div_ceil(RECORD_PLAIN_MAX);
        let overhead = FRAME_HEADER_BYTES + records * (RECORD_HEADER_BYTES + TAG_BYTES);
        let mut sealing = self.begin(plain)?;
        out.reserve(plain.len() + overhead);
        while sealing.step(out)? {}
        Ok(())
    }

    /// Begins the frame `plain`, to be sealed in steps. All must be taken: a frame that is
    /// not sent to its end ends the stream.
    ///
    /// # Errors
    /// If the frame is empty or longer than [`FRAME_BYTES_MAX`]; the stream goes on.
    pub fn begin<'a>(&'a mut self, plain: &'a [u8]) -> Result<Sealing<'a>, FrameError> {
        Ok(Sealing {
            header: Some(check_frame_len(plain.len())?),
            encoder: self,
            rest: plain,
        })
    }

    fn seal_first(&mut self, len: u32, plain: &[u8], out: &mut BytesMut) -> Result<(), FrameError> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.extend_from_slice(&len.to_be_bytes());
        scratch.extend_from_slice(plain);
        let sealed = self.seal_record(&scratch, out);
        self.scratch = scratch;
        sealed
    }

    fn seal_record(&mut self, plain: &[u8], out: &mut BytesMut) -> Result<(), FrameError> {
        let sealed_len = plain.len() + TAG_BYTES;
        let length =
            u16::try_from(sealed_len).map_err(|_| FrameError::TooLong { len: sealed_len })?;
        out.extend_from_slice(&length.to_be_bytes());
        let start = out.len();
        out.resize(start + sealed_len, 0);
        self.transport
            .write_message(self.nonce, plain, &mut out[start..])
            .map_err(|_| FrameError::Exhausted)?;
        self.nonce += 1;
        Ok(())
    }
}

impl fmt::Debug for FrameEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameEncoder")
            .field("records", &self.nonce)
            .finish_non_exhaustive()
    }
}

/// A frame that is being sealed.
#[derive(Debug)]
pub struct Sealing<'a> {
    encoder: &'a mut FrameEncoder,
    /// The frame's length, until its first record is sealed.
    header: Option<u32>,
    rest: &'a [u8],
}

impl<'a> Sealing<'a> {
    /// Appends the next records to `out`, about half a mebibyte of them; whether there are
    /// more.
    ///
    /// # Errors
    /// [`FrameError::Exhausted`]: the stream must be closed.
    pub fn step(&mut self, out: &mut BytesMut) -> Result<bool, FrameError> {
        if let Some(len) = self.header.take() {
            let first = self.cut(FIRST_PLAIN_MAX);
            self.encoder.seal_first(len, first, out)?;
        }
        let step = self.cut(STEP_BYTES / RECORD_PLAIN_MAX * RECORD_PLAIN_MAX);
        for chunk in step.chunks(RECORD_PLAIN_MAX) {
            self.encoder.seal_record(chunk, out)?;
        }
        Ok(!self.rest.is_empty())
    }

    fn cut(&mut self, len: usize) -> &'a [u8] {
        let (cut, rest) = self.rest.split_at(self.rest.len().min(len));
        self.rest = rest;
        cut
    }
}

/// Opens the frames of one direction: bytes in, however cut, whole frames out.
pub struct FrameDecoder {
    transport: Arc<StatelessTransportState>,
    nonce: u64,
    input: BytesMut,
    /// What has been opened of the frame in progress.
    frame: BytesMut,
    /// How much of the frame in progress is still to come; 0 between frames.
    missing: usize,
    /// Whether the memory for the frame in progress has been granted.
    is_granted: bool,
    failed: Option<FrameError>,
}

impl FrameDecoder {
    /// A decoder to which the bytes that came behind the handshake already belong.
    pub(super) fn new(transport: Arc<StatelessTransportState>, input: BytesMut) -> Self {
        Self {
            transport,
            nonce: 0,
            input,
            frame: BytesMut::new(),
            missing: 0,
            is_granted: false,
            failed: None,
        }
    }

    /// Takes bytes that arrived. Take out frames until there are none before pushing more.
    ///
    /// # Errors
    /// [`FrameError::Backlog`] if frames were not taken out; the bytes were not taken. Else
    /// the reason why the stream had failed before.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let len = self.input.len().saturating_add(bytes.len());
        if len > INPUT_BYTES_MAX {
            return Err(FrameError::Backlog { len });
        }
        self.input.extend_from_slice(bytes);
        Ok(())
    }

    /// The input itself, with room for [`READ_BYTES`] more, for a reader that appends to it
    /// without a copy. Take out frames until there are none after each read.
    pub fn read_buffer(&mut self) -> &mut BytesMut {
        self.input.reserve(READ_BYTES);
        &mut self.input
    }

    /// The next whole frame, or `None` if more bytes are needed.
    ///
    /// # Errors
    /// If the stream is broken. It stays so, and must be closed.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let next = self.advance();
        if let Err(error) = next {
            self.failed = Some(error);
            self.input = BytesMut::new();
            self.frame = BytesMut::new();
        }
        next
    }

    /// How long the frame in progress is, if its memory has to be
    /// [granted](Self::grant) first. Until then it grows as its records come.
    pub fn awaited(&self) -> Option<usize> {
        let len = self.frame.len().saturating_add(self.missing);
        let is_waiting = self.missing > 0 && !self.is_granted && len > GRANTED_BYTES_MAX;
        is_waiting.then_some(len)
    }

    /// Whether memory was granted to the frame in progress.
    pub fn is_granted(&self) -> bool {
        self.is_granted
    }

    /// Takes the memory for the frame in progress.
    pub fn grant(&mut self) {
        self.is_granted = true;
        self.frame.reserve(self.missing);
    }

    fn advance(&mut self) -> Result<Option<Bytes>, FrameError> {
        while self.open_record()? {
            if self.missing == 0 {
                return Ok(Some(self.take_frame()));
            }
        }
        Ok(None)
    }

    /// Moves one record from the input to the frame; whether there was one.
    fn open_record(&mut self) -> Result<bool, FrameError> {
        let Some((header, rest)) = self.input.split_first_chunk::<RECORD_HEADER_BYTES>() else {
            return Ok(false);
        };
        let len = usize::from(u16::from_be_bytes(*header));
        if len <= TAG_BYTES {
            return Err(FrameError::RecordTooShort { len });
        }
        let Some(sealed) = rest.get(..len) else {
            return Ok(false);
        };
        let start = self.frame.len();
        let opened = len - TAG_BYTES;
        self.frame.resize(start + opened, 0);
        self.transport
            .read_message(self.nonce, sealed, &mut self.frame[start..])
            .map_err(|_| FrameError::Forged)?;
        self.nonce += 1;
        self.input.advance(RECORD_HEADER_BYTES + len);
        if self.missing == 0 {
            self.begin_frame()?;
        } else {
            self.missing = remaining(self.missing, opened)?;
        }
        Ok(true)
    }

    /// Reads the length of a frame whose first record has just been opened.
    fn begin_frame(&mut self) -> Result<(), FrameError> {
        let len = self.frame.len();
        if len <= FRAME_HEADER_BYTES {
            return Err(FrameError::RecordTooShort {
                len: len + TAG_BYTES,
            });
        }
        let declared = self.frame.get_u32() as usize;
        check_frame_len(declared)?;
        self.missing = remaining(declared, self.frame.len())?;
        if declared <= GRANTED_BYTES_MAX {
            self.frame.reserve(self.missing);
        }
        Ok(())
    }

    fn take_frame(&mut self) -> Bytes {
        self.is_granted = false;
        if self.frame.capacity() > FRAME_BUFFER_KEPT_MAX {
            return std::mem::take(&mut self.frame).freeze();
        }
        self.frame.split().freeze()
    }
}

impl fmt::Debug for FrameDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameDecoder")
            .field("records", &self.nonce)
            .field("waiting", &self.input.len())
            .field("missing", &self.missing)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

fn check_frame_len(len: usize) -> Result<u32, FrameError> {
    match u32::try_from(len) {
        Ok(0) => Err(FrameError::Empty),
        Ok(short) if len <= FRAME_BYTES_MAX => Ok(short),
        _ => Err(FrameError::TooLong { len }),
    }
}

fn remaining(missing: usize, opened: usize) -> Result<usize, FrameError> {
    missing.checked_sub(opened).ok_or(FrameError::Overrun {
        extra: opened.saturating_sub(missing),
    })
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
