//! The encodings of messages that name the same few actors many times.
//!
//! A delta and a piece of a full sync carry the table of their actors once, ascending, and
//! indexes into it: one byte for each use, whatever the stream's own names of actors take
//! (`clock::ActorNames`). A delta's table holds its base vector too, which names nearly all of
//! them. A cover says that it is about the next row instead of repeating its key, and the
//! common case of it says no more than that. Per row that is 15 bytes beside key and value.
//!
//! Decoding trusts nothing: an index must be in the table, maps must ascend, numbers of rows
//! and covers are bounded before they are widened, and everything else goes through the same
//! conversions as the plain encodings.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use super::exchange::{Cover, Delta, FullRows};
use crate::clock::{
    ACTORS_MAX, ActorId, ClockError, Dot, DotSet, Hlc, RUNS_MAX, RunSet, VersionVector,
};
use crate::object::{Row, Version, Versions};
use crate::placement::PartitionId;

/// The most rows of one message, and the most covers but one for the voids: there is no
/// group without a dot in the log, which holds no more rows than this.
const ROWS_MAX: usize = RUNS_MAX;

/// Why bytes are none of these messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
enum Malformed {
    #[error("actors are not in ascending order")]
    Actors,
    #[error("more than {ACTORS_MAX} actors")]
    TooManyActors,
    #[error("actor {0} is not in the table")]
    NoActor(u32),
    #[error("actors of a set are not in ascending order")]
    Order,
    #[error("more than {ROWS_MAX} rows or covers")]
    TooMany,
    #[error("a cover of a row that is not there")]
    NoRow,
    #[error(transparent)]
    Clock(#[from] ClockError),
    #[error("versions are not in ascending order of dots")]
    Versions,
}

type Index = u32;
type WireDots<R> = Vec<(Index, R)>;
/// The milliseconds of a timestamp, and its counter, which is nearly always small.
type WireHlc = ([u8; 6], u16);

/// A row; `B` is its key or a value.
#[derive(Clone, Serialize, Deserialize)]
enum WireRow<B, V> {
    /// One version without an end, and no residual context: nearly all rows. Key, dot,
    /// timestamp, value.
    One(B, Index, u64, WireHlc, B),
    /// Key, versions, residual context.
    Any(B, Vec<(Index, u64, V)>, Vec<(Index, u64)>),
}

/// A cover. Those about rows with a key come in the order of these rows.
#[derive(Serialize, Deserialize)]
enum WireCover<B, R> {
    /// Exactly the live dots of the next row.
    Live,
    /// Other dots of the key of the next row.
    NextRow(WireDots<R>),
    /// Dots of a key without a row, or out of turn.
    Key(B, WireDots<R>),
    /// Void dots.
    Void(WireDots<R>),
}

/// A [`Delta`] as bytes; of references when written, of values when read.
#[derive(Serialize, Deserialize)]
struct WireDelta<B, V, R> {
    partition: PartitionId,
    /// All actors, each with the sender's base of it; zero for those without.
    actors: Vec<(ActorId, u64)>,
    to: Index,
    rows: Vec<WireRow<B, V>>,
    covers: Vec<WireCover<B, R>>,
    more: bool,
}

/// A [`FullRows`] as bytes.
#[derive(Serialize, Deserialize)]
struct WireFullRows<B, V, R> {
    partition: PartitionId,
    actors: Vec<ActorId>,
    to: Index,
    session: u64,
    sequence: u32,
    rows: Vec<WireRow<B, V>>,
    live: WireDots<R>,
}

impl Serialize for Delta {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut actors = BTreeSet::from([self.to]);
        actors.extend(self.base.iter().map(|(actor, _)| actor));
        actors.extend(row_actors(&self.rows));
        for cover in &self.covers {
            actors.extend(cover.dots.actors().map(|(actor, _)| actor));
        }
        let table = Table::new(actors);
        WireDelta {
            partition: self.partition,
            to: table.index(self.to),
            rows: table.rows(&self.rows),
            covers: table.covers(&self.covers, &self.rows),
            more: self.more,
            actors: table.with_bases(&self.base),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Delta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = WireDelta::<Bytes, Version, RunSet>::deserialize(deserializer)?;
        Self::try_from(wire).map_err(de::Error::custom)
    }
}

impl TryFrom<WireDelta<Bytes, Version, RunSet>> for Delta {
    type Error = Malformed;

    fn try_from(wire: WireDelta<Bytes, Version, RunSet>) -> Result<Self, Malformed> {
        let bases = wire.actors.iter().copied().filter(|(_, n)| *n > 0);
        let base = VersionVector::try_from(bases.collect::<BTreeMap<_, _>>())?;
        let table = Table::read(wire.actors.into_iter().map(|(actor, _)| actor).collect())?;
        let rows = table.read_rows(wire.rows)?;
        Ok(Self {
            partition: wire.partition,
            to: table.actor(wire.to)?,
            base,
            covers: table.read_covers(wire.covers, &rows)?,
            rows,
            more: wire.more,
        })
    }
}

impl Serialize for FullRows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut actors = BTreeSet::from([self.to]);
        actors.extend(row_actors(&self.rows));
        actors.extend(self.live.actors().map(|(actor, _)| actor));
        let table = Table::new(actors);
        WireFullRows {
            partition: self.partition,
            to: table.index(self.to),
            session: self.session,
            sequence: self.sequence,
            rows: table.rows(&self.rows),
            live: table.dots(&self.live),
            actors: table.actors,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for FullRows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = WireFullRows::<Bytes, Version, RunSet>::deserialize(deserializer)?;
        Self::try_from(wire).map_err(de::Error::custom)
    }
}

impl TryFrom<WireFullRows<Bytes, Version, RunSet>> for FullRows {
    type Error = Malformed;

    fn try_from(wire: WireFullRows<Bytes, Version, RunSet>) -> Result<Self, Malformed> {
        let table = Table::read(wire.actors)?;
        Ok(Self {
            partition: wire.partition,
            to: table.actor(wire.to)?,
            session: wire.session,
            sequence: wire.sequence,
            rows: table.read_rows(wire.rows)?,
            live: table.read_dots(wire.live)?,
        })
    }
}

fn row_actors(rows: &[(Bytes, Row)]) -> impl Iterator<Item = ActorId> + '_ {
    rows.iter().flat_map(|(_, row)| {
        let live = row.versions.dots().map(|dot| dot.actor);
        live.chain(row.residual.iter().map(|(actor, _)| actor))
    })
}

fn split(hlc: Hlc) -> WireHlc {
    let [low, high, ms @ ..] = hlc.0.to_le_bytes();
    (ms, u16::from_le_bytes([low, high]))
}

fn join((ms, counter): WireHlc) -> Hlc {
    let [a, b, c, d, e, f] = ms;
    let [low, high] = counter.to_le_bytes();
    Hlc(u64::from_le_bytes([low, high, a, b, c, d, e, f]))
}

fn live(row: &Row) -> DotSet {
    row.versions.dots().collect()
}

/// The actors of one message, ascending: the order of indexes is the order of actors.
struct Table {
    actors: Vec<ActorId>,
}

impl Table {
    fn new(actors: BTreeSet<ActorId>) -> Self {
        Self {
            actors: actors.into_iter().collect(),
        }
    }

    fn read(actors: Vec<ActorId>) -> Result<Self, Malformed> {
        if actors.len() > ACTORS_MAX {
            return Err(Malformed::TooManyActors);
        }
        match actors.is_sorted_by(|left, right| left < right) {
            true => Ok(Self { actors }),
            false => Err(Malformed::Actors),
        }
    }

    /// The place of `actor`. Every actor of a message was put in its table, so the fallback,
    /// which no reader accepts, is never written.
    fn index(&self, actor: ActorId) -> Index {
        let place = self.actors.binary_search(&actor).ok();
        place
            .and_then(|at| Index::try_from(at).ok())
            .unwrap_or(Index::MAX)
    }

    fn actor(&self, index: Index) -> Result<ActorId, Malformed> {
        let at = usize::try_from(index).ok();
        at.and_then(|at| self.actors.get(at))
            .copied()
            .ok_or(Malformed::NoActor(index))
    }

    fn with_bases(self, base: &VersionVector) -> Vec<(ActorId, u64)> {
        let actors = self.actors.into_iter();
        actors.map(|actor| (actor, base.get(actor))).collect()
    }

    fn vector(&self, vector: &VersionVector) -> Vec<(Index, u64)> {
        let entries = vector.iter();
        entries.map(|(actor, n)| (self.index(actor), n)).collect()
    }

    fn read_vector(&self, wire: Vec<(Index, u64)>) -> Result<VersionVector, Malformed> {
        Ok(VersionVector::try_from(self.read_map(wire)?)?)
    }

    fn dots<'a>(&self, dots: &'a DotSet) -> WireDots<&'a RunSet> {
        let actors = dots.actors();
        actors
            .map(|(actor, runs)| (self.index(actor), runs))
            .collect()
    }

    fn read_dots(&self, wire: WireDots<RunSet>) -> Result<DotSet, Malformed> {
        Ok(DotSet::try_from(self.read_map(wire)?)?)
    }

    fn rows<'a>(&self, rows: &'a [(Bytes, Row)]) -> Vec<WireRow<&'a Bytes, &'a Version>> {
        let rows = rows.iter();
        rows.map(|(key, row)| self.row(key, row)).collect()
    }

    fn row<'a>(&self, key: &'a Bytes, row: &'a Row) -> WireRow<&'a Bytes, &'a Version> {
        let mut versions = row.versions.iter();
        if let (Some((dot, version)), None) = (versions.next(), versions.next())
            && version.expire_at_ms.is_none()
            && version.part.is_none()
            && row.residual.is_empty()
        {
            let hlc = split(version.hlc);
            return WireRow::One(key, self.index(dot.actor), dot.n, hlc, &version.value);
        }
        let versions = row.versions.iter();
        let versions = versions.map(|(dot, version)| (self.index(dot.actor), dot.n, version));
        WireRow::Any(key, versions.collect(), self.vector(&row.residual))
    }

    fn read_rows(
        &self,
        wire: Vec<WireRow<Bytes, Version>>,
    ) -> Result<Vec<(Bytes, Row)>, Malformed> {
        if wire.len() > ROWS_MAX {
            return Err(Malformed::TooMany);
        }
        wire.into_iter().map(|row| self.read_row(row)).collect()
    }

    fn read_row(&self, wire: WireRow<Bytes, Version>) -> Result<(Bytes, Row), Malformed> {
        let (key, versions, residual) = match wire {
            WireRow::One(key, index, n, hlc, value) => {
                let version = Version {
                    hlc: join(hlc),
                    expire_at_ms: None,
                    value,
                    part: None,
                };
                (key, vec![(index, n, version)], Vec::new())
            }
            WireRow::Any(key, versions, residual) => (key, versions, residual),
        };
        let dotted = versions.into_iter().map(|(index, n, version)| {
            let actor = self.actor(index)?;
            Ok((Dot { actor, n }, version))
        });
        let versions = dotted.collect::<Result<Vec<_>, Malformed>>()?;
        let row = Row {
            versions: Versions::try_from(versions).map_err(|_| Malformed::Versions)?,
            residual: self.read_vector(residual)?,
        };
        Ok((key, row))
    }

    fn covers<'a>(
        &self,
        covers: &'a [Cover],
        rows: &'a [(Bytes, Row)],
    ) -> Vec<WireCover<&'a Bytes, &'a RunSet>> {
        let mut next = rows.iter().peekable();
        let wire = |cover: &'a Cover| {
            let Some(key) = &cover.key else {
                return WireCover::Void(self.dots(&cover.dots));
            };
            match next.next_if(|(row, _)| row == key) {
                Some((_, row)) if live(row) == cover.dots => WireCover::Live,
                Some(_) => WireCover::NextRow(self.dots(&cover.dots)),
                None => WireCover::Key(key, self.dots(&cover.dots)),
            }
        };
        covers.iter().map(wire).collect()
    }

    fn read_covers(
        &self,
        wire: Vec<WireCover<Bytes, RunSet>>,
        rows: &[(Bytes, Row)],
    ) -> Result<Vec<Cover>, Malformed> {
        if wire.len() > ROWS_MAX + 1 {
            return Err(Malformed::TooMany);
        }
        let mut next = rows.iter();
        let mut next = || next.next().ok_or(Malformed::NoRow);
        let read = |cover| {
            let (key, dots) = match cover {
                WireCover::Live => {
                    let (key, row) = next()?;
                    (Some(key.clone()), live(row))
                }
                WireCover::NextRow(dots) => (Some(next()?.0.clone()), self.read_dots(dots)?),
                WireCover::Key(key, dots) => (Some(key), self.read_dots(dots)?),
                WireCover::Void(dots) => (None, self.read_dots(dots)?),
            };
            Ok(Cover { key, dots })
        };
        wire.into_iter().map(read).collect()
    }

    /// Actors by index; ascending, so none twice.
    fn read_map<T>(&self, wire: Vec<(Index, T)>) -> Result<BTreeMap<ActorId, T>, Malformed> {
        if !wire.is_sorted_by(|(left, _), (right, _)| left < right) {
            return Err(Malformed::Order);
        }
        let entries = wire.into_iter();
        entries
            .map(|(index, value)| Ok((self.actor(index)?, value)))
            .collect()
    }
}

#[cfg(test)]
#[path = "compact_tests.rs"]
mod tests;
