//! How many replicas take part before a request is answered.

use serde::{Deserialize, Serialize};

use super::words;

/// How many replicas must have a write before it is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strength {
    /// This node alone.
    One,
    /// A majority of the replicas that are reachable.
    #[default]
    Quorum,
    /// Every replica that is reachable.
    All,
    /// A majority of all replicas, reachable or not: refused when too few can be reached.
    StrictQuorum,
}

impl Strength {
    /// Every strength with its word.
    pub const WORDS: [(&'static str, Self); 4] = [
        ("one", Self::One),
        ("quorum", Self::Quorum),
        ("all", Self::All),
        ("strict-quorum", Self::StrictQuorum),
    ];

    /// The strength that `word` names, in any case.
    pub fn from_word(word: &str) -> Option<Self> {
        words::named(&Self::WORDS, word)
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        words::word_of(&Self::WORDS, &self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_strength_has_a_word_of_its_own() {
        for (word, strength) in Strength::WORDS {
            assert_eq!(strength.word(), word);
            assert_eq!(Strength::from_word(&word.to_uppercase()), Some(strength));
        }
        assert_eq!(Strength::from_word("most"), None);
    }
}
