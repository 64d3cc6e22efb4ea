//! Which key a dot wrote, for the dots that some replica may still lack (PROTOCOL 3.5).

mod line;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use self::line::{Hashed, Line, Logged};
use super::frontier::KeyDots;
use crate::clock::{ActorId, Clock, Dot, DotSet, VersionVector};
use crate::machine::Instant;
use crate::store::by_hash::ByHash;

/// About how many bytes one row takes beside its key: its place in the line of its actor, and
/// in a tree that is three quarters full.
pub const LOG_ROW_BYTES: usize = 160;

/// Marks of age per span of the log: a row goes at most an eighth of the span too late.
const MARKS: u32 = 8;

/// The dot log, in memory only, with both directions: a delta needs the keys of the dots that
/// are missing, and all dots of those keys (R6).
///
/// Invariant: a dot of the clock that has no row here is at or below the floor.
#[derive(Debug, Default)]
pub(super) struct DotLog {
    /// The key of each dot; none for a void one. No line is empty.
    rows: BTreeMap<ActorId, Line>,
    /// The dots of each key, and its frontier.
    keys: ByHash<KeyDots>,
    len: usize,
    /// About how many bytes all rows take.
    bytes: usize,
    /// Moments and the largest counters that had a row by then, oldest first: what goes when
    /// the moment is too long ago.
    marks: VecDeque<(Instant, VersionVector)>,
    /// For a dot at or below it that has no row, the key is unknown (R10).
    floor: VersionVector,
}

impl DotLog {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// How many dots have a row.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Notes the key of `dot`; none says that it is void.
    pub(super) fn insert(&mut self, dot: Dot, key: Option<Bytes>) {
        self.note(dot, key, |_| false);
    }

    /// The same, and says of which of the key's dots, this one among them, another write that
    /// is in the clock `is_included`.
    pub(super) fn note(&mut self, dot: Dot, key: Option<Bytes>, is_included: impl Fn(Dot) -> bool) {
        let line = self.rows.get(&dot.actor);
        if line.is_some_and(|line| line.last() >= Some(dot.n) && line.get(dot.n).is_some()) {
            self.remove(dot.actor, |line| line.pop(dot.n));
        }
        let key = key.map(|key| Hashed {
            hash: xxh3_64(&key),
            key,
        });
        if let Some(key) = &key {
            let more = |dots: &mut KeyDots| {
                dots.insert(dot);
                dots.include_all(&is_included);
            };
            let first = || KeyDots::new(dot, is_included(dot));
            self.keys.put(key.hash, &key.key, more, first);
        }
        self.bytes += row_bytes(key.as_ref());
        self.len += 1;
        self.rows.entry(dot.actor).or_default().insert(dot.n, key);
    }

    /// The rows of `actor` from `start` to `last`.
    pub(super) fn range(
        &self,
        actor: ActorId,
        start: u64,
        last: u64,
    ) -> impl Iterator<Item = (Dot, Option<&Bytes>)> + '_ {
        let line = self.rows.get(&actor);
        line.into_iter()
            .flat_map(move |line| line.range(start, last))
            .map(move |(n, key)| (Dot { actor, n }, key.map(|key| &key.key)))
    }

    /// All dots of `key` that have a row.
    pub(super) fn dots_of(&self, key: &Bytes) -> impl Iterator<Item = Dot> + '_ {
        self.dots(key).into_iter().flat_map(KeyDots::iter)
    }

    /// The dots of `key` that have a row and that no other write is known to include.
    pub(super) fn frontier(&self, key: &Bytes) -> impl Iterator<Item = Dot> + '_ {
        self.dots(key).into_iter().flat_map(KeyDots::frontier)
    }

    fn dots(&self, key: &[u8]) -> Option<&KeyDots> {
        let (_, dots) = self.keys.get(xxh3_64(key), key)?;
        Some(dots)
    }

    /// Says that each of `dots` is included in another write that is in the clock.
    pub(super) fn include(&mut self, dots: impl IntoIterator<Item = Dot>) {
        for dot in dots {
            let line = self.rows.get(&dot.actor);
            if let Some(Some(key)) = line.and_then(|line| line.get(dot.n))
                && let Some(dots) = self.keys.get_mut(key.hash, &key.key)
            {
                dots.include(dot);
            }
        }
    }

    /// Takes back what [`include`](Self::include) was told.
    pub(super) fn forget_included(&mut self) {
        self.keys.values_mut().for_each(KeyDots::forget_included);
    }

    /// Whether each of `dots` has a row; otherwise the peer is below the floor (R10). Costs
    /// the rows there are, not the dots that are named.
    pub(super) fn reaches(&self, dots: &DotSet) -> bool {
        dots.runs().all(|(actor, start, last)| {
            let rows = self.range(actor, start, last).count();
            let whole = u64::try_from(rows).is_ok_and(|rows| rows == last - start + 1);
            debug_assert!(
                whole || start <= self.floor.get(actor),
                "dots above the floor without a row"
            );
            whole
        })
    }

    /// Says that the keys of `actor`'s dots up to `n` are unknown unless they have a row.
    pub(super) fn raise_floor(&mut self, actor: ActorId, n: u64) {
        self.floor.raise(actor, n);
    }

    /// The floor.
    #[cfg(test)]
    pub(super) fn floor(&self) -> &VersionVector {
        &self.floor
    }

    /// Drops the rows of dots that all of `clocks` hold, all if there are none (vernemq
    /// #2538: a single node that never pruned), and raises the floor over them. Says how many.
    pub(super) fn drop_known(&mut self, clocks: &[&Clock]) -> usize {
        let before = self.len;
        let actors: Vec<ActorId> = self.rows.keys().copied().collect();
        for actor in actors {
            let bases = clocks.iter().map(|clock| clock.base(actor));
            let base = bases.min().unwrap_or(u64::MAX);
            self.drop_rows(actor, |line| line.pop_to(base));
            // Only what lies above a gap of one of them can be held by all beside that.
            if clocks.iter().all(|clock| clock.top(actor) > base) {
                let held = |n: u64| clocks.iter().all(|clock| clock.contains(Dot { actor, n }));
                self.drop_rows(actor, |line| line.pop_where(held));
            }
        }
        before - self.len
    }

    /// Keeps at most `rows_max` rows and about `bytes_max` bytes. When there is more it drops
    /// the older half of every actor's and raises the floor over them: a peer that is far
    /// behind gets a full sync, one that is close still a delta.
    pub(super) fn bound(&mut self, rows_max: usize, bytes_max: usize) {
        while self.len > rows_max || self.bytes > bytes_max {
            let actors: Vec<ActorId> = self.rows.keys().copied().collect();
            for actor in actors {
                self.drop_rows(actor, |line| line.pop_some(line.len().div_ceil(2)));
            }
        }
    }

    /// Drops rows that are older than `age_max`, give or take an eighth of it, and raises the
    /// floor over them. A gap that was filled late counts as old as what came after it.
    pub(super) fn age(&mut self, now: Instant, age_max: Duration) {
        while let Some((at, _)) = self.marks.front()
            && now.since(*at) >= age_max
            && let Some((_, tops)) = self.marks.pop_front()
        {
            for (actor, n) in tops.iter() {
                self.drop_rows(actor, |line| line.pop_to(n));
            }
        }
        let last = self.marks.back().map(|(at, _)| now.since(*at));
        if self.len > 0 && last.is_none_or(|since| since >= age_max / MARKS) {
            let tops = self.rows.iter();
            let tops = tops.filter_map(|(&actor, line)| Some((actor, line.last()?)));
            let tops = tops.collect();
            self.marks.push_back((now, tops));
        }
    }

    /// Drops what `pop` takes out of the line of `actor`, and raises the floor over it.
    fn drop_rows(&mut self, actor: ActorId, pop: impl FnOnce(&mut Line) -> Vec<Logged>) {
        let last = self.remove(actor, pop);
        self.floor.raise(actor, last);
    }

    /// Takes out what `pop` takes out of the line of `actor`; gives back the largest counter.
    fn remove(&mut self, actor: ActorId, pop: impl FnOnce(&mut Line) -> Vec<Logged>) -> u64 {
        let Some(line) = self.rows.get_mut(&actor) else {
            return 0;
        };
        let gone = pop(line);
        if line.len() == 0 {
            self.rows.remove(&actor);
        }
        self.len -= gone.len();
        let last = gone.last().map_or(0, |(n, _)| *n);
        for (n, key) in gone {
            self.bytes -= row_bytes(key.as_ref());
            let Some(key) = key else {
                continue;
            };
            let dots = self.keys.get_mut(key.hash, &key.key);
            if dots.is_some_and(|dots| dots.remove(Dot { actor, n })) {
                self.keys.remove(key.hash, &key.key);
            }
        }
        last
    }
}

fn row_bytes(key: Option<&Hashed>) -> usize {
    LOG_ROW_BYTES + key.map_or(0, |hashed| hashed.key.len())
}
