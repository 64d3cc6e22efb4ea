//! `SYNCED`: the number of the last batch that was forced to disk.
//!
//! It is written once the journal has been forced, never before: a number that outlives its
//! batch would have a database refused that has lost nothing. Forcing the file each time would
//! double what a durable write costs, so that is left to [`Synced::settle`], which the node asks
//! for some times a second and at its end. What is noticed at the next opening by a number that
//! is missing:
//!
//! - After the process has ended, however: all. The system has what was written.
//! - After a loss of power: what was forced before the last settling. What was forced after it is
//!   on the disk like all else, but a disk that loses it nevertheless, or a journal that is
//!   damaged there, may not be noticed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::files::{self, open_small, read_small};
use super::records::{open_record, seal_record};
use crate::store::engine::EngineError;

/// The file, open.
pub(super) struct Synced {
    path: PathBuf,
    file: File,
    /// Its length, if that is known.
    length: Option<u64>,
}

impl Synced {
    /// Opens it in `dir`, or makes it; with the number in it. A torn or missing one confirms
    /// nothing: it is a second line of defence, not the first.
    pub(super) fn open(dir: &Path) -> Result<(Self, u64), EngineError> {
        let path = dir.join("SYNCED");
        let mut file = open_small(&path)?;
        let record = read_small(&mut file, &path)?;
        let number = open_record::<u64>(b"synced", &record).unwrap_or(0);
        let synced = Self {
            path,
            file,
            length: None,
        };
        Ok((synced, number))
    }

    /// Notes that batch `number` and all before it are on the disk.
    pub(super) fn note(&mut self, number: u64) -> Result<(), EngineError> {
        let record = seal_record(b"synced", &number)?;
        let length = record.len() as u64;
        let written = self.file.write_all_at(&record, 0).and_then(|()| {
            // Most have the length of the one before, and setting it costs a change of the file.
            if self.length.replace(length) != Some(length) {
                self.file.set_len(length)?;
            }
            Ok(())
        });
        written.map_err(|error| self.cannot(error))
    }

    /// Has what was noted survive a loss of power.
    pub(super) fn settle(&self) -> Result<(), EngineError> {
        self.file.sync_data().map_err(|error| self.cannot(error))
    }

    fn cannot(&self, error: io::Error) -> EngineError {
        files::io("cannot write", &self.path)(error)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn opened(dir: &Path) -> u64 {
        Synced::open(dir).unwrap().1
    }

    /// Whoever opens it after the process was killed finds what was noted, settled or not.
    #[test]
    fn what_was_noted_is_there_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let (mut synced, number) = Synced::open(dir.path()).unwrap();
        assert_eq!(number, 0);
        // Records become longer with their numbers.
        for number in [1, 250, 251, 70_000, u64::MAX] {
            synced.note(number).unwrap();
            assert_eq!(opened(dir.path()), number);
            synced.settle().unwrap();
            assert_eq!(opened(dir.path()), number);
        }
    }

    #[test]
    fn what_is_torn_confirms_nothing_and_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("SYNCED");
        for torn in [&[1_u8, 7][..], &[7; 200], &[]] {
            fs::write(&path, torn).unwrap();
            let (mut synced, number) = Synced::open(dir.path()).unwrap();
            assert_eq!(number, 0);
            synced.note(9).unwrap();
            assert_eq!(opened(dir.path()), 9);
        }
    }
}
