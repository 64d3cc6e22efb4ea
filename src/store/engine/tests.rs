//! One suite for every engine that keeps something, and what each has of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::clock::{Dot, Hlc, NodeId};
use crate::object::{KEY_BYTES_MAX, Version};

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
    };
    Row {
        versions: [(Dot { actor: actor(1), n }, version)]
            .into_iter()
            .collect(),
        residual: [(actor(2), n)].into_iter().collect(),
    }
}

pub(super) fn batch(
    partition: u16,
    rows: &[(&[u8], Option<Row>)],
    entries: &[(u64, u64)],
) -> Batch {
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
        ..Batch::default()
    }
}

pub(super) fn rows(engine: &dyn Engine, partition: u16) -> BTreeMap<Bytes, Row> {
    let loaded = engine.load(PartitionId(partition)).unwrap();
    let count = loaded.rows.len();
    let rows: BTreeMap<_, _> = loaded.rows.into_iter().collect();
    assert_eq!(rows.len(), count, "a key twice");
    rows
}

/// What every engine must do. `reopen` ends the process and starts it again.
fn suite(mut engine: Arc<dyn Engine>, mut reopen: impl FnMut(Arc<dyn Engine>) -> Arc<dyn Engine>) {
    assert_eq!(engine.load(PartitionId(0)).unwrap(), Loaded::default());
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
        let clock = engine.load(PartitionId(0)).unwrap().clock;
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
        assert_eq!(engine.load(PartitionId(0)).unwrap().clock.base(actor(1)), 6);
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
        let loaded = engine.load(PartitionId(0)).unwrap();
        assert_eq!(loaded.clock.entry(actor(1)), Some(&closed));
        assert_eq!(loaded.frozen, [actor(2)].into());
        assert_eq!(loaded.peers, [NodeId(8), NodeId(u64::MAX)].into());
        assert_eq!(engine.load(PartitionId(1)).unwrap(), Loaded::default());
        engine = reopen(engine);
    }
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
    marks(Arc::new(Fjall::open(dir.path()).unwrap()), |engine| {
        drop(engine);
        Arc::new(Fjall::open(dir.path()).unwrap())
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
    suite(Arc::new(Fjall::open(dir.path()).unwrap()), |engine| {
        drop(engine);
        Arc::new(Fjall::open(dir.path()).unwrap())
    });
}

#[test]
fn memory_keeps_nothing() {
    let engine = Memory;
    engine
        .commit(&batch(0, &[(b"a", Some(row(1, 1)))], &[(1, 1)]))
        .unwrap();
    engine.sync().unwrap();
    assert_eq!(engine.load(PartitionId(0)).unwrap(), Loaded::default());
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
        let clock = disk.load(PartitionId(0)).unwrap().clock;
        prop_assert_eq!(clock.base(actor(1)), kept as u64);
    }
}

/// Two processes in one directory would reuse each other's files.
#[test]
fn a_directory_in_use_is_refused_with_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Fjall::open(dir.path()).unwrap();
    let refused = Fjall::open(dir.path()).err().unwrap();
    let pid = std::process::id().to_string();
    assert!(refused.to_string().contains(&pid), "{refused}");
    drop(engine);
    Fjall::open(dir.path()).unwrap();
}

#[test]
fn a_directory_of_another_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(Fjall::open(dir.path()).unwrap());
    for content in ["netdb data 999\n", ""] {
        std::fs::write(dir.path().join("FORMAT"), content).unwrap();
        let refused = Fjall::open(dir.path()).err().unwrap();
        assert!(matches!(refused, EngineError::Format { .. }), "{refused}");
    }
    std::fs::write(dir.path().join("FORMAT"), "netdb data 1\n").unwrap();
    Fjall::open(dir.path()).unwrap();
}

/// fjall opens a journal that is damaged in the middle without an error and without what
/// followed. `SYNCED` knows better: confirmed writes are missing, which must not be taken
/// for deletes.
#[test]
fn a_database_behind_what_was_synced_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Fjall::open(dir.path()).unwrap();
    for n in 1..=5 {
        engine
            .commit(&batch(0, &[(b"a", Some(row(n, 1)))], &[(1, n)]))
            .unwrap();
    }
    engine.sync().unwrap();
    drop(engine);
    std::fs::remove_dir_all(dir.path().join("fjall")).unwrap();
    let refused = Fjall::open(dir.path()).err().unwrap();
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
