//! Sets and hashes on whole nodes: what one node does, and what two make of it that did not hear
//! of each other.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::change::{Change, Changed, Ends, EndsIf, OnlyIf};
use super::request::{Consistency, Reply, Request, RequestError};
use super::tests_support::{START_MS, at, params, remembering};
use super::{Data, Effect};
use crate::clock::NodeId;
use crate::machine::Now;
use crate::object::{Amount, ELEMENT_NAME_BYTES_MAX, Kind};
use crate::placement::PartitionId;
use crate::replication::{
    Alter, Altered, Ask, ELEMENTS_MAX, Held, KEYS_BYTES_MAX, Message, Only, Strength,
};
use crate::store::engine::{Engine, Memory};
use crate::store::verify;

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);

/// Two replicas of one partition, and what they have said to each other and not heard.
struct Pair {
    nodes: [Data<&'static str>; 2],
    engines: [std::sync::Arc<dyn Engine>; 2],
    unheard: Vec<(usize, Message)>,
    replies: Vec<Reply>,
    expired: Vec<Bytes>,
    now: Now,
}

impl Pair {
    fn new() -> Self {
        let engines = [(); 2].map(|()| remembering(Memory::new(), &[ONE, TWO]));
        let open = |me: NodeId, engine, peer: NodeId| {
            let rng = SmallRng::seed_from_u64(me.0);
            let node = Data::open(&params(me), engine, rng, at(0)).unwrap();
            node.reach(at(0), [peer].into(), &mut Vec::new());
            node
        };
        Self {
            nodes: [open(ONE, &engines[0], TWO), open(TWO, &engines[1], ONE)],
            engines,
            unheard: Vec::new(),
            replies: Vec::new(),
            expired: Vec::new(),
            now: at(1_000),
        }
    }

    /// What node `n` answers; what it says to the other is not heard yet, unless that one is to
    /// decide.
    fn ask(&mut self, n: usize, request: Request) -> Reply {
        let mut effects = Vec::new();
        let one = Consistency {
            write: Strength::One,
            ..Consistency::default()
        };
        let reply = self.nodes[n].submit(self.now, request, one, || "", &mut effects);
        self.keep(n, effects);
        reply.unwrap_or_else(|| {
            self.hear();
            self.replies.pop().expect("an answer")
        })
    }

    fn keep(&mut self, n: usize, effects: Vec<Effect<&'static str>>) {
        for effect in effects {
            match effect {
                Effect::Send { message, .. } => self.unheard.push((1 - n, message)),
                Effect::Reply { reply, .. } => self.replies.push(reply),
                Effect::Expired { key } => self.expired.push(key),
                _ => {}
            }
        }
    }

    /// Both hear what the other has said, in whatever order `seed` says.
    fn hear(&mut self) {
        let ids = [ONE, TWO];
        while !self.unheard.is_empty() {
            for (to, message) in std::mem::take(&mut self.unheard) {
                let mut effects = Vec::new();
                self.nodes[to].receive(self.now, ids[1 - to], message, &mut effects);
                self.keep(to, effects);
            }
        }
    }

    /// Time passes for both, and they do what is due.
    fn pass(&mut self, ms: u64) {
        let wall_ms = self.now.wall_ms + ms;
        self.now = at(wall_ms - START_MS);
        for n in 0..2 {
            let mut effects = Vec::new();
            self.nodes[n].handle_timeout(self.now, &mut effects);
            self.keep(n, effects);
        }
        self.hear();
    }

    fn alter(&mut self, n: usize, kind: Kind, alter: Alter) -> Altered {
        let key = Bytes::from_static(b"key");
        match self.ask(n, Request::Alter { key, kind, alter }) {
            Reply::Altered(altered) => altered,
            other => panic!("{other:?}"),
        }
    }

    fn put(&mut self, n: usize, elements: &[(&str, &str)]) -> u64 {
        let kind = match elements.iter().all(|(_, value)| value.is_empty()) {
            true => Kind::Set,
            false => Kind::Hash,
        };
        let elements = elements.iter().map(|(e, v)| (bytes(e), bytes(v)));
        let alter = Alter::Put {
            elements: elements.collect(),
            only: Only::All,
        };
        self.alter(n, kind, alter).count
    }

    fn sadd(&mut self, n: usize, members: &[&str]) -> u64 {
        let members: Vec<_> = members.iter().map(|member| (*member, "")).collect();
        self.put(n, &members)
    }

    fn remove(&mut self, n: usize, kind: Kind, elements: &[&str]) -> Altered {
        let elements = elements.iter().map(|element| bytes(element)).collect();
        self.alter(n, kind, Alter::Remove { elements })
    }

    fn add(&mut self, n: usize, field: &str, amount: i64) -> String {
        let alter = Alter::Add {
            element: bytes(field),
            amount: Amount::from(amount),
            whole: true,
        };
        self.alter(n, Kind::Hash, alter).sum.unwrap().to_string()
    }

    fn change(&mut self, n: usize, change: Change) -> Reply {
        let key = Bytes::from_static(b"key");
        self.ask(n, Request::Update { key, change })
    }

    fn ends(&mut self, n: usize, at_ms: u64) -> bool {
        let only_if = EndsIf::Any;
        match self.change(n, Change::End { at_ms, only_if }) {
            Reply::Changed(changed) => changed.done,
            other => panic!("{other:?}"),
        }
    }

    fn delete(&mut self, n: usize) -> Reply {
        let key = Bytes::from_static(b"key");
        self.ask(n, Request::Delete { key, context: None })
    }

    /// Whether there was anything to delete.
    fn deletes(&mut self, n: usize) -> bool {
        match self.delete(n) {
            Reply::Deleted(dot) => dot.is_some(),
            other => panic!("{other:?}"),
        }
    }

    fn question(&mut self, n: usize, kind: Kind, ask: Ask) -> Reply {
        let key = Bytes::from_static(b"key");
        self.ask(n, Request::Ask { key, kind, ask })
    }

    /// All elements, as node `n` has them; with what it counts.
    fn all(&mut self, n: usize, kind: Kind) -> BTreeMap<String, String> {
        let page = Ask::Page {
            from: 0,
            count: 1_000,
        };
        let Reply::Elements { elements, next } = self.question(n, kind, page) else {
            panic!("no elements");
        };
        assert_eq!(next, None);
        let count = elements.len() as u64;
        assert_eq!(self.question(n, kind, Ask::Count), Reply::Number(count));
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        elements
            .into_iter()
            .map(|(e, v)| (text(e), text(v)))
            .collect()
    }

    /// All members on both nodes, which agree.
    fn members(&mut self) -> String {
        self.hear();
        let all = self.all(0, Kind::Set);
        assert_eq!(all, self.all(1, Kind::Set));
        self.verify();
        all.into_keys().collect::<Vec<_>>().join(" ")
    }

    /// All fields on both nodes, which agree.
    fn fields(&mut self) -> String {
        self.hear();
        let all = self.all(0, Kind::Hash);
        assert_eq!(all, self.all(1, Kind::Hash));
        self.verify();
        let fields = all.iter().map(|(field, value)| format!("{field}={value}"));
        fields.collect::<Vec<_>>().join(" ")
    }

    /// What is derived from rows is what they say.
    fn verify(&self) {
        let keyspace = params(ONE).keyspace;
        for engine in &self.engines {
            verify(engine.reader(), PartitionId(0), keyspace).unwrap();
        }
    }

    fn held(&mut self, n: usize) -> Option<Held> {
        let key = Bytes::from_static(b"key");
        match self.ask(n, Request::Describe { key }) {
            Reply::Held(held) => held,
            other => panic!("{other:?}"),
        }
    }

    fn key_count(&mut self, n: usize) -> Reply {
        let partition = PartitionId(0);
        self.ask(n, Request::Count { partition })
    }

    fn stored_rows(&self) -> [usize; 2] {
        self.nodes.each_ref().map(|node| {
            let mut rows = 0;
            node.inspect(|partition| rows += partition.stats().rows);
            rows
        })
    }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

#[test]
fn a_set_has_what_was_added_and_not_removed() {
    let mut pair = Pair::new();
    assert_eq!(pair.sadd(0, &["a", "b", "a", "c"]), 3);
    assert_eq!(pair.sadd(0, &["b", "d"]), 1);
    assert_eq!(pair.members(), "a b c d");
    let removed = pair.remove(1, Kind::Set, &["a", "b", "x", "a"]);
    assert_eq!((removed.count, removed.is_emptied), (2, false));
    assert_eq!(pair.members(), "c d");
    let count = pair
        .held(1)
        .map(|held| (held.kind, held.size, held.ends_at_ms));
    assert_eq!(count, Some((Some(Kind::Set), 2, None)));
    let removed = pair.remove(0, Kind::Set, &["c", "d"]);
    assert!(removed.is_emptied);
    assert_eq!(pair.members(), "");
    assert_eq!((pair.held(0), pair.stored_rows()), (None, [0, 0]));
    assert_eq!(pair.key_count(1), Reply::Count(0));
}

#[test]
fn of_a_set_concurrent_adds_count_and_removals_take_what_they_saw() {
    let mut pair = Pair::new();
    pair.sadd(0, &["a"]);
    pair.sadd(1, &["b"]);
    assert_eq!(pair.members(), "a b");
    // One removes what the other adds again, though it is there.
    pair.remove(0, Kind::Set, &["a"]);
    pair.sadd(1, &["a"]);
    assert_eq!(pair.members(), "a b");
    // One deletes the key, the other adds.
    assert!(pair.deletes(0));
    pair.sadd(1, &["c"]);
    assert_eq!(pair.members(), "c");
    // Both remove the same.
    assert_eq!(pair.remove(0, Kind::Set, &["c"]).count, 1);
    assert_eq!(pair.remove(1, Kind::Set, &["c"]).count, 1);
    assert_eq!(pair.members(), "");
}

#[test]
fn of_a_hash_fields_are_apart_and_the_last_write_of_one_wins() {
    let mut pair = Pair::new();
    pair.put(0, &[("a", "1"), ("b", "2")]);
    pair.hear();
    pair.put(0, &[("a", "one"), ("c", "3")]);
    pair.pass(1);
    pair.put(0, &[("b", "first")]);
    pair.now = at(1_500);
    pair.put(1, &[("b", "last"), ("d", "4")]);
    assert_eq!(pair.fields(), "a=one b=last c=3 d=4");
    pair.remove(0, Kind::Hash, &["b", "d"]);
    pair.put(1, &[("b", "kept")]);
    assert_eq!(pair.fields(), "a=one b=kept c=3");
}

#[test]
fn a_field_counts_what_all_add() {
    let mut pair = Pair::new();
    assert_eq!(pair.add(0, "n", 5), "5");
    assert_eq!(pair.add(1, "n", 7), "7");
    assert_eq!(pair.fields(), "n=12");
    assert_eq!(pair.add(0, "n", -2), "10");
    assert_eq!(pair.add(1, "n", 1), "13");
    pair.put(0, &[("m", "x")]);
    assert_eq!(pair.fields(), "m=x n=11");
    let alter = Alter::Add {
        element: bytes("m"),
        amount: Amount::from(1),
        whole: true,
    };
    let key = Bytes::from_static(b"key");
    let kind = Kind::Hash;
    let refused = pair.ask(0, Request::Alter { key, kind, alter });
    assert_eq!(refused, Reply::Failed(RequestError::FieldNotAnInteger));
}

#[test]
fn elements_end_together_and_what_comes_after_does_not() {
    let mut pair = Pair::new();
    let end_ms = pair.now.wall_ms + 1_000;
    assert!(!pair.ends(0, end_ms), "there is nothing to end");
    pair.sadd(0, &["a", "b"]);
    assert!(pair.ends(0, end_ms));
    // Added where nobody knows of the end.
    pair.sadd(1, &["c"]);
    assert_eq!(pair.members(), "a b c");
    let held = pair.held(1).unwrap();
    assert_eq!((held.size, held.ends_at_ms), (3, Some(end_ms)));
    pair.now = at(end_ms - START_MS);
    assert_eq!(pair.members(), "");
    assert_eq!((pair.held(0), pair.held(1)), (None, None));
    assert_eq!(pair.key_count(0), Reply::Count(0));
    assert_eq!(pair.sadd(0, &["b"]), 1);
    assert_eq!(pair.members(), "b");
    assert_eq!(pair.held(1).unwrap().ends_at_ms, None);
    for _ in 0..10 {
        pair.pass(1_000);
    }
    assert_eq!(pair.members(), "b");
    assert_eq!(pair.stored_rows(), [2, 2], "the member, and what is gone");
    pair.remove(1, Kind::Set, &["b"]);
    pair.hear();
    assert_eq!(pair.stored_rows(), [0, 0]);
}

#[test]
fn what_has_ended_is_removed_with_its_end() {
    let mut pair = Pair::new();
    pair.put(0, &[("a", "1"), ("b", "2")]);
    pair.add(0, "n", 1);
    pair.ends(0, pair.now.wall_ms + 10);
    for _ in 0..10 {
        pair.pass(1_000);
    }
    assert_eq!((pair.fields(), pair.stored_rows()), (String::new(), [0, 0]));
}

#[test]
fn of_two_ends_the_later_holds_and_none_is_the_latest() {
    let mut pair = Pair::new();
    pair.sadd(0, &["a"]);
    pair.hear();
    let now_ms = pair.now.wall_ms;
    pair.ends(0, now_ms + 90_000);
    pair.ends(1, now_ms + 60_000);
    pair.hear();
    for n in 0..2 {
        assert_eq!(pair.held(n).unwrap().ends_at_ms, Some(now_ms + 90_000));
    }
    pair.ends(0, now_ms + 99_000);
    let Reply::Changed(changed) = pair.change(1, Change::Persist) else {
        panic!("no change");
    };
    assert!(changed.done);
    pair.hear();
    assert_eq!(pair.held(0).unwrap().ends_at_ms, None);
    // Each by its condition.
    let end = |only_if| Change::End {
        at_ms: now_ms + 50_000,
        only_if,
    };
    for (only_if, done) in [
        (EndsIf::Ending, false),
        (EndsIf::Endless, true),
        (EndsIf::Later, false),
        (EndsIf::Endless, false),
    ] {
        let Reply::Changed(changed) = pair.change(0, end(only_if)) else {
            panic!("no change");
        };
        assert_eq!(changed.done, done, "{only_if:?}");
    }
    // A time that has come deletes.
    assert!(pair.ends(0, now_ms));
    assert_eq!(
        (pair.members(), pair.stored_rows()),
        (String::new(), [0, 0])
    );
}

#[test]
fn a_number_in_a_hash_that_has_ended_begins_at_nothing() {
    let mut pair = Pair::new();
    pair.add(0, "n", 5);
    pair.add(1, "n", 6);
    pair.hear();
    pair.ends(0, pair.now.wall_ms + 10);
    pair.now = at(2_000);
    assert_eq!(pair.add(0, "n", 1), "1");
    assert_eq!(pair.fields(), "n=1");
    assert_eq!(pair.add(1, "n", 2), "3");
    assert_eq!(pair.fields(), "n=3");
}

#[test]
fn a_key_is_of_one_type() {
    let mut pair = Pair::new();
    pair.sadd(0, &["a", "b"]);
    pair.hear();
    let wrong = Reply::Failed(RequestError::WrongType);
    let key = || Bytes::from_static(b"key");
    let absent = Change::Set {
        value: bytes("v"),
        ends: Ends::Never,
        only_if: OnlyIf::Absent,
        is_swap: false,
    };
    assert_eq!(pair.question(0, Kind::Hash, Ask::Count), wrong);
    assert_eq!(pair.ask(0, Request::Get { key: key() }), wrong);
    assert_eq!(pair.ask(0, Request::Lookup { key: key() }), wrong);
    assert_eq!(
        pair.ask(0, Request::Exists { key: key() }),
        Reply::Exists(true)
    );
    assert_eq!(pair.change(0, Change::Take), wrong);
    let tail = bytes("x");
    assert_eq!(pair.change(0, Change::Append { tail }), wrong);
    let nothing = Reply::Changed(Changed::default());
    assert_eq!(pair.change(1, absent), nothing);
    // A value takes the place of all elements.
    let put = Request::Put {
        key: key(),
        value: bytes("v"),
        context: None,
    };
    assert!(matches!(pair.ask(1, put), Reply::Stored(_)));
    pair.hear();
    assert_eq!(pair.stored_rows(), [1, 1]);
    assert_eq!(pair.question(0, Kind::Set, Ask::Count), wrong);
    assert!(pair.deletes(0));
    assert_eq!(pair.members(), "");
}

#[test]
fn of_types_that_come_together_one_shows_and_the_next_write_takes_the_other() {
    let mut pair = Pair::new();
    pair.sadd(0, &["a"]);
    pair.put(1, &[("f", "1")]);
    pair.hear();
    for n in 0..2 {
        assert_eq!(pair.held(n).unwrap().kind, Some(Kind::Hash));
    }
    assert_eq!(pair.fields(), "f=1");
    pair.put(0, &[("g", "2")]);
    assert_eq!(pair.fields(), "f=1 g=2");
    assert_eq!(pair.stored_rows(), [2, 2]);
    // A value, and elements that did not see it.
    let change = Change::Set {
        value: bytes("v"),
        ends: Ends::Never,
        only_if: OnlyIf::Always,
        is_swap: false,
    };
    pair.change(0, change);
    pair.put(1, &[("h", "3")]);
    pair.hear();
    for n in 0..2 {
        assert_eq!(pair.held(n).unwrap().kind, None);
    }
    assert!(pair.deletes(1));
    pair.hear();
    assert_eq!(pair.stored_rows(), [0, 0]);
}

#[test]
fn what_is_too_much_for_one_step_is_cleared_first() {
    let mut pair = Pair::new();
    let names: Vec<String> = (0..2 * ELEMENTS_MAX + 10).map(|n| n.to_string()).collect();
    for names in names.chunks(ELEMENTS_MAX) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(pair.sadd(0, &names), names.len() as u64);
    }
    let too_much = Reply::Failed(RequestError::InSteps(ELEMENTS_MAX));
    assert_eq!(pair.delete(0), too_much);
    let clear = || Request::Clear {
        key: Bytes::from_static(b"key"),
    };
    assert_eq!(pair.ask(0, clear()), Reply::Cleared(true));
    assert_eq!(pair.ask(0, clear()), Reply::Cleared(true));
    let rest = pair.all(0, Kind::Set).len();
    assert_eq!(rest, 10);
    assert!(pair.deletes(0));
    assert_eq!(pair.members(), "");
    assert_eq!(pair.stored_rows(), [0, 0]);
}

#[test]
fn elements_are_found_by_chance_and_page_by_page() {
    let mut pair = Pair::new();
    let names: Vec<String> = (0..300).map(|n| format!("member {n}")).collect();
    let members: Vec<&str> = names.iter().map(String::as_str).collect();
    pair.sadd(0, &members);
    let (mut from, mut seen) = (0, BTreeSet::new());
    loop {
        let ask = Ask::Page { from, count: 7 };
        let Reply::Elements { elements, next } = pair.question(0, Kind::Set, ask) else {
            panic!("no page");
        };
        assert!(elements.len() >= 7 || next.is_none());
        for (element, _) in elements {
            assert!(seen.insert(element), "each once");
        }
        match next {
            Some(next) => from = next,
            None => break,
        }
    }
    assert_eq!(seen.len(), 300);
    let sample = Ask::Sample { seed: 5, count: 50 };
    let Reply::Elements { elements, .. } = pair.question(0, Kind::Set, sample) else {
        panic!("no sample");
    };
    let sampled: BTreeSet<_> = elements.into_iter().map(|(e, _)| e).collect();
    assert!(sampled.len() == 50 && sampled.is_subset(&seen));
    let popped = pair.alter(
        0,
        Kind::Set,
        Alter::Pop {
            seed: 1,
            count: 299,
        },
    );
    assert_eq!(
        (popped.count, popped.taken.len(), popped.is_emptied),
        (299, 299, false)
    );
    let popped = pair.alter(0, Kind::Set, Alter::Pop { seed: 1, count: 5 });
    assert_eq!((popped.count, popped.is_emptied), (1, true));
    assert_eq!(pair.members(), "");
}

#[test]
fn a_field_that_is_set_loses_what_it_has_not_seen_added() {
    let mut pair = Pair::new();
    pair.put(0, &[("n", "5")]);
    pair.hear();
    pair.add(0, "n", 1);
    pair.pass(1);
    pair.add(0, "n", 1);
    pair.put(1, &[("n", "0")]);
    assert_eq!(pair.fields(), "n=0");
    assert_eq!(pair.add(0, "n", 2), "2");
}

#[test]
fn a_member_is_taken_once_while_nodes_see_each_other() {
    let mut pair = Pair::new();
    pair.sadd(0, &["a"]);
    pair.hear();
    let mut taken = Vec::new();
    for n in 0..2 {
        taken.extend(
            pair.alter(n, Kind::Set, Alter::Pop { seed: 1, count: 1 })
                .taken,
        );
    }
    assert_eq!(taken, [bytes("a")]);
    assert_eq!(pair.members(), "");
}

#[test]
fn a_member_may_be_taken_twice_where_nodes_do_not_see_each_other() {
    let mut pair = Pair::new();
    pair.sadd(0, &["a"]);
    pair.hear();
    for node in &pair.nodes {
        node.reach(pair.now, BTreeSet::new(), &mut Vec::new());
    }
    for n in 0..2 {
        let taken = pair.alter(n, Kind::Set, Alter::Pop { seed: 1, count: 1 });
        assert_eq!((taken.taken, taken.is_emptied), (vec![bytes("a")], true));
    }
}

/// A hash with so many fields, named by numbers, with values of so many bytes.
fn hash_of(count: usize, value_bytes: usize) -> Pair {
    let mut pair = Pair::new();
    let value = Bytes::from(vec![b'x'; value_bytes]);
    let fields = (0..count).map(|n| (bytes(&n.to_string()), value.clone()));
    let elements = fields.collect();
    let only = Only::All;
    pair.alter(0, Kind::Hash, Alter::Put { elements, only });
    pair
}

#[test]
fn answers_are_bounded_in_bytes() {
    // Pages: of two fields of which both are more than one answer has, each comes alone.
    let mut pair = hash_of(4, KEYS_BYTES_MAX * 3 / 5);
    let (mut from, mut sizes) = (Some(0), Vec::new());
    while let Some(at) = from {
        let ask = Ask::Page { from: at, count: 9 };
        let Reply::Elements { elements, next } = pair.question(0, Kind::Hash, ask) else {
            panic!("no page");
        };
        sizes.push(elements.len());
        from = next;
    }
    assert_eq!(sizes, [1; 4]);
    // By chance: fewer than were asked for, but one.
    for (count, found) in [(1, 1), (3, 1)] {
        let ask = Ask::Sample { seed: 1, count };
        let Reply::Elements { elements, .. } = pair.question(0, Kind::Hash, ask) else {
            panic!("no sample");
        };
        assert_eq!(elements.len(), found);
    }
    // By name.
    let named = |count: usize| Ask::Values {
        elements: (0..count).map(|n| bytes(&n.to_string())).collect(),
    };
    let few = pair.question(0, Kind::Hash, named(4));
    assert!(matches!(few, Reply::Values(values) if values.len() == 4));
    let mut pair = hash_of(108, KEYS_BYTES_MAX * 3 / 5);
    let many = pair.question(0, Kind::Hash, named(108));
    assert!(
        matches!(many, Reply::Failed(RequestError::Refused(_))),
        "{many:?}"
    );
}

#[test]
fn every_element_may_be_chosen_however_long_others_are() {
    let mut pair = hash_of(100, KEYS_BYTES_MAX / 50);
    let mut chosen = BTreeSet::new();
    for seed in 0..2_000 {
        let ask = Ask::Sample { seed, count: 1 };
        let Reply::Elements { elements, .. } = pair.question(0, Kind::Hash, ask) else {
            panic!("no sample");
        };
        chosen.extend(elements.into_iter().map(|(field, _)| field));
    }
    assert_eq!(chosen.len(), 100);
}

#[test]
fn what_is_too_long_or_too_many_is_refused() {
    let mut pair = Pair::new();
    let kind = Kind::Set;
    let put = |elements| Alter::Put {
        elements,
        only: Only::All,
    };
    let key = Bytes::from_static(b"key");
    let long = Bytes::from(vec![b'x'; ELEMENT_NAME_BYTES_MAX]);
    let alter = put(vec![(long, Bytes::new())]);
    let key_too = key.clone();
    let refused = pair.ask(
        0,
        Request::Alter {
            key: key_too,
            kind,
            alter,
        },
    );
    assert!(matches!(
        refused,
        Reply::Failed(RequestError::ElementTooLong { .. })
    ));
    let many = (0..=ELEMENTS_MAX).map(|n| (bytes(&n.to_string()), Bytes::new()));
    let alter = put(many.collect());
    let refused = pair.ask(0, Request::Alter { key, kind, alter });
    let (count, limit) = (ELEMENTS_MAX + 1, ELEMENTS_MAX);
    let too_many = RequestError::TooManyElements { count, limit };
    assert_eq!(refused, Reply::Failed(too_many));
    assert_eq!(pair.members(), "");
}

#[test]
fn a_change_of_elements_waits_for_replicas_of_all_of_them() {
    let pair = Pair::new();
    let mut effects = Vec::new();
    let elements = ["a", "b", "c"].map(|member| (bytes(member), Bytes::new()));
    let request = Request::Alter {
        key: Bytes::from_static(b"key"),
        kind: Kind::Set,
        alter: Alter::Put {
            elements: elements.to_vec(),
            only: Only::All,
        },
    };
    let all = Consistency {
        write: Strength::All,
        ..Consistency::default()
    };
    let reply = pair.nodes[0].submit(pair.now, request, all, || "client", &mut effects);
    assert_eq!(reply, None);
    let mut answers = Vec::new();
    for effect in effects {
        if let Effect::Send { message, .. } = effect {
            pair.nodes[1].receive(pair.now, ONE, message, &mut answers);
        }
    }
    assert_eq!(answers.len(), 3, "one for each element");
    let mut last: Vec<Effect<&str>> = Vec::new();
    for (n, answer) in answers.into_iter().enumerate() {
        let Effect::Send { message, .. } = answer else {
            panic!("no answer");
        };
        assert_eq!(last, [], "after {n}");
        pair.nodes[0].receive(pair.now, TWO, message, &mut last);
    }
    let [Effect::Reply { waiter, reply }] = &last[..] else {
        panic!("{last:?}");
    };
    let Reply::Altered(altered) = reply else {
        panic!("{reply:?}");
    };
    assert_eq!((*waiter, altered.count, altered.done), ("client", 3, true));
    assert_eq!(altered.dot.map(|dot| dot.n), Some(3), "the last of them");
}

/// What one of two nodes does, or that they hear of each other.
#[derive(Clone, Debug)]
enum Step {
    Put(usize, u8),
    Remove(usize, u8),
    Add(usize, u8, i64),
    Delete(usize),
    Hear,
}

fn step() -> impl Strategy<Value = Step> {
    let node = || 0..2_usize;
    let field = || 0..4_u8;
    prop_oneof![
        3 => (node(), field()).prop_map(|(n, f)| Step::Put(n, f)),
        2 => (node(), field()).prop_map(|(n, f)| Step::Remove(n, f)),
        3 => (node(), field(), 1..9_i64).prop_map(|(n, f, by)| Step::Add(n, f, by)),
        1 => node().prop_map(Step::Delete),
        2 => Just(Step::Hear),
    ]
}

proptest! {
    /// Members are there if an add of them was seen by no removal; numbers in a hash that is
    /// never deleted are the sum of what was added.
    #[test]
    fn sets_are_observed_remove(steps in vec(step(), 0..40)) {
        let mut pair = Pair::new();
        let mut time = 1_000;
        // By member, the adds that each node knows, and those that somebody has removed.
        let mut known = [BTreeSet::new(), BTreeSet::new()];
        let mut removed = BTreeSet::new();
        for (n, step) in steps.into_iter().enumerate() {
            time += 1;
            pair.now = at(time);
            let name = |field: u8| field.to_string();
            match step {
                Step::Put(node, field) | Step::Add(node, field, _) => {
                    pair.sadd(node, &[&name(field)]);
                    let before = known[node].iter().filter(|(of, _)| *of == field);
                    removed.extend(before.copied().collect::<Vec<_>>());
                    known[node].insert((field, n));
                }
                Step::Remove(node, field) => {
                    pair.remove(node, Kind::Set, &[&name(field)]);
                    let seen = known[node].iter().filter(|(of, _)| *of == field);
                    removed.extend(seen.copied().collect::<Vec<_>>());
                }
                Step::Delete(node) => {
                    pair.delete(node);
                    removed.extend(known[node].iter().copied());
                }
                Step::Hear => {
                    pair.hear();
                    let all: BTreeSet<_> = known[0].union(&known[1]).copied().collect();
                    known = [all.clone(), all];
                }
            }
        }
        let all = known[0].union(&known[1]).filter(|add| !removed.contains(*add));
        let expected: BTreeSet<String> = all.map(|(field, _)| field.to_string()).collect();
        let expected = expected.into_iter().collect::<Vec<_>>().join(" ");
        prop_assert_eq!(pair.members(), expected);
    }

    #[test]
    fn fields_are_the_sums_of_what_was_added(steps in vec(step(), 0..40)) {
        let mut pair = Pair::new();
        let mut sums = BTreeMap::<u8, i64>::new();
        for step in steps {
            match step {
                Step::Add(node, field, by) => {
                    pair.add(node, &field.to_string(), by);
                    *sums.entry(field).or_default() += by;
                }
                Step::Hear => pair.hear(),
                Step::Put(..) | Step::Remove(..) | Step::Delete(..) => {}
            }
        }
        let expected = sums.iter().map(|(field, sum)| format!("{field}={sum}"));
        let expected = expected.collect::<Vec<_>>().join(" ");
        prop_assert_eq!(pair.fields(), expected);
    }
}

#[test]
fn one_node_tells_that_a_key_has_ended() {
    let mut pair = Pair::new();
    pair.sadd(0, &["a"]);
    let end_ms = pair.now.wall_ms + 10;
    pair.ends(0, end_ms);
    let change = Change::Set {
        value: bytes("v"),
        ends: Ends::At(end_ms),
        only_if: OnlyIf::Always,
        is_swap: false,
    };
    let key = bytes("value");
    pair.ask(1, Request::Update { key, change });
    pair.hear();
    for _ in 0..10 {
        pair.pass(1_000);
    }
    pair.expired.sort();
    assert_eq!(pair.expired, [bytes("key"), bytes("value")]);
}

/// A copy that a quorum read finds behind asks for the rest at once, and else for nothing.
#[test]
fn what_a_copy_lacks_is_fetched_from_the_owner_that_has_it() {
    let mut pair = Pair::new();
    pair.sadd(0, &["a"]);
    let partition = PartitionId(0);
    let progress = Request::Progress {
        partition,
        on_disk: false,
    };
    let Reply::Progress(seen) = pair.ask(0, progress) else {
        panic!("no clock");
    };
    // The push is lost.
    pair.unheard.clear();
    assert_eq!(pair.question(1, Kind::Set, Ask::Count), Reply::Number(0));
    let fetch = |pair: &mut Pair, n: usize, owner: NodeId| {
        let mut effects = Vec::new();
        pair.nodes[n].fetch_if_behind(pair.now, owner, partition, &seen, &mut effects);
        pair.keep(n, effects);
    };
    fetch(&mut pair, 0, TWO);
    assert_eq!(pair.unheard, []);
    fetch(&mut pair, 1, ONE);
    assert_eq!(pair.members(), "a");
    fetch(&mut pair, 1, ONE);
    assert_eq!(pair.unheard, []);
}
