//! Rows and clocks as bytes.
//!
//! Written out by hand, and not by the codec of messages: what nodes say to each other may
//! change with every version, a file must be readable for years.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::error::Flaw;
use super::number::{Fields, put_bytes, put_count, put_number};
use crate::clock::{
    ACTORS_MAX, ActorId, COUNTER_MAX, Clock, ClockError, Dot, Entry, Hlc, NodeId, RUNS_MAX, RunSet,
    VersionVector,
};
use crate::object::{
    Amount, KEY_BYTES_MAX, Part, Row, SIBLINGS_MERGED_MAX, VALUE_BYTES_MAX, Version, Versions,
};

/// The most rows in one piece. A piece is cut after some 256 KiB, so this is far more than there
/// are; it bounds what a piece of nothing but short rows makes its reader allocate.
const ROWS_MAX: usize = 65_536;

/// The most versions and context entries in one piece, for the same reason. One row may have
/// thousands of either.
const ENTRIES_MAX: usize = 4 * ROWS_MAX;

/// The last piece of a partition: how much came before, and the clock that it belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// Rows of the partition.
    pub rows: u64,
    /// Versions of the partition.
    pub versions: u64,
    /// The clock of the partition, from the snapshot of its rows.
    pub clock: Clock,
}

/// Some rows of a partition as bytes.
pub fn encode_rows(rows: &[(Bytes, Row)]) -> Vec<u8> {
    let named = rows.iter().flat_map(|(_, row)| {
        let live = row.versions.dots().map(|dot| dot.actor);
        let parts = row.versions.iter().filter_map(|(_, v)| v.part.as_deref());
        let epochs = parts.filter_map(|part| Some(part.epoch()?.actor));
        live.chain(epochs)
            .chain(row.residual.iter().map(|(actor, _)| actor))
    });
    let mut table: BTreeMap<ActorId, u64> = named.map(|actor| (actor, 0)).collect();
    let mut out = Vec::new();
    put_count(&mut out, table.len());
    for (index, (actor, slot)) in (0..).zip(&mut table) {
        *slot = index;
        put_actor(&mut out, *actor);
    }
    // Every actor of the rows is in the table.
    let index = |actor: ActorId| table.get(&actor).copied().unwrap_or_default();
    put_count(&mut out, rows.len());
    for (key, row) in rows {
        put_bytes(&mut out, key);
        put_count(&mut out, row.versions.len());
        for (dot, version) in row.versions.iter() {
            put_number(&mut out, index(dot.actor));
            put_number(&mut out, dot.n);
            out.extend_from_slice(&version.hlc.0.to_le_bytes());
            out.push(flags(version));
            if let Some(at_ms) = version.expire_at_ms {
                put_number(&mut out, at_ms);
            }
            put_bytes(&mut out, &version.value);
            if let Some(part) = &version.part {
                put_part(&mut out, part, index);
            }
        }
        put_count(&mut out, row.residual.len());
        for (actor, n) in row.residual.iter() {
            put_number(&mut out, index(actor));
            put_number(&mut out, n);
        }
    }
    out
}

/// The rows that `bytes` are.
///
/// # Errors
/// What is wrong with them.
pub fn decode_rows(bytes: &[u8]) -> Result<Vec<(Bytes, Row)>, Flaw> {
    const ACTOR_BYTES: usize = 16;
    const ROW_BYTES_MIN: usize = 5;
    let mut fields = Fields::new(bytes);
    let count = fields.count("actors", ACTORS_MAX, ACTOR_BYTES)?;
    let mut actors = Vec::with_capacity(count);
    for _ in 0..count {
        actors.push(actor(&mut fields)?);
    }
    if !actors.is_sorted_by(|left, right| left < right) {
        return Err(Flaw::Order("actors"));
    }
    let count = fields.count("rows", ROWS_MAX, ROW_BYTES_MIN)?;
    let mut rows = Vec::with_capacity(count);
    let mut entries = ENTRIES_MAX;
    for _ in 0..count {
        let key = fields.bytes("key", KEY_BYTES_MAX)?;
        let versions = versions(&mut fields, &actors, &mut entries)?;
        let residual = residual(&mut fields, &actors, &mut entries)?;
        if versions.is_empty() && residual.is_empty() {
            return Err(Flaw::EmptyRow);
        }
        rows.push((Bytes::copy_from_slice(key), Row { versions, residual }));
    }
    fields.end()?;
    Ok(rows)
}

fn versions(
    fields: &mut Fields<'_>,
    actors: &[ActorId],
    entries: &mut usize,
) -> Result<Versions, Flaw> {
    const VERSION_BYTES_MIN: usize = 12;
    let limit = SIBLINGS_MERGED_MAX.min(*entries);
    let count = fields.count("versions", limit, VERSION_BYTES_MIN)?;
    *entries -= count;
    let mut versions = Vec::with_capacity(count);
    for _ in 0..count {
        let dot = dot(fields, actors)?;
        let hlc = Hlc(fields.u64()?);
        let flags = fields.u8()?;
        let expire_at_ms = (flags & ENDS != 0).then(|| fields.number()).transpose()?;
        let value = Bytes::copy_from_slice(fields.bytes("value", VALUE_BYTES_MAX)?);
        let version = Version {
            hlc,
            expire_at_ms,
            value,
            part: part(fields, actors, flags)?.map(Box::new),
        };
        versions.push((dot, version));
    }
    Versions::try_from(versions).map_err(|_| Flaw::Order("versions"))
}

/// What follows of a version: it ends; it is the base, or a sum, of a counter; that was begun by
/// a write; that ends; it says when the elements of a key end, which is said like a counter's.
const ENDS: u8 = 1;
const BASE: u8 = 2;
const SUM: u8 = 4;
const EPOCH: u8 = 8;
const COUNTER_ENDS: u8 = 16;
const END: u8 = 32;

fn flags(version: &Version) -> u8 {
    let flag = |flag, is_set| if is_set { flag } else { 0 };
    let part = version.part.as_deref();
    flag(ENDS, version.expire_at_ms.is_some())
        | flag(BASE, matches!(part, Some(Part::Base { .. })))
        | flag(SUM, matches!(part, Some(Part::Sum { .. })))
        | flag(END, matches!(part, Some(Part::End { .. })))
        | flag(EPOCH, part.and_then(Part::epoch).is_some())
        | flag(COUNTER_ENDS, part.and_then(Part::ends_at_ms).is_some())
}

fn put_part(out: &mut Vec<u8>, part: &Part, index: impl Fn(ActorId) -> u64) {
    if let Some(epoch) = part.epoch() {
        put_number(out, index(epoch.actor));
        put_number(out, epoch.n);
    }
    if let Some(at_ms) = part.ends_at_ms() {
        put_number(out, at_ms);
    }
    match part {
        Part::Base { .. } => {}
        Part::Sum { sum, .. } => out.extend_from_slice(&sum.units().to_le_bytes()),
        Part::End { gone_before_ms, .. } => put_number(out, *gone_before_ms),
    }
}

fn part(fields: &mut Fields<'_>, actors: &[ActorId], flags: u8) -> Result<Option<Part>, Flaw> {
    let kind = flags & (BASE | SUM | END);
    let all = ENDS | BASE | SUM | EPOCH | COUNTER_ENDS | END;
    if kind == 0 && flags & !ENDS == 0 {
        return Ok(None);
    }
    if !kind.is_power_of_two() || flags & !all != 0 || kind == END && flags & EPOCH != 0 {
        return Err(Flaw::Number);
    }
    let epoch = (flags & EPOCH != 0).then(|| dot(fields, actors));
    let epoch = epoch.transpose()?;
    let ends_at_ms = (flags & COUNTER_ENDS != 0).then(|| fields.number());
    let ends_at_ms = ends_at_ms.transpose()?;
    if kind == BASE {
        return Ok(Some(Part::Base { epoch, ends_at_ms }));
    }
    if kind == END {
        let gone_before_ms = fields.number()?;
        return Ok(Some(Part::End {
            gone_before_ms,
            ends_at_ms,
        }));
    }
    let (low, high) = (fields.u64()?, fields.u64()?);
    let units = (u128::from(high) << 64 | u128::from(low)).cast_signed();
    Ok(Some(Part::Sum {
        epoch,
        sum: Amount::of_units(units),
        ends_at_ms,
    }))
}

fn residual(
    fields: &mut Fields<'_>,
    actors: &[ActorId],
    entries: &mut usize,
) -> Result<VersionVector, Flaw> {
    let count = fields.count("context entries", ACTORS_MAX.min(*entries), 2)?;
    *entries -= count;
    let mut vector = VersionVector::new();
    for _ in 0..count {
        let dot = dot(fields, actors)?;
        if vector.get(dot.actor) > 0 {
            return Err(Flaw::Order("context entries"));
        }
        vector.add(dot);
    }
    Ok(vector)
}

fn dot(fields: &mut Fields<'_>, actors: &[ActorId]) -> Result<Dot, Flaw> {
    let index = fields.number()?;
    let place = usize::try_from(index).ok();
    let actor = place.and_then(|place| actors.get(place));
    let actor = *actor.ok_or(Flaw::NoActor(index))?;
    let n = fields.number()?;
    match (1..=COUNTER_MAX).contains(&n) {
        true => Ok(Dot { actor, n }),
        false => Err(ClockError::Counter.into()),
    }
}

/// The end of a partition as bytes.
pub fn encode_tail(tail: &Tail) -> Vec<u8> {
    let mut out = Vec::new();
    put_number(&mut out, tail.rows);
    put_number(&mut out, tail.versions);
    put_count(&mut out, tail.clock.len());
    for (actor, entry) in tail.clock.entries() {
        put_actor(&mut out, actor);
        put_number(&mut out, entry.base());
        out.push(u8::from(entry.is_closed()));
        put_count(&mut out, entry.above().len());
        let mut before = entry.base();
        for (start, last) in entry.above().iter() {
            put_number(&mut out, start - before);
            put_number(&mut out, last - start);
            before = last;
        }
    }
    out
}

/// The end of a partition that `bytes` are.
///
/// # Errors
/// What is wrong with them.
pub fn decode_tail(bytes: &[u8]) -> Result<Tail, Flaw> {
    const ENTRY_BYTES_MIN: usize = 19;
    let mut fields = Fields::new(bytes);
    let (rows, versions) = (fields.number()?, fields.number()?);
    let count = fields.count("actors", ACTORS_MAX, ENTRY_BYTES_MIN)?;
    let mut entries = BTreeMap::new();
    let mut runs_left = RUNS_MAX;
    for _ in 0..count {
        let actor = actor(&mut fields)?;
        let entry = entry(&mut fields, &mut runs_left)?;
        let ascends = entries
            .last_key_value()
            .is_none_or(|(last, _)| *last < actor);
        if !ascends {
            return Err(Flaw::Order("actors"));
        }
        entries.insert(actor, entry);
    }
    fields.end()?;
    Ok(Tail {
        rows,
        versions,
        clock: Clock::try_from(entries)?,
    })
}

fn entry(fields: &mut Fields<'_>, runs_left: &mut usize) -> Result<Entry, Flaw> {
    let base = fields.number()?;
    if base > COUNTER_MAX {
        return Err(ClockError::Counter.into());
    }
    let closed = match fields.u8()? {
        0 => false,
        1 => true,
        _ => return Err(Flaw::Number),
    };
    let count = fields.count("runs", *runs_left, 2)?;
    *runs_left -= count;
    let mut runs = RunSet::new();
    let mut before = base;
    for _ in 0..count {
        let (gap, more) = (fields.number()?, fields.number()?);
        let start = before.checked_add(gap).ok_or(ClockError::Counter)?;
        let last = start.checked_add(more).ok_or(ClockError::Counter)?;
        if last > COUNTER_MAX {
            return Err(ClockError::Counter.into());
        }
        if gap < 2 {
            return Err(Flaw::Order("runs"));
        }
        runs.insert_run(start, last);
        before = last;
    }
    let mut entry = Entry::up_to(base);
    entry.join(&Entry::of_runs(&runs));
    if closed {
        if count > 0 {
            return Err(Flaw::Order("runs"));
        }
        entry.close();
    }
    Ok(entry)
}

fn put_actor(out: &mut Vec<u8>, actor: ActorId) {
    out.extend_from_slice(&actor.node.0.to_le_bytes());
    out.extend_from_slice(&actor.incarnation.to_le_bytes());
}

fn actor(fields: &mut Fields<'_>) -> Result<ActorId, Flaw> {
    Ok(ActorId {
        node: NodeId(fields.u64()?),
        incarnation: fields.u64()?,
    })
}
