//! Deletes leave nothing, on disk too.
//!
//! When everything is deleted, all replicas have seen it and dead actors are closed, an engine
//! holds no row. What remains, and why:
//!
//! - one clock entry per opening that ever wrote: forgetting one revives what it deleted (R12);
//! - whether that entry is closed: its actor's late writes must stay refused;
//! - the nodes that are replicas: nothing may be closed behind the back of one (3.9).

use std::path::Path;

use super::*;
use crate::store::engine::{EngineError, Fjall, Loaded};
use crate::store::{MemoryBudget, Totals};

/// An engine, how to end the process on it, and how to lose power.
trait Disk {
    fn engine(&self) -> Arc<dyn Engine>;
    fn restart(&mut self);
    fn lose_tail(&mut self);
}

struct InMemory(Arc<Simulated>);

impl Disk for InMemory {
    fn engine(&self) -> Arc<dyn Engine> {
        self.0.clone()
    }

    fn restart(&mut self) {
        self.0.crash_keeping_tail();
    }

    fn lose_tail(&mut self) {
        self.0.crash_losing_tail();
    }
}

/// A lost tail is a copy of the directory from the last sync, put back.
struct OnDisk {
    open: Option<Arc<Fjall>>,
    dir: tempfile::TempDir,
    saved: tempfile::TempDir,
}

fn open_disk(dir: &Path) -> Result<Fjall, EngineError> {
    Fjall::open(dir, MemoryBudget::default())
}

impl OnDisk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            open: Some(Arc::new(open_disk(&dir.path().join("data")).unwrap())),
            saved: tempfile::tempdir().unwrap(),
            dir,
        }
    }

    fn save(&mut self) {
        self.open = None;
        copy(
            &self.dir.path().join("data"),
            &self.saved.path().join("data"),
        );
        self.restart();
    }
}

impl Disk for OnDisk {
    fn engine(&self) -> Arc<dyn Engine> {
        self.open.clone().unwrap()
    }

    fn restart(&mut self) {
        self.open = None;
        let data = self.dir.path().join("data");
        self.open = Some(Arc::new(open_disk(&data).unwrap()));
    }

    fn lose_tail(&mut self) {
        self.open = None;
        let data = self.dir.path().join("data");
        std::fs::remove_dir_all(&data).unwrap();
        copy(&self.saved.path().join("data"), &data);
        self.restart();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Two replicas on engines of one kind write, crash and delete everything.
fn deleting_everything_leaves_nothing<D: Disk>(
    mut disks: [D; 2],
    mut save: impl FnMut(&mut [D; 2]),
) {
    let mut opening = 0;
    let mut open_all = |disks: &[D; 2]| -> [Partition; 2] {
        opening += 1;
        [0, 1].map(|at| {
            let actor = ActorId {
                node: NodeId(at as u64 + 1),
                incarnation: opening,
            };
            let engine = disks[at].engine();
            Partition::open(PartitionId(0), actor, engine, options()).unwrap()
        })
    };
    let key = |at: u32| Bytes::from(format!("key {at}"));
    let mut replicas = open_all(&disks);
    for at in 0..20 {
        for replica in &mut replicas {
            replica.write(key(at), put("v"), None, NOON_MS).unwrap();
        }
    }
    rounds(&mut replicas, 2);
    drop(replicas);
    save(&mut disks);
    let mut replicas = open_all(&disks);
    // The first opens a hole: this write is lost, the one after it arrives.
    let [a, b] = &mut replicas;
    a.write(key(0), put("lost"), None, NOON_MS).unwrap();
    let arrives = a
        .write(key(1), put("kept"), None, NOON_MS)
        .unwrap()
        .unwrap();
    let _ = b.apply_push(arrives, NOON_MS).unwrap();
    drop(replicas);
    disks[0].lose_tail();
    disks[1].restart();
    let mut replicas = open_all(&disks);
    rounds(&mut replicas, 2);
    for at in 0..20 {
        let deleted = replicas[1].write(key(at), Write::Delete, None, NOON_MS);
        assert!(deleted.unwrap().is_some());
    }
    rounds(&mut replicas, 8);
    for replica in &replicas {
        let stats = replica.stats();
        assert_eq!((stats.rows, stats.dots_live, stats.log_rows), (0, 0, 0));
        assert_eq!((stats.holes, stats.frozen, stats.closed), (0, 0, 1));
        assert_eq!(stats.bytes + stats.log_bytes, 0);
    }
    let clock = replicas[0].clock().clone();
    drop(replicas);
    for (at, disk) in disks.iter_mut().enumerate() {
        disk.restart();
        let engine = disk.engine();
        let left = engine.reader().load(PartitionId(0)).unwrap();
        let other = NodeId(2 - at as u64);
        let expected = Loaded {
            clock: clock.clone(),
            peers: [other].into(),
            summary: Summary {
                clock: clock.hash(),
                ..Summary::default()
            },
            ..Loaded::default()
        };
        assert_eq!(left, expected);
        let rows = engine.reader().rows(PartitionId(0), None, ALL).unwrap();
        assert!(rows.is_empty());
        let left = verify(engine.reader(), PartitionId(0), options().keyspace).unwrap();
        assert_eq!(left, Totals::default(), "no index is left either");
    }
    let wrote = [(1, 1), (2, 1), (1, 2), (2, 3)].map(|(node, incarnation)| ActorId {
        node: NodeId(node),
        incarnation,
    });
    let actors: BTreeSet<ActorId> = clock.entries().map(|(actor, _)| actor).collect();
    assert_eq!(actors, wrote.into(), "one entry per opening that wrote");
}

/// Both tend, tell each other, sync and collect.
fn rounds(replicas: &mut [Partition; 2], count: usize) {
    for _ in 0..count {
        for at in [0, 1] {
            let other = [NodeId(2 - at as u64)].into();
            if replicas[at].tend(&other, true).unwrap() {
                replicas[at].engine.sync().unwrap();
                replicas[at].confirm();
            }
        }
        for (from, to) in [(0, 1), (1, 0)] {
            let (digest, closing) = (replicas[to].digest(), replicas[to].closing_answer());
            let node = NodeId(to as u64 + 1);
            let source = &mut replicas[from];
            source.note_opening(node, digest.asker);
            source.note_digest(node, &digest.clock);
            source.note_closing(node, closing).unwrap();
            match replicas[from].delta(&digest) {
                DeltaAnswer::Nothing | DeltaAnswer::Unsure => {}
                DeltaAnswer::Delta(delta) => {
                    let _ = replicas[to].apply_delta(delta, NOON_MS).unwrap();
                }
                DeltaAnswer::Full => pull_full(replicas, from, to),
            }
        }
        for at in [0, 1] {
            replicas[at].collect(&[NodeId(2 - at as u64)].into());
        }
    }
}

fn pull_full(replicas: &mut [Partition; 2], from: usize, to: usize) {
    let request = FullRequest {
        partition: PartitionId(0),
        asker: replicas[to].actor(),
        clock: replicas[to].clock().clone(),
    };
    let mut source = replicas[from].full_source(&request, session()).unwrap();
    for sequence in 0.. {
        match source.chunk(sequence).unwrap().unwrap() {
            FullChunk::Rows(rows) => drop(replicas[to].stage(rows).unwrap()),
            FullChunk::End(end) => {
                let _ = replicas[to].apply_full(end, NOON_MS).unwrap();
                return;
            }
        }
    }
}

#[test]
fn deletes_leave_nothing_on_the_simulated_disk() {
    let disks = [(); 2].map(|()| InMemory(Arc::new(Simulated::new())));
    deleting_everything_leaves_nothing(disks, |disks| {
        disks.iter().for_each(|disk| disk.0.sync().unwrap());
    });
}

#[test]
fn deletes_leave_nothing_on_disk() {
    let disks = [OnDisk::new(), OnDisk::new()];
    deleting_everything_leaves_nothing(disks, |disks| disks.iter_mut().for_each(OnDisk::save));
}
