//! Counters on replicas that lose pushes, restart and sync.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::clock::MAX_DRIFT_MS;
use crate::object::{Amount, SUMS_MAX};

const REFUSED: Applied = Applied::Refused(Refusal::Frozen);

impl Replica {
    fn add(&mut self, amount: i64) -> Push {
        let op = Write::Add {
            gone_before_ms: 0,
            amount: Amount::from(amount),
        };
        self.write("counter", op, None).unwrap()
    }

    fn end(&mut self, expire_at_ms: Option<u64>) -> Push {
        self.write("counter", Write::End { expire_at_ms }, None)
            .unwrap()
    }

    fn shown_at(&self, wall_ms: u64) -> Option<String> {
        let version = self.partition.read(b"counter", wall_ms).unwrap()?;
        Some(String::from_utf8(version.value.to_vec()).unwrap())
    }

    #[track_caller]
    fn assert_shows(&self, value: i64) {
        assert_eq!(self.shown_at(NOON_MS), Some(value.to_string()));
    }
}

/// R23: its own actor's, and no more.
#[test]
fn an_addition_takes_no_other_actors_sum() {
    let (mut a, mut b, mut c) = abc();
    let first = [a.add(1), b.add(10), c.add(100)];
    for replica in [&mut a, &mut b, &mut c] {
        first
            .iter()
            .for_each(|push| assert_ne!(replica.push(push), REFUSED));
        replica.assert_shows(111);
    }
    let second = [a.add(2), a.add(3), b.add(20)];
    for replica in [&mut a, &mut b, &mut c] {
        second
            .iter()
            .for_each(|push| assert_ne!(replica.push(push), REFUSED));
        replica.assert_shows(136);
        assert_eq!(replica.values("counter").len(), 3, "one for each");
    }
    // Another opening is another actor: what was there stays what it was.
    a.reopen();
    b.take(&a.add(1_000));
    a.assert_shows(1_136);
    b.assert_shows(1_136);
    assert_eq!(b.values("counter").len(), 4);
    c.take(&a.put("counter", "5"));
    assert_eq!(c.values("counter"), ["5"]);
}

/// Whatever pushes are lost, and whether the rest comes by deltas or by full syncs.
#[test]
fn no_addition_is_lost_or_counted_twice() {
    for seed in 0..300 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let few = Options {
            log_rows_max: 4,
            ..options()
        };
        let mut replicas = [1, 2, 3].map(|node| replica_with(node, few));
        let mut sum = 0;
        for _ in 0..60 {
            let at = rng.random_range(0..3);
            match rng.random_range(0..10) {
                0 => {
                    replicas[at].sync();
                    replicas[at].reopen();
                }
                1 | 2 => {
                    let [one, other] = replicas.get_disjoint_mut([at, (at + 1) % 3]).unwrap();
                    one.pull(other);
                }
                3 if replicas[at].shown_at(NOON_MS).is_some() => {
                    let ends = rng.random_bool(0.5).then_some(NOON_MS + 1_000);
                    replicas[at].end(ends);
                }
                _ => {
                    let amount = rng.random_range(-50..100);
                    sum += amount;
                    let push = replicas[at].add(amount);
                    for (to, replica) in replicas.iter_mut().enumerate() {
                        if to != at && rng.random_bool(0.5) {
                            replica.take(&push);
                        }
                    }
                }
            }
        }
        let [a, b, c] = &mut replicas;
        heal(&mut [a, b, c]);
        for replica in &replicas {
            replica.assert_shows(sum);
            verify(&*replica.disk, PartitionId(0), options().keyspace).unwrap();
        }
    }
}

/// It does not go by itself, as a value does: its parts would not go together.
#[test]
fn a_counter_that_has_ended_is_deleted() {
    let (mut a, mut b, _) = abc();
    let pushes = [a.add(1), a.end(Some(NOON_MS + 10))];
    pushes.iter().for_each(|push| b.take(push));
    let push = b.add(1);
    a.take(&push);
    let later = NOON_MS + 10 + MAX_DRIFT_MS;
    assert_eq!(a.partition.key_count(NOON_MS + 9).unwrap(), 1);
    assert_eq!(a.partition.key_count(NOON_MS + 10).unwrap(), 0);
    assert_eq!(a.shown_at(NOON_MS + 10), None);
    assert_eq!(a.partition.end_counters(later - 1).unwrap(), []);
    let _ = a.partition.expire(later, &mut Vec::new()).unwrap();
    assert_eq!(a.partition.stats().dots_live, 3);
    let deletes = a.partition.end_counters(later).unwrap();
    let [delete] = &deletes[..] else {
        panic!("{deletes:?}");
    };
    b.take(delete);
    for replica in [&a, &b] {
        assert_eq!(replica.partition.stats().rows, 0);
    }
    // What is added after the end begins anew, before that is done and after it.
    let push = b.add(5);
    a.take(&push);
    a.assert_shows(5);
}

#[test]
fn a_counter_has_so_many_parts_and_no_more() {
    let mut a = replica(1);
    for _ in 0..SUMS_MAX {
        a.add(1);
        a.reopen();
    }
    let key = Bytes::from_static(b"counter");
    let add = Write::Add {
        gone_before_ms: 0,
        amount: Amount::from(1),
    };
    let refused = (a.partition).write(key.clone(), add.clone(), None, NOON_MS);
    assert!(matches!(refused, Err(StoreError::TooManySums)));
    a.put("counter", "7");
    a.add(1);
    a.assert_shows(8);
    a.put("counter", "text");
    let refused = a.partition.write(key, add, None, NOON_MS);
    assert!(matches!(refused, Err(StoreError::NoNumber)));
}
