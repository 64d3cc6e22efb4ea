//! Batches before which everything of their partition goes, in every engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::tests::{actor, batch, load, open, row, rows};
use super::*;
use crate::object::KEY_BYTES_MAX;
use crate::store::MemoryBudget;

const ALL: usize = 1000;

/// Something of every kind.
fn full(partition: u16) -> Batch {
    let long = vec![b'l'; KEY_BYTES_MAX];
    let stored: [(&[u8], _); 4] = [
        (b"", Some(row(1, 0))),
        (b"a", Some(row(2, 10))),
        (b"b", Some(row(3, 100))),
        (&long, Some(row(4, 1))),
    ];
    Batch {
        frozen: vec![(actor(2), true), (actor(3), true)],
        peers: vec![NodeId(8), NodeId(u64::MAX)],
        ..batch(partition, &stored, &[(1, 5), (2, 7)])
    }
}

fn cleared(partition: u16) -> Batch {
    Batch {
        partition: PartitionId(partition),
        clear: true,
        rebuilding: Some(true),
        ..Batch::default()
    }
}

/// All that a reader finds of a partition.
#[derive(Debug, PartialEq)]
struct Found {
    loaded: Loaded,
    names: Vec<Bytes>,
    indexed: Vec<(Index, Bytes)>,
    rows: Vec<(Bytes, Row)>,
}

fn found(reader: &dyn Reader, partition: u16) -> Found {
    let partition = PartitionId(partition);
    let piece = Piece {
        rows: ALL,
        bytes: usize::MAX,
    };
    let indexed = reader.indexed(partition, Bound::Unbounded, Index::Oversized, ALL);
    Found {
        loaded: reader.load(partition).unwrap(),
        names: reader.names(partition, b"", None, ALL).unwrap(),
        indexed: indexed.unwrap(),
        rows: reader.rows(partition, None, piece).unwrap(),
    }
}

fn nothing_but_waiting() -> Found {
    Found {
        loaded: Loaded {
            rebuilding: true,
            ..Loaded::default()
        },
        names: Vec::new(),
        indexed: Vec::new(),
        rows: Vec::new(),
    }
}

/// Everything goes, and nothing of the neighbours; who reads an earlier moment still does.
fn clears(mut engine: Arc<dyn Engine>, mut reopen: impl FnMut(Arc<dyn Engine>) -> Arc<dyn Engine>) {
    for partition in [6, 7, 8, 0x0700] {
        engine.commit(&full(partition)).unwrap();
    }
    let before = found(engine.reader(), 7);
    assert_eq!(before.rows.len(), 4);
    assert!(before.indexed.len() > 4 && before.loaded.peers.len() == 2);
    let snapshot = engine.snapshot(PartitionId(7)).unwrap();
    engine.commit(&cleared(7)).unwrap();
    assert_eq!(found(&*snapshot, 7), before);
    drop(snapshot);
    for _ in 0..2 {
        assert_eq!(found(engine.reader(), 7), nothing_but_waiting());
        for neighbour in [6, 8, 0x0700] {
            assert_eq!(found(engine.reader(), neighbour), before);
        }
        engine.sync().unwrap();
        engine = reopen(engine);
    }
    // It is filled again, and an empty one is cleared as well.
    engine.commit(&full(7)).unwrap();
    engine.commit(&cleared(9)).unwrap();
    let again = found(engine.reader(), 7);
    assert_eq!((again.rows, again.indexed), (before.rows, before.indexed));
    assert!(again.loaded.rebuilding);
    assert_eq!(found(engine.reader(), 9), nothing_but_waiting());
}

/// What such a batch brings takes the place of what there was, also where that was the same.
fn replaces(engine: &dyn Engine) {
    engine.commit(&full(7)).unwrap();
    let stored: [(&[u8], _); 2] = [(b"a", Some(row(2, 10))), (b"c", Some(row(9, 1)))];
    let others = Batch {
        clear: true,
        frozen: vec![(actor(3), true), (actor(2), false)],
        peers: vec![NodeId(8)],
        ..batch(7, &stored, &[(2, 8), (4, 1)])
    };
    engine.commit(&others).unwrap();
    let expected: BTreeMap<Bytes, Row> = [
        (Bytes::from_static(b"a"), row(2, 10)),
        (Bytes::from_static(b"c"), row(9, 1)),
    ]
    .into();
    assert_eq!(rows(engine, 7), expected);
    let loaded = load(engine, 7);
    let entries = loaded.clock.entries().map(|(a, e)| (a, e.base()));
    assert_eq!(entries.collect::<Vec<_>>(), [(actor(2), 8), (actor(4), 1)]);
    assert_eq!(loaded.frozen, [actor(3)].into());
    assert_eq!(loaded.peers, [NodeId(8)].into());
    assert!(!loaded.rebuilding);
    let mut indexed = others.indexes;
    indexed.retain(|change| change.is_set);
    assert_eq!(found(engine.reader(), 7).indexed.len(), indexed.len());
}

#[test]
fn every_engine_clears_a_partition() {
    clears(Arc::new(Memory::new()), |engine| engine);
    let disk = Arc::new(Simulated::new());
    clears(disk.clone(), move |_| {
        disk.crash_losing_tail();
        disk.clone()
    });
    let dir = tempfile::tempdir().unwrap();
    clears(Arc::new(open(dir.path()).unwrap()), |engine| {
        drop(engine);
        Arc::new(open(dir.path()).unwrap())
    });
    let other = tempfile::tempdir().unwrap();
    replaces(&Memory::new());
    replaces(&Simulated::new());
    replaces(&open(other.path()).unwrap());
}

#[test]
fn a_crash_that_loses_a_clear_brings_everything_back() {
    let disk = Simulated::new();
    disk.commit(&full(7)).unwrap();
    disk.sync().unwrap();
    let before = found(disk.reader(), 7);
    disk.commit(&cleared(7)).unwrap();
    disk.commit(&full(6)).unwrap();
    disk.crash_losing(1);
    assert_eq!(found(disk.reader(), 7), nothing_but_waiting());
    disk.crash_losing_tail();
    assert_eq!(found(disk.reader(), 7), before);
}

/// Wherever the journal is cut, all of a partition is there or nothing.
#[test]
fn a_clear_that_was_written_in_part_has_not_happened() {
    for part in 0..=10 {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path()).unwrap();
        engine.commit(&full(7)).unwrap();
        let before = found(engine.reader(), 7);
        let journal = dir.path().join("fjall/0.jnl");
        let end = || {
            let bytes = std::fs::read(&journal).unwrap();
            bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1
        };
        let begin = end();
        engine.commit(&cleared(7)).unwrap();
        let length = end() - begin;
        let file = std::fs::OpenOptions::new().write(true).open(&journal);
        file.unwrap().set_len(begin + length * part / 10).unwrap();
        let again = engine.reopen().unwrap();
        let (lost, expected) = match part {
            10 => (0, nothing_but_waiting()),
            _ => (1, before),
        };
        assert_eq!(again.lost, lost, "{part} tenths");
        assert_eq!(found(again.engine.reader(), 7), expected, "{part} tenths");
    }
}

/// Tables have what was cleared from them hidden, not only the write buffers.
#[test]
fn what_is_in_tables_is_cleared_too() {
    let dir = tempfile::tempdir().unwrap();
    // The smallest write buffers.
    let small = || Fjall::open(dir.path(), MemoryBudget::new(0)).unwrap();
    let engine = small();
    let keys: Vec<String> = (0..300).map(|n| format!("key {n:03}")).collect();
    for round in 0..20 {
        let stored: Vec<(&[u8], Option<Row>)> = keys
            .iter()
            .map(|key| (key.as_bytes(), Some(row(round + 1, 1_000))))
            .collect();
        let mut filled = batch(7, &stored, &[(1, round + 1)]);
        // Of one key only the last end is an index, and this suite does not follow them.
        filled.indexes.clear();
        engine.commit(&filled).unwrap();
    }
    engine.sync().unwrap();
    drop(engine);
    let engine = small();
    assert_eq!(found(engine.reader(), 7).rows.len(), keys.len());
    engine.commit(&cleared(7)).unwrap();
    assert_eq!(found(engine.reader(), 7), nothing_but_waiting());
    engine.sync().unwrap();
    drop(engine);
    assert_eq!(found(small().reader(), 7), nothing_but_waiting());
}
