//! The files beside the database: `LOCK`, `FORMAT` and `SYNCED`.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::records::open_record;
use crate::store::engine::EngineError;

/// What `FORMAT` holds. Raise the number with every change of layout or record.
const FORMAT: &str = "netdb data 1\n";

/// The most bytes read of a small file beside the database.
const SMALL_FILE_MAX: u64 = 256;

/// Takes the directory for this process, or says which has it.
pub(super) fn lock(dir: &Path) -> Result<File, EngineError> {
    let path = dir.join("LOCK");
    let mut file = open_small(&path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let pid = read_small(&mut file, &path)?;
            let pid = String::from_utf8_lossy(&pid).trim().to_owned();
            return Err(EngineError::Locked {
                dir: dir.display().to_string(),
                pid,
            });
        }
        Err(TryLockError::Error(source)) => return Err(io("cannot lock", &path)(source)),
    }
    let pid = format!("{}\n", std::process::id());
    file.set_len(0)
        .and_then(|()| file.write_all(pid.as_bytes()))
        .map_err(io("cannot write", &path))?;
    Ok(file)
}

/// Refuses a directory of another format; a new one gets this.
pub(super) fn check_format(dir: &Path) -> Result<(), EngineError> {
    let path = dir.join("FORMAT");
    let mut file = open_small(&path)?;
    let found = read_small(&mut file, &path)?;
    if found == FORMAT.as_bytes() {
        return Ok(());
    }
    // Without a database this is a new directory, or one whose making was interrupted.
    if dir.join("fjall").exists() {
        return Err(EngineError::Format {
            dir: dir.display().to_string(),
            found: String::from_utf8_lossy(&found).trim().to_owned(),
            expected: FORMAT.trim(),
        });
    }
    file.set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| file.write_all(FORMAT.as_bytes()))
        .and_then(|()| file.sync_all())
        .map_err(io("cannot write", &path))
}

/// The file with the number of the last synced batch, and the number. A torn or missing one
/// confirms nothing: it is a second line of defence, not the first.
pub(super) fn open_synced(dir: &Path) -> Result<(File, u64), EngineError> {
    let path = dir.join("SYNCED");
    let mut file = open_small(&path)?;
    let record = read_small(&mut file, &path)?;
    let number = open_record::<u64>(b"synced", &record).unwrap_or(0);
    Ok((file, number))
}

fn open_small(path: &PathBuf) -> Result<File, EngineError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(io("cannot open", path))
}

fn read_small(file: &mut File, path: &Path) -> Result<Vec<u8>, EngineError> {
    let mut bytes = Vec::new();
    file.take(SMALL_FILE_MAX)
        .read_to_end(&mut bytes)
        .map_err(io("cannot read", path))?;
    Ok(bytes)
}

pub(super) fn io(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> EngineError {
    let what = format!("{what} {}", path.display());
    move |source| EngineError::Io { what, source }
}
