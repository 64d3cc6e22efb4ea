//! The roster is a join-semilattice, and says of joins and departures what it must.

use proptest::prelude::*;

use crate::clock::NodeId;
use crate::placement::{
    COUNTER_MAX, Claim, Departure, MEMBERS_MAX, Phase, Profile, ProfileError, Record, RecordError,
    Roster, RosterError,
};

fn phase() -> impl Strategy<Value = Phase> {
    prop_oneof![
        Just(Phase::Joining),
        Just(Phase::Active),
        Just(Phase::Leaving)
    ]
}

prop_compose! {
    fn claim()(incarnation in 1..4u64, version in 1..6u64, phase in phase(), weight in 1..3u32) -> Claim {
        let profile = Profile { weight, ..Profile::new(NodeId(1), "n") };
        Claim { incarnation, version, phase, profile }
    }
}

prop_compose! {
    fn fact()(id in 1..4u64, claim in claim(), departs: bool) -> (NodeId, Record) {
        let departure = Departure { incarnation: claim.incarnation, version: claim.version };
        let record = if departs {
            Record { claim: None, departure: Some(departure) }
        } else {
            Record { claim: Some(claim), departure: None }
        };
        (NodeId(id), record)
    }
}

fn facts() -> impl Strategy<Value = Vec<(NodeId, Record)>> {
    prop::collection::vec(fact(), 0..12)
}

fn knowing(facts: &[(NodeId, Record)]) -> Roster {
    let mut roster = Roster::default();
    for (id, record) in facts {
        roster.learn(*id, record).unwrap();
    }
    roster
}

fn joined(one: &Roster, other: &Roster) -> Roster {
    let mut joined = one.clone();
    joined.merge(other).unwrap();
    joined
}

proptest! {
    #[test]
    fn merging_is_commutative_associative_and_idempotent(a in facts(), b in facts(), c in facts()) {
        let (a, b, c) = (knowing(&a), knowing(&b), knowing(&c));
        prop_assert_eq!(joined(&a, &b), joined(&b, &a));
        prop_assert_eq!(joined(&joined(&a, &b), &c), joined(&a, &joined(&b, &c)));
        prop_assert_eq!(joined(&a, &a), a.clone());
        prop_assert_eq!(joined(&joined(&a, &b), &b), joined(&a, &b));
    }

    #[test]
    fn the_order_of_facts_does_not_matter(
        (facts, shuffled) in facts().prop_flat_map(|facts| (Just(facts.clone()), Just(facts).prop_shuffle())),
    ) {
        let (one, other) = (knowing(&facts), knowing(&shuffled));
        prop_assert_eq!(one.fingerprint(), other.fingerprint());
        prop_assert_eq!(one.version(), other.version());
        prop_assert_eq!(one, other);
    }

    #[test]
    fn different_rosters_have_different_fingerprints(a in facts(), b in facts()) {
        let (a, b) = (knowing(&a), knowing(&b));
        prop_assert_eq!(a == b, a.fingerprint() == b.fingerprint());
    }

    #[test]
    fn what_is_encoded_comes_back_with_its_count(facts in facts()) {
        let roster = knowing(&facts);
        let json = serde_json::to_string(&roster).unwrap();
        let back: Roster = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(back.len(), back.members().count());
        prop_assert_eq!(back, roster);
    }
}

fn profile(id: u64) -> Profile {
    Profile::new(NodeId(id), "n")
}

#[test]
fn a_removal_outdates_what_the_member_says_in_that_stay_and_not_in_the_next() {
    let id = NodeId(1);
    let mut member = Roster::default();
    member.join(id, 5, profile(1)).unwrap();
    let mut remover = member.clone();
    remover.depart(id).unwrap();
    for phase in [Phase::Active, Phase::Leaving, Phase::Active] {
        member.advance(id, phase).unwrap();
    }

    let both = joined(&member, &remover);
    assert_eq!(both.member(id), None);
    assert!(both.is_empty());

    let mut again = both.clone();
    again.join(id, 5, profile(1)).unwrap();
    assert_eq!(again.member(id).unwrap().incarnation, 6);
    for late in [&member, &remover, &both] {
        assert_eq!(joined(late, &again), again, "the new stay holds");
    }
}

#[test]
fn every_fact_raises_the_version() {
    let mut roster = Roster::default();
    let mut versions = vec![roster.version()];
    let mut note = |roster: &Roster| versions.push(roster.version());
    roster.join(NodeId(1), 1, profile(1)).unwrap();
    note(&roster);
    roster.join(NodeId(2), 1, profile(2)).unwrap();
    note(&roster);
    roster.advance(NodeId(1), Phase::Active).unwrap();
    note(&roster);
    let heavy = Profile {
        weight: 200,
        ..profile(2)
    };
    roster.describe(NodeId(2), heavy.clone()).unwrap();
    note(&roster);
    roster.depart(NodeId(1)).unwrap();
    note(&roster);
    assert_eq!(versions, [0, 1, 2, 3, 4, 5]);

    roster.describe(NodeId(2), heavy).unwrap();
    roster.advance(NodeId(2), Phase::Joining).unwrap();
    assert_eq!(roster.version(), 5, "what changes nothing is no fact");
}

#[test]
fn only_members_change_and_only_others_join() {
    let mut roster = Roster::default();
    let (one, nobody) = (NodeId(1), NodeId(9));
    roster.join(one, 1, profile(1)).unwrap();
    let known = roster.clone();
    let not_member = Err(RosterError::NotMember(nobody));
    assert_eq!(
        roster.join(one, 2, profile(1)),
        Err(RosterError::Member(one))
    );
    assert_eq!(roster.advance(nobody, Phase::Active), not_member);
    assert_eq!(roster.describe(nobody, profile(9)), not_member);
    assert_eq!(roster.depart(nobody), not_member);
    assert_eq!(roster, known);
}

#[test]
fn what_cannot_be_a_fact_is_refused() {
    let claim = Claim {
        incarnation: 1,
        version: 1,
        phase: Phase::Active,
        profile: profile(1),
    };
    let wrong = |claim: Claim| Record {
        claim: Some(claim),
        departure: None,
    };
    let mut long = claim.clone();
    long.profile.zone = "z".repeat(65);
    let mut weightless = claim.clone();
    weightless.profile.weight = 0;
    let mut seatless = claim.clone();
    seatless.profile.seat = NodeId(0);
    let late = Claim {
        version: COUNTER_MAX + 1,
        ..claim.clone()
    };
    let ended = Record {
        claim: Some(claim.clone()),
        departure: Some(Departure {
            incarnation: 1,
            version: 2,
        }),
    };
    let cases = [
        (wrong(long), ProfileError::Label("zone").into()),
        (wrong(weightless), ProfileError::Weight(0).into()),
        (wrong(seatless), ProfileError::Seat.into()),
        (wrong(late), RecordError::Counter),
        (ended, RecordError::Ended),
    ];
    let mut roster = Roster::default();
    for (record, error) in cases {
        assert_eq!(
            roster.learn(NodeId(1), &record),
            Err(RosterError::Record(error))
        );
    }
    assert_eq!(
        roster.learn(NodeId(0), &wrong(claim)),
        Err(RosterError::ZeroId)
    );
    assert_eq!(roster, Roster::default());
}

#[test]
fn there_is_room_for_so_many_members_and_a_departure_makes_some() {
    let claim = |id: u64| Record {
        claim: Some(Claim {
            incarnation: 1,
            version: 1,
            phase: Phase::Active,
            profile: profile(id),
        }),
        departure: None,
    };
    let mut roster = Roster::default();
    for id in 1..=MEMBERS_MAX as u64 {
        assert_eq!(roster.learn(NodeId(id), &claim(id)), Ok(true));
    }
    let more = MEMBERS_MAX as u64 + 1;
    assert_eq!(
        roster.learn(NodeId(more), &claim(more)),
        Err(RosterError::Members)
    );
    roster.depart(NodeId(1)).unwrap();
    assert_eq!(roster.learn(NodeId(more), &claim(more)), Ok(true));
    assert_eq!(roster.len(), MEMBERS_MAX);
}
