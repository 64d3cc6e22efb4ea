//! A thousand rosters of up to a thousand members, each changed once.
//!
//! ```text
//! NETDB_PLACEMENT_ROSTERS=20000 cargo test --release --lib placement::tests::sweep -- --nocapture
//! ```

use rand::RngExt;
use rand::rngs::SmallRng;

use super::placement::assert_spread;
use super::{NO_CAPS, Shape, cut, seeded};
use crate::placement::{Placement, Plan, Roster};

const ROSTERS: u64 = 1_000;

fn rosters() -> u64 {
    let text = std::env::var("NETDB_PLACEMENT_ROSTERS").ok();
    text.map_or(ROSTERS, |text| text.parse().expect("a number of rosters"))
}

/// Sizes and numbers of partitions are drawn by their logarithm: most rosters are small,
/// some have a thousand members.
fn shape(rng: &mut SmallRng) -> Shape {
    Shape {
        members: 1_000f64.powf(rng.random()).round() as usize,
        zones: rng.random_range(1..=6),
        hosts: rng.random_bool(0.5).then(|| rng.random_range(1..=40)),
        weight: 100 * rng.random_range(1..=4),
    }
}

/// One member joins, leaves or doubles its weight.
fn changed(shape: Shape, roster: &Roster, rng: &mut SmallRng) -> Roster {
    let mut after = roster.clone();
    let (id, claim) = roster
        .members()
        .nth(rng.random_range(0..roster.len()))
        .unwrap();
    match rng.random_range(0..3) {
        0 => {
            shape.add(&mut after, rng);
        }
        1 => after.depart(id).unwrap(),
        _ => {
            let mut profile = claim.profile.clone();
            profile.weight *= 2;
            after.describe(id, profile).unwrap();
        }
    }
    after
}

#[test]
fn rosters_of_all_sizes_hold_the_invariants_and_move_little() {
    let (mut copies, mut copies_min, mut members) = (0, 0, 0);
    for seed in 0..rosters() {
        let mut rng = seeded(seed);
        let shape = shape(&mut rng);
        let keyspace = cut(1 << rng.random_range(0..=8));
        let replicas = rng.random_range(1..=5);
        let before = shape.roster(&mut rng);
        members += before.len();
        let after = changed(shape, &before, &mut rng);

        let plain = |roster| Placement::with_slack(roster, keyspace, replicas, NO_CAPS);
        let plan = Plan::between(&plain(&before), &plain(&after));
        assert_eq!(plan.ratio(), 1.0, "seed {seed}: {shape:?}");

        let (old, new) = (
            Placement::of(&before, keyspace, replicas),
            Placement::of(&after, keyspace, replicas),
        );
        let partition = cut(1).partition_at(0);
        for placement in [(&before, &old), (&after, &new)] {
            let (roster, placement) = placement;
            let owners = placement.current(partition);
            assert_eq!(owners.len(), usize::from(replicas).min(roster.len()));
            assert_spread(roster, owners);
        }
        let plan = Plan::between(&old, &new);
        copies += plan.copies();
        copies_min += plan.copies_min();
    }
    let ratio = copies as f64 / copies_min as f64;
    println!(
        "{} rosters, {members} members in all: {copies} copies, {ratio:.3} of the least",
        rosters()
    );
    assert!(ratio <= 1.1, "{copies} copies where {copies_min} would do");
}
