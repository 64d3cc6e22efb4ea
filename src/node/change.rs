//! Read-modify-write of one key: what a key's value becomes, as a function of what it is.
//!
//! A [`Change`] is evaluated on the last write that this node knows of, under the lock of the
//! key's shard, so that nothing comes between reading and writing on this node. What it makes
//! is an ordinary write: it goes to the other replicas as a whole value, and against a
//! concurrent write of another node one of both wins. So those that depend on what is there
//! are made on one owner of the key (`serving`). Two changes are more than
//! that: what is added counts beside all that others add, and a new end leaves what they add
//! ([`Part`](crate::object::Part)).

use bytes::{Bytes, BytesMut};

use super::request::RequestError;
use crate::object::{Amount, Version};
use crate::replication::check_value;
pub use crate::replication::{Change, Changed, Ends, EndsIf, OnlyIf};
use crate::store::Write;

/// What a change means for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// What to write, if anything. A deletion only where there is a value.
    pub(super) write: Option<Write>,
    /// What to answer once that is done.
    pub(super) changed: Changed,
}

impl Decision {
    fn nothing(before: Option<Bytes>) -> Self {
        let changed = Changed {
            done: false,
            length: before.as_ref().map_or(0, Bytes::len),
            before,
            sum: None,
            dot: None,
        };
        Self {
            write: None,
            changed,
        }
    }

    /// The value is this from now on; or none, if its end has come.
    fn put(before: Option<Bytes>, value: Bytes, expire_at_ms: Option<u64>, wall_ms: u64) -> Self {
        if expire_at_ms.is_some_and(|at_ms| at_ms <= wall_ms) {
            return Self::delete(before);
        }
        let changed = Changed {
            done: true,
            before,
            length: value.len(),
            sum: None,
            dot: None,
        };
        let write = Some(Write::Put {
            value,
            expire_at_ms,
        });
        Self { write, changed }
    }

    /// There is no value from now on.
    fn delete(before: Option<Bytes>) -> Self {
        let write = before.is_some().then_some(Write::Delete);
        let changed = Changed {
            done: true,
            before,
            length: 0,
            sum: None,
            dot: None,
        };
        Self { write, changed }
    }

    /// The value ends then, and stays what it is.
    fn end(before: Bytes, expire_at_ms: Option<u64>, wall_ms: u64) -> Self {
        if expire_at_ms.is_some_and(|at_ms| at_ms <= wall_ms) {
            return Self::delete(Some(before));
        }
        let changed = Changed {
            done: true,
            length: before.len(),
            before: Some(before),
            sum: None,
            dot: None,
        };
        let write = Some(Write::End { expire_at_ms });
        Self { write, changed }
    }

    /// So much is added to the value.
    fn add(before: Option<Bytes>, amount: Amount, whole: bool) -> Result<Self, RequestError> {
        let sum = sum(before.as_deref(), amount, whole, &Numbers::VALUES)?;
        let changed = Changed {
            done: true,
            before,
            length: sum.text().len(),
            sum: Some(sum),
            dot: None,
        };
        let write = Some(Write::Add {
            amount,
            gone_before_ms: 0,
        });
        Ok(Self { write, changed })
    }
}

/// What `change` means for a key whose value at `wall_ms` is `current`.
pub(super) fn decide(
    change: Change,
    current: Option<&Version>,
    wall_ms: u64,
) -> Result<Decision, RequestError> {
    let before = current.map(|version| version.value.clone());
    let ends_at = current.and_then(|version| version.expire_at_ms);
    Ok(match change {
        Change::Set {
            value,
            ends,
            only_if,
            is_swap: _,
        } => {
            let holds = match only_if {
                OnlyIf::Always => true,
                OnlyIf::Absent => current.is_none(),
                OnlyIf::Present => current.is_some(),
            };
            if !holds {
                return Ok(Decision::nothing(before));
            }
            let ends_at = match ends {
                Ends::Never => None,
                Ends::Kept => ends_at,
                Ends::At(at_ms) => Some(at_ms),
            };
            Decision::put(before, value, ends_at, wall_ms)
        }
        Change::Append { tail } => {
            let offset = before.as_ref().map_or(0, Bytes::len);
            let value = overwritten(before.as_ref(), offset, &tail)?;
            Decision::put(before, value, ends_at, wall_ms)
        }
        Change::Overwrite { bytes, .. } if bytes.is_empty() => Decision::nothing(before),
        Change::Overwrite { offset, bytes } => {
            let value = overwritten(before.as_ref(), offset, &bytes)?;
            Decision::put(before, value, ends_at, wall_ms)
        }
        Change::Add { amount, whole } => Decision::add(before, amount, whole)?,
        Change::Take if current.is_none() => Decision::nothing(None),
        Change::Take => Decision::delete(before),
        Change::End { at_ms, only_if } => match before {
            Some(value) if end_may_change(only_if, ends_at, at_ms) => {
                Decision::end(value, Some(at_ms), wall_ms)
            }
            before => Decision::nothing(before),
        },
        Change::Persist => match before {
            Some(value) if ends_at.is_some() => Decision::end(value, None, wall_ms),
            before => Decision::nothing(before),
        },
    })
}

/// What is wrong with what is to be added to, by what it is.
pub(super) struct Numbers {
    no_integer: RequestError,
    no_number: RequestError,
}

impl Numbers {
    const VALUES: Self = Self {
        no_integer: RequestError::NotAnInteger,
        no_number: RequestError::NotAFloat,
    };
    /// Of fields.
    pub(super) const FIELDS: Self = Self {
        no_integer: RequestError::FieldNotAnInteger,
        no_number: RequestError::FieldNotAFloat,
    };
}

/// What `before` and `amount` are together.
pub(super) fn sum(
    before: Option<&[u8]>,
    amount: Amount,
    whole: bool,
    numbers: &Numbers,
) -> Result<Amount, RequestError> {
    let text = before.unwrap_or(b"0");
    match whole {
        true => {
            let number = integer(text).ok_or_else(|| numbers.no_integer.clone())?;
            let sum = Amount::from(number).checked_add(amount);
            sum.filter(|sum| sum.to_i64().is_some())
                .ok_or(RequestError::Overflow)
        }
        false => {
            let number = Amount::parse(text).ok_or_else(|| numbers.no_number.clone())?;
            number.checked_add(amount).ok_or(RequestError::Infinite)
        }
    }
}

/// A whole number of 64 bits in its one spelling: Redis takes no other for an integer.
fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_plain = match digits {
        [b'0', ..] => text == b"0",
        [first, ..] => first.is_ascii_digit(),
        [] => false,
    };
    let number = std::str::from_utf8(text).ok().filter(|_| is_plain)?;
    number.parse().ok()
}

/// Whether what ends then may end at `at_ms` instead.
pub(super) fn end_may_change(only_if: EndsIf, ends_at: Option<u64>, at_ms: u64) -> bool {
    let is_later = ends_at.is_some_and(|now_ms| at_ms > now_ms);
    let is_earlier = ends_at.is_none_or(|now_ms| at_ms < now_ms);
    match only_if {
        EndsIf::Any => true,
        EndsIf::Endless => ends_at.is_none(),
        EndsIf::Ending => ends_at.is_some(),
        EndsIf::Later => is_later,
        EndsIf::Earlier => is_earlier,
        EndsIf::EndingEarlier => ends_at.is_some() && is_earlier,
    }
}

/// `bytes` from `offset` on in the place of what `value` has there. The length is checked
/// before there is room for it.
fn overwritten(value: Option<&Bytes>, offset: usize, bytes: &[u8]) -> Result<Bytes, RequestError> {
    let value = value.map_or(&[][..], |value| value.as_ref());
    let end = offset.saturating_add(bytes.len());
    let length = end.max(value.len());
    check_value(length)?;
    let mut whole = BytesMut::with_capacity(length);
    whole.extend_from_slice(value.get(..offset).unwrap_or(value));
    whole.resize(offset, 0);
    whole.extend_from_slice(bytes);
    whole.extend_from_slice(value.get(end..).unwrap_or_default());
    Ok(whole.freeze())
}
