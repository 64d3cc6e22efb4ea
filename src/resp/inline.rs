//! Commands as a person types them: words and quotes, as Redis's `sdssplitargs` reads them.

use bytes::Bytes;
use thiserror::Error;

/// A quote was not closed, or a closing quote was followed by something other than a blank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("unbalanced quotes")]
pub struct UnbalancedQuotes;

/// Splits a line into its arguments.
///
/// - Blanks separate arguments.
/// - In double quotes `\xHH`, `\n`, `\r`, `\t`, `\b`, `\a` stand for those bytes, and a
///   backslash before any other byte for that byte.
/// - In single quotes everything stands for itself but `\'`.
/// - A quote may begin within a word (`a"b c"` is one argument) but must end one.
///
/// Unlike Redis, a NUL byte is an ordinary byte: there it silently ends the line.
///
/// # Errors
/// [`UnbalancedQuotes`]; there is no partial result.
pub fn split_args(line: &[u8]) -> Result<Vec<Bytes>, UnbalancedQuotes> {
    let mut args = Vec::new();
    let mut rest = skip_blanks(line);
    while !rest.is_empty() {
        let (arg, after) = one_arg(rest)?;
        args.push(Bytes::from(arg));
        rest = skip_blanks(after);
    }
    Ok(args)
}

fn skip_blanks(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_blank(*first)
    {
        bytes = rest;
    }
    bytes
}

/// C's `isspace`: vertical tab and form feed are blanks too.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// One argument from the start of `rest`, and what follows it.
fn one_arg(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), UnbalancedQuotes> {
    let mut arg = Vec::new();
    loop {
        match rest {
            [] => return Ok((arg, rest)),
            [b' ' | b'\t' | b'\n' | b'\r', ..] => return Ok((arg, rest)),
            [b'"', after @ ..] => {
                let after = double_quoted(after, &mut arg)?;
                return Ok((arg, after));
            }
            [b'\'', after @ ..] => {
                let after = single_quoted(after, &mut arg)?;
                return Ok((arg, after));
            }
            [byte, after @ ..] => {
                arg.push(*byte);
                rest = after;
            }
        }
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], arg: &mut Vec<u8>) -> Result<&'a [u8], UnbalancedQuotes> {
    loop {
        match rest {
            [] => return Err(UnbalancedQuotes),
            [b'\\', b'x', high, low, after @ ..] if hex(*high).is_some() && hex(*low).is_some() => {
                arg.push(hex(*high).unwrap_or(0) << 4 | hex(*low).unwrap_or(0));
                rest = after;
            }
            [b'\\', escaped, after @ ..] => {
                arg.push(unescape(*escaped));
                rest = after;
            }
            [b'"', after @ ..] => return closed(after),
            [byte, after @ ..] => {
                arg.push(*byte);
                rest = after;
            }
        }
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], arg: &mut Vec<u8>) -> Result<&'a [u8], UnbalancedQuotes> {
    loop {
        match rest {
            [] => return Err(UnbalancedQuotes),
            [b'\\', b'\'', after @ ..] => {
                arg.push(b'\'');
                rest = after;
            }
            [b'\'', after @ ..] => return closed(after),
            [byte, after @ ..] => {
                arg.push(*byte);
                rest = after;
            }
        }
    }
}

/// A closing quote ends the argument: only a blank or the end may follow.
fn closed(after: &[u8]) -> Result<&[u8], UnbalancedQuotes> {
    match after.first() {
        Some(byte) if !is_blank(*byte) => Err(UnbalancedQuotes),
        _ => Ok(after),
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(line: &str) -> Result<Vec<String>, UnbalancedQuotes> {
        let args = split_args(line.as_bytes())?;
        Ok(args
            .iter()
            .map(|arg| String::from_utf8_lossy(arg).into_owned())
            .collect())
    }

    #[test]
    fn words_and_quotes() {
        assert_eq!(split("").unwrap(), Vec::<String>::new());
        assert_eq!(split(" \t ").unwrap(), Vec::<String>::new());
        assert_eq!(split("  set  k\tv ").unwrap(), ["set", "k", "v"]);
        assert_eq!(split(r#"set k "a b""#).unwrap(), ["set", "k", "a b"]);
        assert_eq!(split(r#"set k a"b c""#).unwrap(), ["set", "k", "ab c"]);
        assert_eq!(split(r#""" ''"#).unwrap(), ["", ""]);
        assert_eq!(split(r#""\x41\n\"\\\q\xZZ""#).unwrap(), ["A\n\"\\qxZZ"]);
        assert_eq!(split(r"'it\'s \n'").unwrap(), [r"it's \n"]);
    }

    #[test]
    fn open_quotes_are_refused() {
        for line in [
            "\"a",
            "'a",
            "\"a\"b",
            "'a'b",
            "a\"",
            "\"a\\",
            "\"\\",
            "'a\\'",
            "\"a\"\"b\"",
        ] {
            assert_eq!(split(line), Err(UnbalancedQuotes), "{line}");
        }
    }

    proptest! {
        #[test]
        fn quoting_any_bytes_brings_them_back(args in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..6)) {
            let mut line = Vec::new();
            for arg in &args {
                line.extend_from_slice(b" \"");
                for byte in arg {
                    line.extend_from_slice(format!("\\x{byte:02X}").as_bytes());
                }
                line.push(b'"');
            }
            let split: Vec<Vec<u8>> = split_args(&line).unwrap().iter().map(|arg| arg.to_vec()).collect();
            prop_assert_eq!(split, args);
        }

        #[test]
        fn any_line_gives_an_answer(line in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(args) = split_args(&line) {
                prop_assert!(args.iter().map(Bytes::len).sum::<usize>() <= line.len());
            }
        }
    }
}
