//! Data as text for a terminal: nothing in it may move the cursor, and it may not flood
//! the screen.

use std::fmt::Write as _;

use super::words::{is_unsafe, quote};

/// Most bytes of a value that a terminal is shown: about a screen.
pub const SHOWN_BYTES_MAX: usize = 4_096;

/// `bytes` as they are if they are plain text, else quoted and escaped so that they can be
/// typed in again. Only the first `limit` bytes, with a note if there are more.
pub fn data(bytes: &[u8], limit: usize) -> String {
    let shown = head(bytes, limit);
    let mut text = match std::str::from_utf8(shown) {
        Ok(text) if is_plain(text) => text.to_owned(),
        _ => quote(shown),
    };
    if shown.len() < bytes.len() {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "… (the first {} of {} bytes)",
            shown.len(),
            bytes.len()
        );
    }
    text
}

/// Plain text shows what it is: it is not empty, has no white space at its ends, and no
/// character that a terminal acts on.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && !text.contains(is_unsafe)
}

/// At most `limit` bytes from the start, not cutting a character in two.
fn head(bytes: &[u8], limit: usize) -> &[u8] {
    if bytes.len() <= limit {
        return bytes;
    }
    let is_continuation = |at: &usize| bytes.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
    // A character has at most three continuation bytes; more are no text at all.
    let cut = (limit.saturating_sub(3)..=limit)
        .rev()
        .find(|at| !is_continuation(at));
    bytes.get(..cut.unwrap_or(limit)).unwrap_or(bytes)
}

/// What a node said in its own words, on one line and safe to print.
pub fn line(text: &str) -> String {
    text.chars()
        .map(|c| if is_unsafe(c) { '?' } else { c })
        .collect()
}

/// So many bytes, in the unit that says something.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 1_000 {
        return format!("{count} bytes");
    }
    let mut scaled = count as f64 / 1e3;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while scaled >= 999.95
        && let Some(next) = units.next()
    {
        scaled /= 1e3;
        unit = Some(next);
    }
    format!("{scaled:.1} {}", unit.unwrap_or(&"TB"))
}

/// Rows under a heading, each column as wide as its widest cell.
pub fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let lines = rows.iter().map(|row| {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_shown_as_it_is_and_bytes_are_escaped() {
        for (bytes, text) in [
            (&b"myvalue"[..], "myvalue"),
            (b"hello world", "hello world"),
            ("Grüße".as_bytes(), "Grüße"),
            (br"C:\temp", r"C:\temp"),
            (b"", "\"\""),
            (b" padded ", "\" padded \""),
            (b"two\nlines", r#""two\nlines""#),
            (b"\x1b[31mred", r#""\x1b[31mred""#),
            (b"\xff\x00", r#""\xff\0""#),
            ("a\u{202e}b".as_bytes(), r#""a\xe2\x80\xaeb""#),
        ] {
            assert_eq!(data(bytes, 100), text);
        }
    }

    #[test]
    fn a_huge_value_is_cut_between_characters() {
        assert_eq!(data(b"abcdef", 4), "abcd… (the first 4 of 6 bytes)");
        assert_eq!(data("aaaü".as_bytes(), 4), "aaa… (the first 3 of 5 bytes)");
        assert_eq!(data("aaaü".as_bytes(), 5), "aaaü");
        assert_eq!(data(&[0x80; 9], 4).matches("\\x80").count(), 4);
    }

    #[test]
    fn columns_are_aligned_without_trailing_space() {
        let rows = [
            ["A".to_owned(), "B".to_owned()],
            ["long".to_owned(), String::new()],
        ];
        assert_eq!(table(&rows), "A     B\nlong");
    }

    proptest! {
        #[test]
        fn nothing_shown_can_steer_the_terminal(bytes: Vec<u8>, text: String, limit in 0usize..20) {
            prop_assert!(!data(&bytes, limit).contains(is_unsafe));
            prop_assert!(!data(text.as_bytes(), limit).contains(is_unsafe));
            prop_assert!(!line(&text).contains(is_unsafe));
        }
    }
}
