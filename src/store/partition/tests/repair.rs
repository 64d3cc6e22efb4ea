//! Damaged directories: what is kept, what is set aside, and what is never taken for a delete.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::placement::Keyspace;
use crate::store::MemoryBudget;
use crate::store::engine::{
    EngineError, Examined, Fjall, Repair, Repaired, examine, open_or_repair, repair,
};

const KEYSPACE: Keyspace = Keyspace {
    partitions: 4,
    hash_seed: 0,
};

const HOW: Repair = Repair {
    keyspace: None,
    accept_loss: false,
    now_s: 1_700_000_000,
    incarnation: 77,
};

const ACCEPTING: Repair = Repair {
    accept_loss: true,
    ..HOW
};

/// Keys of each partition.
const KEYS: usize = 20;

fn of_keyspace() -> Options {
    Options {
        keyspace: KEYSPACE,
        ..Options::default()
    }
}

fn opened(engine: &Arc<Fjall>, id: u16, incarnation: u64) -> Result<Partition, StoreError> {
    let actor = ActorId {
        node: NodeId(1),
        incarnation,
    };
    Partition::open(PartitionId(id), actor, engine.clone(), of_keyspace())
}

fn open_dir(dir: &Path) -> Result<Arc<Fjall>, EngineError> {
    Fjall::open(dir, MemoryBudget::default()).map(Arc::new)
}

/// Keys of a partition.
fn keys_of(id: u16) -> Vec<Bytes> {
    let keys = (0..).map(|n| Bytes::from(format!("key {n}")));
    let own = keys.filter(|key| KEYSPACE.partition_of(key) == PartitionId(id));
    own.take(KEYS).collect()
}

/// A directory with values, overwritten and deleted ones, in each partition; synced. With
/// `peers` each partition has had another replica.
fn fill(dir: &Path, peers: bool) {
    let engine = open_dir(dir).unwrap();
    engine.place_by(KEYSPACE).unwrap();
    for id in 0..KEYSPACE.partitions {
        let mut partition = opened(&engine, id, 1).unwrap();
        for (n, key) in keys_of(id).into_iter().enumerate() {
            let write = |partition: &mut Partition, op| {
                partition.write(key.clone(), op, None, NOON_MS).unwrap();
            };
            write(&mut partition, put("first"));
            write(&mut partition, put("second"));
            if n % 4 == 0 {
                write(&mut partition, Write::Delete);
            }
        }
        if peers {
            let _ = partition.tend(&[NodeId(2)].into(), false).unwrap();
        }
    }
    engine.sync().unwrap();
}

/// Changes a row of a partition behind its back, so that its sums are wrong.
fn spoil(dir: &Path, id: u16) {
    let engine = open_dir(dir).unwrap();
    let key = keys_of(id).remove(1);
    let loaded = engine.reader().load(PartitionId(id)).unwrap();
    engine
        .commit(&Batch {
            partition: PartitionId(id),
            rows: vec![(key, None)],
            summary: loaded.summary,
            ..Batch::default()
        })
        .unwrap();
    engine.sync().unwrap();
}

/// Every file below `dir` with its content, but for locks.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let is_lock = path.file_name().is_some_and(|name| name == "LOCK");
        match path.is_dir() {
            true => found.extend(contents(&path)),
            false if is_lock => {}
            false => drop(found.insert(path.clone(), fs::read(&path).unwrap())),
        }
    }
    found
}

fn look(dir: &Path) -> Examined {
    let scratch = tempfile::tempdir().unwrap();
    examine(dir, &scratch.path().join("scratch"), None).unwrap()
}

fn bad(found: &Examined) -> Vec<u16> {
    found.bad.iter().map(|bad| bad.partition.0).collect()
}

fn rebuilding(repaired: &Repaired) -> Vec<u16> {
    let aside = repaired.set_aside.as_ref().expect("something was done");
    aside.rebuilding.iter().map(|id| id.0).collect()
}

fn value_of(partition: &Partition, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
    let read = partition.read(key, NOON_MS)?;
    Ok(read.map(|version| version.value))
}

/// What a partition of [`fill`] holds.
#[track_caller]
fn assert_filled(partition: &Partition) {
    for (n, key) in keys_of(partition.id().0).iter().enumerate() {
        let expected = (n % 4 != 0).then_some(Bytes::from_static(b"second"));
        assert_eq!(value_of(partition, key).unwrap(), expected, "{key:?}");
    }
}

#[test]
fn a_whole_directory_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), false);
    let before = contents(dir.path());
    let found = look(dir.path());
    assert!(found.is_whole(), "{found:?}");
    assert_eq!(found.sums.partitions, 4);
    assert_eq!(found.sums.keys, 4 * (KEYS as u64 * 3 / 4));
    assert_eq!(found.synced, Some(found.batch));
    assert_eq!(contents(dir.path()), before, "after looking");
    let repaired = repair(dir.path(), &HOW).unwrap();
    assert!(repaired.set_aside.is_none());
    assert_eq!(contents(dir.path()), before, "after a repair");
}

#[test]
fn a_directory_in_use_is_neither_checked_nor_repaired() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), false);
    let _engine = open_dir(dir.path()).unwrap();
    let pid = std::process::id().to_string();
    let scratch = dir.path().join("scratch");
    let looked = examine(dir.path(), &scratch, None).unwrap_err();
    let repaired = repair(dir.path(), &HOW).unwrap_err();
    for refused in [looked, repaired] {
        assert!(refused.to_string().contains(&pid), "{refused}");
    }
}

#[test]
fn a_partition_that_does_not_check_is_set_aside_and_the_others_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), true);
    spoil(dir.path(), 2);
    let before = contents(dir.path());
    assert_eq!(bad(&look(dir.path())), [2]);
    assert_eq!(contents(dir.path()), before, "looking changes nothing");

    let repaired = repair(dir.path(), &HOW).unwrap();
    assert_eq!(rebuilding(&repaired), [2]);
    let aside = repaired.set_aside.unwrap().to;
    for (path, content) in before.iter().filter(|(path, _)| path.ends_with("SYNCED")) {
        let moved = aside.join(path.strip_prefix(dir.path()).unwrap());
        assert_eq!(&fs::read(moved).unwrap(), content);
    }
    assert!(aside.join("fjall").exists());
    let found = look(dir.path());
    assert!(found.is_whole(), "{found:?}");
    assert_eq!(found.rebuilding, [PartitionId(2)]);

    let engine = open_dir(dir.path()).unwrap();
    for id in [0, 1, 3] {
        let partition = opened(&engine, id, 2).unwrap();
        assert!(!partition.is_rebuilding());
        assert_filled(&partition);
    }
    assert!(opened(&engine, 2, 2).unwrap().is_rebuilding());
    assert!(repair(dir.path(), &HOW).is_err(), "it is in use");
}

/// What a node notes beside its partitions is no part of the database that is set aside.
#[test]
fn a_note_survives_a_repair() {
    for peers in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), peers);
        open_dir(dir.path())
            .unwrap()
            .keep_note(b"the roster")
            .unwrap();
        fs::write(dir.path().join("fjall/version"), [0; 4]).unwrap();
        assert!(!look(dir.path()).is_whole());
        let repaired = repair(dir.path(), &ACCEPTING).unwrap();
        assert!(repaired.set_aside.is_some());
        let engine = open_dir(dir.path()).unwrap();
        assert_eq!(engine.note().unwrap().unwrap(), "the roster");
    }
}

/// What is not here is not known to be absent: not to clients, and not to other replicas.
#[test]
fn a_partition_that_was_set_aside_says_nothing_until_another_has_vouched() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), true);
    spoil(dir.path(), 2);
    repair(dir.path(), &HOW).unwrap();
    let engine = open_dir(dir.path()).unwrap();
    let mut partition = opened(&engine, 2, 2).unwrap();
    let keys = keys_of(2);
    let waits = |result: Result<(), StoreError>| {
        assert!(
            matches!(result, Err(StoreError::Rebuilding(_))),
            "{result:?}"
        );
    };
    waits(partition.read(&keys[1], NOON_MS).map(drop));
    waits(partition.object(&keys[1]).map(drop));
    waits(partition.keys_from(0, 9).map(drop));
    waits(partition.names(b"", None, 9).map(drop));
    let delete = partition.write(keys[1].clone(), Write::Delete, None, NOON_MS);
    waits(delete.map(drop));
    partition
        .write(keys[1].clone(), put("new"), None, NOON_MS)
        .unwrap();

    // Another one that waits, too, knows no better.
    let other = replica_of_partition(2, 3);
    let ask = |from: &Partition| {
        let mut digest = other.digest();
        digest.clock = from.clock().clone();
        from.delta(&digest)
    };
    assert_eq!(ask(&partition), DeltaAnswer::Unsure);
    assert_eq!(ask(&other), DeltaAnswer::Nothing);
    assert_ne!(partition.sync_hash(), {
        let clock = partition.clock();
        clock.hash() ^ partition.fingerprint().rotate_left(32)
    });
    // What it has is passed on, but never as all that there is.
    let DeltaAnswer::Delta(delta) = partition.delta(&other.digest()) else {
        panic!("it has a write that the other lacks");
    };
    assert!(delta.more);

    assert!(partition.rebuilt().unwrap());
    assert!(!partition.rebuilt().unwrap(), "once");
    assert_eq!(value_of(&partition, &keys[1]).unwrap().unwrap(), "new");
    assert_eq!(partition.delta(&partition.digest()), DeltaAnswer::Nothing);
    drop((engine, partition));
    let engine = open_dir(dir.path()).unwrap();
    assert!(!opened(&engine, 2, 3).unwrap().is_rebuilding(), "durable");
}

fn replica_of_partition(id: u16, node: u64) -> Partition {
    let actor = ActorId {
        node: NodeId(node),
        incarnation: 1,
    };
    let disk = Arc::new(Simulated::new());
    Partition::open(PartitionId(id), actor, disk, of_keyspace()).unwrap()
}

#[test]
fn a_crash_during_the_rebuild_does_not_forget_it() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), true);
    spoil(dir.path(), 0);
    repair(dir.path(), &HOW).unwrap();
    for incarnation in 2..4 {
        let engine = open_dir(dir.path()).unwrap();
        let mut partition = opened(&engine, 0, incarnation).unwrap();
        assert!(partition.is_rebuilding());
        let key = keys_of(0).remove(0);
        partition.write(key, put("new"), None, NOON_MS).unwrap();
    }
    let other = repair(dir.path(), &HOW).unwrap();
    assert!(other.set_aside.is_none(), "there is nothing wrong with it");
    // Nobody is left who could vouch: an operator may.
    let repaired = repair(dir.path(), &ACCEPTING).unwrap();
    assert_eq!(rebuilding(&repaired), [0; 0]);
    let engine = open_dir(dir.path()).unwrap();
    assert!(!opened(&engine, 0, 4).unwrap().is_rebuilding());
}

#[test]
fn what_nobody_else_has_is_not_given_up_without_being_told_to() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), false);
    spoil(dir.path(), 2);
    let before = contents(dir.path());
    let refused = repair(dir.path(), &HOW).unwrap_err();
    assert!(matches!(
        refused,
        EngineError::OnlyCopy { partitions: 1, .. }
    ));
    let words = refused.to_string();
    assert!(words.contains("repair --accept-loss"), "{words}");
    assert_eq!(contents(dir.path()), before);

    let repaired = repair(dir.path(), &ACCEPTING).unwrap();
    assert_eq!(rebuilding(&repaired), [0; 0]);
    let engine = open_dir(dir.path()).unwrap();
    let partition = opened(&engine, 2, 2).unwrap();
    let keys = keys_of(2);
    // The second key is the one that was spoiled.
    assert_eq!(value_of(&partition, &keys[1]).unwrap(), None);
    for key in &keys[2..4] {
        assert_eq!(value_of(&partition, key).unwrap().unwrap(), "second");
    }
    let verified = verify(engine.reader(), PartitionId(2), KEYSPACE).unwrap();
    assert_eq!(verified.keys, KEYS as u64 * 3 / 4 - 1);
    // Nothing of the old clock is left: it would cover what could not be read.
    let actors: Vec<u64> = partition
        .clock()
        .entries()
        .map(|(actor, _)| actor.incarnation)
        .collect();
    assert_eq!(actors, [HOW.incarnation]);
}

/// A partition of which nothing is here is elsewhere: it is no loss, whatever becomes of the
/// directory, and is still waited for.
#[test]
fn what_was_dropped_is_not_missed_when_a_directory_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), false);
    let engine = open_dir(dir.path()).unwrap();
    let actor = ActorId {
        node: NodeId(1),
        incarnation: 3,
    };
    let dropped = opened(&engine, 2, 2).unwrap().dropped(actor).unwrap();
    assert!(dropped.is_rebuilding());
    engine.sync().unwrap();
    for id in [0, 1, 3] {
        assert_filled(&opened(&engine, id, 2).unwrap());
        verify(engine.reader(), PartitionId(id), KEYSPACE).unwrap();
    }
    drop((engine, dropped));
    let found = look(dir.path());
    assert!(found.is_whole(), "{found:?}");
    assert_eq!(found.rebuilding, [PartitionId(2)]);
    fs::write(dir.path().join("fjall/version"), [0; 4]).unwrap();
    let refused = repair(dir.path(), &HOW).unwrap_err();
    assert!(matches!(
        refused,
        EngineError::OnlyCopy { partitions: 3, .. }
    ));
    let repaired = repair(dir.path(), &ACCEPTING).unwrap();
    assert_eq!(rebuilding(&repaired), [2]);
}

/// What a partition waits for is noted with the next sync, and so is that it waits no more.
#[test]
fn a_partition_that_waits_no_more_may_be_the_only_copy() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), false);
    for (incarnation, waits) in [(2, true), (3, false)] {
        let engine = open_dir(dir.path()).unwrap();
        for id in KEYSPACE.all() {
            let mut partition = opened(&engine, id.0, incarnation).unwrap();
            partition.set_rebuilding(waits).unwrap();
        }
        engine.sync().unwrap();
        drop(engine);
        let damaged = tempfile::tempdir().unwrap();
        let copy = damaged.path();
        fs::create_dir(copy.join("fjall")).unwrap();
        for file in ["FORMAT", "SYNCED", "KEYSPACE", "REPLICAS"] {
            fs::copy(dir.path().join(file), copy.join(file)).unwrap();
        }
        fs::write(copy.join("fjall/version"), [0; 4]).unwrap();
        match waits {
            true => assert_eq!(rebuilding(&repair(copy, &HOW).unwrap()), [0, 1, 2, 3]),
            false => assert!(matches!(
                repair(copy, &HOW),
                Err(EngineError::OnlyCopy { partitions: 4, .. })
            )),
        }
    }
}

/// A backup that is restored after a repair brings back what the repair had to give up, and
/// does not undo what was written since.
#[test]
fn a_backup_that_is_restored_after_a_loss_brings_back_what_was_lost() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), false);
    let backup = {
        let engine = open_dir(dir.path()).unwrap();
        let loaded = engine.reader().load(PartitionId(2)).unwrap();
        let rows = engine.reader().rows(PartitionId(2), None, ALL).unwrap();
        (loaded.clock, rows)
    };
    spoil(dir.path(), 2);
    repair(dir.path(), &ACCEPTING).unwrap();
    let engine = open_dir(dir.path()).unwrap();
    let mut partition = opened(&engine, 2, 2).unwrap();
    let keys = keys_of(2);
    partition
        .write(keys[2].clone(), put("third"), None, NOON_MS + 1)
        .unwrap();
    let (clock, rows) = backup;
    let end = RestoreEnd {
        clock,
        rows: rows.len() as u64,
        versions: rows.iter().map(|(_, row)| row.versions.len() as u64).sum(),
    };
    let mut restore = Restore::new();
    partition.stage_restore(&mut restore, rows).unwrap();
    let restored = partition.apply_restore(restore, end, NOON_MS).unwrap();
    assert_eq!(restored.superseded, 0, "{restored:?}");
    let value = |key| value_of(&partition, key).unwrap();
    assert_eq!(value(&keys[1]).unwrap(), "second", "what was lost");
    assert_eq!(value(&keys[2]).unwrap(), "third", "what was written since");
    assert_eq!(value(&keys[3]).unwrap(), "second", "what was carried over");
}

/// A database that lacks confirmed writes may lack some of any partition: each may be old, and
/// says nothing before it was compared.
#[test]
fn a_database_that_lacks_confirmed_writes_waits_for_others_as_a_whole() {
    for peers in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), peers);
        let synced = fs::read(dir.path().join("SYNCED")).unwrap();
        fs::remove_dir_all(dir.path().join("fjall")).unwrap();
        let found = look(dir.path());
        assert!(!found.is_whole());
        let memory = MemoryBudget::default();
        let opened = open_or_repair(dir.path(), memory, KEYSPACE, &HOW);
        if !peers {
            let refused = opened.err().unwrap();
            assert!(matches!(
                refused,
                EngineError::OnlyCopy { partitions: 4, .. }
            ));
            assert_eq!(fs::read(dir.path().join("SYNCED")).unwrap(), synced);
            continue;
        }
        let (engine, repaired) = opened.unwrap();
        assert_eq!(rebuilding(&repaired.unwrap()), [0, 1, 2, 3]);
        for id in KEYSPACE.all() {
            assert!(engine.reader().load(id).unwrap().rebuilding);
        }
    }
}

#[test]
fn a_database_that_cannot_be_opened_is_set_aside_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), true);
    fs::write(dir.path().join("fjall/version"), [0; 4]).unwrap();
    let found = look(dir.path());
    assert_eq!(bad(&found), [0, 1, 2, 3]);
    let memory = MemoryBudget::default();
    let (engine, repaired) = open_or_repair(dir.path(), memory, KEYSPACE, &HOW).unwrap();
    assert_eq!(rebuilding(&repaired.unwrap()), [0, 1, 2, 3]);
    drop(engine);
    let (_, repaired) = open_or_repair(dir.path(), memory, KEYSPACE, &HOW).unwrap();
    assert!(repaired.is_none(), "once");
}

/// Whichever of the renames a crash comes after, the next opening finds the new database.
#[test]
fn a_crash_while_the_new_database_takes_its_place_is_completed() {
    for done in 0..=4 {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), true);
        let ready = tempfile::tempdir().unwrap();
        fill(ready.path(), true);
        spoil(ready.path(), 1);
        let aside = repair(ready.path(), &HOW).unwrap().set_aside.unwrap().to;
        // As it was when the new database had just been given its name.
        let built = dir.path().join("rebuilt");
        fs::create_dir(&built).unwrap();
        let files = ["fjall", "FORMAT", "SYNCED", "KEYSPACE"];
        for file in files {
            fs::rename(ready.path().join(file), built.join(file)).unwrap();
            fs::remove_dir_all(dir.path().join(file))
                .or_else(|_| fs::remove_file(dir.path().join(file)))
                .unwrap();
            fs::rename(aside.join(file), dir.path().join(file)).unwrap();
        }
        fs::write(built.join("ASIDE"), "5\n").unwrap();
        // The first few of the renames.
        let quarantine = dir.path().join("quarantine/5");
        fs::create_dir_all(&quarantine).unwrap();
        for (n, file) in files.into_iter().enumerate() {
            if 2 * n < done {
                fs::rename(dir.path().join(file), quarantine.join(file)).unwrap();
            }
            if 2 * n + 1 < done {
                fs::rename(built.join(file), dir.path().join(file)).unwrap();
            }
        }
        let engine = open_dir(dir.path()).unwrap();
        assert!(
            opened(&engine, 1, 2).unwrap().is_rebuilding(),
            "{done} done"
        );
        assert_filled(&opened(&engine, 0, 2).unwrap());
        assert!(!built.exists());
        assert!(quarantine.join("fjall").exists());
    }
}

#[test]
fn another_way_of_placing_keys_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), false);
    let other = Keyspace {
        partitions: 5,
        ..KEYSPACE
    };
    let memory = MemoryBudget::default();
    let refused = open_or_repair(dir.path(), memory, other, &HOW)
        .err()
        .unwrap();
    assert!(matches!(refused, EngineError::Keyspace { .. }), "{refused}");
    fs::remove_file(dir.path().join("KEYSPACE")).unwrap();
    let scratch = dir.path().join("scratch");
    let refused = examine(dir.path(), &scratch, None).unwrap_err();
    assert!(refused.to_string().contains("--partitions"), "{refused}");
    assert!(
        examine(dir.path(), &scratch, Some(KEYSPACE))
            .unwrap()
            .is_whole()
    );
}

/// A replica counts what peers know of its own earlier openings and it does not, once.
#[test]
fn own_writes_that_only_others_have_are_counted() {
    let (mut a, mut b, _) = abc();
    let first = a.put("k", "1");
    a.sync();
    let second = a.put("k", "2");
    b.take(&first);
    b.take(&second);
    assert_eq!(a.partition.note_lost(&b.partition.digest().clock), 0);
    a.lose_tail();
    let theirs = b.partition.digest().clock;
    assert_eq!(a.partition.note_lost(&theirs), 1);
    assert_eq!(a.partition.note_lost(&theirs), 0, "once");
    assert_eq!(a.partition.writes_lost(), 1);
    a.pull(&b);
    assert_eq!(a.partition.note_lost(&theirs), 0);
    assert_eq!(a.partition.writes_lost(), 1, "it was lost all the same");
}

/// What a delta brings back before a peer has said what it knows is counted too.
#[test]
fn own_writes_that_a_delta_brings_back_are_counted() {
    let (mut a, mut b, _) = abc();
    let first = a.put("k", "1");
    a.sync();
    let others = [a.put("k", "2"), a.put("l", "3")];
    b.take(&first);
    others.iter().for_each(|push| b.take(push));
    a.lose_tail();
    let DeltaAnswer::Delta(delta) = b.partition.delta(&a.partition.digest()) else {
        panic!("b knows more");
    };
    assert_eq!(a.partition.note_lost_in(&delta.covers), 2);
    assert_eq!(a.partition.note_lost_in(&delta.covers), 0, "once");
    a.pull(&b);
    assert_eq!(a.partition.note_lost(&b.partition.digest().clock), 0);
    assert_eq!(a.partition.writes_lost(), 2);
}
