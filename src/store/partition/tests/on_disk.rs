//! Partitions on the real engine that do not fit in memory: what a restart finds, and what a
//! damaged disk does.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::store::MemoryBudget;
use crate::store::engine::Fjall;

/// No row stays in memory, and write buffers are as small as they get.
const NOTHING: MemoryBudget = MemoryBudget::new(0);

/// Rows, and the bytes of each: several write buffers.
const ROWS: u32 = 4_000;
const VALUE_BYTES: usize = 1_000;

fn open_at(dir: &Path, opening: u64) -> (Arc<Fjall>, Partition) {
    let engine = Arc::new(Fjall::open(dir, NOTHING).unwrap());
    let actor = ActorId {
        node: NodeId(1),
        incarnation: opening,
    };
    let partition = Partition::open(PartitionId(0), actor, engine.clone(), options());
    (engine, partition.unwrap())
}

fn key(n: u32) -> Bytes {
    Bytes::from(format!("key {n}"))
}

fn value(n: u32, round: u8) -> Bytes {
    let mut value = vec![round; VALUE_BYTES];
    value.extend_from_slice(&n.to_be_bytes());
    value.into()
}

/// Puts all keys, some of them to end; then overwrites, deletes and forks some.
fn fill(partition: &mut Partition) {
    let seen = VersionVector::new();
    for n in 0..ROWS {
        let put = |round| Write::Put {
            value: value(n, round),
            expire_at_ms: (n % 7 == 0).then_some(NOON_MS + 1 + u64::from(n)),
        };
        partition.write(key(n), put(0), None, NOON_MS).unwrap();
        let again = match n % 5 {
            0 => Some((Write::Delete, None)),
            1 => Some((put(1), None)),
            2 => Some((put(2), Some(&seen))),
            _ => None,
        };
        if let Some((write, context)) = again {
            partition.write(key(n), write, context, NOON_MS).unwrap();
        }
    }
}

/// What an opening takes for true without reading a row is what reading all rows says.
#[test]
fn a_restart_finds_the_sums_and_indexes_of_all_rows() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, mut partition) = open_at(dir.path(), 1);
    fill(&mut partition);
    engine.sync().unwrap();
    let before = partition.summary();
    let listed = partition.keys_from(0, usize::MAX).unwrap();
    let named = partition.names(b"key 1", None, usize::MAX).unwrap();
    assert_eq!(before.totals.keys, u64::from(ROWS - ROWS / 5));
    assert_eq!(before.totals.siblings[&2], u64::from(ROWS / 5));
    assert_eq!(partition.stats().cached_bytes, 0);
    drop((engine, partition));
    for opening in 2..4 {
        let (engine, partition) = open_at(dir.path(), opening);
        assert_eq!(partition.summary(), before);
        let verified = verify(engine.reader(), PartitionId(0), options().keyspace);
        assert_eq!(verified.unwrap(), before.totals);
        let snapshot = engine.snapshot(PartitionId(0)).unwrap();
        let verified = verify(&*snapshot, PartitionId(0), options().keyspace);
        assert_eq!(verified.unwrap(), before.totals);
        assert_eq!(partition.keys_from(0, usize::MAX).unwrap(), listed);
        assert_eq!(partition.names(b"key 1", None, usize::MAX).unwrap(), named);
        assert!(named.is_sorted() && listed.is_sorted());
        for n in (0..ROWS).step_by(97) {
            let found = partition.object(&key(n)).unwrap();
            let count = [0, 1, 2, 1, 1][n as usize % 5];
            assert_eq!(found.versions.len(), count, "key {n}");
        }
    }
    let (engine, mut partition) = open_at(dir.path(), 4);
    while partition.expire(u64::MAX, &mut Vec::new()).unwrap() > 0 {}
    let after = partition.summary();
    assert_eq!(after.totals.ending, 0);
    assert!(after.totals.keys < before.totals.keys);
    let verified = verify(engine.reader(), PartitionId(0), options().keyspace);
    assert_eq!(verified.unwrap(), after.totals);
}

/// One flipped bit in each file: whatever lies there cannot be read, and nothing is taken for
/// absent, neither by a read nor by a write (R26).
#[test]
fn a_damaged_disk_loses_no_row_silently() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, mut partition) = open_at(dir.path(), 1);
    for n in 0..ROWS {
        let put = Write::Put {
            value: value(n, 0),
            expire_at_ms: None,
        };
        partition.write(key(n), put, None, NOON_MS).unwrap();
    }
    engine.sync().unwrap();
    drop((engine, partition));
    // Written again at an opening, so that what is damaged is in no journal.
    drop(open_at(dir.path(), 2));
    let damaged = damage(dir.path());
    assert!(damaged > 0, "there are large files");
    let (engine, mut partition) = open_at(dir.path(), 3);
    let mut unread = 0;
    for n in 0..ROWS {
        match partition.object(&key(n)) {
            Ok(object) => {
                let (_, version) = object.versions.iter().next().expect("it was written");
                assert_eq!(version.value, value(n, 0));
            }
            Err(error) => {
                assert!(matches!(error, StoreError::Unreadable { .. }), "{error}");
                let written = partition.write(key(n), put("x"), None, NOON_MS);
                assert!(written.is_err(), "a write that needs the row");
                unread += 1;
            }
        }
    }
    assert!(unread > 0 && unread < ROWS, "{unread} unread");
    assert!(verify(engine.reader(), PartitionId(0), options().keyspace).is_err());
    assert!(partition.stats().unread > 0);
}

/// Flips a bit in the middle of each file that is large enough to hold rows.
fn damage(dir: &Path) -> usize {
    let mut count = 0;
    for path in files(dir) {
        let is_journal = path.extension().is_some_and(|extension| extension == "jnl");
        let mut bytes = fs::read(&path).unwrap();
        if is_journal || bytes.len() < 200_000 {
            continue;
        }
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        count += 1;
    }
    count
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}
