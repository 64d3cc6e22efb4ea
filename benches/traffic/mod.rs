//! What crosses the wire between two nodes, in the real encoding, and what it is made of.
//!
//! Messages travel here as they do between processes: packed into batches of the real frame
//! format, decoded again by the receiver. Only the seal is absent: [`Traffic::seal_bytes`].

// Each benchmark has its own copy and uses a part of it.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};

use netdb::clock::VersionVector;
use netdb::object::Row;
use netdb::replication::Message;
use netdb::store::codec;
use netdb::store::exchange::Delta;
use netdb::wire::{BatchPacker, Frame};

/// What the sealed stream adds to a frame of one record: its length 2, the frame's 4, tag 16.
const SEAL_BYTES: u64 = 2 + 4 + 16;

/// The name of an actor: two random 64-bit numbers as variable-length integers.
pub const ACTOR_BYTES: u64 = 2 * 9;

/// The budget of a batch, the runtime's.
const FRAME_BUDGET: usize = 128 * 1024;

/// In front of each message of a batch: its length.
const MESSAGE_HEADER_BYTES: u64 = 4;

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

/// Where the metadata of deltas goes, each part found by leaving it out.
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
        less.base = VersionVector::new();
        let payload: u64 = delta
            .rows
            .iter()
            .map(|(key, row)| payload((key, row)))
            .sum();
        Self {
            base: without_rows - encoded(&less),
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
    /// Names of actors in questions and answers, of [`ACTOR_BYTES`] each.
    pub actors: u64,
}

impl Traffic {
    /// Counts messages and the frames that carry them.
    pub fn count(&mut self, messages: &[Message], frames: &[Vec<u8>]) {
        let before = self.total().bytes;
        for message in messages {
            self.count_one(message);
        }
        self.frames += frames.len() as u64;
        let counted = self.total().bytes - before;
        let sent: usize = frames.iter().map(Vec::len).sum();
        assert_eq!(counted, sent as u64, "every byte is accounted for");
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

    fn count_one(&mut self, message: &Message) {
        let sum = Sum {
            messages: 1,
            bytes: MESSAGE_HEADER_BYTES + encoded(message),
            payload: rows_of(message).map(payload).sum(),
        };
        self.kinds.entry(kind(message)).or_default().add(sum);
        self.actors += match message {
            Message::Digest { digest, .. } => 1 + digest.clock.len() as u64,
            Message::Delta(delta) => actors_of(delta),
            Message::CaughtUp { .. } | Message::TooFarBehind { .. } => 1,
            _ => 0,
        };
        if let Message::Delta(delta) = message {
            self.delta.add(DeltaParts::of(delta));
        }
    }
}

/// How many actors a delta names.
fn actors_of(delta: &Delta) -> u64 {
    let mut actors = BTreeSet::from([delta.to]);
    actors.extend(delta.base.iter().map(|(actor, _)| actor));
    for (_, row) in &delta.rows {
        actors.extend(row.versions.dots().map(|dot| dot.actor));
        actors.extend(row.residual.iter().map(|(actor, _)| actor));
    }
    for cover in &delta.covers {
        actors.extend(cover.dots.actors().map(|(actor, _)| actor));
    }
    actors.len() as u64
}

/// The frames that carry `messages`, in order.
pub fn pack(messages: &[Message]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut packer = BatchPacker::new(FRAME_BUDGET);
    for message in messages {
        if !packer.push(message).expect("a message fits a frame") {
            frames.extend(packer.frame().map(<[u8]>::to_vec));
            packer.clear();
            assert!(packer.push(message).expect("a message fits a frame"));
        }
    }
    frames.extend(packer.frame().map(<[u8]>::to_vec));
    frames
}

/// The messages of a frame.
pub fn unpack(frame: &[u8]) -> Vec<Message> {
    match Frame::<Message, ()>::decode(frame) {
        Ok(Frame::Batch(messages)) => messages,
        other => panic!("not a batch: {other:?}"),
    }
}

/// Bytes of `value` on the wire.
pub fn encoded<T: serde::Serialize>(value: &T) -> u64 {
    codec::encode(value)
        .expect("a wire value has an encoding")
        .len() as u64
}

fn payload((key, row): (&bytes::Bytes, &Row)) -> u64 {
    (key.len() + row.versions.value_bytes()) as u64
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
        Message::Hashes(_) => "hashes",
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
