//! How even placements are, and what that costs in movement.
//!
//! ```text
//! cargo test --lib placement::tests::balance -- --nocapture   # the table
//! ```

use std::time::Instant;

use super::{NO_CAPS, Shape, cut, seeded};
use crate::clock::NodeId;
use crate::placement::share::SLACK_PERCENT;
use crate::placement::{Keyspace, Phase, Placement, Plan, Roster};

const REPLICAS: u8 = 3;

/// Means over seeds, and the worst.
#[derive(Default)]
struct Figures {
    imbalance: f64,
    imbalance_max: f64,
    copies: u64,
    copies_min: u64,
    /// What a newcomer's even share is, over the same seeds.
    even: f64,
}

impl Figures {
    fn of(members: usize, seeds: u64, slack: u64) -> Self {
        let mut figures = Self::default();
        let keyspace = Keyspace::default();
        for seed in 0..seeds {
            let mut rng = seeded(seed);
            let before = Shape::equal(members).roster(&mut rng);
            let mut after = before.clone();
            Shape::equal(1).add(&mut after, &mut rng);
            let before = Placement::with_slack(&before, keyspace, REPLICAS, slack);
            let after = Placement::with_slack(&after, keyspace, REPLICAS, slack);
            let imbalance = Plan::between(&before, &before).imbalance();
            figures.imbalance += imbalance / seeds as f64;
            figures.imbalance_max = figures.imbalance_max.max(imbalance);
            let join = Plan::between(&before, &after);
            figures.copies += join.copies();
            figures.copies_min += join.copies_min();
            let replicas = f64::from(REPLICAS) * f64::from(keyspace.partitions);
            figures.even += replicas / (members + 1) as f64;
        }
        figures
    }

    fn ratio(&self) -> f64 {
        self.copies as f64 / self.copies_min as f64
    }
}

#[test]
fn equal_members_are_even_and_joins_move_what_they_must() {
    println!("256 partitions, 3 replicas, equal members; copies of a join over those it must make");
    println!("members  most/mean (worst)    join  of even share   without caps: most/mean (worst)");
    for (members, seeds, most, ratio) in [
        (3, 200, 1.0, 1.0),
        (5, 200, 1.15, 1.01),
        (10, 100, 1.2, 1.03),
        (50, 40, 1.45, 1.1),
    ] {
        let figures = Figures::of(members, seeds, SLACK_PERCENT);
        let plain = Figures::of(members, seeds, NO_CAPS);
        println!(
            "{members:7}      {:.3} ({:.3})   {:.3}          {:.3}                 {:.3} ({:.3})",
            figures.imbalance,
            figures.imbalance_max,
            figures.ratio(),
            figures.copies as f64 / figures.even,
            plain.imbalance,
            plain.imbalance_max,
        );
        assert!(figures.imbalance_max <= most, "{members} members");
        assert!(figures.ratio() <= ratio, "{members} members");
        assert_eq!(plain.ratio(), 1.0);
    }
}

/// Two join, one leaves, one dies and is replaced by another name in its seat; as steps,
/// and as one change.
#[test]
fn five_members_stay_even_and_move_little_through_a_bad_day() {
    let (mut steps, mut steps_min) = (0, 0);
    let (mut whole, mut whole_min) = (0, 0);
    let (mut imbalance_max, keyspace) = (0f64, Keyspace::default());
    for seed in 0..100 {
        let mut rng = seeded(seed);
        let before = Shape::equal(5).roster(&mut rng);
        let ids: Vec<_> = before.members().map(|(id, _)| id).collect();
        let mut stages = vec![before];
        let mut step = |change: &mut dyn FnMut(&mut Roster)| {
            let mut after = stages[stages.len() - 1].clone();
            change(&mut after);
            stages.push(after);
        };
        step(&mut |roster| {
            Shape::equal(1).add(roster, &mut rng);
        });
        step(&mut |roster| {
            Shape::equal(1).add(roster, &mut rng);
        });
        step(&mut |roster| roster.depart(ids[0]).unwrap());
        step(&mut |roster| {
            let profile = roster.member(ids[1]).unwrap().profile.clone();
            let fresh = NodeId(seed + 1);
            roster.depart(ids[1]).unwrap();
            roster.join(fresh, 1, profile).unwrap();
            roster.advance(fresh, Phase::Active).unwrap();
        });
        for pair in stages.windows(2) {
            let plan = Plan::of(&pair[0], &pair[1], keyspace, REPLICAS);
            steps += plan.copies();
            steps_min += plan.copies_min();
            imbalance_max = imbalance_max.max(plan.imbalance());
        }
        let plan = Plan::of(&stages[0], &stages[stages.len() - 1], keyspace, REPLICAS);
        whole += plan.copies();
        whole_min += plan.copies_min();
    }
    let steps = steps as f64 / steps_min as f64;
    let whole = whole as f64 / whole_min as f64;
    println!("5 members +2 -1, 1 replaced: {steps:.3} of the least in steps, {whole:.3} at once,");
    println!("most/mean at worst {imbalance_max:.3}");
    assert!(imbalance_max <= 1.25);
    assert!(steps <= 1.1);
}

#[test]
fn weights_count_in_proportion_where_a_partition_has_one_replica_in_a_zone() {
    let mut loads = [0u32; 4];
    for seed in 0..20 {
        let mut rng = seeded(seed);
        let shape = Shape {
            zones: 3,
            weight: 400,
            ..Shape::equal(60)
        };
        let roster = shape.roster(&mut rng);
        let placement = Placement::of(&roster, cut(1024), REPLICAS);
        let mut weights = [0u32; 4];
        let mut held = [0u32; 4];
        let plan = Plan::between(&placement, &placement);
        for (id, claim) in roster.members() {
            let class = (claim.profile.weight / 100 - 1) as usize;
            weights[class] += claim.profile.weight;
            held[class] += plan.nodes.get(&id).map_or(0, |tally| tally.after);
        }
        for class in 0..4 {
            loads[class] += held[class] * 10_000 / weights[class].max(1);
        }
    }
    let mean = f64::from(loads.iter().sum::<u32>()) / 4.0;
    println!("partitions per weight, by weight 100 to 400, of their mean:");
    for load in loads {
        println!("  {:.3}", f64::from(load) / mean);
        assert!((f64::from(load) / mean - 1.0).abs() < 0.1, "{loads:?}");
    }
}

#[test]
fn a_heavy_member_has_more_but_never_all() {
    println!("members (heavy, weight)  heavy/light  join");
    for (members, heavy, weight, least) in [
        (5, 1, 200, 1.35),
        (10, 2, 200, 1.65),
        (10, 2, 400, 2.7),
        (50, 10, 200, 1.85),
        (50, 10, 400, 3.5),
    ] {
        let (mut heavies, mut lights, mut copies, mut copies_min) = (0, 0, 0, 0);
        for seed in 0..40 {
            let mut rng = seeded(seed);
            let mut roster = Shape::equal(members).roster(&mut rng);
            let some: Vec<_> = roster.members().map(|(id, _)| id).take(heavy).collect();
            for id in &some {
                let mut profile = roster.member(*id).unwrap().profile.clone();
                profile.weight = weight;
                roster.describe(*id, profile).unwrap();
            }
            let mut after = roster.clone();
            Shape::equal(1).add(&mut after, &mut rng);
            let plan = Plan::of(&roster, &after, Keyspace::default(), REPLICAS);
            copies += plan.copies();
            copies_min += plan.copies_min();
            for (id, tally) in &plan.nodes {
                let sum = if some.contains(id) {
                    &mut heavies
                } else {
                    &mut lights
                };
                *sum += tally.before;
            }
        }
        let per = |sum: u32, count: usize| f64::from(sum) / count as f64;
        let ratio = per(heavies, heavy) / per(lights, members - heavy);
        let join = copies as f64 / copies_min as f64;
        println!("{members:7} ({heavy:5}, {weight:6})        {ratio:.3}  {join:.3}");
        assert!(ratio >= least && ratio <= f64::from(weight) / 100.0 * 1.05);
        assert!(join <= 1.1);
    }
}

#[test]
fn it_is_computed_in_milliseconds() {
    println!("members  time to compute (256 partitions, 3 replicas, zones, weights)");
    for members in [10, 100, 1_000] {
        let shape = Shape {
            zones: 5,
            weight: 300,
            ..Shape::equal(members)
        };
        let roster = shape.roster(&mut seeded(1));
        let started = Instant::now();
        let placement = Placement::of(&roster, Keyspace::default(), REPLICAS);
        println!("{members:7}  {:?}", started.elapsed());
        assert_eq!(placement.replicas(), REPLICAS);
    }
}
