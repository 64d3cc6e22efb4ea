//! The storage engine as the runtime uses it: opened, watched, and forced to disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tracing::error;

use super::core::Core;
use super::error::StartError;
use super::identity::GenerationFile;
use crate::config::Storage;
use crate::placement::PartitionId;
use crate::store::engine::{Batch, Engine, EngineError, Loaded};

/// How often what was written is forced to disk. A power cut loses at most this much of
/// what a node acknowledged; its replicas still have it. A crash of the process loses
/// nothing, since every commit reaches the operating system.
const SYNC_INTERVAL: Duration = Duration::from_millis(100);

/// The default place for data, relative to the working directory.
const DEFAULT_DIRECTORY: &str = "netdb-data";

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
    fn load(&self, partition: PartitionId) -> Result<Loaded, EngineError> {
        self.engine.load(partition)
    }

    fn commit(&self, batch: Batch) -> Result<(), EngineError> {
        let done = self.engine.commit(batch);
        self.dirty.store(true, Ordering::Release);
        done
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.engine.sync()
    }
}

/// Where a node keeps its data.
pub(super) struct Place {
    directory: Option<PathBuf>,
}

impl Place {
    /// The place that `storage` names for the node `name`.
    pub(super) fn new(storage: &Storage, name: &str) -> Self {
        let directory = match storage {
            Storage::DefaultDirectory => Some(Path::new(DEFAULT_DIRECTORY).join(name)),
            Storage::Directory(directory) => Some(directory.clone()),
            Storage::Memory => None,
        };
        Self { directory }
    }

    /// In words, for people.
    pub(super) fn words(&self) -> String {
        self.directory
            .as_ref()
            .map_or_else(|| "memory".to_owned(), |d| d.display().to_string())
    }

    /// Takes the directory, if there is one, for this process. Blocks.
    pub(super) fn claim(&self) -> Result<Claim, StartError> {
        todo!()
    }
}

pub(super) struct Claim {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) generations: GenerationFile,
}

/// The task that forces what was written to disk, once per [`SYNC_INTERVAL`] at most. It
/// runs on a thread of its own because an fsync may take long, and ends after a last sync
/// when the node stops.
pub(super) async fn sync_regularly(core: Arc<Core>) {
    let mut ticks = tokio::time::interval(SYNC_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failed = false;
    loop {
        let last = tokio::select! {
            _ = ticks.tick() => false,
            () = core.stopped.cancelled() => true,
        };
        let engine = core.engine.clone();
        let synced = tokio::task::spawn_blocking(move || engine.sync_if_dirty()).await;
        match synced {
            Ok(Ok(synced)) => {
                failed = false;
                core.counters.disk_syncs.add(usize::from(synced));
            }
            Ok(Err(error)) => {
                core.counters.storage_errors.one();
                if !std::mem::replace(&mut failed, true) {
                    error!(%error, "what was written could not be forced to disk; trying again");
                }
            }
            Err(_) => return,
        }
        if last {
            return;
        }
    }
}
