//! Backups merged into replicas that lived on, started anew, or never knew each other.

use proptest::prelude::*;

use super::*;
use crate::clock::{DotSet, Entry, Hlc};

/// A backup in memory.
#[derive(Clone, Debug)]
struct Backup {
    rows: Vec<(Bytes, Row)>,
    end: RestoreEnd,
}

fn backup(replica: &Replica) -> Backup {
    let request = FullRequest {
        clock: Clock::new(),
        ..replica.full_request()
    };
    let (pieces, end) = full(replica, &request, 0);
    Backup {
        rows: pieces.into_iter().flat_map(|piece| piece.rows).collect(),
        end: RestoreEnd {
            clock: end.clock,
            rows: end.rows_total,
            versions: end.live_total,
        },
    }
}

impl Replica {
    fn try_restore(&mut self, backup: &Backup) -> Result<Restored, RestoreError> {
        let mut restore = Restore::new();
        for piece in backup.rows.chunks(2) {
            self.partition.stage_restore(&mut restore, piece.to_vec())?;
        }
        self.partition
            .apply_restore(restore, backup.end.clone(), NOON_MS)
    }

    fn restore(&mut self, backup: &Backup) -> Restored {
        self.try_restore(backup).unwrap()
    }

    #[track_caller]
    fn refuses_restore(&mut self, backup: &Backup) -> Refusal {
        let before = self.state();
        let refused = self.try_restore(backup).unwrap_err();
        assert_eq!(self.state(), before);
        match refused {
            RestoreError::Refused(refusal) => refusal,
            RestoreError::Store(error) => panic!("{error}"),
        }
    }

    /// Closes an actor that holds what it should: as if all replicas had agreed.
    fn close(&mut self, actor: ActorId, holds: &[u64]) {
        let mut advance = Advance::new(&self.partition.clock);
        holds.iter().for_each(|&n| {
            advance.add(Dot { actor, n });
        });
        advance.close(actor);
        let step = self.partition.step(Vec::new(), &[], advance, Vec::new());
        self.partition.commit(step.unwrap()).unwrap();
        self.partition.log.raise_floor(actor, u64::MAX);
    }
}

fn taken(taken: u64) -> Restored {
    Restored {
        taken,
        ..Restored::default()
    }
}

#[test]
fn an_empty_replica_becomes_what_was_backed_up() {
    let (mut a, mut b, mut c) = abc();
    a.put("k0", "old");
    a.put("k0", "a0");
    a.put("k1", "a1");
    b.put("k1", "b1");
    a.pull(&b);
    a.delete("k2");
    let backup = backup(&a);
    assert_eq!(c.restore(&backup), taken(3));
    assert_eq!(c.state(), a.state());
    assert_eq!(c.values("k1"), ["a1", "b1"]);

    let again = c.restore(&backup);
    assert_eq!((again.taken, again.present), (0, 3));
    assert_eq!(c.state(), a.state());

    // It goes on from there under its own actor, and others get all of it.
    c.put("k1", "c1");
    b.pull(&c);
    assert_eq!(b.values("k1"), ["c1"]);
    heal(&mut [&mut a, &mut b, &mut c]);
}

#[test]
fn a_living_replica_keeps_what_is_newer_and_gets_back_what_it_lost() {
    let (mut a, mut b, mut c) = abc();
    for (key, value) in [("k0", "kept"), ("k1", "old"), ("k2", "doomed")] {
        a.put(key, value);
    }
    // Only A has this one, and A dies.
    b.pull(&a);
    a.put("k3", "lost");
    let backup = backup(&a);
    b.put("k1", "new");
    b.delete("k2");
    b.put("k4", "b4");
    assert_eq!(b.values("k3"), [""; 0]);

    let done = b.restore(&backup);
    let expected = Restored {
        present: 1,
        superseded: 2,
        ..taken(1)
    };
    assert_eq!(done, expected);
    for (key, values) in [
        ("k0", &["kept"][..]),
        ("k1", &["new"]),
        ("k2", &[]),
        ("k3", &["lost"]),
        ("k4", &["b4"]),
    ] {
        assert_eq!(b.values(key), values, "{key}");
    }
    c.pull(&b);
    assert_eq!(c.state().1, b.state().1);
}

#[test]
fn a_concurrent_write_stays_beside_what_comes_in() {
    let (mut a, mut b, _) = abc();
    a.put("k0", "a0");
    b.put("k0", "b0");
    b.restore(&backup(&a));
    assert_eq!(b.values("k0"), ["a0", "b0"]);
}

#[test]
fn a_replica_that_is_behind_the_backup_gives_way() {
    let (mut a, mut b, _) = abc();
    a.put("k0", "old");
    a.put("k1", "doomed");
    b.pull(&a);
    a.put("k0", "new");
    a.delete("k1");
    let done = b.restore(&backup(&a));
    assert_eq!((done.taken, done.replaced), (1, 2));
    assert_eq!(
        (b.values("k0"), b.values("k1")),
        (vec!["new".into()], vec![])
    );
}

#[test]
fn what_is_not_whole_or_forged_leaves_no_trace() {
    let (mut a, mut b, _) = abc();
    a.put("k0", "a0");
    a.put("k1", "a1");
    b.put("k0", "b0");
    let good = backup(&a);

    let mut fewer = good.clone();
    fewer.rows.pop();
    assert_eq!(b.refuses_restore(&fewer), Refusal::Incomplete);

    let mut unknown = good.clone();
    unknown.end.clock = Clock::new();
    assert_eq!(b.refuses_restore(&unknown), Refusal::Incomplete);

    let mut twice = good.clone();
    twice.rows.push(twice.rows[0].clone());
    assert_eq!(b.refuses_restore(&twice), Refusal::CoversMismatch);

    // In the name of the present opening, which has written once.
    let own = b.partition.actor();
    let mut forged = good.clone();
    forged.end.clock.add(Dot { actor: own, n: 2 });
    assert_eq!(b.refuses_restore(&forged), Refusal::ForgedDot);
    let mut forged = good.clone();
    let version = a.partition.read(b"k0", NOON_MS).unwrap().unwrap();
    let row = &mut forged.rows[0].1;
    row.versions.insert(Dot { actor: own, n: 7 }, version);
    assert_eq!(b.refuses_restore(&forged), Refusal::ForgedDot);
    let mut forged = good.clone();
    forged.rows[0].1.residual.raise(own, 7);
    assert_eq!(b.refuses_restore(&forged), Refusal::ForgedDot);

    let mut small = replica_with(
        4,
        Options {
            stage_bytes_max: 100,
            ..options()
        },
    );
    assert_eq!(small.refuses_restore(&good), Refusal::TooLarge);

    // Its own writes of before are its own.
    let own = backup(&b);
    b.put("k0", "b1");
    assert_eq!(b.restore(&own).superseded, 1);
}

#[test]
fn a_running_full_sync_goes_on() {
    let (mut a, mut b, mut c) = abc();
    a.put("k0", "a0");
    a.put("k1", "a1");
    let saved = backup(&a);
    c.put("k2", "c2");
    c.pull(&a);
    c.delete("k1");
    let (pieces, end) = full(&c, &b.full_request(), session());
    for piece in pieces {
        b.partition.stage(piece).unwrap();
    }
    b.restore(&saved);
    assert_eq!(b.values("k1"), ["a1"]);
    assert_eq!(b.partition.apply_full(end, NOON_MS).unwrap(), Applied::New);
    assert_eq!(b.live(), c.live());
}

/// A backup of A with A1 to A3 of three keys; everybody else agreed that A wrote A1 only.
fn beyond() -> (Replica, Replica, Backup, ActorId) {
    let (mut a, mut b, mut c) = abc();
    for key in ["k0", "k1", "k2"] {
        a.put(key, "a");
    }
    let saved = backup(&a);
    let dead = a.partition.actor();
    let first = Backup {
        rows: vec![],
        end: RestoreEnd {
            clock: [Dot { actor: dead, n: 1 }].into_iter().collect(),
            ..RestoreEnd::default()
        },
    };
    for replica in [&mut b, &mut c] {
        replica.restore(&first);
        replica.close(dead, &[1]);
    }
    (b, c, saved, dead)
}

#[test]
fn what_is_refused_comes_in_under_another_name() {
    let (mut b, mut c, saved, dead) = beyond();
    // A1 is deleted: known, closed and not there.
    let done = b.restore(&saved);
    let expected = Restored {
        superseded: 1,
        renamed: 2,
        ..taken(2)
    };
    assert_eq!(done, expected);
    assert_eq!(b.values("k0"), [""; 0]);
    assert_eq!(
        (b.values("k1"), b.values("k2")),
        (vec!["a".into()], vec!["a".into()])
    );
    assert_eq!(b.partition.clock().top(dead), 1);

    // Again: nothing. And what is deleted then stays so.
    let state = b.state();
    let again = b.restore(&saved);
    assert_eq!((again.taken, again.present, again.renamed), (0, 2, 0));
    assert_eq!(b.state(), state);
    b.delete("k1");
    assert_eq!(b.restore(&saved).taken, 0);
    assert_eq!(b.values("k1"), [""; 0]);

    // Another replica makes the same names of it, and they agree.
    c.restore(&saved);
    assert_eq!(c.values("k1"), ["a"]);
    heal(&mut [&mut b, &mut c]);
    assert_eq!((c.values("k1"), c.values("k2")), (vec![], vec!["a".into()]));
}

#[test]
fn a_name_that_is_closed_too_gets_the_next() {
    let (mut b, _, saved, _) = beyond();
    b.restore(&saved);
    let name = b
        .partition
        .read(b"k1", NOON_MS)
        .unwrap()
        .is_some()
        .then(|| {
            let dot = b.partition.object(b"k1").unwrap().versions.dots().next();
            dot.unwrap().actor
        });
    // Another cluster that had only one of the two when it closed the name.
    let (mut d, _, _, _) = beyond();
    d.close(name.unwrap(), &[2]);
    let done = d.restore(&saved);
    assert_eq!((done.taken, done.superseded), (1, 2));
    let again = d.restore(&saved);
    assert_eq!((again.taken, again.present), (0, 1));
}

#[test]
fn what_a_backup_calls_closed_is_open() {
    let (mut a, mut b, _) = abc();
    a.put("k0", "a0");
    let alive = a.partition.actor();
    // A cluster that split off and took A for dead.
    let mut saved = backup(&a);
    let mut entry = Entry::up_to(1);
    entry.close();
    saved.end.clock.set(alive, entry);
    b.restore(&saved);
    assert!(!b.partition.clock().is_closed(alive));
    a.restore(&saved);
    let push = a.put("k0", "a1");
    b.take(&push);
    assert_eq!(b.values("k0"), ["a1"]);
    heal(&mut [&mut a, &mut b]);
}

#[test]
fn values_from_the_future_are_counted_and_do_not_move_the_clock() {
    let (mut a, mut b, _) = abc();
    let key = Bytes::from_static(b"k0");
    let hour_later = NOON_MS + 3_600_000;
    a.put("k1", "a1");
    a.partition.write(key, put("a0"), None, hour_later).unwrap();
    let done = b.restore(&backup(&a));
    assert_eq!(done.ahead, 1);
    let push = b.put("k2", "b2");
    let hlc = push.versions.last_hlc().unwrap();
    assert!(hlc < Hlc::at(NOON_MS + 1_000));
    // Whoever writes the key wins all the same.
    b.put("k0", "b0");
    assert_eq!(b.values("k0"), ["b0"]);
}

#[test]
fn a_peer_is_known_to_have_it_when_its_clock_says_so() {
    let (mut a, mut b, _) = abc();
    a.put("k0", "a0");
    let clock = a.partition.clock().clone();
    assert!(!a.partition.is_known_to(b.node, &clock));
    a.partition.note_digest(b.node, &b.partition.digest().clock);
    assert!(!a.partition.is_known_to(b.node, &clock));
    b.pull(&a);
    a.partition.note_digest(b.node, &b.partition.digest().clock);
    a.put("k0", "later");
    assert!(a.partition.is_known_to(b.node, &clock));
}

#[derive(Clone, Debug)]
enum Act {
    Put(usize, usize),
    Delete(usize, usize),
    Pull(usize, usize),
    /// A replica loses its disk.
    Wipe(usize),
    Backup(usize),
    Restore(prop::sample::Index, usize),
}

const KEYS: [&str; 3] = ["k0", "k1", "k2"];

fn any_act() -> impl Strategy<Value = Act> {
    let at = || 0..3usize;
    prop_oneof![
        8 => (at(), 0..KEYS.len()).prop_map(|(at, key)| Act::Put(at, key)),
        4 => (at(), 0..KEYS.len()).prop_map(|(at, key)| Act::Delete(at, key)),
        4 => (at(), at()).prop_map(|(to, from)| Act::Pull(to, from)),
        1 => at().prop_map(Act::Wipe),
        3 => at().prop_map(Act::Backup),
        4 => (any::<prop::sample::Index>(), at()).prop_map(|(which, at)| Act::Restore(which, at)),
    ]
}

/// What a write did: its key, whether it left a value, and what it replaced.
type Done = (usize, bool, DotSet);

/// A key holds exactly the values that no write known here has replaced, whatever was restored
/// where.
fn judge(replica: &Replica, writes: &BTreeMap<Dot, Done>) {
    let clock = replica.partition.clock();
    for (key, name) in KEYS.iter().enumerate() {
        let known = || writes.iter().filter(|(dot, _)| clock.contains(**dot));
        let of_key = || known().filter(|(_, done)| done.0 == key);
        let mut replaced = DotSet::new();
        of_key().for_each(|(_, (_, _, past))| replaced.join(past));
        let maximal = of_key().filter(|(dot, done)| done.1 && !replaced.contains(**dot));
        let maximal: Vec<Dot> = maximal.map(|(dot, _)| *dot).collect();
        let object = replica.partition.object(name.as_bytes()).unwrap();
        let live: Vec<Dot> = object.versions.dots().collect();
        assert_eq!(live, maximal, "{name}");
    }
}

fn run(acts: Vec<Act>) {
    let (a, b, c) = abc();
    let mut replicas = [a, b, c];
    let mut writes: BTreeMap<Dot, Done> = BTreeMap::new();
    let mut backups: Vec<Backup> = Vec::new();
    let mut wipes = 1_000;
    for act in acts {
        match act {
            Act::Put(at, key) | Act::Delete(at, key) => {
                let is_put = matches!(act, Act::Put(..));
                let object = replicas[at].partition.object(KEYS[key].as_bytes()).unwrap();
                let past = object.versions.dots().collect();
                let op = if is_put { put("v") } else { Write::Delete };
                if let Some(push) = replicas[at].write(KEYS[key], op, None) {
                    writes.insert(push.dot, (key, is_put, past));
                }
            }
            Act::Pull(to, from) if to != from => {
                let (low, high) = replicas.split_at_mut(to.max(from));
                match to < from {
                    true => low[to].pull(&high[0]),
                    false => high[0].pull(&low[from]),
                }
            }
            Act::Pull(..) => {}
            Act::Wipe(at) => {
                wipes += 1;
                let actor = ActorId {
                    node: replicas[at].node,
                    incarnation: wipes,
                };
                replicas[at].disk.wipe();
                let engine = replicas[at].disk.clone();
                let opened = Partition::open(PartitionId(0), actor, engine, options());
                replicas[at].partition = opened.unwrap();
            }
            Act::Backup(at) => backups.push(backup(&replicas[at])),
            Act::Restore(which, at) if !backups.is_empty() => {
                let chosen = which.get(&backups);
                let done = replicas[at].restore(chosen);
                let sum = done.taken + done.present + done.superseded;
                assert_eq!(sum, chosen.end.versions);
                let state = replicas[at].state();
                let again = replicas[at].restore(chosen);
                assert_eq!((again.taken, again.replaced), (0, 0));
                assert_eq!(replicas[at].state(), state, "not the same when done twice");
            }
            Act::Restore(..) => {}
        }
        replicas.iter().for_each(|replica| judge(replica, &writes));
    }
    let [a, b, c] = &mut replicas;
    heal(&mut [a, b, c]);
    replicas.iter().for_each(|replica| judge(replica, &writes));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn rows_are_a_function_of_the_clock_whatever_is_restored(
        acts in prop::collection::vec(any_act(), 1..60)
    ) {
        run(acts);
    }
}
