//! The encodings of messages that name the same few actors many times.
//!
//! An [`ActorId`] is 18 bytes on the wire, a row's dot without it two or three. So a delta
//! and a piece of a full sync carry the table of their actors once, ascending, and indexes
//! into it; and a cover says that it is about the next row instead of repeating its key
//! (PROTOCOL section 10). Per row that is 25 bytes beside key and value instead of 85.
//!
//! Decoding trusts nothing: an index must be in the table, maps must ascend, numbers of rows
//! and covers are bounded before they are widened, and everything else goes through the same
//! conversions as the plain encodings.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use super::exchange::{Cover, Delta, FullRows};
use crate::clock::{ACTORS_MAX, ActorId, ClockError, Dot, DotSet, RUNS_MAX, RunSet, VersionVector};
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

/// The key of a cover.
#[derive(Serialize, Deserialize)]
enum Subject<K> {
    /// No key: the dots are void.
    Void,
    /// The key of the row after that of the last cover of this kind; first the first row.
    NextRow,
    /// A key without a row, or out of turn.
    Key(K),
}

type Index = u32;
type WireDots<R> = Vec<(Index, R)>;
type WireRow<K, V> = (K, Vec<(Index, u64, V)>, Vec<(Index, u64)>);

/// A [`Delta`] as bytes; of references when written, of values when read.
#[derive(Serialize, Deserialize)]
struct WireDelta<K, V, R> {
    partition: PartitionId,
    actors: Vec<ActorId>,
    to: Index,
    base: Vec<(Index, u64)>,
    rows: Vec<WireRow<K, V>>,
    covers: Vec<(Subject<K>, WireDots<R>)>,
    more: bool,
}

/// A [`FullRows`] as bytes.
#[derive(Serialize, Deserialize)]
struct WireFullRows<K, V, R> {
    partition: PartitionId,
    actors: Vec<ActorId>,
    to: Index,
    session: u64,
    sequence: u32,
    rows: Vec<WireRow<K, V>>,
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
            base: table.vector(&self.base),
            rows: table.rows(&self.rows),
            covers: table.covers(&self.covers, &self.rows),
            more: self.more,
            actors: table.actors,
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
        let table = Table::read(wire.actors)?;
        let rows = table.read_rows(wire.rows)?;
        if wire.covers.len() > ROWS_MAX + 1 {
            return Err(Malformed::TooMany);
        }
        let mut next = rows.iter();
        let mut covers = Vec::with_capacity(wire.covers.len());
        for (subject, dots) in wire.covers {
            let key = match subject {
                Subject::Void => None,
                Subject::NextRow => Some(next.next().ok_or(Malformed::NoRow)?.0.clone()),
                Subject::Key(key) => Some(key),
            };
            let dots = table.read_dots(dots)?;
            covers.push(Cover { key, dots });
        }
        Ok(Self {
            partition: wire.partition,
            to: table.actor(wire.to)?,
            base: table.read_vector(wire.base)?,
            rows,
            covers,
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
        let wire = |(key, row): &'a (Bytes, Row)| {
            let versions = row.versions.iter();
            let versions = versions.map(|(dot, version)| (self.index(dot.actor), dot.n, version));
            (key, versions.collect(), self.vector(&row.residual))
        };
        rows.iter().map(wire).collect()
    }

    fn read_rows(
        &self,
        wire: Vec<WireRow<Bytes, Version>>,
    ) -> Result<Vec<(Bytes, Row)>, Malformed> {
        if wire.len() > ROWS_MAX {
            return Err(Malformed::TooMany);
        }
        let row = |(key, versions, residual): WireRow<Bytes, Version>| {
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
        };
        wire.into_iter().map(row).collect()
    }

    fn covers<'a>(
        &self,
        covers: &'a [Cover],
        rows: &'a [(Bytes, Row)],
    ) -> Vec<(Subject<&'a Bytes>, WireDots<&'a RunSet>)> {
        let mut next = rows.iter().peekable();
        let wire = |cover: &'a Cover| {
            let subject = match &cover.key {
                None => Subject::Void,
                Some(key) if next.next_if(|(row, _)| row == key).is_some() => Subject::NextRow,
                Some(key) => Subject::Key(key),
            };
            (subject, self.dots(&cover.dots))
        };
        covers.iter().map(wire).collect()
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
