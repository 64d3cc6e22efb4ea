//! What the guard promises: each counter once, and nobody silenced for good.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;

const NODE: NodeId = NodeId(7);

fn at(ms: u64) -> Instant {
    Instant::from_elapsed(Duration::from_millis(ms))
}

proptest! {
    /// Against a set that remembers everything: the guard takes exactly the counters
    /// that are inside the window and were not taken.
    #[test]
    fn the_window_agrees_with_a_set(
        start in prop_oneof![Just(0_u64), any::<u64>(), Just(u64::MAX - 3_000)],
        steps in prop::collection::vec(0_u64..2_600, 1..400),
    ) {
        let mut guard = ReplayGuard::default();
        let mut taken = BTreeSet::new();
        for step in steps {
            let counter = start.saturating_add(step);
            let highest = taken.last().copied().unwrap_or(counter);
            let expected = if highest.saturating_sub(counter) >= WINDOW {
                Err(Repeat::TooOld)
            } else if taken.insert(counter) {
                Ok(())
            } else {
                Err(Repeat::Replayed)
            };
            prop_assert_eq!(guard.admit(at(0), NODE, 1, counter), expected);
        }
    }

    /// Whatever the sessions and counters, nothing is ever taken twice.
    #[test]
    fn nothing_is_taken_twice(
        tries in prop::collection::vec((1_u64..12, 0_u64..4, 0_u64..12_000), 1..300),
    ) {
        let mut guard = ReplayGuard::default();
        let mut taken = BTreeSet::new();
        let mut ms = 0;
        for (session, counter, pause) in tries {
            ms += pause;
            if guard.admit(at(ms), NODE, session, counter).is_ok() {
                prop_assert!(taken.insert((session, counter)));
            }
        }
    }
}

#[test]
fn an_unknown_older_session_is_stale_while_a_newer_one_speaks() {
    let mut guard = ReplayGuard::default();
    let stale = Err(Repeat::StaleSession { newest: 10 });
    guard.admit(at(0), NODE, 10, 1).unwrap();
    assert_eq!(guard.admit(at(1), NODE, 9, 5), stale);
    guard.admit(at(9_000), NODE, 10, 2).unwrap();
    assert_eq!(guard.admit(at(18_999), NODE, 9, 5), stale);
    assert_eq!(guard.admit(at(19_000), NODE, 9, 5), Ok(()));
    assert_eq!(guard.admit(at(19_001), NODE, 10, 2), Err(Repeat::Replayed));
    assert_eq!(guard.admit(at(19_002), NODE, 10, 3), Ok(()));
    assert_eq!(guard.admit(at(19_003), NODE, 9, 6), Ok(()));
}

/// A recording of many earlier runs, played while the node is silent, must not push
/// out what is known of its present run.
#[test]
fn old_sessions_do_not_displace_newer_ones() {
    let mut guard = ReplayGuard::default();
    guard.admit(at(0), NODE, 1_000, 1).unwrap();
    for old in 0..100 {
        let _ = guard.admit(at(60_000 + old), NODE, old, 1);
    }
    assert_eq!(
        guard.admit(at(70_000), NODE, 1_000, 1),
        Err(Repeat::Replayed)
    );
}

/// A second process took the name of a running one, was refused, and came back again
/// and again with newer generations. The first must stay heard all the while.
#[test]
fn a_second_process_of_the_same_name_does_not_silence_the_first() {
    let mut guard = ReplayGuard::default();
    let mut counter = 0;
    guard.admit(at(0), NODE, 50, counter).unwrap();
    for second in 0..100 {
        let ms = second * 1_000;
        guard.admit(at(ms), NODE, 100 + second, 0).unwrap();
        for tick in 1..5 {
            counter += 1;
            let heard = guard.admit(at(ms + tick * 200), NODE, 50, counter);
            assert_eq!(heard, Ok(()), "second {second}");
        }
    }
}

#[test]
fn the_sender_silent_longest_is_forgotten() {
    let mut guard = ReplayGuard::default();
    let count = SENDERS_MAX as u64;
    for n in 0..count {
        guard.admit(at(n), NodeId(n), 1, 1).unwrap();
    }
    guard.admit(at(count), NodeId(0), 1, 2).unwrap();
    guard.admit(at(count + 1), NodeId(count), 1, 1).unwrap();
    assert_eq!((guard.senders.len(), guard.evicted()), (SENDERS_MAX, 1));
    let again = |guard: &mut ReplayGuard, n| guard.admit(at(count + 2), NodeId(n), 1, 1);
    assert_eq!(again(&mut guard, 0), Err(Repeat::Replayed));
    assert_eq!(again(&mut guard, 1), Ok(()), "node 1 was the one forgotten");
}
