//! What a peer may not say: refused with a reason, and without a trace.

use super::*;
use crate::clock::{COUNTER_MAX, DotSet, Entry};
use crate::object::{KEY_BYTES_MAX, SIBLINGS_MERGED_MAX, VALUE_BYTES_MAX};
use crate::store::exchange::Cover;

/// A peer nobody knows.
fn mallory() -> ActorId {
    ActorId {
        node: NodeId(666),
        incarnation: 666,
    }
}

fn dot(n: u64) -> Dot {
    Dot {
        actor: mallory(),
        n,
    }
}

/// A push that is right in every way.
fn good_push() -> Push {
    let mut b = replica(2);
    b.put("k", "v")
}

fn refused_push(change: impl FnOnce(&mut Push)) -> Refusal {
    let mut a = replica(1);
    a.put("mine", "v");
    let mut push = good_push();
    change(&mut push);
    let before = a.state();
    let applied = a.push(&push);
    assert_eq!(a.state(), before);
    match applied {
        Applied::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

/// A delta that is right in every way, for the first opening of replica 1.
fn good_delta(a: &Replica) -> Delta {
    let mut b = replica(2);
    b.put("k0", "v0");
    b.put("k1", "v1");
    b.delta_for(&a.partition.digest())
}

fn refused_delta(change: impl FnOnce(&mut Delta)) -> Refusal {
    let mut a = replica(1);
    let mut delta = good_delta(&a);
    change(&mut delta);
    let applied = a.apply(delta);
    assert!(a.partition.clock().is_empty() && a.state().1.is_empty());
    match applied {
        Applied::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

fn version(length: usize) -> Version {
    Version {
        hlc: Default::default(),
        expire_at_ms: None,
        value: Bytes::from(vec![0; length]),
        part: None,
    }
}

#[test]
fn pushes_that_make_no_sense() {
    let own = replica(1).partition.actor();
    assert_eq!(
        refused_push(|push| push.partition = PartitionId(1)),
        Refusal::WrongPartition
    );
    assert_eq!(
        refused_push(|push| push.key = Bytes::from(vec![0; KEY_BYTES_MAX + 1])),
        Refusal::TooLong
    );
    assert_eq!(
        refused_push(|push| push.versions.insert(push.dot, version(VALUE_BYTES_MAX + 1))),
        Refusal::TooLong
    );
    assert_eq!(refused_push(|push| push.dot.n = 0), Refusal::BadCounter);
    assert_eq!(
        refused_push(|push| push.dot.n = u64::MAX),
        Refusal::BadCounter
    );
    assert_eq!(
        refused_push(|push| push.versions.insert(dot(u64::MAX), version(1))),
        Refusal::BadCounter
    );
    assert_eq!(
        refused_push(|push| push.context = VersionVector::new()),
        Refusal::ContextMissesDot(good_push().dot)
    );
    assert_eq!(
        refused_push(|push| push.versions.insert(dot(5), version(1))),
        Refusal::ContextMissesDot(dot(5))
    );
    // It issued one dot; the second is forged, wherever it is named.
    let forged = Dot { actor: own, n: 2 };
    assert_eq!(
        refused_push(|push| {
            push.dot = forged;
            push.context.add(forged);
        }),
        Refusal::ForgedDot
    );
    assert_eq!(
        refused_push(|push| push.context.add(forged)),
        Refusal::ForgedDot
    );
    assert_eq!(
        refused_push(|push| push.versions.insert(forged, version(1))),
        Refusal::ForgedDot
    );
    assert_eq!(
        refused_push(|push| {
            for n in 1..=SIBLINGS_MERGED_MAX as u64 + 1 {
                push.versions.insert(dot(n), version(0));
                push.context.add(dot(n));
            }
        }),
        Refusal::TooManySiblings
    );
}

#[test]
fn keys_of_other_partitions() {
    let keyspace = Keyspace {
        partitions: 2,
        hash_seed: 7,
    };
    let options = Options {
        keyspace,
        ..options()
    };
    let mut a = replica_with(1, options);
    let key = |partition| {
        (0u32..)
            .map(|at| Bytes::from(at.to_string()))
            .find(|key| keyspace.partition_of(key) == PartitionId(partition))
            .unwrap()
    };
    let written = a.partition.write(key(1), put("v"), None, NOON_MS);
    assert!(matches!(
        written,
        Err(StoreError::WrongPartition {
            belongs: PartitionId(1),
            ..
        })
    ));
    let mut push = good_push();
    push.key = key(1);
    assert_eq!(a.push(&push), Applied::Refused(Refusal::ForeignKey));
    push.key = key(0);
    assert_eq!(a.push(&push), Applied::New);
}

/// The largest counter there is: a hole below it, and everything goes on.
#[test]
fn a_giant_counter_is_one_run() {
    let (mut a, mut b) = (replica(1), replica(9));
    let mut push = good_push();
    push.dot = dot(COUNTER_MAX);
    push.versions = Versions::new();
    push.versions.insert(push.dot, version(1));
    push.context.add(push.dot);
    assert_eq!(a.push(&push), Applied::New);
    a.put("k", "v");
    heal(&mut [&mut a, &mut b]);
    assert_eq!(b.values("k"), ["v"]);
    assert_eq!(b.partition.stats().holes, 1);
}

#[test]
fn deltas_that_make_no_sense() {
    let own = replica(1).partition.actor();
    assert_eq!(
        refused_delta(|delta| delta.partition = PartitionId(1)),
        Refusal::WrongPartition
    );
    assert_eq!(refused_delta(|delta| delta.to = mallory()), Refusal::Stale);
    assert_eq!(
        refused_delta(|delta| delta.base.raise(own, 1)),
        Refusal::ForgedDot
    );
    let forged = DotSet::from_iter([Dot { actor: own, n: 1 }]);
    assert_eq!(
        refused_delta(|delta| delta.covers[0].dots.join(&forged)),
        Refusal::ForgedDot
    );
    let residual = VersionVector::from_iter([(own, 1)]);
    assert_eq!(
        refused_delta(|delta| delta.rows[0].1.residual = residual),
        Refusal::ForgedDot
    );
    assert_eq!(
        refused_delta(|delta| {
            delta.rows.pop();
        }),
        Refusal::CoversMismatch,
        "covers without their row"
    );
    assert_eq!(
        refused_delta(|delta| {
            delta.covers.pop();
        }),
        Refusal::CoversMismatch,
        "a row without covers"
    );
    assert_eq!(
        refused_delta(|delta| delta.rows.push(delta.rows[0].clone())),
        Refusal::CoversMismatch,
        "a row twice"
    );
    assert_eq!(
        refused_delta(|delta| delta.covers.push(delta.covers[0].clone())),
        Refusal::CoversMismatch,
        "covers twice"
    );
    let swap = |delta: &mut Delta| {
        let dots = delta.covers[1].dots.clone();
        delta.covers[0].dots.join(&dots);
    };
    assert!(matches!(refused_delta(swap), Refusal::DotOfTwoKeys(_)));
    let void = |delta: &mut Delta| {
        let dots = delta.covers[0].dots.clone();
        delta.covers.push(Cover { key: None, dots });
    };
    assert!(matches!(refused_delta(void), Refusal::DotOfTwoKeys(_)));
}

/// A few bytes that name 2^60 dots are refused before anyone counts them.
#[test]
fn enormous_covers_are_refused_at_once() {
    let mut clock = Clock::new();
    clock.set(mallory(), Entry::up_to(1 << 60));
    let dots = clock.minus(&Clock::new());
    let key = Some(Bytes::from_static(b"k0"));
    let covers = [
        Cover {
            key: None,
            dots: dots.clone(),
        },
        Cover { key, dots },
    ];
    for cover in covers {
        assert_eq!(
            refused_delta(|delta| delta.covers.push(cover.clone())),
            Refusal::TooManyDots
        );
    }
}

/// A digest may claim anything: it is only compared.
#[test]
fn enormous_digests_are_compared_and_no_more() {
    let (mut a, b, _) = abc();
    a.put("k", "v");
    let mut digest = b.partition.digest();
    digest.clock.set(mallory(), Entry::up_to(COUNTER_MAX));
    digest.clock.add(Dot {
        actor: a.partition.actor(),
        n: COUNTER_MAX,
    });
    assert!(matches!(a.partition.delta(&digest), DeltaAnswer::Delta(_)));
    digest
        .clock
        .set(a.partition.actor(), Entry::up_to(COUNTER_MAX));
    assert_eq!(a.partition.delta(&digest), DeltaAnswer::Nothing);
    a.partition.note_digest(b.node, &digest.clock);
    assert_eq!(a.partition.collect(&BTreeSet::from([b.node])), 1);
    let request = FullRequest {
        partition: PartitionId(0),
        asker: b.partition.actor(),
        clock: digest.clock,
    };
    let mut source = a.partition.full_source(&request, 1).unwrap();
    let pieces = [0, 1].map(|sequence| source.chunk(sequence).unwrap());
    assert!(matches!(
        pieces,
        [Some(FullChunk::Rows(_)), Some(FullChunk::End(_))]
    ));
}

#[test]
fn full_syncs_that_make_no_sense() {
    let (mut a, mut b, _) = abc();
    let own = a.partition.actor();
    b.put("k", "v");
    let (pieces, good) = full(&b, &a.full_request(), 1);
    let piece = &pieces[0];
    let staged = |a: &mut Replica, change: &dyn Fn(&mut FullRows)| {
        let mut piece = piece.clone();
        change(&mut piece);
        a.partition.stage(piece)
    };
    let forged = Dot { actor: own, n: 1 };
    for (change, refusal) in [
        (
            (&|piece: &mut FullRows| piece.to = mallory()) as &dyn Fn(&mut FullRows),
            Refusal::Stale,
        ),
        (&|piece| piece.sequence = 1, Refusal::UnknownSession),
        (
            &|piece| {
                piece.live.insert(forged);
            },
            Refusal::ForgedDot,
        ),
        (
            &|piece| piece.rows.push(piece.rows[0].clone()),
            Refusal::CoversMismatch,
        ),
    ] {
        assert_eq!(staged(&mut a, change), Err(refusal));
    }
    let ended = |a: &mut Replica, change: &dyn Fn(&mut FullEnd)| {
        let mut end = good.clone();
        change(&mut end);
        a.partition.stage(piece.clone()).unwrap();
        a.partition.apply_full(end, NOON_MS).unwrap()
    };
    for (change, refusal) in [
        (
            (&|end: &mut FullEnd| end.to = mallory()) as &dyn Fn(&mut FullEnd),
            Refusal::Stale,
        ),
        (&|end| end.session = 2, Refusal::UnknownSession),
        (&|end| end.rows_total = 2, Refusal::Incomplete),
        (&|end| end.live_total = 0, Refusal::Incomplete),
        (&|end| end.clock = Clock::new(), Refusal::Incomplete),
        (
            &|end| {
                end.clock.add(forged);
            },
            Refusal::ForgedDot,
        ),
    ] {
        assert_eq!(ended(&mut a, change), Applied::Refused(refusal));
    }
    assert!(a.partition.clock().is_empty());
    assert_eq!(ended(&mut a, &|_| {}), Applied::New);
}

#[test]
fn a_full_sync_beyond_the_bound_of_staging_is_refused() {
    let options = Options {
        stage_bytes_max: 100,
        ..options()
    };
    let (mut a, mut b) = (replica_with(1, options), replica(2));
    b.put("k", "v");
    b.put("l", "v");
    let (pieces, end) = full(&b, &a.full_request(), 1);
    let staged = a.partition.stage(pieces[0].clone());
    assert_eq!(staged, Err(Refusal::TooLarge));
    let ended = a.partition.apply_full(end, NOON_MS).unwrap();
    assert_eq!(ended, Applied::Refused(Refusal::UnknownSession));
}

/// A peer that makes up actors fills the clock to its bound, not beyond what others accept.
#[test]
fn a_clock_that_is_full_takes_no_further_actor() {
    let mut a = replica(1);
    let mut clock = Clock::new();
    for incarnation in 0..crate::clock::ACTORS_MAX as u64 {
        let actor = ActorId {
            node: NodeId(666),
            incarnation,
        };
        clock.set(actor, Entry::up_to(1));
    }
    a.partition.clock = clock;
    assert_eq!(a.push(&good_push()), Applied::Refused(Refusal::ClockFull));
    let key = Bytes::from_static(b"k");
    let written = a.partition.write(key, put("v"), None, NOON_MS);
    assert!(matches!(written, Err(StoreError::ClockFull)));
}

/// Two values under one dot: counted, and the same one is kept whatever the order.
#[test]
fn a_reused_dot_is_noticed() {
    let (mut a, mut b, _) = abc();
    let one = good_push();
    let mut other = good_push();
    other.versions = Versions::from_iter([(one.dot, version(3))]);
    let mut later = other.clone();
    later.dot = dot(1);
    later.context.add(later.dot);
    let _ = (a.push(&one), b.push(&other));
    let _ = a.push(&later);
    assert_eq!(a.partition.stats().dot_conflicts, 1);
}
