//! The proof of the simulator: with a rule broken in every node some seed must fail, and the
//! same seed must hold with the rule kept (PROTOCOL section 13).
//!
//! Each seed is a squall: a storm that is shorter, with more requests and more crashes. The rule
//! by which copies are given up has seeds of its own, in which members come and go. What
//! it cannot catch, or too seldom, is listed with the reason and with the story of the
//! partition's tests that does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use netdb::store::Mutation;

use crate::plan::{Plan, Profile};
use crate::world::{Failure, World};
use crate::{number_from_env, run};

/// Seeds per mutation in every submission unless `NETDB_SIM_MUTATION_SEEDS` says otherwise. All
/// but a few are caught by the first ten.
const SEEDS_DEFAULT: u64 = 300;

/// Mutations that must be caught.
const CAUGHT: [Mutation; 23] = [
    Mutation::N01,
    Mutation::N01w,
    Mutation::N02,
    Mutation::N03,
    Mutation::N04,
    Mutation::N05,
    Mutation::N07,
    Mutation::N08,
    Mutation::N09,
    Mutation::N10,
    Mutation::N11,
    Mutation::N12,
    Mutation::N14,
    Mutation::N16,
    Mutation::N17,
    Mutation::N19,
    Mutation::N20,
    Mutation::N22,
    Mutation::N23,
    Mutation::N26,
    Mutation::N28,
    Mutation::N33,
    Mutation::N34,
];

/// A mutation that need not be caught here.
struct Missed {
    mutation: Mutation,
    why: &'static str,
    /// The test of the partition that catches it.
    story: &'static str,
}

const MISSED: [Missed; 5] = [
    Missed {
        mutation: Mutation::N21,
        why: "no request can give a value an end",
        story: "n21_an_ending_version_takes_no_sibling_along",
    },
    Missed {
        mutation: Mutation::N24,
        why: "all void dots are of closed actors, and nothing replaced them",
        story: "n24_voids_come_last",
    },
    Missed {
        mutation: Mutation::N27,
        why: "the first piece must come when the next life has its streams: one seed in thousands",
        story: "n27_a_full_sync_for_an_earlier_opening_is_refused",
    },
    Missed {
        mutation: Mutation::N29,
        why: "it takes a lost delete, a write concurrent with it, and a late answer: one seed in hundreds",
        story: "n29_a_delta_for_an_earlier_opening_is_refused",
    },
    Missed {
        mutation: Mutation::N36,
        why: "numbers begin from nothing there",
        story: "n36_an_addition_leaves_what_it_is_added_to",
    },
];

/// How a mutation was caught.
struct Catch {
    seed: u64,
    invariant: &'static str,
    what: String,
}

/// Runs a seed with a rule broken; how it failed, if it did.
fn broken(seed: u64, profile: &Profile) -> Option<Catch> {
    let run = || World::new(Plan::draw(seed, profile)).run();
    let (invariant, what) = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(_)) => return None,
        Ok(Err(Failure {
            invariant, what, ..
        })) => (invariant, what),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or(panic.downcast_ref::<&str>().map(|said| said.to_string()));
            ("no_assertion_fails", said.unwrap_or_default())
        }
    };
    Some(Catch {
        seed,
        invariant,
        what,
    })
}

/// The first seed that catches each of `mutations`, on all cores.
fn search(mutations: &[Mutation], seeds: u64) -> Vec<(Mutation, Option<Catch>)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        while let Some(&mutation) = mutations.get(next.fetch_add(1, Ordering::Relaxed)) {
            let profile = Profile::squall(Some(mutation));
            let caught = (0..seeds).find_map(|seed| broken(seed, &profile));
            found.push((mutation, caught));
        }
        found
    };
    let mut found: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("a worker"))
            .collect()
    });
    found.sort_by_key(|(mutation, _)| *mutation);
    found
}

#[test]
fn every_broken_rule_is_caught() {
    let seeds = number_from_env("NETDB_SIM_MUTATION_SEEDS");
    let mut mutations = CAUGHT.to_vec();
    mutations.extend(MISSED.iter().map(|missed| missed.mutation));
    let mut sorted = mutations.clone();
    sorted.sort();
    assert_eq!(
        sorted,
        Mutation::ALL,
        "each mutation is in one of the lists"
    );
    // A longer search also looks for those that the short one misses.
    if seeds.is_none() {
        mutations.truncate(CAUGHT.len());
    }
    println!("mutation | rule | seed | caught by | as");
    let mut caught = Vec::new();
    for (mutation, catch) in search(&mutations, seeds.unwrap_or(SEEDS_DEFAULT)) {
        if let Some(catch) = catch {
            tell(mutation, &catch, &Profile::squall(None));
            caught.push(mutation);
        }
    }
    for Missed {
        mutation,
        why,
        story,
    } in MISSED.iter().filter(|m| !caught.contains(&m.mutation))
    {
        println!("{mutation:?} | {} | - | {story} | {why}", mutation.rule());
    }
    let mut missed = CAUGHT.to_vec();
    missed.retain(|mutation| !caught.contains(mutation));
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

/// Prints a row of the table; the seed must hold when the rule is kept.
fn tell(mutation: Mutation, catch: &Catch, kept: &Profile) {
    let Catch {
        seed,
        invariant,
        what,
    } = catch;
    let what: String = what.replace('\n', " ").chars().take(90).collect();
    let rule = mutation.rule();
    println!("{mutation:?} | {rule} | {seed} | {invariant} | {what}");
    let kept = run(*seed, kept);
    assert!(kept.is_ok(), "seed {seed} fails by itself: {kept:?}");
}

/// A copy that goes when its owners were asked, and not when all have said that they have what
/// is in it, takes writes along (R20). That shows when it goes, and to who only looks at what
/// clients lose.
#[test]
fn dropping_on_hope_is_caught() {
    let mutation = Mutation::N15;
    let seeds = number_from_env("NETDB_SIM_MUTATION_SEEDS").unwrap_or(SEEDS_DEFAULT);
    for drops_watched in [true, false] {
        let profile = |mutation| Profile {
            drops_watched,
            ..Profile::resharding(mutation)
        };
        let broken_rule = profile(Some(mutation));
        let caught = (0..seeds).find_map(|seed| broken(seed, &broken_rule));
        let catch = caught.unwrap_or_else(|| panic!("not caught: {mutation:?}"));
        tell(mutation, &catch, &profile(None));
    }
}
