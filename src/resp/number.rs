//! Decimal numbers as Redis reads and writes them.

use bytes::{BufMut, BytesMut};

/// Digits of `u64::MAX`.
const DIGITS_MAX: usize = 20;

/// Reads a whole number the way Redis does: one spelling per number, so no `+`, no
/// leading zeros, no `-0`, no blanks; `None` for anything else and outside `i64`.
pub fn parse_i64(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        all => (false, all),
    };
    match digits {
        [] => return None,
        [b'0'] => return (!negative).then_some(0),
        [b'0', ..] => return None,
        _ => {}
    }
    let mut value = 0_i64;
    for digit in digits {
        let digit = match digit {
            b'0'..=b'9' => i64::from(digit - b'0'),
            _ => return None,
        };
        value = value.checked_mul(10)?;
        value = if negative {
            value.checked_sub(digit)?
        } else {
            value.checked_add(digit)?
        };
    }
    Some(value)
}

/// Appends `value` in decimal, without the detour over a `String`: a header or an integer
/// is part of every reply.
pub(super) fn put_i64(value: i64, out: &mut BytesMut) {
    if value < 0 {
        out.put_u8(b'-');
    }
    put_u64(value.unsigned_abs(), out);
}

/// Appends `value` in decimal.
pub(super) fn put_u64(value: u64, out: &mut BytesMut) {
    let mut digits = [0_u8; DIGITS_MAX];
    let mut start = DIGITS_MAX;
    let mut rest = value;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(value: i64) -> Vec<u8> {
        let mut out = BytesMut::new();
        put_i64(value, &mut out);
        out.to_vec()
    }

    #[test]
    fn one_spelling_per_number() {
        for wrong in [
            "", "-", "+1", "01", "-0", "-01", " 1", "1 ", "1a", "0x1", "--1",
        ] {
            assert_eq!(parse_i64(wrong.as_bytes()), None, "{wrong:?}");
        }
        assert_eq!(parse_i64(b"9223372036854775808"), None);
        assert_eq!(parse_i64(b"-9223372036854775809"), None);
        assert_eq!(parse_i64(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_i64(b"0"), Some(0));
        assert_eq!(written(i64::MIN), b"-9223372036854775808");
        assert_eq!(written(0), b"0");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value: i64) {
            prop_assert_eq!(written(value), value.to_string().into_bytes());
            prop_assert_eq!(parse_i64(&written(value)), Some(value));
        }
    }
}
