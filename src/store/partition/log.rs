//! Which key a dot wrote, for the dots that some replica may still lack (PROTOCOL 3.5).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::frontier::KeyDots;
use crate::clock::{ActorId, Clock, Dot, DotSet, VersionVector};
use crate::machine::Instant;

/// About how many bytes one row takes beside its key: its place in two trees, three quarters
/// full.
pub const LOG_ROW_BYTES: usize = 160;

/// Marks of age per span of the log: a row goes at most an eighth of the span too late.
const MARKS: u32 = 8;

/// The dot log, in memory only, with both directions: a delta needs the keys of the dots that
/// are missing, and all dots of those keys (R6).
///
/// Invariant: a dot of the clock that has no row here is at or below the floor.
#[derive(Debug, Default)]
pub(super) struct DotLog {
    /// The key of each dot; none for a void one.
    rows: BTreeMap<ActorId, BTreeMap<u64, Option<Bytes>>>,
    /// The dots of each key, and its frontier.
    keys: BTreeMap<Bytes, KeyDots>,
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
        self.remove(dot);
        if let Some(key) = &key {
            self.keys
                .entry(key.clone())
                .and_modify(|dots| dots.insert(dot))
                .or_insert(KeyDots::new(dot));
        }
        self.bytes += row_bytes(key.as_ref());
        self.rows.entry(dot.actor).or_default().insert(dot.n, key);
        self.len += 1;
    }

    /// The rows of `actor` from `start` to `last`.
    pub(super) fn range(
        &self,
        actor: ActorId,
        start: u64,
        last: u64,
    ) -> impl Iterator<Item = (Dot, Option<&Bytes>)> + '_ {
        let rows = self.rows.get(&actor);
        rows.into_iter()
            .flat_map(move |rows| rows.range(start..=last))
            .map(move |(&n, key)| (Dot { actor, n }, key.as_ref()))
    }

    /// All dots of `key` that have a row.
    pub(super) fn dots_of(&self, key: &Bytes) -> impl Iterator<Item = Dot> + '_ {
        self.keys.get(key).into_iter().flat_map(KeyDots::iter)
    }

    /// The dots of `key` that have a row and that no other write is known to include.
    pub(super) fn frontier(&self, key: &Bytes) -> impl Iterator<Item = Dot> + '_ {
        self.keys.get(key).into_iter().flat_map(KeyDots::frontier)
    }

    /// Says that each of `dots` is included in another write that is in the clock.
    pub(super) fn include(&mut self, dots: impl IntoIterator<Item = Dot>) {
        for dot in dots {
            let rows = self.rows.get(&dot.actor);
            if let Some(Some(key)) = rows.and_then(|rows| rows.get(&dot.n))
                && let Some(dots) = self.keys.get_mut(key)
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
        let mut known = Vec::new();
        for (&actor, rows) in &self.rows {
            let held = |n: u64| clocks.iter().all(|clock| clock.contains(Dot { actor, n }));
            known.extend(rows.keys().filter(|&&n| held(n)).map(|&n| Dot { actor, n }));
        }
        self.drop_rows(&known)
    }

    /// Keeps at most `rows_max` rows and about `bytes_max` bytes. When there is more it drops
    /// the older half of every actor's and raises the floor over them: a peer that is far
    /// behind gets a full sync, one that is close still a delta.
    pub(super) fn bound(&mut self, rows_max: usize, bytes_max: usize) {
        while self.len > rows_max || self.bytes > bytes_max {
            let mut older = Vec::new();
            for (&actor, rows) in &self.rows {
                let half = rows.len().div_ceil(2);
                older.extend(rows.keys().take(half).map(|&n| Dot { actor, n }));
            }
            self.drop_rows(&older);
        }
    }

    /// Drops rows that are older than `age_max`, give or take an eighth of it, and raises the
    /// floor over them. A gap that was filled late counts as old as what came after it.
    pub(super) fn age(&mut self, now: Instant, age_max: Duration) {
        while let Some((at, _)) = self.marks.front()
            && now.since(*at) >= age_max
            && let Some((_, tops)) = self.marks.pop_front()
        {
            let old = tops.iter().flat_map(|(actor, n)| self.range(actor, 1, n));
            let old: Vec<Dot> = old.map(|(dot, _)| dot).collect();
            self.drop_rows(&old);
        }
        let last = self.marks.back().map(|(at, _)| now.since(*at));
        if self.len > 0 && last.is_none_or(|since| since >= age_max / MARKS) {
            let tops = self.rows.iter().filter_map(|(&actor, rows)| {
                let (&n, _) = rows.last_key_value()?;
                Some((actor, n))
            });
            let tops = tops.collect();
            self.marks.push_back((now, tops));
        }
    }

    fn drop_rows(&mut self, dots: &[Dot]) -> usize {
        for &dot in dots {
            self.remove(dot);
            self.floor.add(dot);
        }
        dots.len()
    }

    fn remove(&mut self, dot: Dot) {
        let Some(rows) = self.rows.get_mut(&dot.actor) else {
            return;
        };
        let Some(key) = rows.remove(&dot.n) else {
            return;
        };
        if rows.is_empty() {
            self.rows.remove(&dot.actor);
        }
        self.len -= 1;
        self.bytes -= row_bytes(key.as_ref());
        if let Some(key) = key
            && let Some(dots) = self.keys.get_mut(&key)
            && dots.remove(dot)
        {
            self.keys.remove(&key);
        }
    }
}

fn row_bytes(key: Option<&Bytes>) -> usize {
    LOG_ROW_BYTES + key.map_or(0, Bytes::len)
}
