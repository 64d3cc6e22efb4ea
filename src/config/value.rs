//! One value of one knob, from the text an operator wrote.
//!
//! Flags, variables and the file all come through here, so that a value means the same
//! and is refused with the same words wherever it was written.

use thiserror::Error;

use super::address::AddressError;
use crate::placement::LABEL_BYTES_MAX;

/// Longest name of a node or a cluster in bytes: it travels in node facts, whose total is
/// bounded, and names a directory.
pub const NAME_BYTES_MAX: usize = 64;

/// Shortest cluster key in bytes: fewer can be guessed.
pub const KEY_BYTES_MIN: usize = 16;

/// Longest cluster key in bytes: it is hashed to 32, more carries nothing.
pub const KEY_BYTES_MAX: usize = 1_024;

/// Why a value is refused, and what would be right. Reads on from the value's name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ValueError {
    /// Not an address.
    #[error("{0}")]
    Address(#[from] AddressError),
    /// Nothing where a value must be.
    #[error("is empty; {0}")]
    Empty(&'static str),
    /// Not a name.
    #[error("is no valid name: {0}")]
    Name(&'static str),
    /// Not a number, or out of range.
    #[error("is not a whole number from {min} to {max}")]
    Number {
        /// Smallest allowed.
        min: u64,
        /// Largest allowed.
        max: u64,
    },
    /// Not a duration, or out of range.
    #[error("is not a duration from {min} ms to {max} ms; write for example 500, 500ms or 2s")]
    Duration {
        /// Shortest allowed, in milliseconds.
        min: u64,
        /// Longest allowed, in milliseconds.
        max: u64,
    },
    /// Not a number of bytes, or out of range.
    #[error("is not a number of bytes from {min} to {max}; write for example 500000, 20MB or 1GiB")]
    Bytes {
        /// Fewest allowed.
        min: u64,
        /// Most allowed.
        max: u64,
    },
    /// None of the words.
    #[error("is none of {0}")]
    Choice(&'static str),
    /// Neither yes nor no.
    #[error("is neither true nor false")]
    Boolean,
    /// Two settings of one source exclude each other.
    #[error("cannot be combined with {0}; give one of them")]
    Conflict(String),
    /// A key that is too short or too long.
    #[error("has {length} bytes; a key needs {KEY_BYTES_MIN} to {KEY_BYTES_MAX} random ones")]
    Key {
        /// Its length in bytes.
        length: usize,
    },
    /// A kind of value of the file's format that the knob does not have.
    #[error("is {found}; write {expected}")]
    Kind {
        /// What was found.
        found: &'static str,
        /// What is expected.
        expected: &'static str,
    },
    /// Clients and peers would meet at one port.
    #[error("is the cluster address too; give them different ports")]
    SameAddress,
    /// A node that would take its own place.
    #[error("is the node's own name; a node that has only been away starts without it")]
    Myself,
    /// Not a zone.
    #[error(
        "is no zone: write 1 to {LABEL_BYTES_MAX} bytes without commas, control characters and spaces at the ends"
    )]
    Zone,
    /// More values than a list may have.
    #[error("has more than {0} values")]
    TooMany(usize),
}

/// The text as the name of a node or a cluster.
///
/// It must be fit for a log line and for one component of a path, because the default data
/// directory is called after the node.
pub(super) fn name(text: &str) -> Result<String, ValueError> {
    if text.is_empty() {
        return Err(ValueError::Empty("write a name, for example node-1"));
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(ValueError::Name("it is longer than 64 bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err(ValueError::Name("it has control characters"));
    }
    if text.trim() != text {
        return Err(ValueError::Name("it begins or ends with a space"));
    }
    if text.contains(['/', '\\']) || text.chars().all(|c| c == '.') {
        return Err(ValueError::Name(
            "it must be fit for a directory name: no '/', '\\', '.' or '..'",
        ));
    }
    Ok(text.to_owned())
}

/// The text as a zone. No commas: they separate what a plan is told of a node.
pub(super) fn zone(text: &str) -> Result<String, ValueError> {
    let fits = (1..=LABEL_BYTES_MAX).contains(&text.len());
    let is_plain = !text.contains(|c: char| c.is_control() || c == ',') && text.trim() == text;
    match fits && is_plain {
        true => Ok(text.to_owned()),
        false => Err(ValueError::Zone),
    }
}

/// The text as a whole number from `min` to `max`; underscores may group digits.
pub(super) fn number(text: &str, min: u64, max: u64) -> Result<u64, ValueError> {
    let digits = text.trim().replace('_', "");
    digits
        .parse()
        .ok()
        .filter(|n| (min..=max).contains(n) && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .ok_or(ValueError::Number { min, max })
}

/// The text as a number of milliseconds from `min` to `max`: `500`, `500ms`, `2s`, `1m`.
pub(super) fn duration_ms(text: &str, min: u64, max: u64) -> Result<u64, ValueError> {
    let text = text.trim();
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    scaled(text, &units)
        .filter(|ms| (min..=max).contains(ms))
        .ok_or(ValueError::Duration { min, max })
}

/// The text as a number of bytes from `min` to `max`: `1000000`, `500KB`, `20MB`, `1GB`, by
/// thousands as disks and networks count, or `64KiB`, `1GiB`.
pub(super) fn bytes(text: &str, min: u64, max: u64) -> Result<u64, ValueError> {
    let units = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
    ];
    scaled(text.trim(), &units)
        .filter(|bytes| (min..=max).contains(bytes))
        .ok_or(ValueError::Bytes { min, max })
}

/// A whole number with the first of the units that it ends with, or with none.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, scale) = units
        .iter()
        .find_map(|(unit, scale)| text.strip_suffix(unit).map(|digits| (digits, *scale)))
        .unwrap_or((text, 1));
    let number = number(digits.trim_end(), 0, u64::MAX).ok()?;
    number.checked_mul(scale)
}

/// The text as yes or no.
pub(super) fn boolean(text: &str) -> Result<bool, ValueError> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(ValueError::Boolean),
    }
}

#[cfg(test)]
mod tests {
    use super::super::secret::cluster_key;
    use super::*;

    #[test]
    fn names_are_fit_for_logs_and_directories() {
        for good in ["a", "node-1", "Größe 3", "a.b", &"x".repeat(64)] {
            assert_eq!(name(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            " ",
            " a",
            "a\n",
            "\u{1b}[31m",
            "a/b",
            "..",
            ".",
            "a\\b",
            &"x".repeat(65),
        ] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn zones_are_one_word_of_a_plan() {
        for good in ["a", "eu-1", "room 3", &"x".repeat(64)] {
            assert_eq!(zone(good).as_deref(), Ok(good));
        }
        for bad in ["", " a", "a,b", "a\n", &"x".repeat(65)] {
            assert_eq!(zone(bad), Err(ValueError::Zone), "{bad:?}");
        }
    }

    #[test]
    fn numbers_and_durations_stay_in_their_range() {
        assert_eq!(number("10_000", 1, 10_000), Ok(10_000));
        assert_eq!(
            number("10001", 1, 10_000),
            Err(ValueError::Number {
                min: 1,
                max: 10_000
            })
        );
        for bad in ["", "-1", "+1", "1.5", "ten", "99999999999999999999999"] {
            assert!(number(bad, 0, u64::MAX).is_err(), "{bad}");
        }
        assert_eq!(duration_ms("500", 1, 10_000), Ok(500));
        assert_eq!(duration_ms("500ms", 1, 10_000), Ok(500));
        assert_eq!(duration_ms("2 s", 1, 10_000), Ok(2_000));
        assert_eq!(duration_ms("1m", 1, 60_000), Ok(60_000));
        assert_eq!(duration_ms("2h", 1, u64::MAX), Ok(7_200_000));
        for bad in ["", "s", "11s", "0", "18446744073709551615m", "-2s", "2h"] {
            assert!(duration_ms(bad, 1, 10_000).is_err(), "{bad}");
        }
        for (text, read) in [
            ("64", 64),
            (" 64KiB ", 65_536),
            ("20 MB", 20_000_000),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(bytes(text, 1, u64::MAX), Ok(read), "{text}");
        }
        for bad in [
            "",
            "MB",
            "20mb",
            "1.5GB",
            "0",
            "-1",
            "18446744073709551615KB",
            "2GB",
        ] {
            assert!(bytes(bad, 1, 1_000_000_000).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_lose_the_white_space_around_them_and_nothing_else() {
        let key = cluster_key(b"  0123456789 abcdef\r\n").unwrap();
        assert_eq!(key.0, b"0123456789 abcdef");
        assert_eq!(cluster_key(b"short\n"), Err(ValueError::Key { length: 5 }));
        assert!(cluster_key(&[b'x'; KEY_BYTES_MAX + 1]).is_err());
        assert_eq!(format!("{key:?}"), "Secret(..)");
    }
}
