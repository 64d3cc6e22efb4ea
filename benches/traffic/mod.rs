//! What crosses the wire between two nodes, in the real encoding, and what it is made of.
//!
//! Messages travel here as they do between processes: packed into batches of the real frame
//! format, decoded again by the receiver, with what both ends of a connection remember of the
//! actors named on it. Only the seal is absent: [`Traffic::seal_bytes`].

// Each benchmark has its own copy and uses a part of it.
#![allow(dead_code)]

use std::collections::BTreeMap;

use netdb::clock::{ActorNames, VersionVector};
use netdb::object::Row;
use netdb::replication::Message;
use netdb::store::codec;
use netdb::store::exchange::Delta;
use netdb::wire::{BatchPacker, Frame};

/// What the sealed stream adds to a frame of one record: its length 2, the frame's 4, tag 16.
const SEAL_BYTES: u64 = 2 + 4 + 16;

/// What naming an actor in full takes more than naming it again: two random 64-bit numbers.
pub const NAME_BYTES: u64 = 16;

/// The budget of a batch, the runtime's.
const FRAME_BUDGET: usize = 128 * 1024;

/// In front of each batch: version and kind.
pub const FRAME_HEADER_BYTES: u64 = 2;

/// Messages of one kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    pub messages: u64,
    /// Everything, lengths included.
    pub bytes: u64,
    /// Keys and values, each once per row; the rest is metadata.
    pub payload: u64,
}

impl Sum {
    /// Bytes that are neither key nor value.
    pub fn metadata(&self) -> u64 {
        self.bytes - self.payload
    }

    fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.payload += other.payload;
    }
}

/// Where the metadata of deltas goes, each part but the first found by leaving it out; names in
/// full are counted apart.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeltaParts {
    /// The sender's bases and the names of actors.
    pub base: u64,
    /// Dots, timestamps and lengths of the rows.
    pub row_fields: u64,
    /// Residual contexts of the rows.
    pub residual: u64,
    /// What the receiver may add to its clock.
    pub covers: u64,
}

impl DeltaParts {
    /// The parts of one delta.
    pub fn of(delta: &Delta) -> Self {
        let mut names = ActorNames::default();
        names.within(|| encoded(delta));
        let base = names.within(|| encoded(&delta.base));
        let mut encoded = |delta: &Delta| names.within(|| encoded(delta));
        let all = encoded(delta);
        let mut less = delta.clone();
        for (_, row) in &mut less.rows {
            row.residual = VersionVector::new();
        }
        let without_residual = encoded(&less);
        less.covers.clear();
        let without_covers = encoded(&less);
        less.rows.clear();
        let without_rows = encoded(&less);
        let payload: u64 = delta
            .rows
            .iter()
            .map(|(key, row)| payload((key, row)))
            .sum();
        Self {
            base,
            row_fields: without_covers - without_rows - payload,
            residual: all - without_residual,
            covers: without_residual - without_covers,
        }
    }

    fn add(&mut self, other: Self) {
        self.base += other.base;
        self.row_fields += other.row_fields;
        self.residual += other.residual;
        self.covers += other.covers;
    }
}

/// Everything that was sent.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    pub kinds: BTreeMap<&'static str, Sum>,
    pub frames: u64,
    pub delta: DeltaParts,
    /// Actors that were named in full, each at [`NAME_BYTES`] more than later on.
    pub names: u64,
}

impl Traffic {
    /// Counts messages and the frames that carry them.
    pub fn count(&mut self, messages: &[Message], packed: &Packed) {
        for (message, bytes) in messages.iter().zip(&packed.sizes) {
            self.count_one(message, *bytes);
        }
        self.frames += packed.frames.len() as u64;
        self.names += packed.names;
        let counted: u64 = packed.sizes.iter().sum();
        let headers = packed.frames.len() as u64 * FRAME_HEADER_BYTES;
        let sent: usize = packed.frames.iter().map(Vec::len).sum();
        assert_eq!(
            counted + headers,
            sent as u64,
            "every byte is accounted for"
        );
    }

    /// All bytes of all frames, before sealing.
    pub fn total(&self) -> Sum {
        let mut total = Sum::default();
        for sum in self.kinds.values() {
            total.add(*sum);
        }
        total.bytes += self.frames * FRAME_HEADER_BYTES;
        total
    }

    /// What sealing adds, if each frame fits one record.
    pub fn seal_bytes(&self) -> u64 {
        self.frames * SEAL_BYTES
    }

    fn count_one(&mut self, message: &Message, bytes: u64) {
        let sum = Sum {
            messages: 1,
            bytes,
            payload: payload_of(message),
        };
        self.kinds.entry(kind(message)).or_default().add(sum);
        if let Message::Delta(delta) = message {
            self.delta.add(DeltaParts::of(delta));
        }
    }
}

/// One direction of one connection: what its two ends remember.
pub struct Stream {
    packer: BatchPacker,
    heard: ActorNames,
}

/// Messages in frames.
#[derive(Default)]
pub struct Packed {
    pub frames: Vec<Vec<u8>>,
    /// Bytes of each message, its length included.
    sizes: Vec<u64>,
    /// Actors that are named in full.
    names: u64,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            packer: BatchPacker::new(FRAME_BUDGET),
            heard: ActorNames::default(),
        }
    }
}

impl Stream {
    /// The frames that carry `messages`, in order.
    pub fn pack(&mut self, messages: &[Message]) -> Packed {
        let mut packed = Packed::default();
        let named = self.packer.named();
        for message in messages {
            if !self.push(message, &mut packed.sizes) {
                self.flush(&mut packed.frames);
                assert!(self.push(message, &mut packed.sizes));
            }
        }
        self.flush(&mut packed.frames);
        packed.names = (self.packer.named() - named) as u64;
        packed
    }

    fn push(&mut self, message: &Message, sizes: &mut Vec<u64>) -> bool {
        let len = |packer: &BatchPacker| {
            packer
                .frame()
                .map_or(FRAME_HEADER_BYTES as usize, <[u8]>::len)
        };
        let before = len(&self.packer);
        let fits = self.packer.push(message).expect("a message fits a frame");
        if fits {
            sizes.push((len(&self.packer) - before) as u64);
        }
        fits
    }

    fn flush(&mut self, frames: &mut Vec<Vec<u8>>) {
        frames.extend(self.packer.frame().map(<[u8]>::to_vec));
        self.packer.clear();
    }

    /// The messages of the next frame.
    pub fn unpack(&mut self, frame: &[u8]) -> Vec<Message> {
        match Frame::<Message, ()>::decode_with(frame, &mut self.heard, Vec::new()) {
            Ok(Frame::Batch(messages)) => messages,
            other => panic!("not a batch: {other:?}"),
        }
    }
}

/// Bytes of `value`, with actors in full unless names are lent.
pub fn encoded<T: serde::Serialize>(value: &T) -> u64 {
    codec::encode(value)
        .expect("a wire value has an encoding")
        .len() as u64
}

fn payload((key, row): (&bytes::Bytes, &Row)) -> u64 {
    (key.len() + row.versions.value_bytes()) as u64
}

/// Keys and values, each once per row.
fn payload_of(message: &Message) -> u64 {
    match message {
        Message::Push { push, .. } => (push.key.len() + push.versions.value_bytes()) as u64,
        message => rows_of(message).map(payload).sum(),
    }
}

fn rows_of(message: &Message) -> impl Iterator<Item = (&bytes::Bytes, &Row)> {
    let rows = match message {
        Message::Delta(delta) => delta.rows.as_slice(),
        Message::FullRows(piece) => piece.rows.as_slice(),
        _ => &[],
    };
    rows.iter().map(|(key, row)| (key, row))
}

fn kind(message: &Message) -> &'static str {
    match message {
        Message::Push { .. } => "push",
        Message::Pushed { .. } => "pushed",
        Message::Root(_) => "root",
        Message::Same(_) => "same",
        Message::Hashes { .. } => "hashes",
        Message::Digest { .. } => "digest",
        Message::Delta(_) => "delta",
        Message::CaughtUp { .. } => "caught up",
        Message::TooFarBehind { .. } => "too far behind",
        Message::FullRequest(_) => "full request",
        Message::FullRows(_) => "full rows",
        Message::FullNext(_) => "full next",
        Message::FullEnd(_) => "full end",
        _ => "other",
    }
}
