//! The engine on disk: one fjall database per node.
//!
//! Layout: keyspace `rows` holds partition and key to row, in the order of keys; `indexes`
//! partition, index and key; `clock` partition and actor to entry; `marks` partition and
//! frozen actor or known replica; `sums` partition to the number of its last batch and its
//! summary. One batch of the database per [`Batch`], so that all of it is of one moment
//! (PROTOCOL R13). Every record opens with a version and ends with a checksum over
//! its place and itself; what does not check is an error (R26), and so is a record in the place
//! of another.
//!
//! Beside the database lie five files: `FORMAT` (refused if unknown), `LOCK` (held while
//! open, with the process id), `SYNCED`, the number of the last batch that was synced,
//! `KEYSPACE`, by what keys are placed, and `REPLICAS`, which partitions have had another
//! replica. `SYNCED` is there because fjall 3.1 opens a journal that is damaged in the middle
//! without an error and without what followed: a database that is behind `SYNCED` has lost
//! confirmed writes and is not opened. What then happens to it is in `repair`, which needs the
//! last two when the database itself cannot be asked.
//!
//! This folder is what touches the disk in the store; `journal` mends a torn journal before
//! the database sees it, `specimen` opens a database without changing it, `examine` says what
//! is wrong with it, and `reopen` closes a database that has failed and opens it again.

mod examine;
mod files;
mod guarded;
mod held;
mod journal;
mod opening;
mod places;
mod quarantine;
mod records;
mod reopen;
mod repair;
mod salvage;
mod specimen;
mod view;

use std::collections::BTreeSet;
use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use fjall::{Keyspace, OwnedWriteBatch, PersistMode};
use parking_lot::Mutex;

pub use self::examine::{Bad, Examined, Sums, examine};
use self::files::{
    check_or_write_format, io, lock, open_synced, read_keyspace, read_replicated, write_keyspace,
    write_replicated, write_synced,
};
use self::held::Held;
pub use self::journal::Mended;
use self::opening::{Opened, open_database, replicated};
use self::places::{
    Mark, clock_place, index_place, long_name, mark_place, partition_place, row_place,
};
pub use self::quarantine::quarantine_of;
use self::records::seal_record;
pub use self::repair::{Repair, Repaired, SetAside, open_or_repair, repair};
pub use self::salvage::Salvaged;
use self::view::{Keyspaces, View};
use super::{Batch, Engine, EngineError, Reader, Reopened, Space};
use crate::placement::{Keyspace as Keys, PartitionId};
use crate::store::budget::{MemoryBudget, RowBudget};

/// Keeps partitions in a directory.
pub struct Fjall {
    dir: PathBuf,
    memory: MemoryBudget,
    mended: Option<Mended>,
    /// The database as it is.
    held: Held,
    /// The database as it was, for those who read that.
    snapshots: Mutex<Vec<Weak<Held>>>,
    written: Mutex<Written>,
    budget: RowBudget,
    synced: Mutex<File>,
    replicated: Mutex<Replicated>,
    /// Held until the process ends, or this and every later opening is dropped.
    lock: Arc<File>,
}

/// What was committed. Its lock keeps batches in order.
struct Written {
    /// The number of the last batch.
    number: u64,
    /// About how many bytes are in the database's write buffers that are not on their way to
    /// the disk.
    buffered: u64,
}

/// The partitions that have had another replica.
struct Replicated {
    partitions: BTreeSet<PartitionId>,
    /// Whether `REPLICAS` says so too.
    is_noted: bool,
}

/// What a record takes in a write buffer beside its place and itself.
const BUFFERED_PER_RECORD: usize = 128;

impl Fjall {
    /// Opens the directory, or makes it. What is kept in memory of it is within `memory`.
    ///
    /// Refused if another process has it, if it was written in another format, and if it
    /// lacks writes that were synced.
    pub fn open(dir: &Path, memory: MemoryBudget) -> Result<Self, EngineError> {
        fs::create_dir_all(dir).map_err(io("cannot create data directory", dir))?;
        Self::open_and_finish(dir, memory, Arc::new(lock(dir)?))
    }

    /// Opens the directory that `lock` has taken, whatever was left of a repair in it.
    fn open_and_finish(
        dir: &Path,
        memory: MemoryBudget,
        lock: Arc<File>,
    ) -> Result<Self, EngineError> {
        quarantine::finish(dir)?;
        check_or_write_format(dir)?;
        Self::open_locked(dir, memory, lock)
    }

    /// Opens the directory that `lock` has taken.
    fn open_locked(dir: &Path, memory: MemoryBudget, lock: Arc<File>) -> Result<Self, EngineError> {
        let opened = open_database(&dir.join("fjall"), memory)?;
        let Opened {
            mended,
            database,
            keyspaces,
            batch,
        } = opened;
        let (synced, confirmed) = open_synced(dir)?;
        if batch < confirmed {
            return Err(EngineError::Behind {
                dir: dir.display().to_string(),
                found: batch,
                confirmed,
            });
        }
        let partitions = replicated(&keyspaces)?;
        let noted = read_replicated(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            memory,
            mended,
            replicated: Mutex::new(Replicated {
                is_noted: noted.as_ref() == Some(&partitions),
                partitions,
            }),
            written: Mutex::new(Written {
                number: batch,
                // What the database has read again is in its buffers.
                buffered: database.write_buffer_size(),
            }),
            held: Held::new(View {
                database,
                keyspaces,
                snapshot: None,
                dir: Some(dir.into()),
            }),
            snapshots: Mutex::default(),
            budget: RowBudget::new(memory.row_bytes()),
            synced: Mutex::new(synced),
            lock,
        })
    }

    /// What had to be done to the journal at opening.
    pub fn mended(&self) -> Option<&Mended> {
        self.mended.as_ref()
    }

    /// Notes by what keys are placed, or refuses another way of placing them than before.
    pub fn place_by(&self, keyspace: Keys) -> Result<(), EngineError> {
        match read_keyspace(&self.dir)? {
            Some(found) if found != keyspace => Err(EngineError::Keyspace {
                dir: self.dir.display().to_string(),
                found,
                asked: keyspace,
            }),
            Some(_) => Ok(()),
            None => write_keyspace(&self.dir, keyspace),
        }
    }

    /// Notes in the files beside the database what was synced.
    fn note_synced(&self, file: &mut File, number: u64) -> Result<(), EngineError> {
        write_synced(file, number)?;
        let mut replicated = self.replicated.lock();
        if !replicated.is_noted {
            write_replicated(&self.dir, &replicated.partitions)?;
            replicated.is_noted = true;
        }
        Ok(())
    }

    /// Commits `batch` under the next number.
    fn write(&self, view: &View, batch: &Batch) -> Result<(), EngineError> {
        let mut write = Write {
            batch: view.database.batch().durability(Some(PersistMode::Buffer)),
            bytes: 0,
        };
        write.put_rows(&view.keyspaces, batch)?;
        write.put_clock(&view.keyspaces, batch)?;
        let place = partition_place(batch.partition);
        let mut written = self.written.lock();
        let next = written.number + 1;
        let record = seal_record(&place, &(next, &batch.summary))?;
        write.put(&view.keyspaces.sums, place, record);
        write.batch.commit()?;
        written.number = next;
        written.buffered += write.bytes;
        if !batch.peers.is_empty() {
            let mut replicated = self.replicated.lock();
            replicated.is_noted &= !replicated.partitions.insert(batch.partition);
        }
        if written.buffered >= self.memory.buffer_bytes() {
            // All at once, because a journal goes when all that it holds is on the disk. The
            // batch is kept whether this works or not; if not, the next one tries again.
            let keyspaces = view.keyspaces.all();
            if keyspaces.iter().all(|k| k.rotate_memtable().is_ok()) {
                written.buffered = 0;
            }
        }
        Ok(())
    }
}

/// A batch in the making.
struct Write {
    batch: OwnedWriteBatch,
    /// About how many bytes it will take in the write buffers.
    bytes: u64,
}

impl Write {
    fn put_rows(&mut self, keyspaces: &Keyspaces, batch: &Batch) -> Result<(), EngineError> {
        for (key, row) in &batch.rows {
            let place = row_place(batch.partition, key);
            match row {
                Some(row) => {
                    let record = seal_record(&place, &(long_name(key), row))?;
                    self.put(&keyspaces.rows, place, record);
                }
                None => self.remove(&keyspaces.rows, place),
            }
        }
        for change in &batch.indexes {
            let place = index_place(batch.partition, change.index, &change.key);
            match change.is_set {
                true => {
                    let record = seal_record(&place, &long_name(&change.key))?;
                    self.put(&keyspaces.indexes, place, record);
                }
                false => self.remove(&keyspaces.indexes, place),
            }
        }
        Ok(())
    }

    fn put_clock(&mut self, keyspaces: &Keyspaces, batch: &Batch) -> Result<(), EngineError> {
        for (actor, entry) in &batch.entries {
            let place = clock_place(batch.partition, *actor);
            let record = seal_record(&place, entry)?;
            self.put(&keyspaces.clock, place, record);
        }
        let frozen = batch.frozen.iter().map(|&(a, set)| (Mark::Frozen(a), set));
        let peers = batch.peers.iter().map(|&peer| (Mark::Peer(peer), true));
        let rebuilding = batch.rebuilding.map(|set| (Mark::Rebuilding, set));
        for (mark, is_set) in frozen.chain(peers).chain(rebuilding) {
            let place = mark_place(batch.partition, mark);
            match is_set {
                true => {
                    let record = seal_record(&place, &())?;
                    self.put(&keyspaces.marks, place, record);
                }
                false => self.remove(&keyspaces.marks, place),
            }
        }
        Ok(())
    }

    fn put(&mut self, keyspace: &Keyspace, place: Vec<u8>, record: Vec<u8>) {
        self.count(place.len() + record.len());
        self.batch.insert(keyspace, place, record);
    }

    fn remove(&mut self, keyspace: &Keyspace, place: Vec<u8>) {
        self.count(place.len());
        self.batch.remove(keyspace, place);
    }

    fn count(&mut self, bytes: usize) {
        self.bytes += (bytes + BUFFERED_PER_RECORD) as u64;
    }
}

impl Engine for Fjall {
    fn reader(&self) -> &dyn Reader {
        &self.held
    }

    fn commit(&self, batch: &Batch) -> Result<(), EngineError> {
        let done = self.held.with(|view| self.write(view, batch));
        done.map_err(|error| self.explain(error))
    }

    fn sync(&self) -> Result<(), EngineError> {
        let mut file = self.synced.lock();
        let number = self.written.lock().number;
        let kept = self
            .held
            .with(|view| Ok(view.database.persist(PersistMode::SyncAll)?));
        kept.and_then(|()| self.note_synced(&mut file, number))
            .map_err(|error| self.explain(error))
    }

    fn row_budget(&self) -> &RowBudget {
        &self.budget
    }

    fn snapshot(&self, _: PartitionId) -> Result<Arc<dyn Reader>, EngineError> {
        self.held.with(|view| {
            let snapshot = Arc::new(Held::new(View {
                database: view.database.clone(),
                keyspaces: view.keyspaces.clone(),
                snapshot: Some(view.database.snapshot()),
                dir: view.dir.clone(),
            }));
            let mut snapshots = self.snapshots.lock();
            snapshots.retain(|snapshot| snapshot.strong_count() > 0);
            snapshots.push(Arc::downgrade(&snapshot));
            let snapshot: Arc<dyn Reader> = snapshot;
            Ok(snapshot)
        })
    }

    fn space(&self) -> Result<Option<Space>, EngineError> {
        self.room()
    }

    fn check(&self) -> Result<(), EngineError> {
        // Every commit leaves nothing to persist so, but whether the database has failed.
        let check = |view: &View| Ok(view.database.persist(PersistMode::Buffer)?);
        let checked = self.held.with(check);
        checked.map_err(|error| self.explain(error))
    }

    fn reopen(&self) -> Result<Reopened, EngineError> {
        let (again, lost) = self.open_again()?;
        Ok(Reopened {
            engine: Arc::new(again),
            lost,
        })
    }
}

impl From<fjall::Error> for EngineError {
    fn from(error: fjall::Error) -> Self {
        match error {
            fjall::Error::Poisoned => return Self::Failed,
            // By this process: another one has been refused before the database was asked.
            fjall::Error::Locked => {
                return Self::Io {
                    what: "database is open already".to_owned(),
                    source: io::ErrorKind::WouldBlock.into(),
                };
            }
            _ => {}
        }
        let mut cause: Option<&dyn Error> = Some(&error);
        while let Some(error) = cause {
            let source = error.downcast_ref::<io::Error>();
            // A missing file, or a place beyond a file's end, is damage of what is there and no
            // failure of the system that reads it.
            let of_damage = |e: &&io::Error| {
                matches!(
                    e.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::InvalidInput
                )
            };
            let source = source.filter(|source| !of_damage(source));
            if let Some(code) = source.and_then(io::Error::raw_os_error) {
                return Self::Io {
                    what: "database".to_owned(),
                    source: io::Error::from_raw_os_error(code),
                };
            }
            cause = error.source();
        }
        Self::Database(error.to_string())
    }
}
