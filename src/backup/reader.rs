//! Reading a backup: bytes of the file in, checked pieces out.

use bytes::{Buf, Bytes, BytesMut};

use super::check::{Checker, Totals};
use super::error::{Damage, Flaw};
use super::frame::{CHECKSUM_BYTES, Header, Kind, MAGIC, PREFIX_BYTES, Position, checksum};
use super::limits::{FRAME_BYTES_MAX, VERSION};
use super::number::Fields;

/// A part of a backup that is what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Where it comes from; always the first.
    Header(Header),
    /// Some rows of a partition.
    Rows {
        /// The partition.
        partition: u16,
        /// The rows, as bytes.
        payload: Bytes,
    },
    /// The end of a partition. Everything of it has been there.
    End {
        /// The partition.
        partition: u16,
        /// Its counts and its clock, as bytes.
        payload: Bytes,
    },
    /// The end of the backup; always the last.
    Trailer(Totals),
}

/// Reads a backup from a buffer that grows at its end, and checks everything: what it gives
/// belongs together. Keeps no more than the keys and dots of one partition.
#[derive(Debug)]
pub struct Reader {
    /// None before the header.
    checker: Option<Checker>,
    /// Where the next frame begins: the bytes before it have been taken off the buffer.
    position: Position,
    begun: bool,
    ended: bool,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Reader {
    /// A reader at the start of a file.
    pub fn new() -> Self {
        Self {
            checker: None,
            position: Position::default(),
            begun: false,
            ended: false,
        }
    }

    /// The next part; none when more bytes are needed.
    ///
    /// # Errors
    /// What is wrong, and where. The reader is of no further use.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Part>, Damage> {
        let mut partition = self.checker.as_ref().and_then(Checker::next_partition);
        let read = self.read(buffer, &mut partition);
        read.map_err(|flaw| self.position.damage(partition, flaw))
    }

    /// The file is over: `rest` is what [`next`](Self::next) has left of it.
    ///
    /// # Errors
    /// The backup is not over.
    pub fn finish(&self, rest: &[u8]) -> Result<(), Damage> {
        if self.ended && rest.is_empty() {
            return Ok(());
        }
        let flaw = match self.begun || may_begin(rest) {
            _ if self.ended => Flaw::Trailing,
            true => Flaw::Truncated,
            false => Flaw::NotABackup,
        };
        let partition = self.checker.as_ref().and_then(Checker::next_partition);
        let mut damage = self.position.damage(partition, flaw);
        damage.at += rest.len() as u64;
        Err(damage)
    }

    /// How much there was in the partitions that have ended.
    pub fn totals(&self) -> Totals {
        let checker = self.checker.as_ref();
        checker.map_or_else(Totals::default, Checker::totals)
    }

    fn read(
        &mut self,
        buffer: &mut BytesMut,
        about: &mut Option<u16>,
    ) -> Result<Option<Part>, Flaw> {
        if self.ended {
            return match buffer.is_empty() {
                true => Ok(None),
                false => Err(Flaw::Trailing),
            };
        }
        if !self.begun && !self.read_preamble(buffer)? {
            return Ok(None);
        }
        let Some(length) = frame_length(buffer)? else {
            return Ok(None);
        };
        let whole = PREFIX_BYTES + length + CHECKSUM_BYTES;
        if buffer.len() < whole {
            return Ok(None);
        }
        let (frame, stored) = buffer.split_at(PREFIX_BYTES + length);
        let stored = Fields::new(stored).u32()?;
        if checksum(&self.position, frame) != stored {
            return Err(Flaw::Checksum);
        }
        let kind = Kind::of(buffer[0])?;
        // A frame of its own length is handed on without a copy.
        let frame = buffer.split_to(whole).freeze();
        let body = frame.slice(PREFIX_BYTES..PREFIX_BYTES + length);
        let part = self.part(kind, body, stored, about)?;
        self.position.at += whole as u64;
        self.position.frame += 1;
        Ok(Some(part))
    }

    /// Takes the bytes before the first frame. False when more are needed.
    fn read_preamble(&mut self, buffer: &mut BytesMut) -> Result<bool, Flaw> {
        if !may_begin(buffer) {
            return Err(Flaw::NotABackup);
        }
        const PREAMBLE_BYTES: usize = MAGIC.len() + size_of::<u16>();
        if buffer.len() < PREAMBLE_BYTES {
            return Ok(false);
        }
        buffer.advance(MAGIC.len());
        let version = buffer.get_u16_le();
        if version != VERSION {
            return Err(Flaw::Version(version));
        }
        self.position.at += PREAMBLE_BYTES as u64;
        self.begun = true;
        Ok(true)
    }

    fn part(
        &mut self,
        kind: Kind,
        body: Bytes,
        stored: u32,
        about: &mut Option<u16>,
    ) -> Result<Part, Flaw> {
        let Some(checker) = &mut self.checker else {
            if kind != Kind::Header {
                return Err(out_of_turn(kind, "header"));
            }
            let header = Header::decode(&body)?;
            self.position.salt = stored;
            self.checker = Some(Checker::new(&header));
            return Ok(Part::Header(header));
        };
        match kind {
            Kind::Header => Err(out_of_turn(kind, "piece")),
            Kind::Rows | Kind::End => {
                let partition = Fields::new(&body).u16()?;
                *about = Some(partition);
                let payload = body.slice(size_of::<u16>()..);
                match kind {
                    Kind::Rows => {
                        checker.rows(partition, &payload)?;
                        Ok(Part::Rows { partition, payload })
                    }
                    _ => {
                        checker.end(partition, &payload)?;
                        Ok(Part::End { partition, payload })
                    }
                }
            }
            Kind::Trailer => {
                checker.finish(&body)?;
                self.ended = true;
                Ok(Part::Trailer(checker.totals()))
            }
        }
    }
}

/// Whether a backup may begin with `bytes`, as far as they go.
fn may_begin(bytes: &[u8]) -> bool {
    MAGIC.starts_with(bytes.get(..MAGIC.len()).unwrap_or(bytes))
}

/// The length of the frame that `buffer` begins with, once it is there, within bounds.
fn frame_length(buffer: &[u8]) -> Result<Option<usize>, Flaw> {
    let Some(prefix) = buffer.first_chunk::<PREFIX_BYTES>() else {
        return Ok(None);
    };
    let mut fields = Fields::new(prefix);
    Kind::of(fields.u8()?)?;
    let length = usize::try_from(fields.u32()?).unwrap_or(usize::MAX);
    match length > FRAME_BYTES_MAX {
        true => Err(Flaw::FrameTooLong(length)),
        false => Ok(Some(length)),
    }
}

fn out_of_turn(kind: Kind, expected: &str) -> Flaw {
    let found = match kind {
        Kind::Header => "header",
        Kind::Rows => "rows",
        Kind::End => "end of a partition",
        Kind::Trailer => "end of the backup",
    };
    Flaw::OutOfTurn {
        found: found.to_owned(),
        expected: expected.to_owned(),
    }
}
