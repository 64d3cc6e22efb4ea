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
//! Beside the database lie six files: `FORMAT` (refused if unknown), `LOCK` (held while
//! open, with the process id), `SYNCED`, the number of the last batch that was synced,
//! `KEYSPACE`, by what keys are placed, `REPLICAS`, which partitions have had another replica,
//! and `ROSTER`, the note that the node keeps ([`Engine::keep_note`]). `SYNCED` is there because
//! fjall 3.1 opens a journal that is damaged in the middle without an error and without what
//! followed: a database that is behind `SYNCED` has lost confirmed writes and is not opened.
//! Since it is no part of what a write waits for, it may itself lag behind after a loss of
//! power, by what was synced after the last [`Engine::settle`]: see `synced`. What then happens
//! to it is in `repair`, which needs `KEYSPACE` and `REPLICAS` when the database itself cannot be
//! asked; `ROSTER` is no part of it, and stays where it is.
//!
//! This folder is what touches the disk in the store; `journal` mends a torn journal before
//! the database sees it, `forcing` forces it to disk, `specimen` opens a database without
//! changing it, `examine` says what is wrong with it, and `reopen` closes a database that has
//! failed and opens it again.

mod examine;
mod failure;
mod files;
mod forcing;
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
mod synced;
mod view;
mod write;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use fjall::PersistMode;
use parking_lot::Mutex;

pub use self::examine::{Bad, Examined, Sums, examine};
use self::files::{
    Note, check_or_write_format, io, lock, read_keyspace, read_note, read_replicated,
    write_keyspace, write_note, write_replicated,
};
use self::forcing::Forcing;
use self::held::Held;
pub use self::journal::Mended;
use self::opening::{Opened, open_database, replicated};
pub use self::quarantine::quarantine_of;
pub use self::repair::{Repair, Repaired, SetAside, open_or_repair, repair};
pub use self::salvage::Salvaged;
use self::synced::Synced;
use self::view::View;
use self::write::Write;
use super::{Batch, Engine, EngineError, Reader, Reopened, Space, check_note};
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
    syncing: Mutex<Syncing>,
    /// Whether forcing something to disk has failed: nothing is kept any more then.
    has_failed: AtomicBool,
    replicated: Mutex<Replicated>,
    /// One note is kept at a time.
    noting: Mutex<()>,
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

/// What one sync at a time needs.
struct Syncing {
    forcing: Forcing,
    synced: Synced,
}

/// The partitions that have had another replica.
struct Replicated {
    partitions: BTreeSet<PartitionId>,
    /// Whether `REPLICAS` says so too.
    is_noted: bool,
}

impl Replicated {
    /// Follows a batch that may have changed whether `partition` has had another replica. The
    /// batch is kept whether this works or not; if not, the next opening does it.
    fn look(&mut self, view: &View, partition: PartitionId) {
        let has_changed = match view.has_another(partition) {
            Ok(true) => self.partitions.insert(partition),
            Ok(false) => self.partitions.remove(&partition),
            Err(_) => false,
        };
        self.is_noted &= !has_changed;
    }
}

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
        let (synced, confirmed) = Synced::open(dir)?;
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
            syncing: Mutex::new(Syncing {
                forcing: Forcing::new(dir.join("fjall")),
                synced,
            }),
            has_failed: AtomicBool::new(false),
            noting: Mutex::default(),
            lock,
        })
    }

    /// What had to be done to the journal at opening.
    pub fn mended(&self) -> Option<&Mended> {
        self.mended.as_ref()
    }

    /// Whether there is a note and it is damaged, so that [`Engine::note`] gives none.
    ///
    /// # Errors
    /// It cannot be read at all.
    pub fn is_note_damaged(&self) -> Result<bool, EngineError> {
        Ok(matches!(read_note(&self.dir)?, Note::Damaged))
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

    /// Forces to disk what was committed.
    fn force(&self, view: &View, forcing: &mut Forcing) -> Result<(), EngineError> {
        self.look_failed()?;
        // The database does not see what went wrong beside it.
        let failed = |_: &_| self.has_failed.store(true, Ordering::Release);
        forcing.force(&view.database).inspect_err(failed)
    }

    /// Whether what is written now would come after something that may be lost.
    fn look_failed(&self) -> Result<(), EngineError> {
        match self.has_failed.load(Ordering::Acquire) {
            true => Err(EngineError::Failed),
            false => Ok(()),
        }
    }

    /// Notes in the files beside the database what was synced.
    fn note_synced(&self, synced: &mut Synced, number: u64) -> Result<(), EngineError> {
        synced.note(number)?;
        let mut replicated = self.replicated.lock();
        if !replicated.is_noted {
            write_replicated(&self.dir, &replicated.partitions)?;
            replicated.is_noted = true;
        }
        Ok(())
    }

    /// Commits `batch` under the next number.
    fn write(&self, view: &View, batch: &Batch) -> Result<(), EngineError> {
        self.look_failed()?;
        let write = Write::of(view, batch)?;
        let mut written = self.written.lock();
        let next = written.number + 1;
        let bytes = write.commit_as(next)?;
        written.number = next;
        written.buffered += bytes;
        if batch.clear || batch.rebuilding.is_some() || !batch.peers.is_empty() {
            self.replicated.lock().look(view, batch.partition);
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

impl Engine for Fjall {
    fn reader(&self) -> &dyn Reader {
        &self.held
    }

    fn commit(&self, batch: &Batch) -> Result<(), EngineError> {
        let done = self.held.with(|view| self.write(view, batch));
        done.map_err(|error| self.explain(error))
    }

    fn sync(&self) -> Result<(), EngineError> {
        let mut syncing = self.syncing.lock();
        let Syncing { forcing, synced } = &mut *syncing;
        // Known before the journal is looked for: see `forcing`.
        let number = self.written.lock().number;
        let kept = self.held.with(|view| self.force(view, forcing));
        kept.and_then(|()| self.note_synced(synced, number))
            .map_err(|error| self.explain(error))
    }

    fn settle(&self) -> Result<(), EngineError> {
        let syncing = self.syncing.lock();
        let settled = self.held.with(|_| {
            self.look_failed()?;
            syncing.synced.settle()
        });
        settled.map_err(|error| self.explain(error))
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

    fn note(&self) -> Result<Option<Bytes>, EngineError> {
        let note = self.held.with(|_| read_note(&self.dir))?;
        Ok(match note {
            Note::Kept(note) => Some(note),
            Note::Absent | Note::Damaged => None,
        })
    }

    fn keep_note(&self, note: &[u8]) -> Result<(), EngineError> {
        check_note(note)?;
        let _one = self.noting.lock();
        self.held.with(|_| write_note(&self.dir, note))
    }

    fn check(&self) -> Result<(), EngineError> {
        // Every commit leaves nothing to persist so, but whether the database has failed.
        let check = |view: &View| {
            self.look_failed()?;
            Ok(view.database.persist(PersistMode::Buffer)?)
        };
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
