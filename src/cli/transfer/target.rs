//! The file that a backup goes to: there when it is whole and on the disk, and not before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::cli::failure::Failure;

/// A file on its way. Dropped before it is [kept](Self::keep), it is removed.
pub struct Target {
    path: PathBuf,
    directory: PathBuf,
    temporary: PathBuf,
    file: File,
    replaces: bool,
    kept: bool,
}

impl Target {
    /// Begins to write what will be at `path`; what is there is replaced only if `replaces`.
    ///
    /// # Errors
    /// [`Failure::Usage`]: there is something, or nothing can be written there.
    pub fn create(path: &Path, replaces: bool) -> Result<Self, Failure> {
        let refuse = |words: &str| Failure::usage(format!("{} {words}", path.display()));
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => {
                return Err(refuse("is a directory; give the path of a file"));
            }
            Ok(found) if !found.is_file() => {
                return Err(refuse("is no regular file; give another path"));
            }
            Ok(_) if !replaces => {
                return Err(refuse(EXISTS));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(refuse(&format!("cannot be written: {error}")));
            }
            _ => {}
        }
        let name = path.file_name();
        let name = name.ok_or_else(|| refuse("is no name of a file"))?;
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.partial", std::process::id()));
        let temporary = directory.join(hidden);
        let file = create_private(&temporary).map_err(|error| {
            let path = temporary.display();
            Failure::usage(format!("{path} cannot be written: {error}"))
        })?;
        Ok(Self {
            path: path.to_owned(),
            directory,
            temporary,
            file,
            replaces,
            kept: false,
        })
    }

    /// Appends.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| broken(&self.temporary, &error))
    }

    /// Takes back all but the first `length` bytes.
    ///
    /// # Errors
    /// The disk fails.
    pub fn cut(&mut self, length: u64) -> Result<(), Failure> {
        let cut = self.file.set_len(length);
        let cut = cut.and_then(|()| self.file.seek(SeekFrom::Start(length)));
        cut.map(drop)
            .map_err(|error| broken(&self.temporary, &error))
    }

    /// Everything is written: forces it to the disk and gives it its name.
    ///
    /// # Errors
    /// The disk fails, or there is something of that name by now.
    pub fn keep(mut self) -> Result<(), Failure> {
        let synced = self.file.sync_all();
        synced.map_err(|error| broken(&self.temporary, &error))?;
        if !self.replaces && self.path.exists() {
            return Err(Failure::broken(format!("{} {EXISTS}", self.path.display())));
        }
        fs::rename(&self.temporary, &self.path).map_err(|error| broken(&self.path, &error))?;
        self.kept = true;
        // So that the name survives a loss of power as well.
        let directory = File::open(&self.directory).and_then(|directory| directory.sync_all());
        directory.map_err(|error| broken(&self.directory, &error))
    }
}

const EXISTS: &str = "exists; give another path, or --force to replace it";

impl Drop for Target {
    fn drop(&mut self) {
        if !self.kept {
            // If it cannot be removed, its name says what it is.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// A backup holds everything that the node holds: nobody else may read it.
fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn broken(path: &Path, error: &io::Error) -> Failure {
    Failure::broken(format!("{} cannot be written: {error}", path.display()))
}
