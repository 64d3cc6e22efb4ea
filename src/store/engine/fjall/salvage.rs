//! What can still be read of a partition that nobody else has.
//!
//! Its clock cannot be kept: it says that everything it covers took effect here, so whatever
//! has become unreadable would count as deleted, and a backup that has it as overwritten. So
//! the versions that are left become new writes, under an actor that nobody has ever heard of,
//! each with the time at which it was written. A backup that is restored later is then
//! concurrent with them: both come together, and the last write wins, key by key. The price:
//! what a damaged delete had removed may be back.

use std::ops::Bound;

use bytes::Bytes;

use super::Fjall;
use super::guarded::guarded;
use super::view::View;
use crate::clock::{ActorId, Clock, Dot, Entry, VersionVector};
use crate::object::{Name, Row};
use crate::placement::{Keyspace, PartitionId};
use crate::store::derived::{Index, IndexChange, Summary, Totals, indexes};
use crate::store::elements::{Elements, Gathering};
use crate::store::engine::{Batch, Engine, EngineError, Piece, Reader};

/// Keys that are listed at once.
const KEYS: usize = 1024;

/// How many rows are read at once where rows are read in order.
const PIECE: Piece = Piece {
    rows: 256,
    bytes: 1024 * 1024,
};

/// What was carried over of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salvaged {
    /// The partition.
    pub partition: PartitionId,
    /// Keys that are there again.
    pub keys: u64,
    /// Keys and stretches of keys that could not be read.
    pub unreadable: u64,
}

/// Writes what can be read of `partition` to `to`.
///
/// # Errors
/// Of the new database only.
pub(super) fn salvage(
    from: Option<&View>,
    partition: PartitionId,
    keyspace: Keyspace,
    actor: ActorId,
    to: &Fjall,
) -> Result<Salvaged, EngineError> {
    let mut salvage = Salvage {
        partition,
        keyspace,
        actor,
        to,
        clock: Clock::new(),
        totals: Totals::default(),
        unreadable: 0,
    };
    match from {
        Some(from) => {
            salvage.by_name(from)?;
            salvage.by_hash(from)?;
        }
        None => salvage.unreadable += 1,
    }
    Ok(Salvaged {
        partition,
        keys: salvage.totals.keys,
        unreadable: salvage.unreadable,
    })
}

struct Salvage<'a> {
    partition: PartitionId,
    keyspace: Keyspace,
    actor: ActorId,
    to: &'a Fjall,
    clock: Clock,
    totals: Totals,
    unreadable: u64,
}

impl Salvage<'_> {
    /// Rows in the order of their names, up to the first that cannot be read.
    fn by_name(&mut self, from: &View) -> Result<(), EngineError> {
        let mut after: Option<Bytes> = None;
        loop {
            let read = guarded(|| from.rows(self.partition, after.as_deref(), PIECE));
            let Ok(rows) = read else {
                return self.one_by_one(from, after);
            };
            let Some((last, _)) = rows.last() else {
                return Ok(());
            };
            after = Some(last.clone());
            for (key, row) in rows {
                self.write(key, row)?;
            }
        }
    }

    /// The rest of a piece that cannot be read as a whole.
    fn one_by_one(&mut self, from: &View, mut after: Option<Bytes>) -> Result<(), EngineError> {
        let piece = Piece { rows: 1, ..PIECE };
        loop {
            let read = guarded(|| from.rows(self.partition, after.as_deref(), piece));
            let Ok(rows) = read else {
                // What lies behind may be found by its hash.
                self.unreadable += 1;
                return Ok(());
            };
            let Some((key, row)) = rows.into_iter().next() else {
                return Ok(());
            };
            after = Some(key.clone());
            self.write(key, row)?;
        }
    }

    /// Rows of the keys that an index has, up to the first entry that cannot be read.
    fn by_hash(&mut self, from: &View) -> Result<(), EngineError> {
        let mut last: Option<(Index, Bytes)> = None;
        loop {
            let first = match &last {
                Some((index, key)) => Bound::Excluded((*index, key.as_ref())),
                None => Bound::Included((Index::Hash(0), &[][..])),
            };
            let read = guarded(|| from.indexed(self.partition, first, Index::Hash(u64::MAX), KEYS));
            let Ok(found) = read else {
                self.unreadable += 1;
                return Ok(());
            };
            let Some(entry) = found.last() else {
                return Ok(());
            };
            last = Some(entry.clone());
            for (_, key) in found {
                if let Name::Collection(_) = Name::of(&key) {
                    self.elements(from, key)?;
                    continue;
                }
                if self.to.reader().row(self.partition, &key)?.is_some() {
                    continue;
                }
                match guarded(|| from.row(self.partition, &key)) {
                    Ok(Some(row)) => self.write(key, row)?,
                    Ok(None) => {}
                    Err(_) => self.unreadable += 1,
                }
            }
        }
    }

    /// Rows of one collection, up to the first that cannot be read.
    fn elements(&mut self, from: &View, collection: Bytes) -> Result<(), EngineError> {
        let piece = Piece { rows: 1, ..PIECE };
        let mut after = collection.clone();
        loop {
            let read = guarded(|| from.rows(self.partition, Some(&after), piece));
            let Ok(rows) = read else {
                self.unreadable += 1;
                return Ok(());
            };
            let next = rows.into_iter().next();
            let Some((key, row)) = next.filter(|(key, _)| key.starts_with(&collection)) else {
                return Ok(());
            };
            after = key.clone();
            if self.to.reader().row(self.partition, &key)?.is_none() {
                self.write(key, row)?;
            }
        }
    }

    /// Writes the versions of a key again.
    fn write(&mut self, key: Bytes, row: Row) -> Result<(), EngineError> {
        let elsewhere = self.keyspace.partition_of_row(&key) != self.partition;
        if row.versions.is_empty() || elsewhere {
            return Ok(());
        }
        let mut n = self.clock.base(self.actor);
        let versions = match Name::of(&key) {
            Name::End => row.versions.iter().map(|(_, end)| end.clone()).collect(),
            _ => row.versions.values_at(0),
        };
        let versions = versions.into_iter().map(|version| {
            n += 1;
            let dot = Dot {
                actor: self.actor,
                n,
            };
            (dot, version)
        });
        let row = Row {
            versions: versions.collect(),
            residual: VersionVector::new(),
        };
        let hash = self.keyspace.hash_of_row(&key);
        self.clock.set(self.actor, Entry::up_to(n));
        self.totals.add(hash, &key, &row);
        let found_by = indexes(hash, &key, &row).into_iter();
        let found_by = found_by.map(|index| IndexChange {
            index,
            key: key.clone(),
            is_set: true,
        });
        let mut found_by: Vec<IndexChange> = found_by.collect();
        let mut gathering = Gathering::default();
        gathering.replace(&self.keyspace, &key, None, Some(&row));
        let (to, partition) = (self.to.reader(), self.partition);
        let known = |collection: &[u8]| Elements::read(to, partition, collection);
        gathering.finish(&self.keyspace, known, &mut self.totals, &mut found_by)?;
        self.to.commit(&Batch {
            partition: self.partition,
            indexes: found_by,
            rows: vec![(key, Some(row))],
            entries: vec![(self.actor, Entry::up_to(n))],
            summary: Summary {
                totals: self.totals.clone(),
                clock: self.clock.hash(),
            },
            ..Batch::default()
        })
    }
}
