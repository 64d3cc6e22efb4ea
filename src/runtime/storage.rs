//! Where a node keeps its data, and the engine that keeps it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::warn;

use super::disk::Disk;
use super::error::StartError;
use super::identity::GenerationFile;
use crate::config::Storage;
use crate::placement::PartitionId;
use crate::store::engine::{Batch, Engine, EngineError, Fjall, Memory, Reader, Reopened, Space};
use crate::store::{MemoryBudget, RowBudget, row_bytes};

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
    stopped: AtomicBool,
}

impl Watched {
    pub(super) fn new(engine: Arc<dyn Engine>, disk: Arc<Disk>) -> Self {
        Self {
            engine,
            disk,
            dirty: AtomicBool::new(false),
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
}

impl Engine for Watched {
    fn reader(&self) -> &dyn Reader {
        self.engine.reader()
    }

    fn commit(&self, batch: &Batch) -> Result<(), EngineError> {
        let done = self.unless_stopped(|| self.engine.commit(batch));
        self.dirty.store(true, Ordering::Release);
        let rows = batch
            .rows
            .iter()
            .filter_map(|(k, row)| Some((k, row.as_ref()?)));
        let bytes = rows.map(|(key, row)| row_bytes(key, row) as u64);
        self.disk.wrote(bytes.sum());
        done
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.unless_stopped(|| self.engine.sync())
    }

    fn row_budget(&self) -> &RowBudget {
        self.engine.row_budget()
    }

    fn snapshot(&self, partition: PartitionId) -> Result<Arc<dyn Reader>, EngineError> {
        self.engine.snapshot(partition)
    }

    fn space(&self) -> Result<Option<Space>, EngineError> {
        self.engine.space()
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

    /// How much memory the data may take; none if it is in memory only.
    pub(super) fn budget(&self) -> Option<u64> {
        self.directory.as_ref().map(|_| self.budget)
    }

    /// In words, for people.
    pub(super) fn words(&self) -> String {
        self.directory
            .as_ref()
            .map_or_else(|| "memory".to_owned(), |d| d.display().to_string())
    }

    /// Takes the directory, if there is one, for this process, and opens the engine. Blocks.
    pub(super) fn open(&self) -> Result<Opened, StartError> {
        let Some(directory) = &self.directory else {
            return Ok(Opened {
                engine: Arc::new(Memory::new()),
                generations: GenerationFile::in_memory(),
            });
        };
        std::fs::create_dir_all(directory).map_err(|error| StartError::Directory {
            path: directory.clone(),
            reason: error.to_string(),
        })?;
        // The engine locks its directory, so whoever has it open owns the generation too.
        let path = directory.join(ENGINE_DIRECTORY);
        let engine = Fjall::open(&path, MemoryBudget::new(self.budget));
        let engine = engine.map_err(|error| match error {
            EngineError::Locked { pid, .. } => StartError::DirectoryInUse {
                path: directory.clone(),
                pid,
            },
            error => StartError::Storage(error.to_string()),
        })?;
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
        })
    }
}

/// An opened place.
pub(super) struct Opened {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) generations: GenerationFile,
}

/// What the opening of the data came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    /// How long it took, in milliseconds.
    pub(super) took_ms: u64,
    /// How many bytes of memory the data may take, if it is not in memory only.
    pub(super) memory_budget: Option<u64>,
}
