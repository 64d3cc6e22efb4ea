//! What a plan counts.

use super::{Shape, cut, seeded};
use crate::placement::{Phase, Plan};

#[test]
fn a_change_of_nothing_moves_nothing() {
    let roster = Shape::equal(5).roster(&mut seeded(1));
    let plan = Plan::of(&roster, &roster, cut(256), 3);
    assert_eq!((plan.moves.len(), plan.copies(), plan.ratio()), (0, 0, 1.0));
    assert_eq!(plan.nodes.len(), 5);
}

#[test]
fn the_first_members_take_copies_and_nobody_loses_any() {
    let before = Shape::equal(1).roster(&mut seeded(1));
    let mut after = before.clone();
    Shape::equal(1).add(&mut after, &mut seeded(2));
    let plan = Plan::of(&before, &after, cut(256), 3);
    assert_eq!((plan.copies(), plan.copies_min()), (256, 256));
    assert!(plan.moves.iter().all(|one| one.losses.is_empty()));
    assert_eq!(plan.imbalance(), 1.0);
}

#[test]
fn tallies_and_moves_agree() {
    let mut rng = seeded(3);
    let shape = Shape {
        zones: 3,
        weight: 300,
        ..Shape::equal(9)
    };
    let before = shape.roster(&mut rng);
    let mut after = before.clone();
    shape.add(&mut after, &mut rng);
    let leaver = before.members().next().unwrap().0;
    after.advance(leaver, Phase::Leaving).unwrap();

    let plan = Plan::of(&before, &after, cut(256), 3);
    let gains: usize = plan.moves.iter().map(|one| one.gains.len()).sum();
    assert_eq!(plan.copies(), gains as u64);
    assert_eq!(plan.nodes[&leaver].after, 0);
    for tally in plan.nodes.values() {
        assert_eq!(tally.before + tally.gains, tally.after + tally.losses);
    }
    let total = |count: fn(&crate::placement::Tally) -> u32| -> u32 {
        plan.nodes.values().map(count).sum()
    };
    assert_eq!(total(|tally| tally.before), 3 * 256);
    assert_eq!(total(|tally| tally.after), 3 * 256);
}
