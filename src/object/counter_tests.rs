//! What counters are worth when several nodes add, set, delete and choose ends at once.

use proptest::prelude::*;

use super::*;
use crate::clock::NodeId;
use crate::object::Object;

const NOON_MS: u64 = 43_200_000;

/// One key on one node; its actor is the node's number.
#[derive(Clone, Debug, Default)]
struct Replica {
    at: u64,
    now: u64,
    key: Object,
}

fn actor(at: u64) -> ActorId {
    ActorId {
        node: NodeId(at),
        incarnation: at,
    }
}

fn replicas<const COUNT: usize>() -> [Replica; COUNT] {
    std::array::from_fn(|at| Replica {
        at: at as u64 + 1,
        ..Replica::default()
    })
}

impl Replica {
    fn write(&mut self, amended: Option<Amendment>) {
        let actor = actor(self.at);
        let n = self.key.context.get(actor) + 1;
        let last = self.key.versions.last_hlc().unwrap_or_default();
        self.now = self.now.max(last.0) + 1;
        self.key.versions = Versions::new();
        if let Some(amended) = amended {
            self.key.versions = amended.kept;
            let version = Version {
                hlc: Hlc(self.now),
                expire_at_ms: amended.expire_at_ms,
                value: amended.value,
                part: amended.part.map(Box::new),
            };
            self.key.versions.insert(Dot { actor, n }, version);
        }
        self.key.context.add(Dot { actor, n });
    }

    fn add(&mut self, amount: i64) {
        let amended = (self.key.versions).adding(NOON_MS, actor(self.at), amount.into());
        assert!(amended.is_some());
        self.write(amended);
    }

    fn set(&mut self, value: &str, expire_at_ms: Option<u64>) {
        self.write(Some(Amendment {
            kept: Versions::new(),
            value: Bytes::from(value.to_owned()),
            expire_at_ms,
            part: None,
        }));
    }

    fn end(&mut self, ends_at_ms: Option<u64>) {
        let amended = self.key.versions.ending(NOON_MS, ends_at_ms);
        assert!(amended.is_some());
        self.write(amended);
    }

    fn delete(&mut self) {
        self.write(None);
    }

    fn hear(&mut self, other: &Replica) {
        self.key = self.key.merge(&other.key);
    }

    fn shown_at(&self, wall_ms: u64) -> Option<String> {
        let version = self.key.versions.value_at(wall_ms)?;
        Some(String::from_utf8(version.value.to_vec()).unwrap())
    }

    fn shown(&self) -> Option<String> {
        self.shown_at(NOON_MS)
    }

    fn ends_at_ms(&self) -> Option<u64> {
        self.key.versions.value_at(NOON_MS)?.expire_at_ms
    }
}

/// All hear of each other; what they then show, which is the same.
#[track_caller]
fn meet(replicas: &mut [Replica]) -> Option<String> {
    let all = replicas.to_vec();
    for replica in &mut *replicas {
        all.iter().for_each(|other| replica.hear(other));
    }
    let shown: Vec<_> = replicas.iter().map(Replica::shown).collect();
    assert!(shown.windows(2).all(|two| two[0] == two[1]), "{shown:?}");
    shown[0].clone()
}

fn is(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn every_addition_counts() {
    let mut all = replicas::<3>();
    all[0].set("10", None);
    assert_eq!(meet(&mut all), is("10"));
    for (at, replica) in all.iter_mut().enumerate() {
        (0..=at).for_each(|_| replica.add(100));
    }
    assert_eq!(meet(&mut all), is("610"));
    all[1].add(-10);
    assert_eq!(meet(&mut all), is("600"));
    assert_eq!(all[0].key.versions.sums(), 3);
}

#[test]
fn a_counter_may_begin_on_several_nodes_at_once() {
    let mut all = replicas::<3>();
    all.iter_mut().for_each(|replica| replica.add(7));
    assert_eq!(meet(&mut all), is("21"));
}

/// It is as if those additions had come before it.
#[test]
fn a_set_includes_nothing_that_it_did_not_see() {
    let mut all = replicas::<2>();
    all[0].add(1_000);
    meet(&mut all);
    all[0].add(1);
    all[1].set("0", None);
    assert_eq!(meet(&mut all), is("0"));
    all.iter_mut().for_each(|replica| replica.add(2));
    assert_eq!(meet(&mut all), is("4"));
    assert_eq!(all[0].key.versions.sums(), 2, "what lost is gone");
}

#[test]
fn of_two_sets_one_wins_with_what_was_added_to_it() {
    let mut all = replicas::<3>();
    all[0].set("10", None);
    all[1].now = 100;
    all[1].set("20", None);
    let second = all[1].clone();
    all[2].hear(&second);
    all[0].add(1);
    all[1].add(2);
    all[2].add(3);
    assert_eq!(meet(&mut all), is("25"));
}

#[test]
fn a_value_that_is_no_number_is_not_added_to() {
    let mut one = replicas::<1>();
    one[0].set("text", None);
    let added = (one[0].key.versions).adding(NOON_MS, actor(1), 1.into());
    assert_eq!(added, None);
    // Nor is one that wins over the sums that nobody had seen.
    let mut all = replicas::<2>();
    all[0].add(1);
    all[1].now = 100;
    all[1].set("text", None);
    assert_eq!(meet(&mut all), is("text"));
}

#[test]
fn a_deleted_counter_begins_anew() {
    let mut all = replicas::<2>();
    all[0].set("10", None);
    all[0].add(1);
    meet(&mut all);
    all[1].delete();
    assert_eq!(meet(&mut all), None);
    all[0].add(5);
    assert_eq!(meet(&mut all), is("5"));
    // Who adds without having seen the delete keeps what that node has added.
    all[1].delete();
    all[0].add(1);
    assert_eq!(meet(&mut all), is("6"));
}

#[test]
fn an_end_leaves_what_others_add() {
    let later = NOON_MS + 10;
    for begins in [None, Some("10")] {
        let mut all = replicas::<3>();
        match begins {
            Some(value) => all[0].set(value, None),
            None => all[0].add(10),
        }
        meet(&mut all);
        all[0].end(Some(later));
        all[1].add(1);
        all[2].add(1);
        assert_eq!(meet(&mut all), is("12"), "{begins:?}");
        all[1].add(1);
        assert_eq!(meet(&mut all), is("13"), "{begins:?}");
        for replica in &all {
            assert_eq!(replica.ends_at_ms(), Some(later));
            assert_eq!(replica.shown_at(later - 1), is("13"));
            assert_eq!(replica.shown_at(later), None);
            assert!(replica.key.versions.ended_counter(later));
            assert!(!replica.key.versions.ended_counter(later - 1));
        }
        all[2].end(None);
        assert_eq!(meet(&mut all), is("13"));
        assert_eq!(all[0].ends_at_ms(), None);
        assert_eq!(all[0].shown_at(later), is("13"));
    }
}

/// The value goes by itself when its time has come, and its sums do not count without it.
#[test]
fn what_was_added_to_a_value_ends_with_it() {
    let later = NOON_MS + 10;
    let mut all = replicas::<2>();
    all[0].set("10", Some(later));
    meet(&mut all);
    all.iter_mut().for_each(|replica| replica.add(1));
    assert_eq!(meet(&mut all), is("12"));
    assert_eq!(all[0].ends_at_ms(), Some(later));
    for replica in &mut all {
        replica
            .key
            .versions
            .retain(|_, version| !version.expired(later));
        assert_eq!(replica.shown_at(later), None);
        assert!(replica.key.versions.ended_counter(later));
    }
}

#[test]
fn of_two_ends_the_later_holds() {
    let mut all = replicas::<2>();
    all[0].add(1);
    meet(&mut all);
    all[0].end(Some(NOON_MS + 10));
    all[1].end(Some(NOON_MS + 20));
    assert_eq!(meet(&mut all), is("1"));
    assert_eq!(all[0].shown_at(NOON_MS + 15), is("1"));
    assert_eq!(all[0].shown_at(NOON_MS + 20), None);
}

proptest! {
    /// Additions, ends and what is heard in any order: nothing is lost, nothing counts twice.
    #[test]
    fn a_counter_is_the_sum_of_all_that_was_added(
        begins: Option<i32>,
        steps in prop::collection::vec((0usize..4, 0usize..4, 0u8..8, any::<i32>()), 0..60),
    ) {
        let mut all = replicas::<4>();
        let mut sum = 0;
        if let Some(value) = begins {
            all[0].set(&value.to_string(), None);
            meet(&mut all);
            sum = i64::from(value);
        }
        let mut any = begins.is_some();
        for (at, other, what, amount) in steps {
            match what {
                0..=3 => {
                    all[at].add(amount.into());
                    sum += i64::from(amount);
                    any = true;
                }
                4 if all[at].shown().is_some() => all[at].end(Some(NOON_MS + u64::from(amount.unsigned_abs()) + 1)),
                5 if all[at].shown().is_some() => all[at].end(None),
                _ => {
                    let other = all[other].clone();
                    all[at].hear(&other);
                }
            }
        }
        prop_assert_eq!(meet(&mut all), any.then(|| sum.to_string()));
        for replica in &all {
            prop_assert!(replica.key.versions.sums() <= 4);
        }
    }
}
