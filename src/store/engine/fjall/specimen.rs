//! A database that is looked at without being changed.
//!
//! fjall has no way to open for reading only: an opening cuts journals, removes files that it
//! takes for leftovers and begins new ones. So it gets a directory of its own: links to the
//! tables, which are never changed once they are written, and copies of everything else, which
//! is small. What is found is what a node would find that opened the database itself.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::files;
use super::opening::{Opened, open_database};
use super::view::View;
use crate::store::MemoryBudget;
use crate::store::engine::EngineError;

/// Folders whose files are never changed in place.
const UNCHANGING: [&str; 2] = ["tables", "blobs"];

/// What is copied at once.
const PIECE_BYTES: usize = 256 * 1024;

/// An opened copy. Its directory goes when it is dropped.
pub(super) struct Specimen {
    // In this order: the database is closed before its directory goes.
    opened: Opened,
    pub(super) view: View,
    _scratch: Scratch,
}

impl Specimen {
    /// Copies the database at `path` into the new directory `scratch` and opens it there.
    pub(super) fn open(path: &Path, scratch: &Path) -> Result<Self, EngineError> {
        let cannot = files::io("cannot copy the database for reading to", scratch);
        let scratch = Scratch::of(path, scratch).map_err(cannot)?;
        let opened = open_database(&scratch.0.join("fjall"), MemoryBudget::new(0))?;
        let view = View {
            database: opened.database.clone(),
            keyspaces: opened.keyspaces.clone(),
            snapshot: None,
            dir: None,
        };
        Ok(Self {
            opened,
            view,
            _scratch: scratch,
        })
    }

    /// The number of the last batch that is there.
    pub(super) fn batch(&self) -> u64 {
        self.opened.batch
    }

    /// Whether the journal had to be cut.
    pub(super) fn is_torn(&self) -> bool {
        self.opened.mended.is_some()
    }
}

struct Scratch(PathBuf);

impl Scratch {
    fn of(path: &Path, scratch: &Path) -> io::Result<Self> {
        let path = path.canonicalize()?;
        if scratch.exists() {
            fs::remove_dir_all(scratch)?;
        }
        fs::create_dir_all(scratch)?;
        let own = Self(scratch.to_owned());
        copy(&path, &scratch.join("fjall"), false)?;
        Ok(own)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // If it cannot be removed, its name says what it is.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn copy(from: &Path, to: &Path, links: bool) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            let unchanging = UNCHANGING.iter().any(|name| entry.file_name() == *name);
            copy(&from, &to, unchanging)?;
        } else if links {
            link(&from, &to)?;
        } else {
            copy_file(&from, &to)?;
        }
    }
    Ok(())
}

/// Leaves out what is zero: journals are made as large as they may become.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let (mut from, mut to) = (File::open(from)?, File::create(to)?);
    let zeros = vec![0; PIECE_BYTES];
    let mut piece = vec![0; PIECE_BYTES];
    let mut at = 0;
    loop {
        let read = from.read(&mut piece)?;
        let (Some(found), Some(nothing)) = (piece.get(..read), zeros.get(..read)) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        if read == 0 {
            return to.set_len(at);
        }
        if found != nothing {
            to.seek(SeekFrom::Start(at))?;
            to.write_all(found)?;
        }
        at += read as u64;
    }
}

#[cfg(unix)]
fn link(from: &Path, to: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(from, to)
}

#[cfg(not(unix))]
fn link(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to).map(|_| ())
}
