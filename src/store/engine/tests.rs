//! One suite for every engine that keeps something, and what each has of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::clock::{Dot, Hlc, NodeId};
use crate::object::{KEY_BYTES_MAX, Version};
use crate::placement::Keyspace;
use crate::store::MemoryBudget;
use crate::store::derived::{index_changes, indexes};

pub(super) fn actor(incarnation: u64) -> ActorId {
    ActorId {
        node: NodeId(1),
        incarnation,
    }
}

pub(super) fn row(n: u64, length: usize) -> Row {
    let version = Version {
        hlc: Hlc(n),
        expire_at_ms: n.is_multiple_of(2).then_some(n),
        value: Bytes::from(vec![7; length]),
        part: None,
    };
    Row {
        versions: [(Dot { actor: actor(1), n }, version)]
            .into_iter()
            .collect(),
        residual: [(actor(2), n)].into_iter().collect(),
    }
}

/// Rows with the indexes that they have, and entries of the clock. `before` is what the engine
/// holds of the keys.
pub(super) fn batch(
    partition: u16,
    rows: &[(&[u8], Option<Row>)],
    entries: &[(u64, u64)],
) -> Batch {
    let mut indexes = Vec::new();
    for (key, row) in rows {
        let key = Bytes::copy_from_slice(key);
        index_changes(hash(&key), &key, None, row.as_ref(), &mut indexes);
    }
    let clock = Summary {
        clock: entries.iter().map(|(_, base)| base).sum(),
        ..Summary::default()
    };
    Batch {
        partition: PartitionId(partition),
        rows: rows
            .iter()
            .map(|(key, row)| (Bytes::copy_from_slice(key), row.clone()))
            .collect(),
        entries: entries
            .iter()
            .map(|&(incarnation, base)| (actor(incarnation), Entry::up_to(base)))
            .collect(),
        indexes,
        summary: clock,
        ..Batch::default()
    }
}

pub(super) fn open(dir: &Path) -> Result<Fjall, EngineError> {
    Fjall::open(dir, MemoryBudget::default())
}

fn hash(key: &[u8]) -> u64 {
    Keyspace::default().hash(key)
}

pub(super) fn load(engine: &dyn Engine, partition: u16) -> Loaded {
    engine.reader().load(PartitionId(partition)).unwrap()
}

/// All rows, read in pieces of every size that makes a difference, and one by one.
pub(super) fn rows(engine: &dyn Engine, partition: u16) -> BTreeMap<Bytes, Row> {
    let all = rows_of(engine.reader(), partition, 1);
    for count in [2, 1000] {
        assert_eq!(rows_of(engine.reader(), partition, count), all);
    }
    for (key, row) in &all {
        let read = engine.reader().row(PartitionId(partition), key).unwrap();
        assert_eq!(read.as_ref(), Some(row));
    }
    all
}

fn rows_of(reader: &dyn Reader, partition: u16, count: usize) -> BTreeMap<Bytes, Row> {
    let partition = PartitionId(partition);
    let mut all = BTreeMap::new();
    let mut after = None;
    loop {
        let piece = Piece {
            rows: count,
            bytes: usize::MAX,
        };
        let rows = reader.rows(partition, after.as_deref(), piece).unwrap();
        let Some((last, _)) = rows.last() else {
            return all;
        };
        assert!(rows.len() <= count);
        after = Some(last.clone());
        for (key, row) in rows {
            assert_eq!(all.insert(key, row), None, "a key twice");
        }
    }
}

/// What every engine must do. `reopen` ends the process and starts it again.
fn suite(mut engine: Arc<dyn Engine>, mut reopen: impl FnMut(Arc<dyn Engine>) -> Arc<dyn Engine>) {
    assert_eq!(load(&*engine, 0), Loaded::default());
    let long = vec![b'l'; KEY_BYTES_MAX];
    let other = vec![b'l'; KEY_BYTES_MAX - 1];
    let first = batch(
        0,
        &[
            (b"", Some(row(1, 0))),
            (b"a", Some(row(2, 10))),
            (b"b", Some(row(3, 100_000))),
            (&long, Some(row(4, 1))),
            (&other, Some(row(5, 1))),
        ],
        &[(1, 5), (2, 7)],
    );
    engine.commit(&first).unwrap();
    engine
        .commit(&batch(256, &[(b"a", Some(row(9, 1)))], &[(9, 9)]))
        .unwrap();
    for _ in 0..2 {
        let stored = rows(&*engine, 0);
        for (key, row) in &first.rows {
            assert_eq!(stored.get(key), row.as_ref(), "{} bytes", key.len());
        }
        assert_eq!(stored.len(), 5);
        let clock = load(&*engine, 0).clock;
        assert_eq!((clock.base(actor(1)), clock.base(actor(2))), (5, 7));
        assert_eq!(clock.len(), 2, "partitions are apart");
        assert_eq!(rows(&*engine, 256).len(), 1);
        assert!(rows(&*engine, 1).is_empty());
        engine = reopen(engine);
    }
    engine
        .commit(&batch(
            0,
            &[(b"a", None), (&long, None), (b"b", Some(row(6, 2)))],
            &[(1, 6)],
        ))
        .unwrap();
    engine.sync().unwrap();
    for _ in 0..2 {
        let stored = rows(&*engine, 0);
        assert_eq!(stored.len(), 3);
        assert_eq!(stored.get(&b"b"[..]), Some(&row(6, 2)));
        assert_eq!(load(&*engine, 0).clock.base(actor(1)), 6);
        assert_eq!(load(&*engine, 0).summary.clock, 6);
        engine = reopen(engine);
    }
}

/// Frozen actors, known replicas and closed entries are kept as they are, per partition.
fn marks(mut engine: Arc<dyn Engine>, mut reopen: impl FnMut(Arc<dyn Engine>) -> Arc<dyn Engine>) {
    let mut closed = Entry::up_to(3);
    closed.close();
    engine
        .commit(&Batch {
            entries: vec![(actor(1), closed.clone())],
            frozen: vec![(actor(2), true), (actor(3), true)],
            peers: vec![NodeId(8)],
            ..Batch::default()
        })
        .unwrap();
    engine
        .commit(&Batch {
            frozen: vec![(actor(3), false)],
            peers: vec![NodeId(u64::MAX)],
            ..Batch::default()
        })
        .unwrap();
    engine.sync().unwrap();
    for _ in 0..2 {
        let loaded = load(&*engine, 0);
        assert_eq!(loaded.clock.entry(actor(1)), Some(&closed));
        assert_eq!(loaded.frozen, [actor(2)].into());
        assert_eq!(loaded.peers, [NodeId(8), NodeId(u64::MAX)].into());
        assert_eq!(load(&*engine, 1), Loaded::default());
        engine = reopen(engine);
    }
}

/// Keys are found by their beginnings, in order, from any place on, and others are not read.
fn names(engine: &dyn Engine) {
    let long = vec![b'l'; KEY_BYTES_MAX];
    let cut = &long[..KEY_BYTES_MAX - 1];
    let all: [&[u8]; 9] = [
        b"",
        b"a",
        b"a/1",
        b"a/2",
        b"a/\xff\xff",
        b"b",
        &long[..40_000],
        b"\xff",
        b"\xff\xff",
    ];
    let stored: Vec<_> = all.iter().map(|key| (*key, Some(row(1, 1)))).collect();
    engine.commit(&batch(7, &stored, &[])).unwrap();
    let foreign: [(&[u8], _); 2] = [(b"a/0", Some(row(1, 1))), (b"", Some(row(1, 1)))];
    engine.commit(&batch(6, &foreign, &[])).unwrap();
    engine.commit(&batch(8, &foreign, &[])).unwrap();
    let prefixes = [&all[..], &[b"a/", b"\xff", b"c", b"a/\xff", &long, cut]].concat();
    for prefix in prefixes {
        let expected: Vec<&[u8]> = all
            .iter()
            .copied()
            .filter(|key| key.starts_with(prefix))
            .collect();
        let list = |after: Option<&[u8]>, count| {
            let reader = engine.reader();
            reader.names(PartitionId(7), prefix, after, count).unwrap()
        };
        assert_eq!(list(None, 100), expected);
        assert_eq!(list(None, 0), Vec::<Bytes>::new());
        for (at, key) in expected.iter().enumerate() {
            assert_eq!(list(Some(key), 100), expected[at + 1..]);
            assert_eq!(
                list(Some(key), 1).len(),
                usize::from(at + 1 < expected.len())
            );
        }
        assert_eq!(
            list(Some(b""), 100).len(),
            expected.iter().filter(|k| !k.is_empty()).count()
        );
    }
    // Keys that agree in their first 32 KiB are all there, each once.
    let twins: Vec<(&[u8], _)> = vec![(&long, Some(row(1, 1))), (cut, Some(row(2, 1)))];
    engine.commit(&batch(9, &twins, &[])).unwrap();
    let reader = engine.reader();
    let list = |prefix: &[u8], after: Option<&Bytes>| {
        let after = after.map(AsRef::as_ref);
        reader.names(PartitionId(9), prefix, after, 1).unwrap()
    };
    let first = list(b"l", None);
    let second = list(b"l", first.first());
    assert_ne!(first, second);
    assert_eq!((first.len(), second.len()), (1, 1));
    assert!(list(b"l", second.first()).is_empty());
    assert_eq!(list(&long, None), [&long[..]]);
}

/// Keys are found by what else is known of them, in order, from any place on.
fn by_index(engine: &dyn Engine) {
    let long = vec![b'l'; KEY_BYTES_MAX];
    let mut stored: Vec<(&[u8], Option<Row>)> = vec![(&long, Some(row(4, 1)))];
    let short: Vec<Bytes> = (1..40).map(|n| Bytes::from(format!("key {n}"))).collect();
    stored.extend((1..40).map(|n| (short[n as usize - 1].as_ref(), Some(row(n, 1)))));
    engine.commit(&batch(7, &stored, &[])).unwrap();
    engine.commit(&batch(8, &stored[..3], &[])).unwrap();
    let mut expected = Vec::new();
    for (key, row) in &stored {
        let found_by = indexes(hash(key), key, row.as_ref().unwrap()).into_iter();
        expected.extend(found_by.map(|index| (index, Bytes::copy_from_slice(key))));
    }
    expected.sort();
    let find = |from: Bound<(Index, &[u8])>, last, count| {
        let reader = engine.reader();
        reader.indexed(PartitionId(7), from, last, count).unwrap()
    };
    let last = Index::Oversized;
    assert_eq!(find(Bound::Unbounded, last, 1000), expected);
    for (at, (index, key)) in expected.iter().enumerate() {
        let from = Bound::Excluded((*index, key.as_ref()));
        assert_eq!(find(from, last, 1000), expected[at + 1..]);
        let from = Bound::Included((*index, key.as_ref()));
        assert_eq!(
            find(from, last, 2),
            expected[at..][..2.min(expected.len() - at)]
        );
        let until: Vec<_> = expected.iter().filter(|(i, _)| i <= index).collect();
        let found = find(Bound::Unbounded, *index, 1000);
        assert_eq!(found.iter().collect::<Vec<_>>(), until);
    }
    let nothing = (Index::Ends(30), &b""[..]);
    assert!(find(Bound::Included(nothing), Index::Ends(29), 10).is_empty());
    let gone = engine
        .reader()
        .row(PartitionId(7), b"key 2")
        .unwrap()
        .unwrap();
    let mut removing = batch(7, &[(b"key 2", None)], &[]);
    let key = Bytes::from_static(b"key 2");
    index_changes(hash(&key), &key, Some(&gone), None, &mut removing.indexes);
    engine.commit(&removing).unwrap();
    expected.retain(|(_, found)| *found != key);
    assert_eq!(find(Bound::Unbounded, last, 1000), expected);
}

/// A snapshot is what was there, whatever comes after it.
fn snapshots(engine: &dyn Engine) {
    let empty = engine.snapshot(PartitionId(7)).unwrap();
    let first = batch(
        7,
        &[(b"a", Some(row(1, 1))), (b"b", Some(row(2, 1)))],
        &[(1, 2)],
    );
    engine.commit(&first).unwrap();
    let snapshot = engine.snapshot(PartitionId(7)).unwrap();
    let second = batch(
        7,
        &[
            (b"a", None),
            (b"b", Some(row(3, 1))),
            (b"c", Some(row(4, 1))),
        ],
        &[(1, 4)],
    );
    engine.commit(&second).unwrap();
    engine.sync().unwrap();
    let at = PartitionId(7);
    assert!(rows_of(&*empty, 7, 10).is_empty());
    assert_eq!(empty.load(at).unwrap(), Loaded::default());
    let keys = |reader: &dyn Reader| reader.names(at, b"", None, 10).unwrap();
    assert_eq!(keys(&*snapshot), ["a", "b"]);
    assert_eq!(keys(engine.reader()), ["b", "c"]);
    assert_eq!(rows_of(&*snapshot, 7, 1).len(), 2);
    assert_eq!(snapshot.row(at, b"b").unwrap(), Some(row(2, 1)));
    assert_eq!(snapshot.row(at, b"c").unwrap(), None);
    assert_eq!(snapshot.load(at).unwrap().clock.base(actor(1)), 2);
    let ends = |reader: &dyn Reader| {
        let from = Bound::Included((Index::Ends(0), &b""[..]));
        let found = reader.indexed(at, from, Index::Ends(u64::MAX), 10).unwrap();
        found.len()
    };
    assert_eq!((ends(&*snapshot), ends(engine.reader())), (1, 2));
}

#[test]
fn simulated_keeps_marks() {
    let disk = Arc::new(Simulated::new());
    marks(disk.clone(), move |_| {
        disk.crash_keeping_tail();
        disk.clone()
    });
}

#[test]
fn fjall_keeps_marks() {
    let dir = tempfile::tempdir().unwrap();
    marks(Arc::new(open(dir.path()).unwrap()), |engine| {
        drop(engine);
        Arc::new(open(dir.path()).unwrap())
    });
}

#[test]
fn simulated_passes_the_suite() {
    let disk = Arc::new(Simulated::new());
    suite(disk.clone(), move |_| {
        disk.crash_keeping_tail();
        disk.clone()
    });
}

#[test]
fn fjall_passes_the_suite() {
    let dir = tempfile::tempdir().unwrap();
    suite(Arc::new(open(dir.path()).unwrap()), |engine| {
        drop(engine);
        Arc::new(open(dir.path()).unwrap())
    });
}

/// What a commit takes out of a batch is kept as if it had been left there.
#[test]
fn what_is_taken_out_of_a_batch_is_kept() {
    let (left, taken) = (Memory::new(), Memory::new());
    for n in 0..9 {
        let row = (n % 4 != 0).then(|| row(n, 3));
        let rows = [(&b"ab"[..], row.clone()), (b"a", row)];
        let mut batch = batch(0, &rows, &[(1, n)]);
        left.commit(&batch).unwrap();
        taken.commit_taking(&mut batch).unwrap();
        assert_eq!(load(&left, 0), load(&taken, 0));
        let rows = |engine: &Memory| rows_of(engine.reader(), 0, 4);
        assert_eq!(rows(&left), rows(&taken));
    }
}

/// It lives as long as its process.
#[test]
fn memory_passes_the_suite_without_restarts() {
    suite(Arc::new(Memory::new()), |engine| engine);
    marks(Arc::new(Memory::new()), |engine| engine);
}

#[test]
fn every_engine_reads_in_pieces_and_keeps_snapshots() {
    let dir = tempfile::tempdir().unwrap();
    for (at, check) in [names, by_index, snapshots].into_iter().enumerate() {
        check(&Memory::new());
        check(&Simulated::new());
        check(&open(&dir.path().join(at.to_string())).unwrap());
    }
}

/// What cannot be read is an error wherever it is met, and never absent (R26).
/// Opening again keeps what was committed, takes commits, and leaves nobody an old state: not
/// those who hold the opening before, and not those who hold a snapshot of it on disk.
fn reopening(engine: &dyn Engine) -> Arc<dyn Engine> {
    engine
        .commit(&batch(8, &[(b"k", Some(row(1, 1)))], &[(1, 1)]))
        .unwrap();
    engine.check().unwrap();
    let again = engine.reopen().unwrap();
    assert_eq!(again.lost, 0);
    let closed = |error| matches!(error, Some(EngineError::Closed));
    let partition = PartitionId(8);
    assert!(closed(engine.reader().row(partition, b"k").err()));
    assert!(closed(engine.reader().load(partition).err()));
    assert!(closed(engine.commit(&batch(8, &[], &[(1, 2)])).err()));
    assert!(closed(engine.sync().err()));
    assert!(closed(engine.check().err()));
    assert!(closed(engine.snapshot(partition).err()));
    let engine = again.engine;
    assert!(rows(&*engine, 8).contains_key(b"k".as_slice()));
    engine
        .commit(&batch(8, &[(b"l", Some(row(2, 1)))], &[(1, 2)]))
        .unwrap();
    engine.sync().unwrap();
    assert_eq!(rows(&*engine, 8).len(), 2);
    engine
}

#[test]
fn every_engine_opens_again() {
    let dir = tempfile::tempdir().unwrap();
    let fjall = open(dir.path()).unwrap();
    let space = fjall.space().unwrap().expect("it is on a disk");
    assert!(space.free_bytes <= space.total_bytes && space.free_bytes > 0);
    let second = reopening(&fjall);
    let third = reopening(&*second);
    // The lock is that of all openings together, and the data is on the disk.
    drop((fjall, second));
    assert!(matches!(open(dir.path()), Err(EngineError::Locked { .. })));
    drop(third);
    assert_eq!(rows(&open(dir.path()).unwrap(), 8).len(), 2);
    reopening(&Memory::new());
    let simulated = Simulated::new();
    simulated.fail(true);
    assert!(simulated.check().is_err() && simulated.reopen().is_err());
    simulated.fail(false);
    reopening(&simulated);
}

/// A snapshot keeps no database from being closed, and ends with an error.
#[test]
fn a_snapshot_ends_when_the_database_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let fjall = open(dir.path()).unwrap();
    fjall
        .commit(&batch(0, &[(b"k", Some(row(1, 1)))], &[(1, 1)]))
        .unwrap();
    let snapshot = fjall.snapshot(PartitionId(0)).unwrap();
    assert!(snapshot.row(PartitionId(0), b"k").unwrap().is_some());
    fjall.reopen().unwrap();
    let read = snapshot.row(PartitionId(0), b"k");
    assert!(matches!(read, Err(EngineError::Closed)), "{read:?}");
}

/// A disk that takes no writes is no reason to give up what can be read. (The directory goes
/// in the place of permissions, which do not bind the superuser.)
#[test]
fn a_database_stays_open_until_the_disk_takes_writes() {
    let dir = tempfile::tempdir().unwrap();
    let (here, away) = (dir.path().join("here"), dir.path().join("away"));
    let fjall = open(&here).unwrap();
    fjall
        .commit(&batch(0, &[(b"k", Some(row(1, 1)))], &[(1, 1)]))
        .unwrap();
    std::fs::rename(&here, &away).unwrap();
    let error = fjall.reopen().err().unwrap().to_string();
    assert!(error.contains(&here.display().to_string()), "{error}");
    assert_eq!(rows(&fjall, 0).len(), 1);
    std::fs::rename(&away, &here).unwrap();
    let again = fjall.reopen().unwrap();
    assert_eq!((rows(&*again.engine, 0).len(), again.lost), (1, 0));
}

/// What was not forced to disk may be gone after an fsync that failed: it is counted. A write
/// that failed half-way is no obstacle.
#[test]
fn what_the_journal_has_lost_is_counted_and_its_torn_end_cut() {
    let dir = tempfile::tempdir().unwrap();
    let fjall = open(dir.path()).unwrap();
    let journal = dir.path().join("fjall/0.jnl");
    let mut ends = Vec::new();
    for n in 1..=3_u8 {
        fjall
            .commit(&batch(0, &[(&[n], Some(row(1, 1)))], &[(1, 1)]))
            .unwrap();
        let bytes = std::fs::read(&journal).unwrap();
        ends.push(bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1);
    }
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(&journal)
        .unwrap();
    file.set_len(ends[1] + 20).unwrap();
    let again = fjall.reopen().unwrap();
    assert_eq!((again.lost, rows(&*again.engine, 0).len()), (1, 2));
}

#[test]
fn a_damaged_row_is_an_error() {
    let disk = Simulated::new();
    let stored: [(&[u8], _); 3] = [
        (b"a", Some(row(1, 1))),
        (b"b", Some(row(2, 1))),
        (b"c", Some(row(3, 1))),
    ];
    disk.commit(&batch(0, &stored, &[])).unwrap();
    disk.damage(PartitionId(0), b"b");
    let piece = Piece {
        rows: 10,
        bytes: usize::MAX,
    };
    assert!(disk.row(PartitionId(0), b"b").is_err());
    assert!(disk.row(PartitionId(0), b"a").is_ok());
    assert!(disk.rows(PartitionId(0), None, piece).is_err());
    assert!(disk.rows(PartitionId(0), Some(b"b"), piece).is_ok());
    disk.commit(&batch(0, &[(b"b", Some(row(4, 1)))], &[]))
        .unwrap();
    assert_eq!(disk.row(PartitionId(0), b"b").unwrap(), Some(row(4, 1)));
    disk.fail_reads(true);
    assert!(disk.row(PartitionId(0), b"a").is_err());
    assert!(disk.load(PartitionId(0)).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// A crash leaves a prefix of what was committed that holds all that was synced.
    #[test]
    fn a_simulated_crash_leaves_a_prefix(
        commits in prop::collection::vec((0u8..4, any::<bool>(), any::<bool>()), 0..20),
        lost in 0usize..20,
    ) {
        let disk = Simulated::new();
        let mut prefixes = vec![BTreeMap::new()];
        let mut synced = 0;
        for (n, (key, removes, syncs)) in commits.iter().enumerate() {
            let key = Bytes::from(vec![*key]);
            let row = (!removes).then(|| row(n as u64 + 1, 1));
            let mut state = prefixes[n].clone();
            match row.clone() {
                Some(row) => state.insert(key.clone(), row),
                None => state.remove(&key),
            };
            prefixes.push(state);
            disk.commit(&batch(0, &[(&key, row)], &[(1, n as u64 + 1)])).unwrap();
            if *syncs {
                disk.sync().unwrap();
                synced = n + 1;
            }
        }
        let kept = commits.len().saturating_sub(lost).max(synced);
        disk.crash_losing(lost);
        prop_assert_eq!(rows(&disk, 0), prefixes[kept].clone());
        let clock = load(&disk, 0).clock;
        prop_assert_eq!(clock.base(actor(1)), kept as u64);
    }
}

/// Two processes in one directory would reuse each other's files.
#[test]
fn a_directory_in_use_is_refused_with_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).unwrap();
    let refused = open(dir.path()).err().unwrap();
    let pid = std::process::id().to_string();
    assert!(refused.to_string().contains(&pid), "{refused}");
    drop(engine);
    open(dir.path()).unwrap();
}

#[test]
fn a_directory_of_another_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    for (content, is_format) in [
        ("netdb data 999\n", true),
        ("", false),
        ("netdb daXa 2\n", false),
        ("netdb data 4", false),
    ] {
        std::fs::write(dir.path().join("FORMAT"), content).unwrap();
        let refused = open(dir.path()).err().unwrap();
        let found = matches!(refused, EngineError::Format { .. });
        assert_eq!(found, is_format, "{refused}");
        assert_eq!(refused.is_damage(), !is_format, "{refused}");
    }
    std::fs::write(dir.path().join("FORMAT"), "netdb data 4\n").unwrap();
    open(dir.path()).unwrap();
}

/// fjall opens a journal that is damaged in the middle without an error and without what
/// followed. `SYNCED` knows better: confirmed writes are missing, which must not be taken
/// for deletes.
#[test]
fn a_database_behind_what_was_synced_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).unwrap();
    for n in 1..=5 {
        engine
            .commit(&batch(0, &[(b"a", Some(row(n, 1)))], &[(1, n)]))
            .unwrap();
    }
    engine.sync().unwrap();
    drop(engine);
    std::fs::remove_dir_all(dir.path().join("fjall")).unwrap();
    let refused = open(dir.path()).err().unwrap();
    assert!(
        matches!(
            refused,
            EngineError::Behind {
                found: 0,
                confirmed: 5,
                ..
            }
        ),
        "{refused}"
    );
}
