//! Numbers of partitions as words: `0-5,7`.

use std::collections::BTreeSet;
use std::fmt;

/// Some partitions. Shown as ascending ranges, `0-5,7`; none is the empty word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(pub BTreeSet<u16>);

impl Ranges {
    /// Reads what [`Display`](fmt::Display) writes; none if it is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut all = BTreeSet::new();
        for range in text.split(',').filter(|_| !text.is_empty()) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
            // Each begins above the one before, so that no words are long for what they say.
            if first > last || all.last().is_some_and(|before| *before >= first) {
                return None;
            }
            all.extend(first..=last);
        }
        Some(Self(all))
    }
}

impl FromIterator<u16> for Ranges {
    fn from_iter<I: IntoIterator<Item = u16>>(partitions: I) -> Self {
        Self(partitions.into_iter().collect())
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for partition in &self.0 {
            match ranges.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(*partition) => *last = *partition,
                _ => ranges.push((*partition, *partition)),
            }
        }
        for (at, (first, last)) in ranges.into_iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_shown_is_read(partitions in prop::collection::btree_set(0u16..40, 0..40)) {
            let ranges = Ranges(partitions);
            prop_assert_eq!(Ranges::parse(&ranges.to_string()), Some(ranges));
        }

        #[test]
        fn anything_is_read_without_harm(text in "[0-9,-]{0,12}") {
            if let Some(ranges) = Ranges::parse(&text) {
                prop_assert_eq!(Ranges::parse(&ranges.to_string()), Some(ranges));
            }
        }
    }

    #[test]
    fn neighbours_are_one_range() {
        let shown = |partitions: &[u16]| partitions.iter().copied().collect::<Ranges>().to_string();
        assert_eq!(shown(&[]), "");
        assert_eq!(shown(&[7, 0, 1, 2, 65_535]), "0-2,7,65535");
        assert_eq!(shown(&[65_534, 65_535]), "65534-65535");
        for wrong in [
            "-", ",", "1,", "2-1", "1,1", "3,1-2", "65536", "a", "1--2", " 1",
        ] {
            assert_eq!(Ranges::parse(wrong), None, "{wrong}");
        }
    }
}
