//! Replies from a server, read by a client that does not trust it.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

use super::limits::{BULK_BYTES_MAX_DEFAULT, HEADER_BYTES_MAX};
use super::number::parse_i64;
use super::value::Value;

/// Deepest nesting of arrays and maps. `COMMAND DOCS`, the deepest reply in use, has
/// fewer than 10 levels; values are dropped and written recursively, so depth is stack.
pub const NESTING_MAX: usize = 32;

/// Longest simple string, error or number: a line that a person reads.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Room that is taken at once for the items of an array, whatever it declares.
const ITEMS_CAPACITY_MAX: usize = 64;

/// Limits of a [`ReplyDecoder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyLimits {
    /// Longest bulk or verbatim string, in bytes.
    pub bulk_bytes_max: usize,
    /// Most values in one reply, counted through all its levels; a map's pair is two.
    pub items_max: usize,
    /// Most bytes in all strings of one reply together.
    pub reply_bytes_max: usize,
}

impl Default for ReplyLimits {
    /// A value of the largest size, a listing of a million keys, and four largest values
    /// in one reply.
    fn default() -> Self {
        Self {
            bulk_bytes_max: BULK_BYTES_MAX_DEFAULT,
            items_max: 1_048_576,
            reply_bytes_max: 4 * BULK_BYTES_MAX_DEFAULT,
        }
    }
}

/// Why the bytes are no reply. The stream has no frame boundary any more: close it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReplyError {
    /// A first byte that begins no reply.
    #[error("reply begins with byte 0x{0:02x}, which is no type of the Redis protocol")]
    UnknownType(u8),
    /// A part of RESP3 that is left out here.
    #[error("reply uses {0}, which this client does not read")]
    Unsupported(&'static str),
    /// A line that does not end.
    #[error("line of more than {0} bytes in a reply")]
    LineTooLong(usize),
    /// A line feed without a carriage return before it.
    #[error("line in a reply does not end in CRLF")]
    BadLine,
    /// A count, length, number or boolean that is none.
    #[error("{0} in a reply is malformed")]
    Malformed(&'static str),
    /// A string beyond [`ReplyLimits::bulk_bytes_max`].
    #[error("string of {length} bytes in a reply: at most {limit}")]
    BulkTooLong {
        /// Its declared length.
        length: usize,
        /// The most that is accepted.
        limit: usize,
    },
    /// More values than [`ReplyLimits::items_max`].
    #[error("more than {0} values in one reply")]
    TooManyItems(usize),
    /// More bytes than [`ReplyLimits::reply_bytes_max`].
    #[error("more than {0} bytes in one reply")]
    ReplyTooLong(usize),
    /// Arrays in arrays beyond [`NESTING_MAX`].
    #[error("reply is nested more than {NESTING_MAX} levels deep")]
    TooDeep,
}

/// Reads replies from a buffer that grows at its end; iterative, so that no reply can
/// exhaust the stack.
#[derive(Debug)]
pub struct ReplyDecoder {
    limits: ReplyLimits,
    /// Arrays and maps that have begun, outermost first.
    open: Vec<Open>,
    /// The string whose header has been read.
    bulk: Option<Bulk>,
    /// Values declared so far by the current reply.
    items: usize,
    /// String bytes declared so far by the current reply.
    bytes: usize,
    /// Bytes at the start of the buffer that are known to hold no line end.
    scanned: usize,
}

#[derive(Debug)]
struct Open {
    kind: Kind,
    missing: usize,
    items: Vec<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Array,
    Set,
    Push,
    Map,
}

#[derive(Clone, Copy, Debug)]
struct Bulk {
    kind: BulkKind,
    length: usize,
}

#[derive(Clone, Copy, Debug)]
enum BulkKind {
    String,
    Error,
    Verbatim,
}

/// What one step of the decoder found.
enum Step {
    /// A whole value without parts, or an empty container.
    Value(Value),
    /// The header of a string or of a container: go on.
    Header,
    /// More bytes are needed.
    More,
}

impl ReplyDecoder {
    /// A decoder at the start of a stream.
    pub fn new(limits: ReplyLimits) -> Self {
        Self {
            limits,
            open: Vec::new(),
            bulk: None,
            items: 0,
            bytes: 0,
            scanned: 0,
        }
    }

    /// The next whole reply; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`ReplyError`]; the decoder and the buffer are of no further use.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Value>, ReplyError> {
        loop {
            let step = match self.bulk {
                Some(bulk) => self.read_bulk(bulk, buffer)?,
                None => self.read_header(buffer)?,
            };
            match step {
                Step::More => return Ok(None),
                Step::Header => {}
                Step::Value(value) => {
                    if let Some(whole) = self.place(value) {
                        self.items = 0;
                        self.bytes = 0;
                        return Ok(Some(whole));
                    }
                }
            }
        }
    }

    /// How many bytes the string being read still lacks; 0 if that is not known.
    pub fn bytes_missing(&self, buffer: &BytesMut) -> usize {
        self.bulk.map_or(0, |bulk| {
            bulk.length.saturating_add(2).saturating_sub(buffer.len())
        })
    }

    /// Puts a value where it belongs; returns the reply when that made it whole.
    fn place(&mut self, mut value: Value) -> Option<Value> {
        while let Some(open) = self.open.last_mut() {
            open.items.push(value);
            open.missing = open.missing.saturating_sub(1);
            if open.missing > 0 {
                return None;
            }
            let done = self.open.pop()?;
            value = container(done.kind, done.items);
        }
        Some(value)
    }

    fn read_header(&mut self, buffer: &mut BytesMut) -> Result<Step, ReplyError> {
        let Some(kind) = buffer.first().copied() else {
            return Ok(Step::More);
        };
        let line_max = match kind {
            b'+' | b'-' | b'(' | b',' => LINE_BYTES_MAX,
            b':' | b'$' | b'*' | b'_' | b'#' | b'!' | b'=' | b'%' | b'~' | b'>' => HEADER_BYTES_MAX,
            b'|' => return Err(ReplyError::Unsupported("attributes")),
            other => return Err(ReplyError::UnknownType(other)),
        };
        let Some(line) = self.read_line(buffer, line_max)? else {
            return Ok(Step::More);
        };
        match kind {
            b'+' => Ok(Step::Value(Value::Simple(text(&line)))),
            b'-' => Ok(Step::Value(Value::Error(text(&line)))),
            b':' => parse_i64(&line)
                .map(|value| Step::Value(Value::Integer(value)))
                .ok_or(ReplyError::Malformed("an integer")),
            b'_' | b'#' => constant(kind, &line),
            b',' => double(&line),
            b'(' => big_number(&line),
            b'$' => self.begin_bulk(BulkKind::String, &line),
            b'!' => self.begin_bulk(BulkKind::Error, &line),
            b'=' => self.begin_bulk(BulkKind::Verbatim, &line),
            b'*' => self.begin(Kind::Array, &line),
            b'~' => self.begin(Kind::Set, &line),
            b'>' => self.begin(Kind::Push, &line),
            _ => self.begin(Kind::Map, &line),
        }
    }

    /// Takes a line off the buffer and returns it without its type and its end.
    fn read_line(
        &mut self,
        buffer: &mut BytesMut,
        max: usize,
    ) -> Result<Option<BytesMut>, ReplyError> {
        let fresh = buffer.get(self.scanned..).unwrap_or_default();
        let end = fresh.iter().position(|byte| *byte == b'\n');
        let length = end.map_or(buffer.len(), |end| self.scanned.saturating_add(end));
        if length > max {
            return Err(ReplyError::LineTooLong(max));
        }
        if end.is_none() {
            self.scanned = buffer.len();
            return Ok(None);
        }
        self.scanned = 0;
        let mut line = buffer.split_to(length);
        buffer.advance(1);
        line.advance(1);
        match line.last() {
            Some(b'\r') => line.truncate(line.len().saturating_sub(1)),
            _ => return Err(ReplyError::BadLine),
        }
        Ok(Some(line))
    }

    fn begin_bulk(&mut self, kind: BulkKind, line: &[u8]) -> Result<Step, ReplyError> {
        let length = parse_i64(line).ok_or(ReplyError::Malformed("a length"))?;
        if length == -1 && matches!(kind, BulkKind::String) {
            return Ok(Step::Value(Value::Null));
        }
        let length = usize::try_from(length).map_err(|_| ReplyError::Malformed("a length"))?;
        let limit = self.limits.bulk_bytes_max;
        if length > limit {
            return Err(ReplyError::BulkTooLong { length, limit });
        }
        self.bytes = self.bytes.saturating_add(length);
        if self.bytes > self.limits.reply_bytes_max {
            return Err(ReplyError::ReplyTooLong(self.limits.reply_bytes_max));
        }
        self.bulk = Some(Bulk { kind, length });
        Ok(Step::Header)
    }

    fn read_bulk(&mut self, bulk: Bulk, buffer: &mut BytesMut) -> Result<Step, ReplyError> {
        match buffer.get(bulk.length..bulk.length.saturating_add(2)) {
            None => return Ok(Step::More),
            Some(b"\r\n") => {}
            Some(_) => return Err(ReplyError::Malformed("the length of a string")),
        }
        self.bulk = None;
        let bytes = buffer.split_to(bulk.length).freeze();
        buffer.advance(2);
        let value = match bulk.kind {
            BulkKind::String => Value::Bulk(bytes),
            BulkKind::Error => Value::Error(text(&bytes)),
            BulkKind::Verbatim => verbatim(bytes)?,
        };
        Ok(Step::Value(value))
    }

    fn begin(&mut self, kind: Kind, line: &[u8]) -> Result<Step, ReplyError> {
        let count = parse_i64(line).ok_or(ReplyError::Malformed("a count"))?;
        if count == -1 && kind == Kind::Array {
            return Ok(Step::Value(Value::Null));
        }
        let count = usize::try_from(count).map_err(|_| ReplyError::Malformed("a count"))?;
        let missing = match kind {
            Kind::Map => count.saturating_mul(2),
            _ => count,
        };
        self.items = self.items.saturating_add(missing);
        if self.items > self.limits.items_max {
            return Err(ReplyError::TooManyItems(self.limits.items_max));
        }
        if self.open.len() >= NESTING_MAX {
            return Err(ReplyError::TooDeep);
        }
        if missing == 0 {
            return Ok(Step::Value(container(kind, Vec::new())));
        }
        self.open.push(Open {
            kind,
            missing,
            items: Vec::with_capacity(missing.min(ITEMS_CAPACITY_MAX)),
        });
        Ok(Step::Header)
    }
}

fn container(kind: Kind, items: Vec<Value>) -> Value {
    match kind {
        Kind::Array => Value::Array(items),
        Kind::Set => Value::Set(items),
        Kind::Push => Value::Push(items),
        Kind::Map => {
            let mut pairs = Vec::with_capacity(items.len() / 2);
            let mut items = items.into_iter();
            while let (Some(key), Some(value)) = (items.next(), items.next()) {
                pairs.push((key, value));
            }
            Value::Map(pairs)
        }
    }
}

/// Bytes that are not UTF-8 are replaced: an error may quote a client's binary argument.
fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

fn constant(kind: u8, line: &[u8]) -> Result<Step, ReplyError> {
    match (kind, line) {
        (b'_', b"") => Ok(Step::Value(Value::Null)),
        (b'#', b"t") => Ok(Step::Value(Value::Boolean(true))),
        (b'#', b"f") => Ok(Step::Value(Value::Boolean(false))),
        (b'_', _) => Err(ReplyError::Malformed("a null")),
        _ => Err(ReplyError::Malformed("a boolean")),
    }
}

fn double(line: &[u8]) -> Result<Step, ReplyError> {
    std::str::from_utf8(line)
        .ok()
        .and_then(|text| text.parse().ok())
        .map(|value| Step::Value(Value::Double(value)))
        .ok_or(ReplyError::Malformed("a double"))
}

fn big_number(line: &[u8]) -> Result<Step, ReplyError> {
    let digits = line.strip_prefix(b"-").unwrap_or(line);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(ReplyError::Malformed("a big number"));
    }
    Ok(Step::Value(Value::BigNumber(text(line))))
}

fn verbatim(bytes: Bytes) -> Result<Value, ReplyError> {
    match bytes.as_ref() {
        [a, b, c, b':', ..] => Ok(Value::Verbatim {
            format: [*a, *b, *c],
            text: bytes.slice(4..),
        }),
        _ => Err(ReplyError::Malformed("a verbatim string")),
    }
}
