//! Frames, and what the first and the last of them say.

use super::error::{Damage, Flaw};
use super::limits::{FRAME_BYTES_MAX, TEXT_BYTES_MAX};
use super::number::{Fields, put_bytes};

/// What every backup begins with. The line end shows what a transfer as text has done to it.
pub(super) const MAGIC: &[u8] = b"netdb backup\r\n";

/// Bytes of a frame before its body: kind and length.
pub(super) const PREFIX_BYTES: usize = 5;

/// Bytes of a checksum.
pub(super) const CHECKSUM_BYTES: usize = 4;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Header = 1,
    Rows = 2,
    End = 3,
    Trailer = 4,
}

impl Kind {
    pub(super) fn of(byte: u8) -> Result<Self, Flaw> {
        match byte {
            1 => Ok(Self::Header),
            2 => Ok(Self::Rows),
            3 => Ok(Self::End),
            4 => Ok(Self::Trailer),
            other => Err(Flaw::Kind(other)),
        }
    }
}

/// A place between two frames of a file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Position {
    /// What stands for the file in checksums: the header's own, zero before it.
    pub(super) salt: u32,
    /// The number of the next frame.
    pub(super) frame: u64,
    /// The byte at which it begins.
    pub(super) at: u64,
}

impl Position {
    /// What is wrong here.
    pub(super) fn damage(&self, partition: Option<u16>, flaw: Flaw) -> Damage {
        Damage {
            at: self.at,
            frame: self.frame,
            partition,
            flaw,
        }
    }
}

/// Appends a frame for `position` and gives back its checksum.
pub(super) fn put_frame(
    out: &mut Vec<u8>,
    position: &Position,
    kind: Kind,
    body: [&[u8]; 2],
) -> Result<u32, Flaw> {
    let length = body[0].len().saturating_add(body[1].len());
    let declared = u32::try_from(length).map_err(|_| Flaw::FrameTooLong(length))?;
    if length > FRAME_BYTES_MAX {
        return Err(Flaw::FrameTooLong(length));
    }
    let start = out.len();
    out.reserve(PREFIX_BYTES + length + CHECKSUM_BYTES);
    out.push(kind as u8);
    out.extend_from_slice(&declared.to_le_bytes());
    out.extend_from_slice(body[0]);
    out.extend_from_slice(body[1]);
    let checksum = checksum(position, out.get(start..).unwrap_or_default());
    out.extend_from_slice(&checksum.to_le_bytes());
    Ok(checksum)
}

/// The checksum of the frame at `position`.
pub(super) fn checksum(position: &Position, frame: &[u8]) -> u32 {
    let place = crc32c::crc32c(&position.salt.to_le_bytes());
    let place = crc32c::crc32c_append(place, &position.frame.to_le_bytes());
    crc32c::crc32c_append(place, frame)
}

/// Where a backup comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The cluster's name. For people: a backup can be restored into another.
    pub cluster: String,
    /// The name of the node that was asked for it; others may have given a part.
    pub node: String,
    /// The version of that node's program.
    pub program: String,
    /// Number of partitions.
    pub partitions: u16,
    /// Seed of the hash that places keys.
    pub hash_seed: u64,
    /// When it was begun, in milliseconds since the Unix epoch, by the node's clock.
    pub taken_ms: u64,
    /// How many keys that node had then: about as many as there are, where it holds all.
    pub keys: u64,
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for text in [&self.cluster, &self.node, &self.program] {
            put_bytes(&mut out, text.as_bytes());
        }
        out.extend_from_slice(&self.partitions.to_le_bytes());
        for word in [self.hash_seed, self.taken_ms, self.keys] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, Flaw> {
        let mut fields = Fields::new(body);
        let mut text = || {
            let bytes = fields.bytes("name", TEXT_BYTES_MAX)?;
            let text = std::str::from_utf8(bytes).map_err(|_| Flaw::Text)?;
            Ok::<_, Flaw>(text.to_owned())
        };
        let (cluster, node, program) = (text()?, text()?, text()?);
        let header = Self {
            cluster,
            node,
            program,
            partitions: fields.u16()?,
            hash_seed: fields.u64()?,
            taken_ms: fields.u64()?,
            keys: fields.u64()?,
        };
        fields.end()?;
        match header.partitions {
            0 => Err(Flaw::Number),
            _ => Ok(header),
        }
    }
}
