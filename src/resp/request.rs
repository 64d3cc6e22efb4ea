//! Commands from clients: arrays of bulks, or inline lines.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

use super::inline::split_args;
use super::limits::{BULK_BYTES_MAX_DEFAULT, HEADER_BYTES_MAX};
use super::number::parse_i64;

/// Longest inline command: what a person or a health check types. Redis's own limit.
pub const INLINE_BYTES_MAX: usize = 64 * 1024;

/// Most arguments of one command: Redis's own limit before version 7, and far more than
/// any command needs at once.
pub const ARGS_MAX: usize = 1_048_576;

/// Most bytes that one command may hold in memory while it is being read: one largest
/// value and as much again for keys and the cost of arguments.
pub const REQUEST_BYTES_MAX_DEFAULT: usize = 2 * BULK_BYTES_MAX_DEFAULT;

/// What one argument costs beyond its bytes: its handle and its allocation. Counted so
/// that a million empty arguments are not free.
pub const ARG_OVERHEAD_BYTES: usize = 64;

/// Arguments from this length on may keep the buffer that they were read into.
///
/// Values live in memory for as long as they are stored, so an argument that keeps its
/// buffer alive must fill most of it. Shorter arguments are copied into an allocation of
/// their own; longer ones are handed over without a copy if they fill about half of the
/// buffer (buffers grow by doubling), and are copied otherwise.
pub const SHARED_ARG_BYTES_MIN: usize = 32 * 1024;

/// Room that is taken at once for the arguments of a command, whatever it declares.
const ARGS_CAPACITY_MAX: usize = 16;

/// Limits of a [`RequestDecoder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Longest single argument, in bytes. A longer one is refused at its header.
    pub bulk_bytes_max: usize,
    /// Most bytes of one command, all arguments and [`ARG_OVERHEAD_BYTES`] for each.
    pub request_bytes_max: usize,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            bulk_bytes_max: BULK_BYTES_MAX_DEFAULT,
            request_bytes_max: REQUEST_BYTES_MAX_DEFAULT,
        }
    }
}

/// Why the bytes are no command. The texts are Redis's, because clients and people look
/// for them. After one the stream has no frame boundary any more: answer and close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProtocolError {
    /// An inline command without an end within [`INLINE_BYTES_MAX`].
    #[error("Protocol error: too big inline request")]
    InlineTooLong,
    /// See [`split_args`].
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// The line after `*` does not end.
    #[error("Protocol error: too big mbulk count string")]
    CountLineTooLong,
    /// The count is no number, or more than [`ARGS_MAX`].
    #[error("Protocol error: invalid multibulk length")]
    InvalidCount,
    /// The line after `$` does not end.
    #[error("Protocol error: too big bulk count string")]
    LengthLineTooLong,
    /// The length is no number, negative, or beyond [`RequestLimits::bulk_bytes_max`].
    #[error("Protocol error: invalid bulk length")]
    InvalidLength,
    /// An argument that is not a bulk.
    #[error("Protocol error: expected '$', got '{}'", char::from(*.0))]
    ExpectedBulk(u8),
    /// A bulk whose bytes are not followed by a line end: its length was wrong.
    #[error("Protocol error: bulk not terminated by CRLF")]
    UnterminatedBulk,
    /// All arguments together are beyond [`RequestLimits::request_bytes_max`].
    #[error("Protocol error: request of more than {0} bytes")]
    RequestTooLong(usize),
}

/// What a [`RequestDecoder`] has read.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A command, with at least one argument.
    Command(Vec<Bytes>),
    /// The arguments of a command before the one for which there was no room. That one and
    /// those behind it were read and dropped.
    Refused(Vec<Bytes>),
}

/// Reads commands from a buffer that grows at its end. Keeps its place within a command,
/// so that nothing is parsed twice; what was parsed is taken off the buffer.
#[derive(Debug)]
pub struct RequestDecoder {
    limits: RequestLimits,
    /// Arguments of the current command that are still to come.
    args_missing: usize,
    /// Length of the argument whose header has been read.
    bulk_length: Option<usize>,
    args: Vec<Bytes>,
    /// What the current command costs so far.
    bytes: usize,
    /// There is no room for the current command: the rest of it is dropped as it comes.
    is_refused: bool,
    /// Bytes at the start of the buffer that are known to hold no line end.
    scanned: usize,
}

impl RequestDecoder {
    /// A decoder at the start of a stream.
    pub fn new(limits: RequestLimits) -> Self {
        Self {
            limits,
            args_missing: 0,
            bulk_length: None,
            args: Vec::new(),
            bytes: 0,
            is_refused: false,
            scanned: 0,
        }
    }

    /// The next whole command, for which there is always room; see
    /// [`decode_within`](Self::decode_within).
    ///
    /// # Errors
    /// [`ProtocolError`]; the decoder and the buffer are of no further use.
    #[cfg(test)]
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        let decoded = self.decode_within(buffer, |_| true)?;
        Ok(decoded.map(|decoded| match decoded {
            Decoded::Command(args) | Decoded::Refused(args) => args,
        }))
    }

    /// The next whole command; `None` when more bytes are needed. Empty commands (a bare line
    /// end, `*0`, `*-1`) are skipped, as Redis does.
    ///
    /// Before memory is taken for an argument, `admit` is asked whether the command may take
    /// as much: what it has taken, the argument, and [`ARG_OVERHEAD_BYTES`] for each. Inline
    /// commands are short.
    ///
    /// # Errors
    /// [`ProtocolError`]; the decoder and the buffer are of no further use.
    pub fn decode_within(
        &mut self,
        buffer: &mut BytesMut,
        mut admit: impl FnMut(usize) -> bool,
    ) -> Result<Option<Decoded>, ProtocolError> {
        while self.args_missing == 0 {
            match buffer.first() {
                None => return Ok(None),
                Some(b'*') => {
                    if !self.read_count(buffer)? {
                        return Ok(None);
                    }
                }
                Some(_) => match self.read_inline(buffer)? {
                    None => return Ok(None),
                    Some(args) if args.is_empty() => {}
                    Some(args) => return Ok(Some(Decoded::Command(args))),
                },
            }
        }
        while self.args_missing > 0 {
            if !self.read_argument(buffer, &mut admit)? {
                return Ok(None);
            }
        }
        self.bytes = 0;
        let args = std::mem::take(&mut self.args);
        Ok(Some(match std::mem::take(&mut self.is_refused) {
            true => Decoded::Refused(args),
            false => Decoded::Command(args),
        }))
    }

    /// How many bytes the argument being read still lacks; 0 if that is not known, or if it
    /// is to be dropped. A hint for how much to read at once; memory for as much was admitted.
    pub fn bytes_missing(&self, buffer: &BytesMut) -> usize {
        let kept = self.bulk_length.filter(|_| !self.is_refused);
        kept.map_or(0, |length| {
            length.saturating_add(2).saturating_sub(buffer.len())
        })
    }

    /// Whether a command has begun but not ended.
    pub fn in_command(&self) -> bool {
        self.args_missing > 0
    }

    /// Bytes of memory that it keeps for a command that has not ended.
    #[cfg(test)]
    pub(super) fn bytes_kept(&self) -> usize {
        let args: usize = self.args.iter().map(Bytes::len).sum();
        self.args.capacity() * size_of::<Bytes>() + args
    }

    /// Reads `*COUNT`; false when more bytes are needed.
    fn read_count(&mut self, buffer: &mut BytesMut) -> Result<bool, ProtocolError> {
        let Some(line) = header_line(buffer, ProtocolError::CountLineTooLong)? else {
            return Ok(false);
        };
        let count = line
            .strip_suffix(b"\r")
            .and_then(parse_i64)
            .ok_or(ProtocolError::InvalidCount)?;
        let line_length = line.len();
        if count > 0 {
            self.args_missing = usize::try_from(count)
                .ok()
                .filter(|count| *count <= ARGS_MAX)
                .ok_or(ProtocolError::InvalidCount)?;
            self.args = Vec::with_capacity(self.args_missing.min(ARGS_CAPACITY_MAX));
        }
        advance_line(buffer, line_length);
        Ok(true)
    }

    /// Reads one argument; false when more bytes are needed.
    fn read_argument(
        &mut self,
        buffer: &mut BytesMut,
        admit: impl FnMut(usize) -> bool,
    ) -> Result<bool, ProtocolError> {
        let length = match self.bulk_length {
            Some(length) => length,
            None => match self.read_length(buffer, admit)? {
                Some(length) => length,
                None => return Ok(false),
            },
        };
        if self.is_refused {
            return self.drop_argument(buffer, length);
        }
        match buffer.get(length..length.saturating_add(2)) {
            None => return Ok(false),
            Some(b"\r\n") => {}
            Some(_) => return Err(ProtocolError::UnterminatedBulk),
        }
        self.args.push(take_argument(buffer, length));
        buffer.advance(2);
        self.end_argument();
        Ok(true)
    }

    /// Drops what has come of an argument; false when more of it is to come.
    fn drop_argument(
        &mut self,
        buffer: &mut BytesMut,
        length: usize,
    ) -> Result<bool, ProtocolError> {
        let come = length.min(buffer.len());
        buffer.advance(come);
        let missing = length.saturating_sub(come);
        self.bulk_length = Some(missing);
        match buffer.get(..2) {
            _ if missing > 0 => Ok(false),
            None => Ok(false),
            Some(b"\r\n") => {
                buffer.advance(2);
                self.end_argument();
                Ok(true)
            }
            Some(_) => Err(ProtocolError::UnterminatedBulk),
        }
    }

    fn end_argument(&mut self) {
        self.bulk_length = None;
        self.args_missing = self.args_missing.saturating_sub(1);
    }

    /// Reads `$LENGTH`, and refuses it before anything is kept for it.
    fn read_length(
        &mut self,
        buffer: &mut BytesMut,
        mut admit: impl FnMut(usize) -> bool,
    ) -> Result<Option<usize>, ProtocolError> {
        match buffer.first() {
            None => return Ok(None),
            Some(b'$') => {}
            Some(other) => return Err(ProtocolError::ExpectedBulk(*other)),
        }
        let Some(line) = header_line(buffer, ProtocolError::LengthLineTooLong)? else {
            return Ok(None);
        };
        let length = line
            .strip_suffix(b"\r")
            .and_then(parse_i64)
            .and_then(|length| usize::try_from(length).ok())
            .filter(|length| *length <= self.limits.bulk_bytes_max)
            .ok_or(ProtocolError::InvalidLength)?;
        let line_length = line.len();
        self.bytes = self
            .bytes
            .saturating_add(length)
            .saturating_add(ARG_OVERHEAD_BYTES);
        if self.bytes > self.limits.request_bytes_max {
            return Err(ProtocolError::RequestTooLong(self.limits.request_bytes_max));
        }
        self.is_refused = self.is_refused || !admit(self.bytes);
        advance_line(buffer, line_length);
        self.bulk_length = Some(length);
        Ok(Some(length))
    }

    /// Reads a line of words; `None` when it has not ended yet.
    fn read_inline(&mut self, buffer: &mut BytesMut) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        let fresh = buffer.get(self.scanned..).unwrap_or_default();
        let Some(offset) = fresh.iter().position(|byte| *byte == b'\n') else {
            self.scanned = buffer.len();
            if self.scanned > INLINE_BYTES_MAX {
                return Err(ProtocolError::InlineTooLong);
            }
            return Ok(None);
        };
        let end = self.scanned.saturating_add(offset);
        self.scanned = 0;
        if end > INLINE_BYTES_MAX {
            return Err(ProtocolError::InlineTooLong);
        }
        let line = buffer.split_to(end);
        buffer.advance(1);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        split_args(line)
            .map(Some)
            .map_err(|_| ProtocolError::UnbalancedQuotes)
    }
}

/// The line at the start of `buffer` after its first byte and up to the line feed, once
/// that has come.
fn header_line(buffer: &BytesMut, too_long: ProtocolError) -> Result<Option<&[u8]>, ProtocolError> {
    let window = buffer
        .get(1..buffer.len().min(HEADER_BYTES_MAX))
        .unwrap_or_default();
    match window.iter().position(|byte| *byte == b'\n') {
        Some(end) => Ok(window.get(..end)),
        None if buffer.len() >= HEADER_BYTES_MAX => Err(too_long),
        None => Ok(None),
    }
}

/// Takes a header off the buffer: its first byte, the line, the line feed.
fn advance_line(buffer: &mut BytesMut, line_length: usize) {
    buffer.advance(line_length.saturating_add(2).min(buffer.len()));
}

/// Takes `length` bytes off the buffer, copied or not as [`SHARED_ARG_BYTES_MIN`] says.
fn take_argument(buffer: &mut BytesMut, length: usize) -> Bytes {
    let filled = length.saturating_add(HEADER_BYTES_MAX);
    if length >= SHARED_ARG_BYTES_MIN && filled >= buffer.capacity() / 2 {
        return buffer.split_to(length).freeze();
    }
    let copy = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
    buffer.advance(copy.len());
    copy
}
