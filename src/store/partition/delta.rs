//! Answering a digest (PROTOCOL 3.4).

use std::collections::BTreeSet;

use bytes::Bytes;

use super::Partition;
use super::table::{ROW_BYTES_MAX, row_bytes};
use crate::clock::{Clock, DotSet};
use crate::object::Row;
use crate::store::exchange::{Cover, Delta, Digest};
use crate::store::mutation::Mutation;

/// The answer to a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeltaAnswer {
    /// The asker lacks nothing that this replica has.
    Nothing,
    /// The asker lacks nothing that this replica can send now, which proves nothing: it is
    /// rebuilding, or there are rows that it cannot read or send.
    Unsure,
    /// Some or all of what the asker lacks.
    Delta(Delta),
    /// The asker is below the floor of the log: it needs a full sync (R10).
    Full,
}

impl Partition {
    /// The question to a peer: what do you have that I lack?
    pub fn digest(&self) -> Digest {
        Digest {
            partition: self.id,
            asker: self.actor,
            clock: self.clock.clone(),
        }
    }

    /// What the asker lacks, up to the budget, from one snapshot of clock, rows and log (R7).
    ///
    /// Whole groups only: a key's row travels with all dots of the key that the asker lacks
    /// (R6, N34), in the order of each key's smallest missing dot. The asker's next digest is
    /// the cursor. A row whose effect the asker must have already is left out, its dots are
    /// not: `frontier` tells how that is known.
    pub fn delta(&self, digest: &Digest) -> DeltaAnswer {
        if digest.partition != self.id {
            return DeltaAnswer::Nothing;
        }
        let missing = self.clock.minus(&digest.clock);
        if missing.is_empty() {
            return self.nothing(false);
        }
        if !self.log.reaches(&missing) {
            if self.options.breaks(Mutation::N10) {
                return DeltaAnswer::Delta(self.all_void(digest, missing));
            }
            return DeltaAnswer::Full;
        }
        let mut chunk = Chunk {
            agrees: self.closed_alike(&digest.clock),
            ..Chunk::default()
        };
        let rows = missing
            .runs()
            .flat_map(|(actor, start, last)| self.log.range(actor, start, last));
        for (dot, key) in rows {
            match key {
                None => {
                    chunk.voids.insert(dot);
                }
                Some(key) if chunk.seen.contains(key) => {}
                Some(key) => self.take_group(key, digest, &mut chunk),
            }
            if chunk.more {
                break;
            }
        }
        self.close(chunk, digest)
    }

    /// That there is nothing to send.
    fn nothing(&self, left_out: bool) -> DeltaAnswer {
        match left_out || self.is_rebuilding() {
            true => DeltaAnswer::Unsure,
            false => DeltaAnswer::Nothing,
        }
    }

    /// Adds the group of `key` unless the chunk is full.
    fn take_group<'a>(&'a self, key: &'a Bytes, digest: &Digest, chunk: &mut Chunk<'a>) {
        let mut frontier = self.log.frontier(key);
        let knows = chunk.agrees && frontier.all(|dot| digest.clock.contains(dot));
        let row = match knows {
            true => Ok(None),
            false => self.row(key).map(Some),
        };
        let bytes = |row: &Option<Row>| row_bytes(key, row.as_ref().unwrap_or(&Row::default()));
        let row = row.ok().filter(|row| bytes(row) <= ROW_BYTES_MAX);
        let Some(row) = row else {
            // It cannot be read, or fits no frame until `collapse` makes it smaller. The
            // others go on without it.
            chunk.seen.insert(key);
            chunk.left_out = true;
            return;
        };
        let bytes = bytes(&row);
        if !chunk.covers.is_empty() && chunk.bytes + bytes > self.options.delta_bytes {
            chunk.more = true;
            return;
        }
        chunk.seen.insert(key);
        chunk.bytes += bytes;
        let lacking = self
            .log
            .dots_of(key)
            .filter(|&dot| !digest.clock.contains(dot));
        let dots = match self.options.breaks(Mutation::N34) {
            true => lacking.take(1).collect(),
            false => lacking.collect(),
        };
        chunk.covers.push(Cover {
            key: Some(key.clone()),
            dots,
        });
        chunk.rows.extend(row.map(|row| (key.clone(), row)));
    }

    /// Whether every actor that is closed in `clock` is closed here: of others it may count
    /// dots as void that took effect here.
    fn closed_alike(&self, clock: &Clock) -> bool {
        let mut closed = clock.entries().filter(|(_, entry)| entry.is_closed());
        closed.all(|(actor, _)| self.clock.is_closed(actor))
    }

    fn close(&self, mut chunk: Chunk<'_>, digest: &Digest) -> DeltaAnswer {
        // A void covered early could destroy a version whose successor is yet to come (R18).
        let last = !chunk.more && !chunk.left_out;
        let now = last || self.options.breaks(Mutation::N24);
        if now && !chunk.voids.is_empty() {
            chunk.covers.push(Cover {
                key: None,
                dots: chunk.voids,
            });
        }
        if chunk.covers.is_empty() {
            return self.nothing(chunk.left_out);
        }
        let mut delta = Delta {
            partition: self.id,
            to: digest.asker,
            base: self.clock.base_vector(),
            rows: chunk.rows,
            covers: chunk.covers,
            // Who asks on hears that this was not all.
            more: chunk.more || chunk.left_out || self.is_rebuilding(),
        };
        if self.options.breaks(Mutation::N05) {
            self.claim_clock(&mut delta, &digest.clock);
        }
        if self.options.breaks(Mutation::N28) && last {
            self.claim_clock(&mut delta, &Clock::new());
        }
        if self.options.breaks(Mutation::N07) {
            // A write came between the rows and the clock.
            let next = self.clock.base(self.actor).saturating_add(1);
            delta.base.raise(self.actor, next);
        }
        DeltaAnswer::Delta(delta)
    }
}

/// A delta in the making.
#[derive(Default)]
struct Chunk<'a> {
    /// The same dots are void here and for the asker, as far as it says.
    agrees: bool,
    /// Keys that were taken or left out for good.
    seen: BTreeSet<&'a Bytes>,
    rows: Vec<(Bytes, Row)>,
    covers: Vec<Cover>,
    voids: DotSet,
    bytes: usize,
    /// A group did not fit the budget.
    more: bool,
    /// A group fits no message.
    left_out: bool,
}
