//! Arbitrary schedules of writes, lost, late and repeated messages, syncs and crashes, judged
//! after every step by the ghost truth of PROTOCOL section 2.
//!
//! The ghost knows of each dot which dots of its key it replaced (`past`) and all that its
//! coordinator's object included (`whole`). S8 *defines* what a replica must know of a key:
//! the union of `whole` over its clock. Rows (S3) and contexts (S4) are checked against that;
//! S1 and S9 follow.
//!
//! A dot that was lost and is sealed is void: it is in the clocks and nowhere else (S10).

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::store::RowBudget;

/// Values, and two members of one set.
const KEYS: [&str; 4] = [
    "k0",
    "k1",
    "\0\u{2}k\0\u{1}12345678\u{1}a",
    "\0\u{2}k\0\u{1}12345679\u{1}b",
];

#[derive(Clone, Debug)]
enum Act {
    Put(usize, usize, Context),
    Delete(usize, usize, Context),
    /// A client reads and keeps the context.
    Save(usize, usize),
    /// A message arrives; it stays in flight, to arrive again or late.
    Deliver(Index),
    Drop(Index),
    /// A digest is answered, and the answer is in flight.
    Ask(usize, usize),
    AskFull(usize, usize),
    /// A whole round at once.
    Pull(usize, usize),
    Sync(usize),
    /// Power is lost with so many unsynced batches.
    Crash(usize, usize),
    Wipe(usize),
    Collect(usize, bool),
    /// A replica takes the closing of dead actors one step further.
    Tend(usize),
    /// A replica says what it has and what it has to say about dead actors.
    Tell(usize, usize),
    /// All replicas tend, tell and sync.
    Settle,
}

#[derive(Clone, Debug)]
enum Context {
    Blind,
    /// Read from this replica just now.
    Current(usize),
    Saved(Index),
}

#[derive(Clone, Debug)]
enum Message {
    /// With the number of wipes when it was sent: it cannot reach a process whose disk was
    /// replaced since, because its stream ended with the process before.
    Push(Push, usize),
    Closing(usize, Closing),
    Delta(usize, Delta),
    Rows(usize, FullRows),
    End(usize, FullEnd),
}

struct Issued {
    key: usize,
    put: bool,
    past: BTreeSet<Dot>,
    whole: BTreeSet<Dot>,
}

struct Token {
    key: usize,
    context: VersionVector,
    includes: BTreeSet<Dot>,
}

struct World {
    replicas: Vec<Replica>,
    net: Vec<Message>,
    tokens: Vec<Token>,
    issued: BTreeMap<Dot, Issued>,
    /// Sealed holes.
    void: BTreeSet<Dot>,
    /// The replicas whose disks were replaced, in order.
    wiped: Vec<usize>,
}

fn any_act(replicas: usize) -> impl Strategy<Value = Act> {
    let at = move || 0..replicas;
    let key = || 0..KEYS.len();
    let context = move || {
        prop_oneof![
            4 => Just(Context::Blind),
            1 => at().prop_map(Context::Current),
            2 => any::<Index>().prop_map(Context::Saved),
        ]
    };
    prop_oneof![
        10 => (at(), key(), context()).prop_map(|(n, k, c)| Act::Put(n, k, c)),
        6 => (at(), key(), context()).prop_map(|(n, k, c)| Act::Delete(n, k, c)),
        3 => (at(), key()).prop_map(|(n, k)| Act::Save(n, k)),
        14 => any::<Index>().prop_map(Act::Deliver),
        4 => any::<Index>().prop_map(Act::Drop),
        6 => (at(), at()).prop_map(|(x, r)| Act::Ask(x, r)),
        2 => (at(), at()).prop_map(|(x, r)| Act::AskFull(x, r)),
        3 => (at(), at()).prop_map(|(x, r)| Act::Pull(x, r)),
        3 => at().prop_map(Act::Sync),
        3 => (at(), 0usize..6).prop_map(|(n, lost)| Act::Crash(n, lost)),
        1 => at().prop_map(Act::Wipe),
        3 => (at(), any::<bool>()).prop_map(|(n, alone)| Act::Collect(n, alone)),
        6 => at().prop_map(Act::Tend),
        6 => (at(), at()).prop_map(|(x, r)| Act::Tell(x, r)),
        3 => Just(Act::Settle),
    ]
}

impl World {
    fn new(count: usize, options: Options) -> Self {
        Self::within(count, options, usize::MAX)
    }

    /// Replicas that each keep at most so many bytes of rows in memory.
    fn within(count: usize, options: Options, row_bytes: usize) -> Self {
        let disk = || Simulated::with_row_budget(RowBudget::new(row_bytes));
        Self {
            replicas: (0..count)
                .map(|at| replica_on(at as u64, options, disk()))
                .collect(),
            net: Vec::new(),
            tokens: Vec::new(),
            issued: BTreeMap::new(),
            void: BTreeSet::new(),
            wiped: Vec::new(),
        }
    }

    /// What a replica must know of a key by S8.
    fn includes(&self, at: usize, key: usize) -> BTreeSet<Dot> {
        let clock = self.replicas[at].partition.clock();
        self.issued
            .iter()
            .filter(|(dot, issued)| issued.key == key && clock.contains(**dot))
            .filter(|(dot, _)| !self.void.contains(dot))
            .flat_map(|(_, issued)| issued.whole.iter().copied())
            .collect()
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Put(at, key, context) => self.write(*at, *key, true, context),
            Act::Delete(at, key, context) => self.write(*at, *key, false, context),
            Act::Save(at, key) => {
                let token = self.token(*at, *key);
                self.tokens.push(token);
            }
            Act::Deliver(index) => {
                if !self.net.is_empty() {
                    let message = self.net[index.index(self.net.len())].clone();
                    self.deliver(message);
                }
            }
            Act::Drop(index) => {
                if !self.net.is_empty() {
                    self.net.remove(index.index(self.net.len()));
                }
            }
            Act::Ask(source, asker) => {
                let digest = self.replicas[*asker].partition.digest();
                let node = self.replicas[*asker].node;
                let source = &mut self.replicas[*source].partition;
                source.note_digest(node, &digest.clock);
                if let DeltaAnswer::Delta(delta) = source.delta(&digest) {
                    self.net.push(Message::Delta(*asker, delta));
                }
            }
            Act::AskFull(source, asker) => {
                let request = self.replicas[*asker].full_request();
                let (pieces, end) = full(&self.replicas[*source], &request, session());
                let pieces = pieces.into_iter();
                self.net
                    .extend(pieces.map(|piece| Message::Rows(*asker, piece)));
                self.net.push(Message::End(*asker, end));
            }
            Act::Pull(source, asker) => self.pull(*source, *asker),
            Act::Sync(at) => self.replicas[*at].sync(),
            Act::Crash(at, lost) => {
                self.replicas[*at].disk.crash_losing(*lost);
                self.replicas[*at].reopen();
            }
            Act::Wipe(at) => {
                self.replicas[*at].disk.wipe();
                self.replicas[*at].reopen();
                self.wiped.push(*at);
            }
            Act::Collect(at, alone) => {
                let others = self.replicas.iter().map(|replica| replica.node);
                let mut others: BTreeSet<_> = others.collect();
                others.remove(&self.replicas[*at].node);
                if *alone {
                    others.clear();
                }
                self.replicas[*at].partition.collect(&others);
            }
            Act::Tend(at) => self.tend(*at),
            Act::Tell(from, to) => {
                let replica = &mut self.replicas[*from];
                let (node, digest) = (replica.node, replica.partition.digest());
                let closing = replica.partition.closing_answer();
                let partition = &mut self.replicas[*to].partition;
                partition.note_opening(node, digest.asker);
                partition.note_digest(node, &digest.clock);
                partition.note_closing(node, closing.clone()).unwrap();
                self.net.push(Message::Closing(*to, closing));
            }
            Act::Settle => self.settle(),
        }
    }

    /// What is lost when an actor is closed is void from then on.
    fn tend(&mut self, at: usize) {
        let nodes: Vec<NodeId> = self.replicas.iter().map(|replica| replica.node).collect();
        let replica = &mut self.replicas[at];
        let before = replica.partition.clock().clone();
        replica.tend(&nodes, true);
        let after = replica.partition.clock();
        let lost = self.issued.keys().filter(|dot| {
            after.is_closed(dot.actor) && !before.is_closed(dot.actor) && !before.contains(**dot)
        });
        let lost: Vec<Dot> = lost.copied().collect();
        self.void.extend(lost);
    }

    /// Faults are over: all tend, tell each other and take what they may.
    fn settle(&mut self) {
        let count = self.replicas.len();
        for at in 0..count {
            self.tend(at);
        }
        for from in 0..count {
            for to in (0..count).filter(|to| *to != from) {
                self.act(&Act::Tell(from, to));
                self.pull(from, to);
            }
        }
    }

    fn pull(&mut self, source: usize, asker: usize) {
        let (low, high) = (source.min(asker), source.max(asker));
        if low == high {
            return;
        }
        let (left, right) = self.replicas.split_at_mut(high);
        match source < asker {
            true => right[0].pull_permitted(&left[low]),
            false => left[low].pull_permitted(&right[0]),
        }
    }

    fn token(&self, at: usize, key: usize) -> Token {
        Token {
            key,
            context: self.replicas[at].token(KEYS[key]),
            includes: self.includes(at, key),
        }
    }

    fn write(&mut self, at: usize, key: usize, put: bool, context: &Context) {
        let local = self.includes(at, key);
        let own_base = {
            let partition = &self.replicas[at].partition;
            partition.clock().base(partition.actor())
        };
        let token = match context {
            Context::Blind => None,
            Context::Current(from) => Some(self.token(*from, key)),
            Context::Saved(index) => {
                let saved: Vec<_> = self.tokens.iter().filter(|t| t.key == key).collect();
                if saved.is_empty() {
                    return;
                }
                let token = saved[index.index(saved.len())];
                Some(Token {
                    key,
                    context: token.context.clone(),
                    includes: token.includes.clone(),
                })
            }
        };
        let op = match put {
            true => super::put("v"),
            false => Write::Delete,
        };
        let context = token.as_ref().map(|token| &token.context);
        let Some(push) = self.replicas[at].write(KEYS[key], op, context) else {
            assert!(!put);
            return;
        };
        assert_eq!(push.dot.n, own_base + 1, "S5: own entry has no gap");
        let past = token.map_or_else(|| local.clone(), |token| token.includes);
        let mut whole: BTreeSet<Dot> = local.union(&past).copied().collect();
        whole.insert(push.dot);
        let issued = Issued {
            key,
            put,
            past,
            whole,
        };
        let before = self.issued.insert(push.dot, issued);
        assert!(before.is_none(), "S5: {:?} was issued twice", push.dot);
        self.net.push(Message::Push(push, self.wiped.len()));
    }

    /// Refusals are fine, as with any late answer; errors are not.
    fn deliver(&mut self, message: Message) {
        match message {
            Message::Closing(to, closing) => {
                let partition = &mut self.replicas[to].partition;
                let _ = partition.note_closing(closing.from.node, closing);
            }
            Message::Push(push, wipes) => {
                let gone = &self.wiped[wipes..];
                let reached = self.replicas.iter_mut().enumerate();
                for (_, replica) in reached.filter(|(at, _)| !gone.contains(at)) {
                    // Both of a bool from the message itself, so that not all get it.
                    if (push.dot.n + replica.openings) % 3 != 0 {
                        let _ = replica.push(&push);
                    }
                }
            }
            Message::Delta(to, delta) => {
                let applied = self.replicas[to].apply(delta);
                let unfounded = Applied::Refused(Refusal::CoversMismatch);
                assert_ne!(applied, unfounded, "a row was left out that is needed");
            }
            Message::Rows(to, rows) => {
                let _ = self.replicas[to].partition.stage(rows);
            }
            Message::End(to, end) => {
                let applied = self.replicas[to].partition.apply_full(end, NOON_MS);
                let _ = applied.unwrap();
            }
        }
    }

    fn check(&self) {
        for at in 0..self.replicas.len() {
            self.check_rows(at);
            self.check_frontier(at);
            check_derived(&self.replicas[at]);
        }
        for one in &self.replicas {
            for other in &self.replicas {
                if one.partition.hash() == other.partition.hash() {
                    let live = |replica: &Replica| {
                        KEYS.map(|key| replica.partition.object(key.as_bytes()).unwrap().versions)
                    };
                    assert_eq!(live(one), live(other), "S9");
                    let (one, other) = (&one.partition, &other.partition);
                    assert_eq!(one.fingerprint(), other.fingerprint());
                }
            }
        }
    }

    /// What is logged and not in the frontier of its key is included in another write that took
    /// effect here.
    fn check_frontier(&self, at: usize) {
        let partition = &self.replicas[at].partition;
        let clock = partition.clock();
        for name in KEYS {
            let key = Bytes::from_static(name.as_bytes());
            let frontier: BTreeSet<Dot> = partition.log.frontier(&key).collect();
            let all: BTreeSet<Dot> = partition.log.dots_of(&key).collect();
            assert!(frontier.is_subset(&all));
            for dot in all.difference(&frontier) {
                let includes = |(other, issued): (&Dot, &Issued)| {
                    other != dot
                        && clock.contains(*other)
                        && !self.void.contains(other)
                        && issued.whole.contains(dot)
                };
                assert!(self.issued.iter().any(includes), "{dot:?} at {at}");
            }
        }
    }

    fn check_rows(&self, at: usize) {
        let partition = &self.replicas[at].partition;
        for (key, name) in KEYS.iter().enumerate() {
            let object = partition.object(name.as_bytes()).unwrap();
            let includes = self.includes(at, key);
            for dot in object.versions.dots() {
                assert!(partition.clock().contains(dot), "S2");
                assert!(!self.void.contains(&dot), "S10");
            }
            let replaced: BTreeSet<Dot> = includes
                .iter()
                .flat_map(|dot| self.issued[dot].past.iter().copied())
                .collect();
            let maximal: Vec<Dot> = includes
                .iter()
                .copied()
                .filter(|dot| self.issued[dot].put && !replaced.contains(dot))
                .filter(|dot| !self.void.contains(dot))
                .collect();
            let live: Vec<Dot> = object.versions.dots().collect();
            assert_eq!(live, maximal, "S3 at {at} for {name}");
            for (dot, issued) in &self.issued {
                if issued.key == key && !self.void.contains(dot) {
                    let known = object.context.contains(*dot);
                    assert_eq!(known, includes.contains(dot), "S4 at {at} for {dot:?}");
                }
            }
        }
    }
}

/// What is derived agrees with what it is derived from, and memory with disk.
fn check_derived(replica: &Replica) {
    let partition = &replica.partition;
    let (clock, rows) = replica.state();
    let loaded = replica.disk.load(PartitionId(0)).unwrap();
    let stored = replica.disk.rows(PartitionId(0), None, ALL).unwrap();
    let mut sorted = rows.clone();
    sorted.sort_by_key(|(key, _)| key.clone());
    assert_eq!(stored, sorted, "R13: the disk holds the rows");
    assert_eq!(loaded.clock, clock, "R13: the disk holds the clock");
    let verified = verify(&*replica.disk, PartitionId(0), replica.options.keyspace).unwrap();
    assert_eq!(verified, *partition.table.totals());
    let stats = partition.stats();
    let live: usize = rows.iter().map(|(_, row)| row.versions.len()).sum();
    let residual = rows.iter().filter(|(_, row)| !row.residual.is_empty());
    assert_eq!(stats.rows, rows.len());
    assert_eq!(stats.dots_live, live);
    assert_eq!(stats.residual_rows, residual.count());
    assert_eq!(
        stats.siblings_max,
        rows.iter()
            .map(|(_, row)| row.versions.len())
            .max()
            .unwrap_or(0)
    );
    assert_eq!(stats.dot_conflicts, 0);
    for (_, row) in &rows {
        assert!(!row.is_empty(), "an empty row is not stored");
        for (actor, n) in row.residual.iter() {
            assert!(n > clock.base(actor), "a residual entry is not stripped");
        }
    }
    for (actor, entry) in clock.entries() {
        for n in entry.runs().flat_map(|(start, last)| start..=last) {
            let logged = partition.log.range(actor, n, n).next().is_some();
            assert!(logged || n <= partition.log.floor().get(actor), "R10");
        }
    }
}

/// Faults stop and all messages are lost: anti-entropy and closing alone must bring all
/// together, and leave nothing over.
fn check_heals(mut world: World) {
    world.net.clear();
    for _ in 0..8 {
        world.settle();
        world.check();
    }
    let mut replicas: Vec<&mut Replica> = world.replicas.iter_mut().collect();
    heal(&mut replicas);
    world.check();
    for replica in &world.replicas {
        let stats = replica.partition.stats();
        assert_eq!((stats.holes, stats.residual_rows, stats.frozen), (0, 0, 0));
        assert!(replica.partition.table.is_plain());
    }
}

fn run(count: usize, options: Options, acts: &[Act]) {
    let mut world = World::new(count, options);
    for act in acts {
        world.act(act);
        world.check();
    }
    check_heals(world);
}

/// All that can be seen of a replica but how much of it is in memory.
fn seen(replica: &Replica) -> impl PartialEq + std::fmt::Debug + use<> {
    let partition = &replica.partition;
    let stats = PartitionStats {
        cached_bytes: 0,
        ..partition.stats()
    };
    let asker = ActorId::default();
    let all = Digest {
        partition: PartitionId(0),
        asker,
        clock: Clock::new(),
    };
    let objects = KEYS.map(|key| partition.object(key.as_bytes()).unwrap());
    let listed = partition.keys_from(0, 10).unwrap();
    let named = partition.names(b"k", None, 10).unwrap();
    let said = (partition.sync_hash(), partition.delta(&all));
    (replica.state(), stats, objects, listed, named, said)
}

/// The same happens to replicas with all rows in memory and to replicas with next to none.
fn compare(count: usize, options: Options, row_bytes: usize, acts: &[Act]) {
    let mut roomy = World::new(count, options);
    let mut cramped = World::within(count, options, row_bytes);
    for act in acts {
        roomy.act(act);
        cramped.act(act);
        cramped.check();
        for (one, other) in roomy.replicas.iter().zip(&cramped.replicas) {
            assert_eq!(seen(one), seen(other));
            assert!(other.partition.stats().cached_bytes <= row_bytes);
        }
    }
    check_heals(cramped);
}

fn small(log_rows_max: usize, delta_bytes: usize) -> Options {
    Options {
        log_rows_max,
        delta_bytes,
        ..options()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn three_replicas_with_all_faults(
        acts in prop::collection::vec(any_act(3), 1..70),
        log_rows_max in prop_oneof![Just(1usize << 16), 2usize..12],
        delta_bytes in prop_oneof![Just(1usize), Just(1 << 18)],
    ) {
        run(3, small(log_rows_max, delta_bytes), &acts);
    }

    #[test]
    fn rows_that_do_not_fit_in_memory_make_no_difference(
        acts in prop::collection::vec(any_act(3), 1..50),
        log_rows_max in prop_oneof![Just(1usize << 16), 2usize..12],
        row_bytes in prop_oneof![Just(0usize), 300usize..1000],
    ) {
        compare(3, small(log_rows_max, 1), row_bytes, &acts);
    }

    #[test]
    fn two_replicas_with_all_faults(acts in prop::collection::vec(any_act(2), 1..50)) {
        run(2, small(1 << 16, 1), &acts);
    }
}
