use proptest::prelude::*;

use super::*;
use crate::clock::{Hlc, NodeId};
use crate::store::codec::{decode, encode};

const LIMIT: usize = 1 << 20;

fn actor() -> impl Strategy<Value = ActorId> {
    (0u64..4, 0u64..3).prop_map(|(node, incarnation)| ActorId {
        node: NodeId(node << 60),
        incarnation: incarnation << 60,
    })
}

fn dot() -> impl Strategy<Value = Dot> {
    (actor(), 1u64..300).prop_map(|(actor, n)| Dot { actor, n })
}

fn dots() -> impl Strategy<Value = DotSet> {
    prop::collection::vec(dot(), 0..5).prop_map(DotSet::from_iter)
}

fn vector() -> impl Strategy<Value = VersionVector> {
    let entries = prop::collection::vec((actor(), 1u64..300), 0..5);
    entries.prop_map(VersionVector::from_iter)
}

fn key() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(0u8..3, 0..3).prop_map(Bytes::from)
}

fn row() -> impl Strategy<Value = Row> {
    let version = |(dot, hlc)| {
        let version = Version {
            hlc: Hlc(hlc),
            expire_at_ms: None,
            value: Bytes::from_static(b"value"),
            part: None,
        };
        (dot, version)
    };
    let versions = prop::collection::vec((dot(), any::<u64>()).prop_map(version), 0..4);
    (versions, vector()).prop_map(|(versions, residual)| Row {
        versions: Versions::from_iter(versions),
        residual,
    })
}

fn rows() -> impl Strategy<Value = Vec<(Bytes, Row)>> {
    prop::collection::vec((key(), row()), 0..5)
}

prop_compose! {
    fn delta()(
        partition: u16, to in actor(), base in vector(), rows in rows(), more: bool,
        covers in prop::collection::vec((any::<bool>(), prop::option::of(key()), dots()), 0..6),
    ) -> Delta {
        // Half of the covers are about rows in turn, as those of a replica are.
        let mut keys = rows.iter().map(|(key, _)| key.clone());
        let covers = covers.into_iter().map(|(in_turn, other, dots)| {
            let key = in_turn.then(|| keys.next()).flatten().or(other);
            Cover { key, dots }
        });
        let covers = covers.collect();
        Delta { partition: PartitionId(partition), to, base, rows, covers, more }
    }
}

prop_compose! {
    fn piece()(
        partition: u16, to in actor(), session: u64, sequence: u32, rows in rows(),
        live in dots(),
    ) -> FullRows {
        FullRows { partition: PartitionId(partition), to, session, sequence, rows, live }
    }
}

proptest! {
    #[test]
    fn messages_survive_the_round_trip(delta in delta(), piece in piece()) {
        let bytes = encode(&delta).unwrap();
        prop_assert_eq!(decode::<Delta, LIMIT>(&bytes).unwrap(), delta);
        let bytes = encode(&piece).unwrap();
        prop_assert_eq!(decode::<FullRows, LIMIT>(&bytes).unwrap(), piece);
    }

    /// Damaged bytes are refused, or are another message that is well formed.
    #[test]
    fn damaged_bytes_never_panic(delta in delta(), at: prop::sample::Index, byte: u8) {
        let mut bytes = encode(&delta).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(other) = decode::<Delta, LIMIT>(&bytes) {
            let again = encode(&other).unwrap();
            prop_assert_eq!(decode::<Delta, LIMIT>(&again).unwrap(), other);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes: Vec<u8>) {
        let _ = decode::<Delta, LIMIT>(&bytes);
        let _ = decode::<FullRows, LIMIT>(&bytes);
    }
}

fn one() -> RunSet {
    RunSet::from_iter([1])
}

fn empty_row() -> WireRow<Bytes, Version> {
    WireRow::Any(Bytes::new(), Vec::new(), Vec::new())
}

fn wire() -> WireDelta<Bytes, Version, RunSet> {
    let actors = [1, 2].map(|node| ActorId {
        node: NodeId(node),
        incarnation: 0,
    });
    WireDelta {
        partition: PartitionId(0),
        actors: actors.map(|actor| (actor, 1)).to_vec(),
        to: 0,
        rows: vec![empty_row()],
        covers: vec![WireCover::NextRow(vec![(0, one())])],
        more: false,
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let refusal = |change: fn(&mut WireDelta<Bytes, Version, RunSet>)| {
        let mut wire = wire();
        change(&mut wire);
        Delta::try_from(wire).err()
    };
    assert_eq!(refusal(|_| ()), None);
    assert_eq!(refusal(|w| w.to = 2), Some(Malformed::NoActor(2)));
    assert_eq!(refusal(|w| w.actors.reverse()), Some(Malformed::Actors));
    assert_eq!(
        refusal(|w| w.actors[1] = w.actors[0]),
        Some(Malformed::Actors)
    );
    assert_eq!(
        refusal(|w| w.actors[0].1 = u64::MAX),
        Some(Malformed::Clock(ClockError::Counter))
    );
    let cover = |w: &mut WireDelta<Bytes, Version, RunSet>, dots| {
        w.covers[0] = WireCover::NextRow(dots);
    };
    for (dots, error) in [
        (vec![(9, one())], Malformed::NoActor(9)),
        (vec![(1, one()), (0, one())], Malformed::Order),
        (vec![(0, one()), (0, one())], Malformed::Order),
        (
            vec![(0, RunSet::new())],
            Malformed::Clock(ClockError::Empty),
        ),
    ] {
        let mut wire = wire();
        cover(&mut wire, dots);
        assert_eq!(Delta::try_from(wire).err(), Some(error));
    }
    let residual = |w: &mut WireDelta<Bytes, Version, RunSet>| {
        w.rows[0] = WireRow::Any(Bytes::new(), Vec::new(), vec![(0, 0)]);
    };
    assert_eq!(
        refusal(residual),
        Some(Malformed::Clock(ClockError::Counter))
    );
    assert_eq!(refusal(|w| w.rows.clear()), Some(Malformed::NoRow));
    assert_eq!(
        refusal(|w| w.covers.push(WireCover::Live)),
        Some(Malformed::NoRow)
    );
    assert_eq!(
        refusal(|w| w.rows = vec![empty_row(); ROWS_MAX + 1]),
        Some(Malformed::TooMany)
    );
    assert_eq!(
        refusal(|w| {
            w.covers.clear();
            w.covers
                .resize_with(ROWS_MAX + 2, || WireCover::Void(Vec::new()));
        }),
        Some(Malformed::TooMany)
    );
}

#[test]
fn a_row_costs_few_bytes_beside_its_key_and_value() {
    let actors = [1, 2, 3].map(|node| ActorId {
        node: NodeId(node << 60),
        incarnation: node << 59,
    });
    let delta = |rows: u64| {
        let row = |n: u64| {
            let dot = Dot {
                actor: actors[0],
                n,
            };
            let version = Version {
                hlc: Hlc::at(1_750_000_000_000),
                expire_at_ms: None,
                value: Bytes::from(vec![0; 100]),
                part: None,
            };
            let row = Row {
                versions: Versions::from_iter([(dot, version)]),
                residual: VersionVector::new(),
            };
            (Bytes::from(format!("key:{n:016}")), row)
        };
        let rows: Vec<_> = (300..300 + rows).map(row).collect();
        let cover = |(key, row): &(Bytes, Row)| Cover {
            key: Some(key.clone()),
            dots: row.versions.dots().collect(),
        };
        Delta {
            partition: PartitionId(0),
            to: actors[2],
            base: actors.iter().map(|&actor| (actor, 1_000)).collect(),
            covers: rows.iter().map(cover).collect(),
            rows,
            more: false,
        }
    };
    let bytes = |rows| encode(&delta(rows)).unwrap().len();
    assert!((bytes(101) - bytes(1)) / 100 - 120 <= 16);
}
