//! The dot log: what collection and truncation may forget (PROTOCOL 3.5).

use std::time::Duration;

use super::*;
use crate::machine::Instant;

fn others(replicas: &[&Replica]) -> BTreeSet<NodeId> {
    replicas.iter().map(|replica| replica.node).collect()
}

#[test]
fn a_dot_is_dropped_when_all_others_have_it() {
    let (mut a, mut b, c) = abc();
    let first = a.put("k0", "v0");
    a.put("k1", "v1");
    b.take(&first);
    let replicas = others(&[&b, &c]);
    assert_eq!(
        a.partition.collect(&replicas),
        0,
        "nothing is known of them"
    );
    a.partition.note_digest(b.node, b.partition.clock());
    assert_eq!(a.partition.collect(&replicas), 0, "nothing is known of C");
    a.partition.note_digest(c.node, &Clock::new());
    assert_eq!(a.partition.collect(&replicas), 0, "C has nothing");
    let mut c = c;
    c.take(&first);
    a.partition.note_digest(c.node, c.partition.clock());
    assert_eq!(a.partition.collect(&replicas), 1);
    assert_eq!(a.partition.stats().log_rows, 1);
    heal(&mut [&mut a, &mut b, &mut c]);
}

/// A single node must forget at once (vernemq #2538: 59 million rows for nobody).
#[test]
fn a_single_replica_keeps_no_log() {
    let mut a = replica(1);
    for _ in 0..10 {
        a.put("k", "v");
    }
    assert_eq!(a.partition.collect(&BTreeSet::new()), 10);
    assert_eq!(a.partition.stats().log_rows, 0);
}

/// Who comes later is below the floor, and what is written from then on reaches it by itself.
#[test]
fn who_is_alone_logs_nothing_until_another_comes() {
    let (mut a, mut b, _) = abc();
    a.partition.meet(&BTreeSet::new());
    let push = a.put("k0", "alone");
    assert!(push.versions.is_empty(), "for nobody");
    assert_eq!(a.partition.stats().log_rows, 0);
    let asked = a.partition.delta(&b.partition.digest());
    assert_eq!(asked, DeltaAnswer::Full);
    a.partition.meet(&others(&[&b]));
    heal(&mut [&mut a, &mut b]);
    a.put("k1", "missed");
    assert_eq!(a.partition.stats().log_rows, 1);
    let asked = a.partition.delta(&b.partition.digest());
    assert!(matches!(asked, DeltaAnswer::Delta(_)));
    let push = a.put("k0", "told");
    b.take(&push);
    heal(&mut [&mut a, &mut b]);
}

/// A peer that left no longer counts, and what it said is forgotten.
#[test]
fn only_the_replicas_of_now_count() {
    let (mut a, mut b, c) = abc();
    let push = a.put("k0", "v0");
    b.take(&push);
    a.partition.note_digest(b.node, b.partition.clock());
    a.partition.note_digest(c.node, c.partition.clock());
    assert_eq!(a.partition.collect(&others(&[&b, &c])), 0);
    assert_eq!(a.partition.collect(&others(&[&b])), 1);
}

/// The peer lost its tail after its digest: the floor sends it to a full sync.
#[test]
fn a_digest_that_was_too_high_costs_a_full_sync_and_no_data() {
    let (mut a, mut b, _) = abc();
    let push = a.put("k0", "v0");
    b.take(&push);
    a.partition.note_digest(b.node, b.partition.clock());
    assert_eq!(a.partition.collect(&others(&[&b])), 1);
    b.lose_tail();
    let answer = a.partition.delta(&b.partition.digest());
    assert_eq!(answer, DeltaAnswer::Full);
    heal(&mut [&mut a, &mut b]);
    assert_eq!(b.values("k0"), ["v0"]);
}

/// Over its bound the log forgets its older half: a peer that is close is still served by a
/// delta, one that is far by a full sync.
#[test]
fn the_log_is_bounded_and_keeps_the_newest() {
    let options = Options {
        log_rows_max: 8,
        ..options()
    };
    let (mut a, mut far, mut close) = (replica_with(1, options), replica(2), replica(3));
    for at in 0..20 {
        a.put(["k0", "k1", "k2"][at % 3], "v");
        assert!(a.partition.stats().log_rows <= 8);
        if at == 17 {
            close.pull(&a);
        }
    }
    let answer = a.partition.delta(&close.partition.digest());
    assert!(matches!(answer, DeltaAnswer::Delta(_)));
    let answer = a.partition.delta(&far.partition.digest());
    assert_eq!(answer, DeltaAnswer::Full);
    heal(&mut [&mut a, &mut far, &mut close]);
}

/// Keys count: long ones shorten the log.
#[test]
fn the_log_is_bounded_in_bytes() {
    let options = Options {
        log_bytes_max: 8 * (LOG_ROW_BYTES + 1_000),
        ..options()
    };
    let (mut a, mut far) = (replica_with(1, options), replica(2));
    for at in 0..20u8 {
        let key = Bytes::from(vec![at; 1_000]);
        a.partition.write(key, put("v"), None, NOON_MS).unwrap();
        let stats = a.partition.stats();
        assert!(stats.log_bytes <= options.log_bytes_max);
        assert_eq!(stats.log_bytes, stats.log_rows * (LOG_ROW_BYTES + 1_000));
    }
    assert!(a.partition.stats().log_rows >= 4);
    let answer = a.partition.delta(&far.partition.digest());
    assert_eq!(answer, DeltaAnswer::Full);
    heal(&mut [&mut a, &mut far]);
}

/// A replica that is away for longer than the log reaches back gets a full sync; one that was
/// away for less still a delta.
#[test]
fn the_log_is_bounded_in_age() {
    let options = Options {
        log_age_max: Duration::from_secs(80),
        ..options()
    };
    let (mut a, mut far, mut close) = (replica_with(1, options), replica(2), replica(3));
    let at = |seconds| Instant::from_elapsed(Duration::from_secs(seconds));
    a.put("k0", "old");
    a.partition.forget(at(0));
    close.pull(&a);
    for second in 1..80 {
        a.partition.forget(at(second));
    }
    a.put("k1", "new");
    assert_eq!(a.partition.stats().log_rows, 2);
    a.partition.forget(at(80));
    assert_eq!(a.partition.stats().log_rows, 1);
    let answer = a.partition.delta(&close.partition.digest());
    assert!(matches!(answer, DeltaAnswer::Delta(_)));
    let answer = a.partition.delta(&far.partition.digest());
    assert_eq!(answer, DeltaAnswer::Full);
    for second in 81..=171 {
        a.partition.forget(at(second));
    }
    assert_eq!(a.partition.stats().log_rows, 0, "an eighth later at most");
    heal(&mut [&mut a, &mut far, &mut close]);
}

/// A gap below the floor that is filled later gets its row again.
#[test]
fn a_gap_below_the_floor_is_served_once_it_is_filled() {
    let (mut a, mut b, mut c) = abc();
    let late = a.put("k0", "late");
    let push = a.put("k1", "v");
    b.take(&push);
    b.partition.collect(&BTreeSet::new());
    c.take(&push);
    assert_eq!(b.push(&late), Applied::New);
    assert!(matches!(
        b.partition.delta(&c.partition.digest()),
        DeltaAnswer::Delta(_)
    ));
    heal(&mut [&mut a, &mut b, &mut c]);
}
