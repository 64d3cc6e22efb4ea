//! What arrives is in normal form and within limits, or it is refused.

use std::collections::BTreeMap;

use bincode::config;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::clock::{ACTORS_MAX, COUNTER_MAX, RUNS_MAX, RunSet, VersionVector};

pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, config::standard()).unwrap()
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let limited = config::standard().with_limit::<{ 64 << 20 }>();
    let (value, used) = bincode::serde::borrow_decode_from_slice(bytes, limited).ok()?;
    (used == bytes.len()).then_some(value)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn clocks_and_sets_come_back(dots in any_dots()) {
        let (clock, set) = (clock(&dots), set(&dots));
        let again: Clock = decode(&encode(&clock)).unwrap();
        prop_assert_eq!(again.hash(), clock.hash());
        prop_assert_eq!(again.runs(), clock.runs());
        prop_assert_eq!(again, clock.clone());
        prop_assert_eq!(decode::<DotSet>(&encode(&set)).unwrap(), set);
        let vector = clock.base_vector();
        prop_assert_eq!(decode::<VersionVector>(&encode(&vector)).unwrap(), vector);
    }

    /// Whatever the bytes are, what they decode to is in normal form and encodes to a value
    /// that decodes to itself.
    #[test]
    fn arbitrary_bytes_make_normal_clocks_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Some(clock) = decode::<Clock>(&bytes) {
            prop_assert!(clock.entries().all(|(_, entry)| is_normal(entry) && !entry.is_empty()));
            prop_assert_eq!(decode::<Clock>(&encode(&clock)).unwrap(), clock);
        }
        decode::<DotSet>(&bytes);
        decode::<VersionVector>(&bytes);
    }

    /// Runs that touch the base or come with any numbers: normal form or refused.
    #[test]
    fn arbitrary_entries_are_normal_or_refused(base: u64, runs in prop::collection::vec((any::<u64>(), any::<u64>()), 0..6)) {
        if let Some(entry) = decode::<Entry>(&encode(&(base, runs))) {
            prop_assert!(is_normal(&entry));
            prop_assert!(entry.top() <= COUNTER_MAX);
        }
    }

    #[test]
    fn small_entries_are_the_union_of_base_and_runs(base in 0u64..8, runs in prop::collection::vec((0u64..4, 0u64..4), 0..6)) {
        let above: RunSet = decode(&encode(&runs)).unwrap();
        let entry: Entry = decode(&encode(&(base, runs))).unwrap();
        prop_assert!(is_normal(&entry));
        for n in 1..64 {
            prop_assert_eq!(entry.has(n), n <= base || above.contains(n));
        }
    }
}

#[test]
fn counters_out_of_range_are_refused() {
    assert!(decode::<RunSet>(&encode(&vec![(u64::MAX, 0u64)])).is_none());
    assert!(decode::<RunSet>(&encode(&vec![(0u64, u64::MAX - 1)])).is_none());
    assert!(decode::<RunSet>(&encode(&vec![(0u64, u64::MAX - 3), (u64::MAX, 1)])).is_none());
    assert!(decode::<RunSet>(&encode(&vec![(COUNTER_MAX - 1, 0u64)])).is_some());
    assert!(decode::<Entry>(&encode(&(u64::MAX, Vec::<(u64, u64)>::new()))).is_none());
    assert!(decode::<VersionVector>(&encode(&BTreeMap::from([(actor(1), 0u64)]))).is_none());
    assert!(decode::<VersionVector>(&encode(&BTreeMap::from([(actor(1), u64::MAX)]))).is_none());
}

#[test]
fn empty_entries_are_refused() {
    let empty = BTreeMap::from([(actor(1), (0u64, Vec::<(u64, u64)>::new()))]);
    assert!(decode::<Clock>(&encode(&empty)).is_none());
    let empty = BTreeMap::from([(actor(1), Vec::<(u64, u64)>::new())]);
    assert!(decode::<DotSet>(&encode(&empty)).is_none());
}

#[test]
fn too_many_actors_or_runs_are_refused() {
    let vector = |count: usize| {
        (0..count as u64)
            .map(|at| (actor(at), 1))
            .collect::<BTreeMap<_, u64>>()
    };
    assert!(decode::<VersionVector>(&encode(&vector(ACTORS_MAX))).is_some());
    assert!(decode::<VersionVector>(&encode(&vector(ACTORS_MAX + 1))).is_none());
    let clock: BTreeMap<_, _> = vector(ACTORS_MAX + 1)
        .into_iter()
        .map(|(actor, n)| (actor, Entry::up_to(n)))
        .collect();
    assert!(decode::<Clock>(&encode(&clock)).is_none());
    let runs = |count: usize| vec![(1u64, 0u64); count];
    assert!(decode::<RunSet>(&encode(&runs(RUNS_MAX))).is_some());
    assert!(decode::<RunSet>(&encode(&runs(RUNS_MAX + 1))).is_none());
    let half = RUNS_MAX / 2 + 1;
    let clock = BTreeMap::from([(actor(1), (0u64, runs(half))), (actor(2), (0, runs(half)))]);
    assert!(
        decode::<Clock>(&encode(&clock)).is_none(),
        "over all actors"
    );
    let set = BTreeMap::from([(actor(1), runs(half)), (actor(2), runs(half))]);
    assert!(decode::<DotSet>(&encode(&set)).is_none(), "over all actors");
}

/// The sizes of PROTOCOL section 11: a quiet clock is an id and a base per actor.
#[test]
fn a_quiet_clock_is_small() {
    let mut clock = Clock::new();
    for at in 0..3 {
        let actor = crate::clock::ActorId {
            node: crate::clock::NodeId(u64::MAX - at),
            incarnation: u64::MAX / (at + 2),
        };
        clock.set(actor, Entry::up_to(10_000));
    }
    assert!(
        encode(&clock).len() <= 1 + 3 * 22,
        "{}",
        encode(&clock).len()
    );
}
