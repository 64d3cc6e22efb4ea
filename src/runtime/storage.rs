//! Where a node keeps its data, and the engine that keeps it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rand::Rng;
use tracing::warn;

use super::disk::Disk;
use super::error::StartError;
use super::identity::GenerationFile;
use super::time::wall_ms;
use crate::config::Storage;
use crate::placement::{Keyspace, PartitionId};
use crate::store::engine::{
    Batch, Engine, EngineError, Memory, Reader, Reopened, Repair, Repaired, Space, open_or_repair,
    quarantine_of,
};
use crate::store::{MemoryBudget, MemoryRoom, RowBudget, row_bytes};

/// The default place for data, relative to the working directory.
const DEFAULT_DIRECTORY: &str = "netdb-data";

/// Where in a node's directory the engine lives.
const ENGINE_DIRECTORY: &str = "store";

/// One opening of an engine that knows whether something was committed since it was last
/// synced, and that takes nothing more once it has failed.
pub(super) struct Watched {
    engine: Arc<dyn Engine>,
    disk: Arc<Disk>,
    dirty: AtomicBool,
    /// Whether something was synced that was not settled yet.
    unsettled: AtomicBool,
    stopped: AtomicBool,
}

impl Watched {
    pub(super) fn new(engine: Arc<dyn Engine>, disk: Arc<Disk>) -> Self {
        Self {
            engine,
            disk,
            dirty: AtomicBool::new(false),
            unsettled: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        }
    }

    /// Forces to disk what was committed before the call, if anything was. Returns whether
    /// there was something. Blocks.
    pub(super) fn sync_if_dirty(&self) -> Result<bool, EngineError> {
        // Cleared before the sync: a commit during it must cause another one.
        if !self.dirty.swap(false, Ordering::AcqRel) {
            return Ok(false);
        }
        match self.sync() {
            Ok(()) => Ok(true),
            Err(error) => {
                self.dirty.store(true, Ordering::Release);
                Err(error)
            }
        }
    }

    /// Settles what was synced before the call, if that was not done since. Blocks.
    pub(super) fn settle_if_due(&self) -> Result<(), EngineError> {
        match self.unsettled.swap(false, Ordering::AcqRel) {
            true => self.settle(),
            false => Ok(()),
        }
    }

    /// Tells the disk how much room there is, and what failed in the background. Blocks.
    pub(super) fn look(&self) {
        if let Ok(space) = self.engine.space() {
            self.disk.look(space);
        }
        // What has failed already is known.
        let _ = self.check();
    }

    /// Takes nothing more.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// Does `work` unless something has failed before; if it fails nothing follows. A second
    /// attempt could succeed without the first being kept.
    fn unless_stopped(
        &self,
        work: impl FnOnce() -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(EngineError::Failed);
        }
        work().inspect_err(|error| {
            self.stop();
            self.disk.fail(error.to_string());
        })
    }

    /// Commits rows of so many bytes.
    fn note_commit(
        &self,
        bytes: u64,
        commit: impl FnOnce() -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let done = self.unless_stopped(commit);
        self.dirty.store(true, Ordering::Release);
        self.disk.wrote(bytes);
        done
    }
}

/// About how many bytes the rows of a batch take.
fn bytes_of(batch: &Batch) -> u64 {
    let rows = batch.rows.iter();
    let rows = rows.filter_map(|(key, row)| Some(row_bytes(key, row.as_ref()?) as u64));
    rows.sum()
}

impl Engine for Watched {
    fn reader(&self) -> &dyn Reader {
        self.engine.reader()
    }

    fn commit(&self, batch: &Batch) -> Result<(), EngineError> {
        self.note_commit(bytes_of(batch), || self.engine.commit(batch))
    }

    fn commit_taking(&self, batch: &mut Batch) -> Result<(), EngineError> {
        self.note_commit(bytes_of(batch), || self.engine.commit_taking(batch))
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.unless_stopped(|| self.engine.sync())?;
        self.unsettled.store(true, Ordering::Release);
        Ok(())
    }

    fn settle(&self) -> Result<(), EngineError> {
        self.unless_stopped(|| self.engine.settle())
    }

    fn row_budget(&self) -> &RowBudget {
        self.engine.row_budget()
    }

    fn room(&self) -> Option<Arc<MemoryRoom>> {
        self.engine.room()
    }

    fn snapshot(&self, partition: PartitionId) -> Result<Arc<dyn Reader>, EngineError> {
        self.engine.snapshot(partition)
    }

    fn space(&self) -> Result<Option<Space>, EngineError> {
        self.engine.space()
    }

    fn note(&self) -> Result<Option<Bytes>, EngineError> {
        self.engine.note()
    }

    /// One that fails leaves nothing behind that a second attempt could build on.
    fn keep_note(&self, note: &[u8]) -> Result<(), EngineError> {
        self.engine.keep_note(note)
    }

    fn check(&self) -> Result<(), EngineError> {
        self.unless_stopped(|| self.engine.check())
    }

    fn reopen(&self) -> Result<Reopened, EngineError> {
        self.engine.reopen()
    }
}

/// Where a node keeps its data, and how much memory that may take.
pub(super) struct Place {
    directory: Option<PathBuf>,
    budget: u64,
}

impl Place {
    /// The place that `storage` names for the node `name`.
    pub(super) fn new(storage: &Storage, name: &str, budget: u64) -> Self {
        let directory = match storage {
            Storage::DefaultDirectory => Some(Path::new(DEFAULT_DIRECTORY).join(name)),
            Storage::Directory(directory) => Some(directory.clone()),
            Storage::Memory => None,
        };
        Self { directory, budget }
    }

    /// The directory, if there is one.
    pub(super) fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// How much memory the data may take.
    pub(super) fn budget(&self) -> u64 {
        self.budget
    }

    /// In words, for people.
    pub(super) fn words(&self) -> String {
        self.directory
            .as_ref()
            .map_or_else(|| "memory".to_owned(), |d| d.display().to_string())
    }

    /// Takes the directory, if there is one, for this process, and opens the engine. Blocks.
    pub(super) fn open(&self, keyspace: Keyspace) -> Result<Opened, StartError> {
        let Some(directory) = &self.directory else {
            return Ok(Opened {
                engine: Arc::new(Memory::within(self.budget)),
                generations: GenerationFile::in_memory(),
                quarantine: None,
            });
        };
        std::fs::create_dir_all(directory).map_err(|error| StartError::Directory {
            path: directory.clone(),
            reason: error.to_string(),
        })?;
        // The engine locks its directory, so whoever has it open owns the generation too.
        let path = directory.join(ENGINE_DIRECTORY);
        let how = Repair {
            keyspace: Some(keyspace),
            accept_loss: false,
            now_s: wall_ms() / 1_000,
            incarnation: rand::rng().next_u64(),
        };
        let memory = MemoryBudget::new(self.budget);
        let opened = open_or_repair(&path, memory, keyspace, &how);
        let (engine, repaired) = opened.map_err(|error| match error {
            EngineError::Locked { pid, .. } => StartError::DirectoryInUse {
                path: directory.clone(),
                pid,
            },
            error => StartError::Storage(error.to_string()),
        })?;
        if let Some(repaired) = &repaired {
            tell_of_repair(directory, repaired);
        }
        if let Some(mended) = engine.mended() {
            warn!(
                journal = %mended.path.display(),
                at = mended.at,
                rest = %mended.rest.display(),
                "journal was torn, as a loss of power leaves it; cut after its last whole batch"
            );
        }
        Ok(Opened {
            engine: Arc::new(engine),
            generations: GenerationFile::in_directory(directory),
            quarantine: quarantine_of(&path),
        })
    }
}

/// An opened place.
pub(super) struct Opened {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) generations: GenerationFile,
    /// Where what was damaged was set aside last.
    pub(super) quarantine: Option<PathBuf>,
}

impl Opening {
    /// Where what was damaged was set aside last, for people; nothing if nothing ever was.
    pub(super) fn quarantine_words(&self) -> String {
        let path = self.quarantine.as_ref();
        path.map(|path| path.display().to_string())
            .unwrap_or_default()
    }
}

/// Says what was set aside, and why.
fn tell_of_repair(directory: &Path, repaired: &Repaired) {
    let Some(aside) = &repaired.set_aside else {
        return;
    };
    let bad = repaired.examined.bad.iter().map(|bad| bad.partition);
    warn!(
        directory = %directory.display(),
        reason = repaired.examined.reason(),
        quarantine = %aside.to.display(),
        partitions = aside.rebuilding.len(),
        bad = listed(bad),
        "data is damaged: set aside, to be fetched again from the other members"
    );
}

/// Partitions by their numbers, as many as one line can take.
fn listed(partitions: impl ExactSizeIterator<Item = PartitionId>) -> String {
    const LISTED_MAX: usize = 16;
    let more = partitions.len().saturating_sub(LISTED_MAX);
    let numbers = partitions.take(LISTED_MAX).map(|id| id.to_string());
    let mut text = numbers.collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// What the opening of the data came to.
#[derive(Clone, Debug)]
pub(super) struct Opening {
    /// How long it took, in milliseconds.
    pub(super) took_ms: u64,
    /// How many bytes of memory the data may take.
    pub(super) memory_budget: u64,
    /// Where what was damaged was set aside last, if anything ever was.
    pub(super) quarantine: Option<PathBuf>,
}
