//! Whether what a backup holds can be: order, counts, and that rows and clocks belong together.

use std::collections::BTreeSet;

use super::error::Flaw;
use super::frame::Header;
use super::number::{Fields, put_number};
use super::payload::{decode_rows, decode_tail};
use crate::clock::DotSet;
use crate::placement::{Keyspace, PartitionId};

/// How much a backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Partitions.
    pub partitions: u64,
    /// Rows: keys with values, and some that only say what was deleted.
    pub rows: u64,
    /// Versions: more than keys where writes were concurrent.
    pub versions: u64,
    /// Bytes of all rows and clocks, as they are in the file.
    pub bytes: u64,
}

impl Totals {
    fn fields(self) -> [(&'static str, u64); 4] {
        [
            ("partitions", self.partitions),
            ("rows", self.rows),
            ("versions", self.versions),
            ("bytes", self.bytes),
        ]
    }

    pub(super) fn encode(self) -> Vec<u8> {
        let mut out = Vec::new();
        for (_, count) in self.fields() {
            put_number(&mut out, count);
        }
        out
    }

    fn decode(body: &[u8]) -> Result<Self, Flaw> {
        let mut fields = Fields::new(body);
        let totals = Self {
            partitions: fields.number()?,
            rows: fields.number()?,
            versions: fields.number()?,
            bytes: fields.number()?,
        };
        fields.end()?;
        Ok(totals)
    }
}

/// Follows a backup, piece by piece, and says what cannot be.
#[derive(Debug)]
pub(super) struct Checker {
    keyspace: Keyspace,
    /// The partition whose pieces come; the number of partitions when there are no more.
    partition: u16,
    /// Its keys and dots so far.
    keys: BTreeSet<Vec<u8>>,
    dots: DotSet,
    /// The bytes of its pieces so far.
    bytes: u64,
    totals: Totals,
}

impl Checker {
    pub(super) fn new(header: &Header) -> Self {
        Self {
            keyspace: Keyspace {
                partitions: header.partitions,
                hash_seed: header.hash_seed,
            },
            partition: 0,
            keys: BTreeSet::new(),
            dots: DotSet::new(),
            bytes: 0,
            totals: Totals::default(),
        }
    }

    /// How much the partitions hold that have ended.
    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    /// The partition that the next piece must be of; none if there are no more.
    pub(super) fn next_partition(&self) -> Option<u16> {
        (self.partition < self.keyspace.partitions).then_some(self.partition)
    }

    pub(super) fn rows(&mut self, partition: u16, payload: &[u8]) -> Result<(), Flaw> {
        self.check_turn(partition)?;
        for (key, row) in decode_rows(payload)? {
            let belongs = self.keyspace.partition_of_row(&key);
            if belongs != PartitionId(partition) {
                return Err(Flaw::ForeignKey(belongs.0));
            }
            if !self.keys.insert(key.to_vec()) {
                return Err(Flaw::KeyTwice);
            }
            for dot in row.versions.dots() {
                if !self.dots.insert(dot) {
                    return Err(Flaw::DotTwice(dot));
                }
            }
        }
        self.bytes += payload.len() as u64;
        Ok(())
    }

    pub(super) fn end(&mut self, partition: u16, payload: &[u8]) -> Result<(), Flaw> {
        self.check_turn(partition)?;
        let tail = decode_tail(payload)?;
        let (rows, versions) = (self.keys.len() as u64, self.dots.count());
        same("rows", rows, tail.rows)?;
        same("versions", versions, tail.versions)?;
        if !tail.clock.covers(&self.dots) {
            let unknown = self.dots.dots().find(|dot| !tail.clock.contains(*dot));
            return Err(Flaw::UnknownDot(unknown.unwrap_or_default()));
        }
        self.totals.rows += rows;
        self.totals.versions += versions;
        self.totals.partitions += 1;
        self.totals.bytes += self.bytes + payload.len() as u64;
        self.partition += 1;
        self.restart();
        Ok(())
    }

    /// Forgets what came of the partition that has not ended.
    pub(super) fn restart(&mut self) {
        self.keys.clear();
        self.dots = DotSet::new();
        self.bytes = 0;
    }

    pub(super) fn finish(&self, trailer: &[u8]) -> Result<(), Flaw> {
        if let Some(missing) = self.next_partition() {
            return Err(out_of_turn("end of the backup", missing));
        }
        let declared = Totals::decode(trailer)?;
        let pairs = self.totals.fields().into_iter().zip(declared.fields());
        for ((what, found), (_, declared)) in pairs {
            same(what, found, declared)?;
        }
        Ok(())
    }

    fn check_turn(&self, partition: u16) -> Result<(), Flaw> {
        match self.next_partition() {
            Some(next) if next == partition => Ok(()),
            Some(next) => Err(out_of_turn(&format!("partition {partition}"), next)),
            None => Err(Flaw::OutOfTurn {
                found: format!("partition {partition}"),
                expected: "end of the backup".to_owned(),
            }),
        }
    }
}

fn out_of_turn(found: &str, next: u16) -> Flaw {
    Flaw::OutOfTurn {
        found: found.to_owned(),
        expected: format!("partition {next}"),
    }
}

fn same(what: &'static str, found: u64, declared: u64) -> Result<(), Flaw> {
    match found == declared {
        true => Ok(()),
        false => Err(Flaw::Count {
            what,
            found,
            declared,
        }),
    }
}
