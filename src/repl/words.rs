//! A line as words, and bytes as a word that reads back.
//!
//! Words are separated by spaces. A word that begins with a quote goes on to the closing
//! one; in double quotes `\n \r \t \0 \\ \" \xHH` stand for one byte each, in single quotes
//! only `\'` and `\\` do. Elsewhere every character means itself, so that `it's` and
//! `C:\temp` need no quotes. Words are bytes: values need not be text.

use std::fmt::Write as _;
use std::iter::Peekable;

use thiserror::Error;

/// Why a line has no words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WordsError {
    /// A quote is not closed.
    #[error("a quote is not closed; end the word with {0}, or write the quote as \"\\x{code:02x}\"", code = *.0 as u32)]
    Unclosed(char),
    /// Something follows a closing quote at once.
    #[error("a closing quote must be followed by a space")]
    Glued,
    /// A backslash in double quotes is followed by nothing that it can stand for.
    #[error("unknown escape in double quotes; use \\n \\r \\t \\0 \\\\ \\\" or \\xHH")]
    Escape,
}

/// The words of `line`.
///
/// # Errors
/// [`WordsError`] for quotes and escapes that do not add up.
pub fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, WordsError> {
    let mut bytes = line.iter().copied().peekable();
    let mut words = Vec::new();
    loop {
        while bytes.next_if(u8::is_ascii_whitespace).is_some() {}
        match bytes.peek().copied() {
            None => return Ok(words),
            Some(quote @ (b'"' | b'\'')) => {
                bytes.next();
                words.push(quoted(&mut bytes, quote)?);
            }
            Some(_) => words.push(bare(&mut bytes)),
        }
    }
}

fn bare(bytes: &mut Peekable<impl Iterator<Item = u8>>) -> Vec<u8> {
    std::iter::from_fn(|| bytes.next_if(|byte| !byte.is_ascii_whitespace())).collect()
}

fn quoted(
    bytes: &mut Peekable<impl Iterator<Item = u8>>,
    quote: u8,
) -> Result<Vec<u8>, WordsError> {
    let mut word = Vec::new();
    loop {
        match bytes
            .next()
            .ok_or(WordsError::Unclosed(char::from(quote)))?
        {
            byte if byte == quote => break,
            b'\\' if quote == b'"' => word.push(escape(bytes)?),
            b'\\' => {
                let escaped = bytes.next_if(|next| matches!(next, b'\'' | b'\\'));
                word.push(escaped.unwrap_or(b'\\'));
            }
            byte => word.push(byte),
        }
    }
    match bytes.peek() {
        Some(next) if !next.is_ascii_whitespace() => Err(WordsError::Glued),
        _ => Ok(word),
    }
}

fn escape(bytes: &mut impl Iterator<Item = u8>) -> Result<u8, WordsError> {
    let digit = |bytes: &mut dyn Iterator<Item = u8>| {
        let digit = bytes.next().and_then(|byte| char::from(byte).to_digit(16));
        digit
            .and_then(|digit| u8::try_from(digit).ok())
            .ok_or(WordsError::Escape)
    };
    match bytes.next() {
        Some(b'n') => Ok(b'\n'),
        Some(b'r') => Ok(b'\r'),
        Some(b't') => Ok(b'\t'),
        Some(b'0') => Ok(0),
        Some(byte @ (b'\\' | b'"' | b'\'')) => Ok(byte),
        Some(b'x') => Ok(digit(bytes)? << 4 | digit(bytes)?),
        _ => Err(WordsError::Escape),
    }
}

/// `bytes` in double quotes: printable text that [`split`] reads back as the same bytes.
pub fn quote(bytes: &[u8]) -> String {
    let mut quoted = String::with_capacity(bytes.len() + 2);
    quoted.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => quoted.push_str("\\n"),
                '\r' => quoted.push_str("\\r"),
                '\t' => quoted.push_str("\\t"),
                '\0' => quoted.push_str("\\0"),
                '"' | '\\' => quoted.extend(['\\', c]),
                c if is_unsafe(c) => push_bytes(&mut quoted, c.encode_utf8(&mut [0; 4]).as_bytes()),
                c => quoted.push(c),
            }
        }
        push_bytes(&mut quoted, chunk.invalid());
    }
    quoted.push('"');
    quoted
}

fn push_bytes(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "\\x{byte:02x}");
    }
}

/// Whether a terminal may act on the character instead of showing it: control characters,
/// and those that reorder or break the text around them.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(line: &str) -> Result<Vec<String>, WordsError> {
        let words = split(line.as_bytes())?;
        Ok(words
            .iter()
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect())
    }

    #[test]
    fn words_with_and_without_quotes() {
        for (line, expected) in [
            ("", vec![]),
            ("  ", vec![]),
            ("put k v", vec!["put", "k", "v"]),
            ("put  k\thello   world ", vec!["put", "k", "hello", "world"]),
            (r#"put k "a  b""#, vec!["put", "k", "a  b"]),
            (r#"put k "" x"#, vec!["put", "k", "", "x"]),
            (r#""a\n\x41\"\\" 'it\'s \n'"#, vec!["a\nA\"\\", r"it's \n"]),
            (r"it's C:\temp a\ b", vec!["it's", r"C:\temp", r"a\", "b"]),
            ("käse 'k ä'", vec!["käse", "k ä"]),
        ] {
            assert_eq!(words(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn quotes_that_do_not_add_up_are_refused() {
        assert_eq!(words("put k \"a"), Err(WordsError::Unclosed('"')));
        assert_eq!(words("put k 'a\\'"), Err(WordsError::Unclosed('\'')));
        assert_eq!(words("\"a\"b"), Err(WordsError::Glued));
        assert_eq!(words(r#""\q""#), Err(WordsError::Escape));
        assert_eq!(words(r#""\x4""#), Err(WordsError::Escape));
        assert_eq!(words(r#""\"#), Err(WordsError::Escape));
        assert!(
            WordsError::Unclosed('"')
                .to_string()
                .contains(r#"end the word with ", or write the quote as "\x22""#)
        );
    }

    proptest! {
        #[test]
        fn any_line_is_split_or_refused(line: Vec<u8>) {
            let _ = split(&line);
        }

        #[test]
        fn what_is_quoted_reads_back(bytes: Vec<u8>, text in "\\PC*|[\"'\\\\ \\n]{0,10}") {
            prop_assert_eq!(split(quote(&bytes).as_bytes()), Ok(vec![bytes]));
            let both = format!("{} {}", quote(text.as_bytes()), quote(text.as_bytes()));
            let word = text.into_bytes();
            prop_assert_eq!(split(both.as_bytes()), Ok(vec![word.clone(), word]));
        }

        #[test]
        fn what_is_quoted_is_safe_to_print(bytes: Vec<u8>, text: String) {
            prop_assert!(!quote(&bytes).contains(is_unsafe));
            prop_assert!(!quote(text.as_bytes()).contains(is_unsafe));
        }
    }
}
