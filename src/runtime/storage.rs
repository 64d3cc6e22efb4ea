//! Where a node keeps its data, and the engine that keeps it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::warn;

use super::error::StartError;
use super::identity::GenerationFile;
use crate::config::Storage;
use crate::placement::PartitionId;
use crate::store::engine::{Batch, Engine, EngineError, Fjall, Memory, Reader};
use crate::store::{MemoryBudget, RowBudget};

/// The default place for data, relative to the working directory.
const DEFAULT_DIRECTORY: &str = "netdb-data";

/// Where in a node's directory the engine lives.
const ENGINE_DIRECTORY: &str = "store";

/// An engine that knows whether something was committed since it was last synced.
pub(super) struct Watched {
    engine: Arc<dyn Engine>,
    dirty: AtomicBool,
}

impl Watched {
    pub(super) fn new(engine: Arc<dyn Engine>) -> Self {
        Self {
            engine,
            dirty: AtomicBool::new(false),
        }
    }

    /// Forces to disk what was committed before the call, if anything was. Returns whether
    /// there was something. Blocks.
    pub(super) fn sync_if_dirty(&self) -> Result<bool, EngineError> {
        // Cleared before the sync: a commit during it must cause another one.
        if !self.dirty.swap(false, Ordering::AcqRel) {
            return Ok(false);
        }
        match self.engine.sync() {
            Ok(()) => Ok(true),
            Err(error) => {
                self.dirty.store(true, Ordering::Release);
                Err(error)
            }
        }
    }
}

impl Engine for Watched {
    fn reader(&self) -> &dyn Reader {
        self.engine.reader()
    }

    fn commit(&self, batch: &Batch) -> Result<(), EngineError> {
        let done = self.engine.commit(batch);
        self.dirty.store(true, Ordering::Release);
        done
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.engine.sync()
    }

    fn row_budget(&self) -> &RowBudget {
        self.engine.row_budget()
    }

    fn snapshot(&self, partition: PartitionId) -> Arc<dyn Reader> {
        self.engine.snapshot(partition)
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
