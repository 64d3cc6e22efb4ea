//! Closing a database that has failed, and opening it again in the same process.
//!
//! After a failed write or fsync fjall takes no more writes until it is opened again, and
//! rightly so: a system may drop the pages that it could not write and report the failure
//! once, so a second fsync that succeeds proves nothing (Rebello et al., *Can applications
//! recover from fsync failures?*, 2020). What the journals hold is therefore read and written
//! anew before the database is opened from them.

use std::fs::{self, File};
use std::io::Write;
use std::mem;

use super::files::io;
use super::{Fjall, journal};
use crate::store::engine::{EngineError, Space};

/// What is written to see whether the disk takes writes: more than one block of any disk.
const PROBE_BYTES: usize = 64 * 1024;

impl Fjall {
    /// Closes this opening, if the disk takes writes, and opens the directory again. Gives
    /// how many batches were committed and are gone, too.
    pub(super) fn open_again(&self) -> Result<(Self, u64), EngineError> {
        self.probe()?;
        self.close();
        let path = self.dir.join("fjall");
        journal::write_again(&path).map_err(io("cannot write the journals again in", &path))?;
        let again = Self::open_locked(&self.dir, self.memory, self.lock.clone())?;
        let lost = self.written.lock().number;
        let lost = lost.saturating_sub(again.written.lock().number);
        Ok((again, lost))
    }

    /// Takes the database from all who read it.
    fn close(&self) {
        // Nobody takes a snapshot of what is closed.
        self.held.close();
        let snapshots = mem::take(&mut *self.snapshots.lock());
        for snapshot in snapshots.iter().filter_map(std::sync::Weak::upgrade) {
            snapshot.close();
        }
    }

    /// Whether the disk takes and keeps a small file.
    fn probe(&self) -> Result<(), EngineError> {
        let path = self.dir.join("PROBE");
        let probed = File::create(&path).and_then(|mut file| {
            file.write_all(&[0xA5; PROBE_BYTES])?;
            file.sync_all()
        });
        // One that stays behind is written over by the next.
        let _ = fs::remove_file(&path);
        probed.map_err(io("cannot write", &self.dir))
    }

    /// Says of an error of writing where it was; and of one that only says that there was
    /// another before it, what the disk has to say now.
    pub(super) fn explain(&self, error: EngineError) -> EngineError {
        match error {
            EngineError::Io { source, .. } => io("cannot write", &self.dir)(source),
            EngineError::Failed => match self.probe() {
                Err(now) => now,
                Ok(()) => EngineError::Database(format!(
                    "cannot write {}: a write in the background failed",
                    self.dir.display()
                )),
            },
            other => other,
        }
    }

    /// The room on the file system; none if it does not say.
    pub(super) fn room(&self) -> Result<Option<Space>, EngineError> {
        let stat = rustix::fs::statvfs(&self.dir)
            .map_err(|error| io("cannot look at", &self.dir)(error.into()))?;
        // What is on its way to the disk included. A database that is closed has nothing.
        let buffered = self.held.with(|view| Ok(view.database.write_buffer_size()));
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        let space = Space {
            free_bytes: bytes(stat.f_bavail),
            total_bytes: bytes(stat.f_blocks),
            buffered_bytes: buffered.unwrap_or(0),
        };
        Ok((space.total_bytes > 0).then_some(space))
    }
}
