//! What a placement is, for any roster.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rand::RngExt;

use super::{NO_CAPS, Shape, cut, seeded};
use crate::clock::NodeId;
use crate::placement::{Phase, Placement, Plan, Profile, Roster, stand_ins};

prop_compose! {
    fn shape()(
        members in 1..24usize,
        zones in 1..6u64,
        hosts in prop::option::of(1..5u64),
        weight in 1..5u32,
    ) -> Shape {
        Shape { members, zones, hosts, weight: weight * 100 }
    }
}

/// Asserts that no exchange of one owner for another member would bring owners further
/// apart: zones differ in their owners by at most one, unless they have no member left, and
/// within a zone hosts do.
pub(super) fn assert_spread(roster: &Roster, owners: &[NodeId]) {
    let place = |id: &NodeId| {
        let profile = &roster.member(*id).unwrap().profile;
        (profile.zone.clone(), profile.host.clone())
    };
    let mut zones = BTreeMap::new();
    let mut hosts = BTreeMap::new();
    for owner in owners {
        let (zone, host) = place(owner);
        *zones.entry(zone.clone()).or_insert(0) += 1;
        *hosts.entry((zone, host)).or_insert(0) += 1;
    }
    let fullest_zone = zones.values().max().copied().unwrap_or(0);
    for (id, _) in roster.members().filter(|(id, _)| !owners.contains(id)) {
        let (zone, host) = place(&id);
        let in_zone = zones.get(&zone).copied().unwrap_or(0);
        assert!(
            in_zone + 1 >= fullest_zone,
            "{id} would spread zones: {owners:?}"
        );
        let on_host = hosts.get(&(zone.clone(), host)).copied().unwrap_or(0);
        let of_zone = hosts.iter().filter(|((other, _), _)| *other == zone);
        let fullest_host = of_zone.map(|(_, used)| *used).max().unwrap_or(0);
        assert!(
            on_host + 1 >= fullest_host,
            "{id} would spread hosts: {owners:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn owners_are_distinct_enough_and_apart(shape in shape(), seed: u64, replicas in 0..7u8) {
        let roster = shape.roster(&mut seeded(seed));
        let keyspace = cut(32);
        let placement = Placement::of(&roster, keyspace, replicas);
        for partition in keyspace.all() {
            let owners = placement.current(partition);
            let distinct: BTreeSet<_> = owners.iter().collect();
            prop_assert_eq!(distinct.len(), usize::from(replicas).min(shape.members));
            prop_assert_eq!(distinct.len(), owners.len());
            assert_spread(&roster, owners);
            prop_assert_eq!(owners, placement.target(partition));
        }
    }

    #[test]
    fn it_is_the_same_in_whatever_order_members_became_known(shape in shape(), seed: u64) {
        let roster = shape.roster(&mut seeded(seed));
        let mut records: Vec<_> = roster.records().collect();
        let mut rng = seeded(!seed);
        for last in (1..records.len()).rev() {
            records.swap(last, rng.random_range(0..=last));
        }
        let mut other = Roster::default();
        for (id, record) in records {
            other.learn(id, record).unwrap();
        }
        prop_assert_eq!(Placement::of(&roster, cut(32), 3), Placement::of(&other, cut(32), 3));
    }

    #[test]
    fn without_caps_a_newcomer_takes_and_nobody_else(shape in shape(), seed: u64, replicas in 1..6u8) {
        let mut rng = seeded(seed);
        let before = shape.roster(&mut rng);
        let mut after = before.clone();
        let id = shape.add(&mut after, &mut rng);
        let place = |roster: &Roster| Placement::with_slack(roster, cut(64), replicas, NO_CAPS);
        let (before, after) = (place(&before), place(&after));
        let join = Plan::between(&before, &after);
        for one in &join.moves {
            prop_assert_eq!(&one.gains, &vec![id]);
            prop_assert!(one.losses.len() <= 1);
        }
        let leave = Plan::between(&after, &before);
        for one in &leave.moves {
            prop_assert_eq!(&one.losses, &vec![id]);
            prop_assert!(one.gains.len() <= 1);
        }
        prop_assert_eq!((join.ratio(), leave.ratio()), (1.0, 1.0));
    }

    #[test]
    fn without_caps_a_heavier_member_only_takes(shape in shape(), seed: u64, replicas in 1..6u8) {
        let before = shape.roster(&mut seeded(seed));
        let (id, claim) = before.members().next().unwrap();
        let mut profile = claim.profile.clone();
        profile.weight *= 2;
        let mut after = before.clone();
        after.describe(id, profile).unwrap();
        let place = |roster: &Roster| Placement::with_slack(roster, cut(64), replicas, NO_CAPS);
        let plan = Plan::between(&place(&before), &place(&after));
        for one in &plan.moves {
            prop_assert_eq!(&one.gains, &vec![id]);
        }
        prop_assert_eq!(plan.ratio(), 1.0);
    }

    #[test]
    fn phases_say_who_owns_and_who_will(shape in shape(), seed: u64) {
        let mut rng = seeded(seed);
        let mut roster = shape.roster(&mut rng);
        let (mut now, mut then, mut without) = (roster.clone(), roster.clone(), roster.clone());
        let leaver = roster.members().next().unwrap().0;
        let joiner = shape.add(&mut now, &mut rng);
        let claim = now.member(joiner).unwrap().clone();
        now.depart(joiner).unwrap();
        roster.join(joiner, 1, claim.profile.clone()).unwrap();
        roster.advance(leaver, Phase::Leaving).unwrap();
        then.join(joiner, 1, claim.profile).unwrap();
        then.advance(joiner, Phase::Active).unwrap();
        then.depart(leaver).unwrap();
        without.depart(leaver).unwrap();

        let of = |roster: &Roster| Placement::of(roster, cut(32), 3);
        let (changing, now, then) = (of(&roster), of(&now), of(&then));
        let without = of(&without);
        for partition in cut(32).all() {
            prop_assert_eq!(changing.current(partition), now.current(partition));
            prop_assert_eq!(changing.target(partition), then.current(partition));
            prop_assert_eq!(changing.heirs(partition), without.current(partition));
            let recipients: Vec<_> = changing.recipients(partition).collect();
            let all = [&now, &then, &without].map(|one| one.current(partition)).concat();
            let all: BTreeSet<_> = all.into_iter().collect();
            prop_assert_eq!(recipients.iter().copied().collect::<BTreeSet<_>>(), all);
            prop_assert!(recipients.starts_with(now.current(partition)));

            let others = stand_ins(&roster, cut(32), partition, &recipients);
            prop_assert!(!others.contains(&joiner));
            prop_assert!(others.iter().all(|one| !recipients.contains(one)));
            let owning = shape.members;
            let busy = recipients.iter().filter(|one| **one != joiner).count();
            prop_assert_eq!(others.len(), owning - busy);
        }
    }
}

#[test]
fn nobody_owns_before_anybody_is_active() {
    let mut roster = Roster::default();
    let empty = Placement::of(&roster, cut(4), 3);
    assert!(
        cut(4)
            .all()
            .all(|partition| empty.target(partition).is_empty())
    );
    roster
        .join(NodeId(1), 1, Profile::new(NodeId(1), "first"))
        .unwrap();
    let placement = Placement::of(&roster, cut(4), 3);
    for partition in cut(4).all() {
        assert!(placement.current(partition).is_empty());
        assert_eq!(placement.target(partition), [NodeId(1)]);
    }
    assert_ne!(placement.fingerprint(), empty.fingerprint());
}

#[test]
fn who_takes_the_seat_of_another_takes_exactly_its_partitions() {
    let before = Shape::equal(8).roster(&mut seeded(1));
    let (dead, claim) = before.members().nth(3).unwrap();
    let profile = Profile {
        name: "replacement".to_owned(),
        ..claim.profile.clone()
    };
    let fresh = NodeId(12_345);
    let mut after = before.clone();
    after.depart(dead).unwrap();
    after.join(fresh, 1, profile).unwrap();
    after.advance(fresh, Phase::Active).unwrap();
    let plan = Plan::of(&before, &after, cut(256), 3);
    assert!(!plan.moves.is_empty());
    for one in &plan.moves {
        assert_eq!((&one.gains, &one.losses), (&vec![fresh], &vec![dead]));
    }
}

/// A machine with another answer would own other partitions than its peers believe.
#[test]
fn known_answers_hold_on_every_machine() {
    let shape = Shape {
        members: 40,
        zones: 4,
        hosts: Some(6),
        weight: 400,
    };
    let mut roster = Roster::default();
    for number in 1..=shape.members as u64 {
        let mut profile = Profile::new(NodeId(number), &format!("node-{number}"));
        profile.zone = format!("zone-{}", number % 4);
        profile.host = format!("host-{}", number % 7);
        profile.weight = 100 * (1 + (number % 3) as u32);
        roster.join(NodeId(number), 1, profile).unwrap();
        roster.advance(NodeId(number), Phase::Active).unwrap();
    }
    let placement = Placement::of(&roster, cut(256), 3);
    assert_eq!(
        (roster.fingerprint(), placement.fingerprint()),
        (0x1f8bdc4fa453353a, 0x97c991c40c29abca)
    );
}

/// Ten members on one host and ten on ten: by weight each zone would have half, but a third
/// replica is apart from the others only in the second. Caps alone would bring it to the first.
#[test]
fn a_full_member_takes_more_before_two_replicas_share_a_host() {
    let mut roster = Roster::default();
    for number in 1..=20 {
        let mut profile = Profile::new(NodeId(number), &format!("node-{number}"));
        profile.zone = format!("zone-{}", number % 2);
        if number % 2 == 0 {
            profile.host = "shared".to_owned();
        }
        roster.join(NodeId(number), 1, profile).unwrap();
        roster.advance(NodeId(number), Phase::Active).unwrap();
    }
    let placement = Placement::of(&roster, cut(256), 3);
    for partition in cut(256).all() {
        let shared = placement.current(partition).iter();
        assert_eq!(shared.filter(|owner| owner.0 % 2 == 0).count(), 1);
    }
}
