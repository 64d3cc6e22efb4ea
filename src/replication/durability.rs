//! How safe from a loss of power a write is before it counts as kept.

use serde::{Deserialize, Serialize};

use super::words;

/// What a replica has done with a write before it confirms it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Durability {
    /// Given it to the operating system, and left the rest to that. A loss of power costs
    /// whatever the system had not written yet: usually some thirty seconds.
    Os,
    /// Given it to the operating system; the disk has it at most a tenth of a second later,
    /// plus the time that forcing it there takes.
    #[default]
    Interval,
    /// Forced it to the disk. Writes that wait at the same time share the forcing.
    Always,
}

impl Durability {
    /// Every level with its word.
    pub const WORDS: [(&'static str, Self); 3] = [
        ("os", Self::Os),
        ("interval", Self::Interval),
        ("always", Self::Always),
    ];

    /// The level that `word` names, in any case.
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
    fn every_level_has_a_word_of_its_own() {
        for (word, level) in Durability::WORDS {
            assert_eq!(level.word(), word);
            assert_eq!(Durability::from_word(&word.to_uppercase()), Some(level));
        }
        assert_eq!(Durability::from_word("never"), None);
    }
}
