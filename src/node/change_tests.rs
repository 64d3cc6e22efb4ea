//! Changes against a model of Redis: a value with an end, and what each command does to it.

use bytes::Bytes;
use proptest::prelude::*;

use super::change::{Change, Ends, EndsIf, OnlyIf, decide};
use super::request::RequestError;
use crate::clock::Hlc;
use crate::object::{Amount, VALUE_BYTES_MAX, Version};
use crate::store::Write;

const NOW_MS: u64 = 1_000;

fn version(value: &str, expire_at_ms: Option<u64>) -> Version {
    Version {
        hlc: Hlc(7),
        expire_at_ms,
        value: Bytes::from(value.to_owned()),
        part: None,
    }
}

/// What a key is to Redis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model(Option<(Vec<u8>, Option<u64>)>);

impl Model {
    /// What the manual says that the change does: whether it was done, and the length of the
    /// value after it.
    fn apply(&mut self, change: &Change, now_ms: u64) -> (bool, usize) {
        let (exists, ends_at) = match &self.0 {
            Some((_, ends_at)) => (true, *ends_at),
            None => (false, None),
        };
        let done = match change {
            Change::Set {
                value,
                ends,
                only_if,
                ..
            } => {
                let done = match only_if {
                    OnlyIf::Always => true,
                    OnlyIf::Absent => !exists,
                    OnlyIf::Present => exists,
                };
                if done {
                    let ends_at = match ends {
                        Ends::Never => None,
                        Ends::Kept => ends_at,
                        Ends::At(at_ms) => Some(*at_ms),
                    };
                    self.0 = Some((value.to_vec(), ends_at));
                }
                done
            }
            Change::Append { tail } => {
                let (value, _) = self.0.get_or_insert_default();
                value.extend_from_slice(tail);
                true
            }
            Change::Overwrite { bytes, .. } if bytes.is_empty() => false,
            Change::Overwrite { offset, bytes } => {
                let (value, _) = self.0.get_or_insert_default();
                for (at, byte) in bytes.iter().enumerate() {
                    while value.len() <= offset + at {
                        value.push(0);
                    }
                    value[offset + at] = *byte;
                }
                true
            }
            Change::Add { amount, .. } => {
                let (value, _) = self.0.get_or_insert_with(|| (b"0".to_vec(), None));
                let sum = number(value).unwrap() + amount.to_i64().unwrap();
                *value = sum.to_string().into_bytes();
                true
            }
            Change::Take => self.0.take().is_some(),
            Change::End { at_ms, only_if } => {
                // What does not end is as if it ended at the end of time.
                let now_ends = ends_at.unwrap_or(u64::MAX);
                let done = exists
                    && match only_if {
                        EndsIf::Any => true,
                        EndsIf::Endless => ends_at.is_none(),
                        EndsIf::Ending => ends_at.is_some(),
                        EndsIf::Later => *at_ms > now_ends,
                        EndsIf::Earlier => *at_ms < now_ends,
                        EndsIf::EndingEarlier => ends_at.is_some() && *at_ms < now_ends,
                    };
                if let Some((_, ends_at)) = self.0.as_mut().filter(|_| done) {
                    *ends_at = Some(*at_ms);
                }
                done
            }
            Change::Persist => {
                let ends_at = self.0.as_mut().map(|(_, ends_at)| ends_at);
                ends_at.and_then(Option::take).is_some()
            }
        };
        self.pass(now_ms);
        (done, self.0.as_ref().map_or(0, |(value, _)| value.len()))
    }

    /// What has ended is gone.
    fn pass(&mut self, now_ms: u64) {
        self.0
            .take_if(|(_, ends_at)| ends_at.is_some_and(|at_ms| at_ms <= now_ms));
    }
}

fn number(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value)
        .ok()?
        .parse()
        .ok()
        .filter(|number: &i64| number.to_string().as_bytes() == value)
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..6).prop_map(Bytes::from),
        "-?[1-9][0-9]{0,4}".prop_map(Bytes::from),
    ]
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![0..40_u64, Just(u64::MAX - 1)]
}

fn change() -> impl Strategy<Value = Change> {
    let ends = prop_oneof![
        Just(Ends::Never),
        Just(Ends::Kept),
        time().prop_map(Ends::At)
    ];
    let only_if = prop_oneof![
        Just(OnlyIf::Always),
        Just(OnlyIf::Absent),
        Just(OnlyIf::Present)
    ];
    let ends_if = prop_oneof![
        Just(EndsIf::Any),
        Just(EndsIf::Endless),
        Just(EndsIf::Ending),
        Just(EndsIf::Later),
        Just(EndsIf::Earlier),
        Just(EndsIf::EndingEarlier),
    ];
    prop_oneof![
        (bytes(), ends, only_if).prop_map(|(value, ends, only_if)| Change::Set {
            value,
            ends,
            only_if,
            is_swap: false
        }),
        bytes().prop_map(|tail| Change::Append { tail }),
        (0..12_usize, bytes()).prop_map(|(offset, bytes)| Change::Overwrite { offset, bytes }),
        any::<i32>().prop_map(|amount| Change::Add {
            amount: Amount::from(i64::from(amount)),
            whole: true,
        }),
        Just(Change::Take),
        (time(), ends_if).prop_map(|(at_ms, only_if)| Change::End { at_ms, only_if }),
        Just(Change::Persist),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_key_is_what_it_is_to_redis(
        steps in proptest::collection::vec((change(), 0..4_u64), 1..40),
    ) {
        let mut model = Model::default();
        let mut key: Option<Version> = None;
        let mut now_ms = 0;
        for (change, later) in steps {
            now_ms += later;
            model.pass(now_ms);
            key.take_if(|version| version.expired(now_ms));
            let before = model.clone();
            let is_number = |(value, _): &(Vec<u8>, _)| number(value).is_some();
            if matches!(change, Change::Add { .. }) && !model.0.as_ref().is_none_or(is_number) {
                let refused = decide(change, key.as_ref(), now_ms);
                prop_assert_eq!(refused, Err(RequestError::NotAnInteger));
                continue;
            }
            let (done, length) = model.apply(&change, now_ms);

            let decision = decide(change, key.as_ref(), now_ms).unwrap();
            prop_assert_eq!(decision.changed.done, done);
            prop_assert_eq!(decision.changed.length, length);
            let value_before = before.0.map(|(value, _)| Bytes::from(value));
            prop_assert_eq!(&decision.changed.before, &value_before);
            match decision.write {
                Some(Write::Put { value, expire_at_ms }) => {
                    key = Some(Version { hlc: Hlc(7), expire_at_ms, value, part: None });
                }
                Some(Write::End { expire_at_ms }) => {
                    let version = key.as_mut();
                    version.expect("something to end").expire_at_ms = expire_at_ms;
                }
                Some(Write::Add { .. }) => {
                    let sum = decision.changed.sum.expect("a sum").to_string();
                    key.get_or_insert_with(|| version("", None)).value = sum.into();
                }
                Some(Write::Delete) => prop_assert!(key.take().is_some(), "deletes nothing"),
                Some(Write::Lifetime(_)) => prop_assert!(false, "no value"),
                None => {}
            }
            let state = key.as_ref().map(|version| {
                (version.value.to_vec(), version.expire_at_ms)
            });
            prop_assert_eq!(Model(state), model.clone());
        }
    }
}

fn too_long(length: usize) -> RequestError {
    let limit = VALUE_BYTES_MAX;
    RequestError::ValueTooLong { length, limit }
}

#[test]
fn numbers_are_added_as_redis_adds_them() {
    let add = |value: Option<&str>, amount: &str, whole| {
        let amount = Amount::parse(amount.as_bytes()).unwrap();
        let current = value.map(|value| version(value, Some(5_000)));
        let decision = decide(Change::Add { amount, whole }, current.as_ref(), NOW_MS);
        decision.map(|decision| decision.changed.sum.unwrap().to_string())
    };
    let sum = |text: &str| Ok(text.to_owned());
    assert_eq!(add(None, "5", true), sum("5"));
    assert_eq!(add(Some("10"), "-12", true), sum("-2"));
    assert_eq!(add(Some("10.5"), "0.1", false), sum("10.6"));
    assert_eq!(add(Some("3.0e3"), "200", false), sum("3200"));
    let (max, min) = (i64::MAX.to_string(), i64::MIN.to_string());
    assert_eq!(add(Some(&max), "0", true), sum(&max));
    assert_eq!(add(Some(&max), "1", true), Err(RequestError::Overflow));
    assert_eq!(add(Some(&min), "-1", true), Err(RequestError::Overflow));
    for no_integer in ["", "1.0", " 1", "01", "text", "9223372036854775808"] {
        let refused = Err(RequestError::NotAnInteger);
        assert_eq!(add(Some(no_integer), "1", true), refused, "{no_integer}");
    }
    assert_eq!(add(Some("text"), "1", false), Err(RequestError::NotAFloat));
    let most = "1".to_owned() + &"0".repeat(21);
    assert_eq!(add(Some(&most), &most, false), Err(RequestError::Infinite));
}

#[test]
fn nothing_longer_than_the_limit_is_made() {
    let byte = Bytes::from_static(b"x");
    let overwrite = |offset| Change::Overwrite {
        offset,
        bytes: byte.clone(),
    };
    for offset in [VALUE_BYTES_MAX, usize::MAX - 1, usize::MAX] {
        let length = offset.saturating_add(1);
        assert_eq!(
            decide(overwrite(offset), None, NOW_MS),
            Err(too_long(length))
        );
    }
    let longest = decide(overwrite(VALUE_BYTES_MAX - 1), None, NOW_MS).unwrap();
    assert_eq!(longest.changed.length, VALUE_BYTES_MAX);
    let Some(Write::Put { value, .. }) = longest.write else {
        panic!("a value");
    };
    let full = Version {
        value,
        ..version("", None)
    };
    let append = |tail: &Bytes| Change::Append { tail: tail.clone() };
    assert_eq!(
        decide(append(&byte), Some(&full), NOW_MS),
        Err(too_long(VALUE_BYTES_MAX + 1))
    );
    assert!(decide(append(&Bytes::new()), Some(&full), NOW_MS).is_ok());
}

#[test]
fn what_is_not_done_writes_nothing() {
    let value = version("v", Some(2_000));
    let set = |only_if| Change::Set {
        value: Bytes::from_static(b"w"),
        ends: Ends::Never,
        only_if,
        is_swap: false,
    };
    for (change, current) in [
        (set(OnlyIf::Absent), Some(&value)),
        (set(OnlyIf::Present), None),
        (Change::Take, None),
        (Change::Persist, None),
        (Change::Persist, Some(&version("v", None))),
    ] {
        let decision = decide(change.clone(), current, NOW_MS).unwrap();
        assert_eq!(decision.write, None, "{change:?}");
        assert!(!decision.changed.done, "{change:?}");
    }
}

#[test]
fn a_time_that_has_come_leaves_no_value() {
    let value = version("v", None);
    let set = Change::Set {
        value: Bytes::from_static(b"w"),
        ends: Ends::At(NOW_MS),
        only_if: OnlyIf::Always,
        is_swap: false,
    };
    let end = Change::End {
        at_ms: NOW_MS,
        only_if: EndsIf::Any,
    };
    for change in [set.clone(), end] {
        let decision = decide(change, Some(&value), NOW_MS).unwrap();
        assert_eq!(decision.write, Some(Write::Delete));
        assert!(decision.changed.done);
    }
    let decision = decide(set, None, NOW_MS).unwrap();
    assert_eq!(decision.write, None);
    assert!(decision.changed.done);
}
