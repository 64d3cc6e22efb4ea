//! Clocks, entries, run sets, dot sets and vectors are the sets that they say they are.

use proptest::prelude::*;

use super::*;
use crate::clock::{COUNTER_MAX, RunSet, VersionVector};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_clock_is_the_set_of_its_dots(dots in any_dots(), probe in any_dot()) {
        let (clock, model) = (clock(&dots), model(&dots));
        prop_assert_eq!(dots_of(&clock), model.clone());
        prop_assert_eq!(clock.contains(probe), model.contains(&probe));
        prop_assert!(clock.entries().all(|(_, entry)| is_normal(entry) && !entry.is_empty()));
        let runs: usize = clock.entries().map(|(_, entry)| entry.above().len()).sum();
        prop_assert_eq!(clock.runs(), runs);
    }

    #[test]
    fn add_says_whether_the_dot_is_new(dots in any_dots()) {
        let (mut clock, mut model) = (Clock::new(), Model::new());
        for dot in dots {
            prop_assert_eq!(clock.add(dot), model.insert(dot));
        }
    }

    #[test]
    fn join_is_union(left in any_dots(), right in any_dots()) {
        let mut joined = clock(&left);
        joined.join(&clock(&right));
        let union = model(&left).union(&model(&right)).copied().collect::<Model>();
        prop_assert_eq!(dots_of(&joined), union);
    }

    #[test]
    fn equal_clocks_are_equal_values_with_equal_hashes(dots in any_dots(), seed: u64) {
        let mut shuffled = dots.clone();
        let len = shuffled.len().max(1);
        for at in 0..shuffled.len() {
            shuffled.swap(at, (seed as usize).wrapping_mul(at + 1) % len);
        }
        let (one, other) = (clock(&dots), clock(&shuffled));
        prop_assert_eq!(one.hash(), other.hash());
        prop_assert_eq!(&one, &other);
        let mut joined = other;
        joined.join(&one);
        prop_assert_eq!(joined.hash(), one.hash());
    }

    #[test]
    fn different_clocks_have_different_hashes(left in any_dots(), right in any_dots()) {
        prop_assert_eq!(
            clock(&left).hash() == clock(&right).hash(),
            model(&left) == model(&right)
        );
    }

    #[test]
    fn minus_is_difference(left in any_dots(), right in any_dots()) {
        let missing = clock(&left).minus(&clock(&right));
        let expected = model(&left).difference(&model(&right)).copied().collect::<Model>();
        prop_assert_eq!(missing.count(), expected.len() as u64);
        prop_assert_eq!(missing.dots().collect::<Model>(), expected);
    }

    #[test]
    fn dominates_is_superset(left in any_dots(), right in any_dots()) {
        let superset = model(&left).is_superset(&model(&right));
        prop_assert_eq!(clock(&left).dominates(&clock(&right)), superset);
        prop_assert_eq!(clock(&left).covers(&set(&right)), superset);
    }

    #[test]
    fn the_base_is_where_the_first_gap_is(dots in any_dots(), at in 0u64..3) {
        let (clock, model) = (clock(&dots), model(&dots));
        let actor = actor(at);
        let base = (1..).take_while(|&n| model.contains(&Dot { actor, n })).count() as u64;
        let top = model.iter().filter(|dot| dot.actor == actor).map(|dot| dot.n).max();
        prop_assert_eq!(clock.base(actor), base);
        prop_assert_eq!(clock.top(actor), top.unwrap_or(0));
        prop_assert_eq!(clock.base_vector().get(actor), base);
    }

    #[test]
    fn set_replaces_an_entry(dots in any_dots(), others in any_dots(), at in 0u64..3) {
        let mut replaced = clock(&dots);
        let source = clock(&others);
        replaced.set(actor(at), source.entry(actor(at)).cloned().unwrap_or_default());
        let expected: Vec<Dot> = model(&dots).into_iter().filter(|dot| dot.actor != actor(at))
            .chain(model(&others).into_iter().filter(|dot| dot.actor == actor(at)))
            .collect();
        prop_assert_eq!(&replaced, &clock(&expected));
        prop_assert_eq!(replaced.hash(), clock(&expected).hash());
    }

    #[test]
    fn a_dot_set_is_a_set(left in any_dots(), right in any_dots(), probe in any_dot()) {
        let mut joined = set(&left);
        prop_assert_eq!(joined.contains(probe), model(&left).contains(&probe));
        joined.join(&set(&right));
        let union = model(&left).union(&model(&right)).copied().collect::<Model>();
        prop_assert_eq!(joined.dots().collect::<Model>(), union.clone());
        prop_assert_eq!(&joined, &union.into_iter().collect::<DotSet>());
    }

    #[test]
    fn the_parts_of_a_dot_set_make_it_up(dots in any_dots(), runs_max in 1usize..5) {
        let whole = set(&dots);
        let mut again = DotSet::new();
        for part in whole.split(runs_max) {
            prop_assert!(!part.is_empty() && part.len() <= runs_max);
            again.join(&part);
        }
        prop_assert_eq!(again, whole);
    }

    #[test]
    fn a_run_set_takes_and_gives_runs(
        runs in prop::collection::vec((1u64..40, 0u64..6), 0..12),
        cut in 0u64..45,
    ) {
        let mut set = RunSet::new();
        let mut model = BTreeSet::new();
        for (start, more) in runs {
            set.insert_run(start, start + more);
            model.extend(start..=start + more);
        }
        prop_assert_eq!(set.count(), model.len() as u64);
        prop_assert_eq!(set.first(), model.first().copied());
        prop_assert_eq!(set.last(), model.last().copied());
        prop_assert_eq!(&set, &model.iter().copied().collect::<RunSet>());
        set.remove_to(cut);
        model.retain(|&n| n > cut);
        prop_assert_eq!(&set, &model.iter().copied().collect::<RunSet>());
    }

    #[test]
    fn vectors_join_and_compare_pointwise(left in any_dots(), right in any_dots(), probe in any_dot()) {
        let vector = |dots: &[Dot]| {
            let mut vector = VersionVector::new();
            dots.iter().for_each(|&dot| vector.add(dot));
            vector
        };
        let (one, other) = (vector(&left), vector(&right));
        prop_assert_eq!(
            one.contains(probe),
            left.iter().any(|dot| dot.actor == probe.actor && dot.n >= probe.n)
        );
        let mut joined = one.clone();
        joined.join(&other);
        prop_assert!(joined.dominates(&one) && joined.dominates(&other));
        let both: Vec<Dot> = left.iter().chain(&right).copied().collect();
        prop_assert_eq!(&joined, &vector(&both));
        prop_assert_eq!(one.dominates(&other), joined == one);
    }
}

/// Ranges of 2^60 dots cost what their runs cost.
#[test]
fn enormous_ranges_are_runs() {
    let a = actor(1);
    let mut clock = Clock::new();
    clock.set(a, Entry::up_to(1 << 60));
    let missing = clock.minus(&Clock::new());
    assert_eq!(missing.count(), 1 << 60);
    assert_eq!(missing.len(), 1);
    assert!(clock.covers(&missing));
    let mut other = Clock::new();
    other.add(Dot {
        actor: a,
        n: 1 << 59,
    });
    assert_eq!(clock.minus(&other).len(), 2);
    other.join(&clock);
    assert_eq!(other, clock);
}

#[test]
fn the_largest_counters_do_not_overflow() {
    let a = actor(1);
    let dot = |n| Dot { actor: a, n };
    let mut clock = Clock::new();
    assert!(!clock.add(dot(u64::MAX)), "no counter");
    assert!(!clock.add(dot(0)), "no counter");
    assert!(clock.is_empty() && clock.hash() == 0);
    assert!(clock.add(dot(COUNTER_MAX)));
    assert!(clock.add(dot(COUNTER_MAX - 1)));
    assert_eq!(clock.top(a), COUNTER_MAX);
    clock.set(a, Entry::up_to(COUNTER_MAX));
    assert!(clock.contains(dot(COUNTER_MAX)) && !clock.contains(dot(u64::MAX)));
    assert!(!clock.add(dot(u64::MAX)));
    let mut low = Clock::new();
    low.add(dot(1));
    assert_eq!(clock.minus(&low).count(), COUNTER_MAX - 1);
    low.join(&clock);
    assert_eq!(low, clock);
    let mut set = RunSet::new();
    set.insert_run(0, u64::MAX);
    assert_eq!(set.iter().collect::<Vec<_>>(), [(1, COUNTER_MAX)]);
    set.remove_to(u64::MAX);
    assert!(set.is_empty());
}
