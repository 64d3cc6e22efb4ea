//! `LCS`: the longest common subsequence of two values.
//!
//! The textbook table of lengths of prefixes, walked back from its end, as Redis does it:
//! where both ways are equally long it goes back in the second value, so that answers are the
//! same as Redis's where several subsequences are equally long.

use bytes::Bytes;

use crate::node::request::Request;
use crate::resp::Value;
use crate::server::commands::ranges::{length, value_of};
use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Keys, Outcome, Spec};

/// Most cells of the table: 64 MiB, and some tens of milliseconds during which the
/// connection's worker serves nobody else.
const CELLS_MAX: usize = 16 * 1024 * 1024;

pub(super) const COMMANDS: &[Spec] = &[Spec {
    name: "lcs",
    arity: -3,
    flags: &["readonly"],
    keys: Keys {
        first: 1,
        last: 2,
        step: 1,
        ..Keys::NONE
    },
    group: "string",
    since: "7.0.0",
    summary: "Finds the longest common substring.",
    args: &[
        Arg::new("key1", "key"),
        Arg::new("key2", "key"),
        Arg::word("len", "LEN").optional(),
        Arg::word("idx", "IDX").optional(),
        Arg::new("min-match-len", "integer")
            .token("MINMATCHLEN")
            .optional(),
        Arg::word("withmatchlen", "WITHMATCHLEN").optional(),
    ],
    run: Some(lcs),
    ..Spec::NONE
}];

/// What is asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    /// The length alone.
    len: bool,
    /// Where the common parts are.
    idx: bool,
    /// Shorter parts are left out.
    len_min: usize,
    /// Each part with its length.
    with_len: bool,
}

fn options(args: &Args) -> Result<Options, Failure> {
    let mut options = Options::default();
    let mut at = 3_usize;
    while at < args.len() {
        let next = at.saturating_add(1);
        if args.is(at, "idx") {
            options.idx = true;
        } else if args.is(at, "len") {
            options.len = true;
        } else if args.is(at, "withmatchlen") {
            options.with_len = true;
        } else if args.is(at, "minmatchlen") && next < args.len() {
            options.len_min = usize::try_from(args.integer(next)?).unwrap_or(0);
            at = next;
        } else {
            return Err(Failure::SYNTAX);
        }
        at = at.saturating_add(1);
    }
    if options.idx && options.len {
        return Err(Failure::new(
            "ERR If you want both the length and indexes, please just use IDX.",
        ));
    }
    Ok(options)
}

fn lcs(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let options = options(args)?;
    let values = [args.take(1), args.take(2)].map(|key| context.submit(Request::Get { key }));
    Ok(Outcome::joined(values.into(), move |replies| {
        let mut values = replies.into_iter().map(value_of);
        let (a, b) = (values.next(), values.next());
        let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
        match Table::new(a, b) {
            Some(table) => answer(&table, options),
            None => Value::error(
                "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
            ),
        }
    }))
}

fn answer(table: &Table, options: Options) -> Value {
    let total = table.length();
    if options.len {
        return length(total);
    }
    if !options.idx {
        return Value::Bulk(table.common());
    }
    let parts = table.parts().into_iter();
    let parts = parts.filter(|part| part.length >= options.len_min);
    let range = |from: usize, part: &Part| {
        let last = from.saturating_add(part.length).saturating_sub(1);
        Value::Array(vec![length(from), length(last)])
    };
    let matches = parts.map(|part| {
        let mut fields = vec![range(part.a, &part), range(part.b, &part)];
        fields.extend(options.with_len.then(|| length(part.length)));
        Value::Array(fields)
    });
    Value::Map(vec![
        (Value::bulk("matches"), Value::Array(matches.collect())),
        (Value::bulk("len"), length(total)),
    ])
}

/// A run of bytes that both values have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    /// Where it begins in the first value.
    a: usize,
    /// Where it begins in the second.
    b: usize,
    length: usize,
}

/// Lengths of the longest common subsequences of all prefixes of two values.
struct Table {
    a: Bytes,
    b: Bytes,
    /// Row by row: one row per prefix of `a`, one cell per prefix of `b`.
    cells: Vec<u32>,
}

impl Table {
    /// `None` if there would be more than [`CELLS_MAX`] cells.
    fn new(a: Bytes, b: Bytes) -> Option<Self> {
        let width = b.len().checked_add(1)?;
        let count = a.len().checked_add(1)?.checked_mul(width)?;
        if count > CELLS_MAX {
            return None;
        }
        let mut cells = vec![0_u32; count];
        let mut rows = cells.chunks_exact_mut(width);
        let mut above = rows.next()?;
        for (byte, row) in a.iter().zip(rows) {
            let mut left = 0;
            let cells = row.iter_mut().skip(1);
            for ((cell, above), other) in cells.zip(above.windows(2)).zip(&b) {
                *cell = match above {
                    [diagonal, _] if byte == other => diagonal.saturating_add(1),
                    [_, above] => left.max(*above),
                    _ => left,
                };
                left = *cell;
            }
            above = row;
        }
        Some(Self { a, b, cells })
    }

    /// Of the first `i` bytes of one value and the first `j` of the other.
    fn at(&self, i: usize, j: usize) -> u32 {
        let width = self.b.len().saturating_add(1);
        let place = i.saturating_mul(width).saturating_add(j);
        self.cells.get(place).copied().unwrap_or(0)
    }

    fn length(&self) -> usize {
        self.at(self.a.len(), self.b.len()) as usize
    }

    /// The common runs, the last one first.
    fn parts(&self) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        let (mut i, mut j) = (self.a.len(), self.b.len());
        while let (Some(before_i), Some(before_j)) = (i.checked_sub(1), j.checked_sub(1)) {
            if self.a.get(before_i) == self.b.get(before_j) {
                match parts.last_mut() {
                    Some(part) if part.a == i && part.b == j => {
                        *part = Part {
                            a: before_i,
                            b: before_j,
                            length: part.length.saturating_add(1),
                        };
                    }
                    _ => parts.push(Part {
                        a: before_i,
                        b: before_j,
                        length: 1,
                    }),
                }
                (i, j) = (before_i, before_j);
            } else if self.at(before_i, j) > self.at(i, before_j) {
                i = before_i;
            } else {
                j = before_j;
            }
        }
        parts
    }

    /// The longest common subsequence.
    fn common(&self) -> Bytes {
        let mut common = Vec::with_capacity(self.length());
        for Part { a, length, .. } in self.parts().into_iter().rev() {
            let run = self.a.get(a..a.saturating_add(length));
            common.extend_from_slice(run.unwrap_or_default());
        }
        common.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(a: &str, b: &str) -> Table {
        Table::new(Bytes::from(a.to_owned()), Bytes::from(b.to_owned())).unwrap()
    }

    #[test]
    fn the_example_of_the_manual() {
        let table = table("ohmytext", "mynewtext");
        assert_eq!(table.length(), 6);
        assert_eq!(table.common(), "mytext");
        let part = |a, b, length| Part { a, b, length };
        assert_eq!(table.parts(), [part(4, 5, 4), part(2, 0, 2)]);
    }

    #[test]
    fn values_that_are_too_long_together_are_refused() {
        let long = Bytes::from(vec![b'x'; 5_000]);
        assert!(Table::new(long.clone(), long).is_none());
        let longest = Bytes::from(vec![b'x'; 3 * 1024 * 1024]);
        assert!(Table::new(longest.clone(), longest.clone()).is_none());
        assert!(Table::new(longest, Bytes::from_static(b"abc")).is_some());
    }

    /// By definition: all subsequences of the shorter value, the longest that the other has.
    fn brute_force(a: &[u8], b: &[u8]) -> usize {
        (0_u32..1 << a.len())
            .filter(|chosen| {
                let mut rest = b.iter();
                let mut bytes = a.iter().enumerate();
                bytes.all(|(at, byte)| chosen & (1 << at) == 0 || rest.any(|other| other == byte))
            })
            .map(u32::count_ones)
            .max()
            .unwrap_or(0) as usize
    }

    proptest! {
        #[test]
        fn it_is_a_longest_one(a in "[a-c]{0,9}", b in "[a-c]{0,14}") {
            let table = table(&a, &b);
            let common = table.common();
            prop_assert_eq!(table.length(), brute_force(a.as_bytes(), b.as_bytes()));
            prop_assert_eq!(common.len(), table.length());
            let mut rest = (a.bytes(), b.bytes());
            for byte in &common {
                prop_assert!(rest.0.any(|other| other == *byte));
                prop_assert!(rest.1.any(|other| other == *byte));
            }
            for part in table.parts() {
                let run = |text: &str, from: usize| text[from..from + part.length].to_owned();
                prop_assert_eq!(run(&a, part.a), run(&b, part.b));
            }
        }
    }
}
