//! "Did you mean": the known word that is nearest to a mistyped one.

/// Longest word that is compared. Longer ones are not typing mistakes, and the cost of a
/// comparison grows with the square of the length.
const WORD_BYTES_MAX: usize = 64;

/// Shortest beginning of a candidate that counts as meaning it.
const BEGINNING_BYTES_MIN: usize = 2;

/// The candidate that `word` was probably meant to be: at most one edit in three
/// characters away, or beginning with it. The first of equals.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.is_empty() || word.len() > WORD_BYTES_MAX {
        return None;
    }
    let edits_max = (word.chars().count() / 3).max(1);
    let edits = |candidate: &str| {
        let beginning = word.len() >= BEGINNING_BYTES_MIN && candidate.starts_with(word);
        if beginning {
            1
        } else {
            distance(word, candidate)
        }
    };
    candidates
        .into_iter()
        .map(|candidate| (edits(candidate), candidate))
        .filter(|(edits, _)| *edits <= edits_max)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Number of insertions, deletions, replacements and swaps of neighbours that turn `a`
/// into `b` (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().flat_map(char::to_lowercase).collect();
    let b: Vec<char> = b.chars().flat_map(char::to_lowercase).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut edits = (above[j] + usize::from(x != y))
                .min(above[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                edits = edits.min(before[j - 1] + 1);
            }
            row.push(edits);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_are_recognised() {
        let words = ["listen", "seed", "client", "put"];
        assert_eq!(nearest("listn", words), Some("listen"));
        assert_eq!(nearest("LISTEN", words), Some("listen"));
        assert_eq!(nearest("sede", words), Some("seed"));
        assert_eq!(nearest("putt", words), Some("put"));
        assert_eq!(nearest("cli", words), Some("client"));
        assert_eq!(nearest("frobnicate", words), None);
        assert_eq!(nearest("", words), None);
        assert_eq!(nearest(&"x".repeat(10_000), words), None);
    }

    #[test]
    fn a_swap_of_neighbours_is_one_edit() {
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
