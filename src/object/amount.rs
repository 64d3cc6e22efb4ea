//! Decimal numbers that are added exactly.
//!
//! A counter is a sum that replicas form in different orders, so addition must be associative:
//! with binary floating point it is not, and two replicas with the same parts would show
//! different sums. Hence fixed point, with as many places as Redis shows.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Decimal places. Redis shows 17 of a float.
const PLACES: usize = 17;

/// Units of one.
const ONE: i128 = 10_i128.pow(PLACES as u32);

/// The longest text that is read as a number: any 64-bit integer, any float that is in range
/// with all its places, and room for an exponent.
const TEXT_MAX: usize = 256;

/// A number of up to about 21 digits before the point and exactly 17 after it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Amount(i128);

impl Amount {
    /// Reads a decimal number, with or without an exponent. Places beyond the last are rounded
    /// half away from zero. None for anything else, and for what is out of range.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if let Some(whole) = whole(text) {
            return Some(whole.into());
        }
        if text.len() > TEXT_MAX {
            return None;
        }
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            all => (false, all),
        };
        let (mantissa, exponent) = match rest.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            None => (rest, 0),
            Some(at) => (rest.get(..at)?, exponent(rest.get(at + 1..)?)?),
        };
        let (whole, places) = match mantissa.iter().position(|byte| *byte == b'.') {
            None => (mantissa, &[][..]),
            Some(at) => (mantissa.get(..at)?, mantissa.get(at + 1..)?),
        };
        if whole.is_empty() && places.is_empty() {
            return None;
        }
        let point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?;
        let units = units(whole.iter().chain(places), point)?;
        Some(Self(if negative { -units } else { units }))
    }

    /// The whole number, if it is one of 64 bits.
    pub fn to_i64(self) -> Option<i64> {
        match self.0 % ONE {
            0 => i64::try_from(self.0 / ONE).ok(),
            _ => None,
        }
    }

    /// As it is displayed. Most are whole, and one is shown for each addition.
    pub fn text(self) -> String {
        match self.to_i64() {
            Some(whole) => whole.to_string(),
            None => self.to_string(),
        }
    }

    /// It in units of 10⁻¹⁷.
    pub fn units(self) -> i128 {
        self.0
    }

    /// So many units of 10⁻¹⁷.
    pub fn of_units(units: i128) -> Self {
        Self(units)
    }

    /// The sum; none if it is out of range.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The sum; the nearest number if it is out of range.
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl From<i64> for Amount {
    fn from(whole: i64) -> Self {
        // Nineteen digits and seventeen places are less than the thirty-eight there are.
        Self(i128::from(whole) * ONE)
    }
}

/// As Redis shows it: no exponent, no zeros at the end.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let units = self.0.unsigned_abs();
        let one = ONE.unsigned_abs();
        write!(f, "{sign}{}", units / one)?;
        let places = format!("{:017}", units % one);
        match places.trim_end_matches('0') {
            "" => Ok(()),
            places => write!(f, ".{places}"),
        }
    }
}

/// A whole number of 64 bits, which most texts are.
fn whole(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The digits after the `e`. None if they are no number, or one that no number in range has.
fn exponent(text: &[u8]) -> Option<i32> {
    const EXPONENT_MAX: i32 = 2 * TEXT_MAX as i32;
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        all => (false, all),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0_i32;
    for digit in digits {
        let digit = digit.is_ascii_digit().then(|| i32::from(digit - b'0'))?;
        value = value.saturating_mul(10).saturating_add(digit);
    }
    let value = value.min(EXPONENT_MAX);
    Some(if negative { -value } else { value })
}

/// The units of digits of which `point` stand before the decimal point.
fn units<'a>(digits: impl Iterator<Item = &'a u8>, point: i32) -> Option<i128> {
    let last = point.checked_add(PLACES as i32)?;
    let mut units = 0_i128;
    let mut count = 0_i32;
    let mut round_up = false;
    for digit in digits {
        let digit = digit.is_ascii_digit().then(|| i128::from(digit - b'0'))?;
        if count < last {
            units = units.checked_mul(10)?.checked_add(digit)?;
        } else if count == last {
            round_up = digit >= 5;
        }
        count = count.checked_add(1)?;
    }
    if units != 0 {
        for _ in count..last {
            units = units.checked_mul(10)?;
        }
    }
    units.checked_add(i128::from(round_up))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> Option<String> {
        Amount::parse(text.as_bytes()).map(|amount| amount.to_string())
    }

    #[test]
    fn numbers_are_read_and_shown_as_redis_does() {
        for (text, expected) in [
            ("0", "0"),
            ("-0", "0"),
            ("+7", "7"),
            ("10.50", "10.5"),
            ("0.1", "0.1"),
            (".5", "0.5"),
            ("5.", "5"),
            ("5.0e3", "5000"),
            ("-5E-3", "-0.005"),
            ("1e-17", "0.00000000000000001"),
            ("0.000000000000000015", "0.00000000000000002"),
            ("1e-18", "0"),
            ("9223372036854775807", "9223372036854775807"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("0e99999999999", "0"),
            ("1e20", "100000000000000000000"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "-",
            ".",
            "e1",
            "1e",
            "1e+",
            "one",
            " 1",
            "1 ",
            "1.2.3",
            "0x10",
            "nan",
            "inf",
            "1e22",
            "1e999999999999",
            "--1",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
        let long = "1".repeat(TEXT_MAX + 1);
        assert_eq!(shown(&long), None);
    }

    #[test]
    fn only_whole_numbers_of_64_bits_are_integers() {
        let integer = |text: &str| Amount::parse(text.as_bytes()).unwrap().to_i64();
        assert_eq!(integer("-12"), Some(-12));
        assert_eq!(integer("12.5"), None);
        assert_eq!(integer("9223372036854775808"), None);
        assert_eq!(integer("3.0"), Some(3));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_as_the_same(units: i128) {
            let amount = Amount(units / 2);
            prop_assert_eq!(Amount::parse(amount.to_string().as_bytes()), Some(amount));
            prop_assert_eq!(amount.text(), amount.to_string());
        }

        #[test]
        fn any_bytes_are_read_or_refused(text in prop::collection::vec(any::<u8>(), 0..64)) {
            Amount::parse(&text);
        }

        #[test]
        fn integers_are_exact(whole: i64) {
            let amount = Amount::from(whole);
            prop_assert_eq!(amount.to_i64(), Some(whole));
            prop_assert_eq!(amount.to_string(), whole.to_string());
            prop_assert_eq!(amount.text(), amount.to_string());
        }
    }
}
