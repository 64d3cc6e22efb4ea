//! The logged dots of one actor, in their order.

use std::collections::BTreeMap;

use bytes::Bytes;

/// Counters that share one piece: rows come at the end and go at the front, nearly always, and
/// a late one moves no more than a piece.
const PIECE: u64 = 32;

/// A counter, and the key that its dot wrote; none if it is void.
pub(super) type Logged = (u64, Option<Hashed>);

/// A key and its hash, so that who lets go of it need not look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hashed {
    pub(super) hash: u64,
    pub(super) key: Bytes,
}

/// The rows of one actor.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// By counter divided by [`PIECE`], those that have it, ascending. None is empty.
    pieces: BTreeMap<u64, Vec<Logged>>,
    len: usize,
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The row of `n`.
    pub(super) fn get(&self, n: u64) -> Option<&Option<Hashed>> {
        let piece = self.pieces.get(&(n / PIECE))?;
        let at = position(piece, n).ok()?;
        piece.get(at).map(|(_, key)| key)
    }

    /// The largest counter.
    pub(super) fn last(&self) -> Option<u64> {
        let (_, piece) = self.pieces.last_key_value()?;
        piece.last().map(|(n, _)| *n)
    }

    /// The rows from `start` to `last`.
    pub(super) fn range(
        &self,
        start: u64,
        last: u64,
    ) -> impl Iterator<Item = (u64, Option<&Hashed>)> + '_ {
        let pieces = (start <= last).then(|| self.pieces.range(start / PIECE..=last / PIECE));
        let rows = pieces.into_iter().flatten().flat_map(|(_, piece)| piece);
        rows.skip_while(move |(n, _)| *n < start)
            .take_while(move |(n, _)| *n <= last)
            .map(|(n, key)| (*n, key.as_ref()))
    }

    /// Adds a row that is not there.
    pub(super) fn insert(&mut self, n: u64, key: Option<Hashed>) {
        let piece = self.pieces.entry(n / PIECE).or_default();
        let at = position(piece, n).unwrap_or_else(|at| at);
        piece.insert(at, (n, key));
        self.len += 1;
    }

    /// Takes the row of `n` out.
    pub(super) fn pop(&mut self, n: u64) -> Vec<Logged> {
        let Some(piece) = self.pieces.get_mut(&(n / PIECE)) else {
            return Vec::new();
        };
        let gone: Vec<Logged> = match position(piece, n) {
            Ok(at) => vec![piece.remove(at)],
            Err(_) => Vec::new(),
        };
        if piece.is_empty() {
            self.pieces.remove(&(n / PIECE));
        }
        self.len -= gone.len();
        gone
    }

    /// Takes the rows up to `n` out.
    pub(super) fn pop_to(&mut self, n: u64) -> Vec<Logged> {
        let mut gone = Vec::new();
        while let Some(mut first) = self.pieces.first_entry() {
            let piece = first.get_mut();
            let count = piece.partition_point(|(of, _)| *of <= n);
            gone.extend(piece.drain(..count));
            if !piece.is_empty() {
                break;
            }
            first.remove();
        }
        self.len -= gone.len();
        gone
    }

    /// Takes the first `count` rows out.
    pub(super) fn pop_some(&mut self, count: usize) -> Vec<Logged> {
        let mut rows = self.pieces.values().flatten();
        let Some(next) = rows.nth(count).map(|(n, _)| *n) else {
            return self.pop_to(u64::MAX);
        };
        self.pop_to(next.saturating_sub(1))
    }

    /// Takes the rows for which `is_known` says so out.
    pub(super) fn pop_where(&mut self, is_known: impl Fn(u64) -> bool) -> Vec<Logged> {
        let mut gone = Vec::new();
        self.pieces.retain(|_, piece| {
            gone.extend(piece.extract_if(.., |(n, _)| is_known(*n)));
            !piece.is_empty()
        });
        self.len -= gone.len();
        gone
    }
}

/// Where the row of `n` is in its piece, or belongs. Nearly always behind all that are there.
fn position(piece: &[Logged], n: u64) -> Result<usize, usize> {
    match piece.last() {
        Some((last, _)) if *last >= n => piece.binary_search_by_key(&n, |(of, _)| *of),
        _ => Err(piece.len()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map_in_order(
            steps in vec((0u8..8, 1u64..200), 0..150),
            far in prop_oneof![Just(0), Just(u64::MAX - 300)],
        ) {
            let (mut line, mut model) = (Line::default(), BTreeMap::new());
            for (step, n) in steps {
                let n = far + n;
                let whole = |model: &mut BTreeMap<_, _>, gone: &dyn Fn(u64) -> bool| {
                    let gone = model.extract_if(.., |n, _| gone(*n));
                    gone.collect::<Vec<Logged>>()
                };
                match step {
                    0 => prop_assert_eq!(line.pop_to(n), whole(&mut model, &|of| of <= n)),
                    1 => prop_assert_eq!(line.pop(n), whole(&mut model, &|of| of == n)),
                    2 => {
                        let known = |of: u64| of % 3 == n % 3;
                        prop_assert_eq!(line.pop_where(known), whole(&mut model, &known));
                    }
                    3 => {
                        let count = (n - far) as usize / 10;
                        let last = model.keys().take(count).next_back().copied();
                        let first = |of| Some(of) <= last;
                        prop_assert_eq!(line.pop_some(count), whole(&mut model, &first));
                    }
                    _ if model.contains_key(&n) => {}
                    _ => {
                        let key = (n % 2 == 0).then(|| Hashed {
                            hash: n,
                            key: Bytes::from(n.to_string()),
                        });
                        line.insert(n, key.clone());
                        model.insert(n, key);
                    }
                }
                prop_assert_eq!(line.len(), model.len());
                prop_assert_eq!(line.get(n), model.get(&n));
                prop_assert_eq!(line.last(), model.keys().next_back().copied());
                let range = line.range(n.saturating_sub(70), n);
                let expected = model.range(n.saturating_sub(70)..=n);
                let expected = expected.map(|(n, key)| (*n, key.as_ref()));
                prop_assert!(range.eq(expected));
                prop_assert!(line.range(1, u64::MAX).count() == model.len());
            }
        }
    }
}
