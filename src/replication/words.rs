//! Choices that people make by a word.

/// The choice that `word` names, in any case.
pub(super) fn named<T: Copy>(words: &[(&str, T)], word: &str) -> Option<T> {
    let is_it = |(name, _): &&(&str, T)| name.eq_ignore_ascii_case(word);
    words.iter().find(is_it).map(|(_, choice)| *choice)
}

/// The word of a choice.
pub(super) fn word_of<T: PartialEq>(words: &[(&'static str, T)], choice: &T) -> &'static str {
    let found = words.iter().find(|(_, named)| named == choice);
    found.map_or("", |(word, _)| word)
}
