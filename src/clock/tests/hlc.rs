//! Timestamps only grow, and one wrong clock does not take the others along.

use proptest::prelude::*;

use crate::clock::{Hlc, HybridClock, MAX_DRIFT_MS};

proptest! {
    #[test]
    fn timestamps_grow_and_pass_their_floor(
        steps in prop::collection::vec((0u64..10_000, any::<bool>(), 0u64..20_000), 1..50),
    ) {
        let mut clock = HybridClock::new();
        let mut last = Hlc(0);
        for (wall_ms, remote, ms) in steps {
            if remote {
                clock.observe(Hlc::at(ms), wall_ms);
                prop_assert!(clock.last().wall_ms() <= last.wall_ms().max(wall_ms + MAX_DRIFT_MS));
            } else {
                let before = clock.last();
                let next = clock.next(wall_ms, Hlc::at(ms));
                prop_assert!(next > before && next > Hlc::at(ms) && next >= Hlc::at(wall_ms));
                prop_assert!(clock.last() > before);
            }
            prop_assert!(clock.last() >= last);
            last = clock.last();
        }
    }
}

#[test]
fn a_remote_clock_within_the_drift_is_followed() {
    let mut clock = HybridClock::new();
    let remote = Hlc::at(1_000 + MAX_DRIFT_MS);
    clock.observe(remote, 1_000);
    assert!(clock.next(1_000, Hlc(0)) > remote);
}

#[test]
fn a_remote_clock_far_ahead_is_not() {
    let mut clock = HybridClock::new();
    clock.observe(Hlc::at(1_001 + MAX_DRIFT_MS), 1_000);
    assert_eq!(clock.next(1_000, Hlc(0)), Hlc(Hlc::at(1_000).0));
}

/// A version from the far future is passed when it is overwritten, but other keys do not
/// inherit its time.
#[test]
fn a_poisoned_key_stays_alone() {
    let mut clock = HybridClock::new();
    let poisoned = Hlc(u64::MAX - 1);
    assert_eq!(clock.next(1_000, poisoned), Hlc(u64::MAX));
    assert_eq!(clock.next(1_000, Hlc(0)).wall_ms(), 1_000);
    assert_eq!(clock.next(u64::MAX, Hlc(u64::MAX)), Hlc(u64::MAX));
}
