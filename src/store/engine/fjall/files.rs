//! The files beside the database: `LOCK`, `FORMAT`, `SYNCED`, `KEYSPACE`, `REPLICAS` and
//! `ROSTER`.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::records::{open_record, seal_record};
use crate::placement::{Keyspace, PartitionId};
use crate::store::engine::{EngineError, NOTE_BYTES_MAX};

/// What `FORMAT` holds. Raise the number with every change of layout or record.
const FORMAT: &str = "netdb data 4\n";

/// What `FORMAT` of every version begins with; a number follows.
const FORMAT_BEGIN: &str = "netdb data ";

/// The most bytes read of a small file beside the database.
const SMALL_FILE_MAX: u64 = 256;

/// The same of `REPLICAS`: more than runs of every second partition of 65,536 take.
const REPLICAS_BYTES_MAX: u64 = 512 * 1024;

/// The same of `ROSTER`: a note and what a record has around it, its version, the length of
/// the note and the checksum.
const ROSTER_BYTES_MAX: u64 = NOTE_BYTES_MAX as u64 + 32;

/// Takes the directory for this process, or says which has it.
pub(super) fn lock(dir: &Path) -> Result<File, EngineError> {
    let path = dir.join("LOCK");
    let mut file = open_small(&path)?;
    take(dir, &path, &mut file)?;
    let pid = format!("{}\n", std::process::id());
    file.set_len(0)
        .and_then(|()| file.write_all(pid.as_bytes()))
        .map_err(io("cannot write", &path))?;
    Ok(file)
}

/// The same without writing anything, for those who only read. None if nobody ever had it.
pub(super) fn lock_to_read(dir: &Path) -> Result<Option<File>, EngineError> {
    let path = dir.join("LOCK");
    let mut file = match File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(io("cannot open", &path))?,
    };
    take(dir, &path, &mut file)?;
    Ok(Some(file))
}

fn take(dir: &Path, path: &Path, file: &mut File) -> Result<(), EngineError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let pid = read_small(file, path)?;
            let pid = String::from_utf8_lossy(&pid).trim().to_owned();
            Err(EngineError::Locked {
                dir: dir.display().to_string(),
                pid,
            })
        }
        Err(TryLockError::Error(source)) => Err(io("cannot lock", path)(source)),
    }
}

/// Refuses a directory of another format.
///
/// # Errors
/// [`EngineError::Format`] if it is of another version, [`EngineError::Damaged`] if it is of none.
pub(super) fn check_format(dir: &Path) -> Result<(), EngineError> {
    let path = dir.join("FORMAT");
    let found = read_if_any(&path, SMALL_FILE_MAX)?.unwrap_or_default();
    if found == FORMAT.as_bytes() {
        return Ok(());
    }
    let found = String::from_utf8_lossy(&found).into_owned();
    let number = found.strip_prefix(FORMAT_BEGIN);
    let number = number.and_then(|rest| rest.strip_suffix('\n')?.parse::<u64>().ok());
    Err(match number {
        Some(_) => EngineError::Format {
            dir: dir.display().to_string(),
            found: found.trim().to_owned(),
            expected: FORMAT.trim(),
        },
        None => EngineError::Damaged("FORMAT does not name a version"),
    })
}

/// The same; a new directory gets this format.
pub(super) fn check_or_write_format(dir: &Path) -> Result<(), EngineError> {
    let checked = check_format(dir);
    // Without a database this is a new directory, or one whose making was interrupted.
    if checked.is_ok() || dir.join("fjall").exists() {
        return checked;
    }
    let path = dir.join("FORMAT");
    let mut file = open_small(&path)?;
    file.set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| file.write_all(FORMAT.as_bytes()))
        .and_then(|()| file.sync_all())
        .map_err(io("cannot write", &path))
}

/// The number in `SYNCED`; none if it cannot be read.
pub(super) fn read_synced(dir: &Path) -> Result<Option<u64>, EngineError> {
    read_record(dir, "SYNCED", b"synced", SMALL_FILE_MAX)
}

/// How the keys of the directory are placed, as `KEYSPACE` says; none if it cannot be read.
pub(super) fn read_keyspace(dir: &Path) -> Result<Option<Keyspace>, EngineError> {
    let found = read_record(dir, "KEYSPACE", b"keyspace", SMALL_FILE_MAX)?;
    Ok(found.map(|(partitions, hash_seed)| Keyspace {
        partitions,
        hash_seed,
    }))
}

/// Notes how keys are placed.
pub(super) fn write_keyspace(dir: &Path, keyspace: Keyspace) -> Result<(), EngineError> {
    let value = (keyspace.partitions, keyspace.hash_seed);
    write_record(dir, "KEYSPACE", b"keyspace", &value)
}

/// The partitions that have had another replica, as `REPLICAS` says; none if it cannot be
/// read. The database knows too: this is for the day when it cannot be asked.
pub(super) fn read_replicated(dir: &Path) -> Result<Option<BTreeSet<PartitionId>>, EngineError> {
    let runs: Option<Vec<(u16, u16)>> =
        read_record(dir, "REPLICAS", b"replicas", REPLICAS_BYTES_MAX)?;
    let partitions = |runs: Vec<(u16, u16)>| {
        let partitions = runs.into_iter().flat_map(|(first, last)| first..=last);
        partitions.map(PartitionId).collect()
    };
    Ok(runs.map(partitions))
}

/// Notes which partitions have had another replica.
pub(super) fn write_replicated(
    dir: &Path,
    partitions: &BTreeSet<PartitionId>,
) -> Result<(), EngineError> {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for partition in partitions {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(partition.0) => *last = partition.0,
            _ => runs.push((partition.0, partition.0)),
        }
    }
    write_record(dir, "REPLICAS", b"replicas", &runs)
}

/// A note that was read.
pub(super) enum Note {
    /// There is none.
    Absent,
    /// There is one, and it is not what was written.
    Damaged,
    /// This one.
    Kept(Bytes),
}

/// The note, as `ROSTER` has it. A file that is longer than a note may be is not read.
pub(super) fn read_note(dir: &Path) -> Result<Note, EngineError> {
    let path = dir.join("ROSTER");
    let length = fs::metadata(&path).map_or(0, |file| file.len());
    if length > ROSTER_BYTES_MAX {
        return Ok(Note::Damaged);
    }
    let Some(record) = read_if_any(&path, ROSTER_BYTES_MAX)? else {
        return Ok(Note::Absent);
    };
    Ok(match open_record(b"roster", &record) {
        Ok(note) => Note::Kept(note),
        Err(_) => Note::Damaged,
    })
}

/// Puts `note` in the place of the one before.
pub(super) fn write_note(dir: &Path, note: &[u8]) -> Result<(), EngineError> {
    write_record(dir, "ROSTER", b"roster", &Bytes::copy_from_slice(note))
}

fn read_record<T: serde::de::DeserializeOwned>(
    dir: &Path,
    name: &str,
    place: &[u8],
    bytes_max: u64,
) -> Result<Option<T>, EngineError> {
    let record = read_if_any(&dir.join(name), bytes_max)?;
    Ok(record.and_then(|record| open_record(place, &record).ok()))
}

/// Puts a record in the place of a file, whole or not at all.
fn write_record<T: serde::Serialize>(
    dir: &Path,
    name: &str,
    place: &[u8],
    value: &T,
) -> Result<(), EngineError> {
    let (path, new) = (dir.join(name), dir.join(format!("{name}.new")));
    let record = seal_record(place, value)?;
    let written = File::create(&new)
        .and_then(|mut file| file.write_all(&record).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&new, &path))
        .and_then(|()| sync_dir(dir));
    written.map_err(io("cannot write", &path))
}

/// Makes what was created, renamed or removed in `dir` survive a loss of power.
pub(super) fn sync_dir(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}

fn read_if_any(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, EngineError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(io("cannot open", path))?,
    };
    let mut bytes = Vec::new();
    let read = file.take(bytes_max).read_to_end(&mut bytes);
    read.map_err(io("cannot read", path))?;
    Ok(Some(bytes))
}

pub(super) fn open_small(path: &PathBuf) -> Result<File, EngineError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(io("cannot open", path))
}

pub(super) fn read_small(file: &mut File, path: &Path) -> Result<Vec<u8>, EngineError> {
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
