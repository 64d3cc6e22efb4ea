//! The file that a backup comes from.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use netdb::backup::{Damage, Part, Reader, Totals};

use crate::cli::failure::Failure;
use crate::cli::files::unreadable;

/// Bytes per read. Memory follows what is read, not what the file declares.
const READ_BYTES: usize = 256 * 1024;

/// A file of a backup that is being read and checked.
pub struct Source {
    path: PathBuf,
    file: File,
    reader: Reader,
    buffer: BytesMut,
    /// Bytes read so far, and in all.
    pub read: u64,
    /// Bytes in all.
    pub length: u64,
}

impl Source {
    /// Opens it.
    ///
    /// # Errors
    /// [`Failure::Usage`]: it cannot be read.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let refuse = |words: &str| Failure::usage(format!("{} {words}", path.display()));
        let file = File::open(path).map_err(|error| refuse(&unreadable(&error)))?;
        let found = file
            .metadata()
            .map_err(|error| refuse(&unreadable(&error)))?;
        if found.is_dir() {
            return Err(refuse("is a directory; give the file of a backup"));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            reader: Reader::new(),
            buffer: BytesMut::new(),
            read: 0,
            length: found.len(),
        })
    }

    /// The next part; none at the end, where everything has been found whole.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn next(&mut self) -> Result<Option<Part>, Failure> {
        loop {
            let part = self.reader.next(&mut self.buffer);
            if let Some(part) = part.map_err(|damage| self.damaged(&damage))? {
                return Ok(Some(part));
            }
            if self.fill()? == 0 {
                let end = self.reader.finish(&self.buffer);
                return end.map(|()| None).map_err(|damage| self.damaged(&damage));
            }
        }
    }

    /// Goes back to the start.
    ///
    /// # Errors
    /// The file cannot be read twice.
    pub fn rewind(&mut self) -> Result<(), Failure> {
        let back = self.file.seek(SeekFrom::Start(0));
        back.map_err(|error| self.unread(&error))?;
        self.reader = Reader::new();
        self.buffer.clear();
        self.read = 0;
        Ok(())
    }

    /// How much it held so far.
    pub fn totals(&self) -> Totals {
        self.reader.totals()
    }

    fn fill(&mut self) -> Result<usize, Failure> {
        let filled = self.buffer.len();
        self.buffer.resize(filled + READ_BYTES, 0);
        let read = self.file.read(&mut self.buffer[filled..]);
        let count = *read.as_ref().unwrap_or(&0);
        self.buffer.truncate(filled + count);
        self.read += count as u64;
        read.map_err(|error| self.unread(&error))
    }

    fn unread(&self, error: &std::io::Error) -> Failure {
        Failure::broken(format!("{} cannot be read: {error}", self.path.display()))
    }

    fn damaged(&self, damage: &Damage) -> Failure {
        Failure::broken(format!("{} is damaged at {damage}", self.path.display()))
    }
}
