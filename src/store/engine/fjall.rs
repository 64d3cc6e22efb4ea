//! The engine on disk: one fjall database per node.
//!
//! Layout: keyspace `rows` holds partition and key to row, `clock` holds partition and actor
//! to entry, `marks` holds partition and frozen actor or known replica, `meta` holds the number of the last batch. One batch of the database per
//! [`Batch`], so rows and clock are never apart (PROTOCOL R13). Every record opens with a
//! version and ends with a checksum over its key and itself; what does not check is an error
//! (R26).
//!
//! Beside the database lie three files: `FORMAT` (refused if unknown), `LOCK` (held while
//! open, with the process id), and `SYNCED`, the number of the last batch that was synced.
//! The last is there because fjall 3.1 opens a journal that is damaged in the middle without
//! an error and without what followed: a database that is behind `SYNCED` has lost confirmed
//! writes and is refused, to be filled again from the other replicas.
//!
//! This file and `journal`, which mends a torn journal before the database sees it, are the
//! ones of the store that touch the disk.

mod journal;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use blake2::{Blake2s256, Digest};
use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::warn;

use super::{Batch, Engine, EngineError, Loaded};
use crate::clock::{ActorId, Entry, NodeId};
use crate::object::Row;
use crate::placement::PartitionId;
use crate::store::codec;

/// What `FORMAT` holds. Raise the number with every change of layout or record.
const FORMAT: &str = "netdb data 1\n";

/// First byte of every record.
const RECORD_VERSION: u8 = 1;

/// Bytes of the checksum at the end of a record.
const CHECKSUM_BYTES: usize = 4;

/// What one decoded record may take: a row of more unresolved versions than can be merged,
/// each near the largest value, is no row of ours.
const RECORD_LIMIT: usize = 1024 * 1024 * 1024;

/// Keys up to this long are stored as they are. The database's own limit is 65,535 bytes,
/// prefix included; longer keys are stored under their hash.
const PLAIN_KEY_MAX: usize = 32 * 1024;

/// Tags of the two forms of a key.
const TAG_PLAIN: u8 = 0;
const TAG_HASHED: u8 = 1;

/// Tags of the two kinds of marks.
const TAG_FROZEN: u8 = 0;
const TAG_PEER: u8 = 1;

/// The key of the batch number in `meta`.
const META_BATCH: &[u8] = b"batch";

/// The most bytes read of a small file beside the database.
const SMALL_FILE_MAX: u64 = 256;

/// Keeps partitions in a directory.
pub struct Fjall {
    database: Database,
    rows: Keyspace,
    clock: Keyspace,
    marks: Keyspace,
    meta: Keyspace,
    /// The number of the last batch; its lock keeps batches in order.
    batch: Mutex<u64>,
    synced: Mutex<File>,
    /// Held until the process ends or this is dropped.
    _lock: File,
}

impl Fjall {
    /// Opens the directory, or makes it.
    ///
    /// Refused if another process has it, if it was written in another format, and if it
    /// lacks writes that were synced.
    pub fn open(dir: &Path) -> Result<Self, EngineError> {
        fs::create_dir_all(dir).map_err(io("cannot create data directory", dir))?;
        let lock = lock(dir)?;
        check_format(dir)?;
        let path = dir.join("fjall");
        if let Some(cut) = journal::mend(&path).map_err(io("cannot mend the journal in", &path))? {
            warn!(
                journal = %cut.path.display(),
                at = cut.at,
                rest = %cut.rest.display(),
                "journal was torn after its last whole batch, as a loss of power leaves it"
            );
        }
        let database = Database::builder(&path).open()?;
        let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default);
        let (rows, clock) = (keyspace("rows")?, keyspace("clock")?);
        let (marks, meta) = (keyspace("marks")?, keyspace("meta")?);
        let batch = match meta.get(META_BATCH)? {
            Some(record) => open_record::<u64>(META_BATCH, &record)?,
            None => 0,
        };
        let (synced, confirmed) = open_synced(dir)?;
        if batch < confirmed {
            return Err(EngineError::Behind {
                dir: dir.display().to_string(),
                found: batch,
                confirmed,
            });
        }
        Ok(Self {
            database,
            rows,
            clock,
            marks,
            meta,
            batch: Mutex::new(batch),
            synced: Mutex::new(synced),
            _lock: lock,
        })
    }
}

impl Engine for Fjall {
    fn load(&self, partition: PartitionId) -> Result<Loaded, EngineError> {
        let prefix = partition.0.to_be_bytes();
        let mut loaded = Loaded::default();
        for item in self.rows.prefix(prefix) {
            let (place, record) = item.into_inner()?;
            let (key, row) = open_record::<(Option<Bytes>, Row)>(&place, &record)?;
            loaded.rows.push((key_of(&place, key)?, row));
        }
        for item in self.clock.prefix(prefix) {
            let (place, record) = item.into_inner()?;
            let entry = open_record::<Entry>(&place, &record)?;
            loaded.clock.set(actor_of(&place)?, entry);
        }
        for item in self.marks.prefix(prefix) {
            let (place, record) = item.into_inner()?;
            open_record::<()>(&place, &record)?;
            match mark_of(&place)? {
                Mark::Frozen(actor) => loaded.frozen.insert(actor),
                Mark::Peer(node) => loaded.peers.insert(node),
            };
        }
        Ok(loaded)
    }

    fn commit(&self, batch: &Batch) -> Result<(), EngineError> {
        let mut write = self.database.batch().durability(Some(PersistMode::Buffer));
        for (key, row) in &batch.rows {
            let (place, whole) = row_place(batch.partition, key);
            match row {
                Some(row) => {
                    let record = seal_record(&place, &(whole, row))?;
                    write.insert(&self.rows, place, record);
                }
                None => write.remove(&self.rows, place),
            }
        }
        for (actor, entry) in &batch.entries {
            let place = clock_place(batch.partition, *actor);
            let record = seal_record(&place, entry)?;
            write.insert(&self.clock, place, record);
        }
        let frozen = batch.frozen.iter().map(|&(a, set)| (Mark::Frozen(a), set));
        let peers = batch.peers.iter().map(|&peer| (Mark::Peer(peer), true));
        for (mark, is_set) in frozen.chain(peers) {
            let place = mark_place(batch.partition, mark);
            match is_set {
                true => {
                    let record = seal_record(&place, &())?;
                    write.insert(&self.marks, place, record);
                }
                false => write.remove(&self.marks, place),
            }
        }
        let mut number = self.batch.lock();
        let next = *number + 1;
        write.insert(&self.meta, META_BATCH, seal_record(META_BATCH, &next)?);
        write.commit()?;
        *number = next;
        Ok(())
    }

    fn sync(&self) -> Result<(), EngineError> {
        let mut file = self.synced.lock();
        let number = *self.batch.lock();
        self.database.persist(PersistMode::SyncAll)?;
        let record = seal_record(b"synced", &number)?;
        let written = file
            .seek(SeekFrom::Start(0))
            .and_then(|_| file.write_all(&record))
            .and_then(|()| file.set_len(record.len() as u64))
            .and_then(|()| file.sync_data());
        written.map_err(|source| EngineError::Io {
            what: "cannot write the number of the last synced batch".to_owned(),
            source,
        })
    }
}

/// Version, value, checksum over `place` and both.
fn seal_record<T: Serialize>(place: &[u8], value: &T) -> Result<Vec<u8>, EngineError> {
    let mut record = vec![RECORD_VERSION];
    codec::encode_into(value, &mut record)?;
    let checksum = checksum(place, &record);
    record.extend_from_slice(&checksum.to_le_bytes());
    Ok(record)
}

fn open_record<T: DeserializeOwned>(place: &[u8], record: &[u8]) -> Result<T, EngineError> {
    let (sealed, stored) = record
        .split_last_chunk::<CHECKSUM_BYTES>()
        .ok_or(EngineError::Damaged("too short"))?;
    if checksum(place, sealed) != u32::from_le_bytes(*stored) {
        return Err(EngineError::Damaged("checksum does not match"));
    }
    let (version, value) = sealed
        .split_first()
        .ok_or(EngineError::Damaged("too short"))?;
    if *version != RECORD_VERSION {
        return Err(EngineError::Damaged("unknown version"));
    }
    Ok(codec::decode::<T, RECORD_LIMIT>(value)?)
}

fn checksum(place: &[u8], record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(place), record)
}

/// Where a row is stored, and the key if the place does not hold it.
fn row_place(partition: PartitionId, key: &Bytes) -> (Vec<u8>, Option<&Bytes>) {
    let mut place = partition.0.to_be_bytes().to_vec();
    if key.len() <= PLAIN_KEY_MAX {
        place.push(TAG_PLAIN);
        place.extend_from_slice(key);
        (place, None)
    } else {
        place.push(TAG_HASHED);
        place.extend_from_slice(&Blake2s256::digest(key));
        (place, Some(key))
    }
}

fn key_of(place: &[u8], whole: Option<Bytes>) -> Result<Bytes, EngineError> {
    match (place.get(2), whole) {
        (Some(&TAG_PLAIN), None) => Ok(Bytes::copy_from_slice(place.get(3..).unwrap_or(&[]))),
        (Some(&TAG_HASHED), Some(key)) => Ok(key),
        _ => Err(EngineError::Damaged("unknown form of a key")),
    }
}

fn clock_place(partition: PartitionId, actor: ActorId) -> Vec<u8> {
    let mut place = partition.0.to_be_bytes().to_vec();
    put_actor(&mut place, actor);
    place
}

fn put_actor(place: &mut Vec<u8>, actor: ActorId) {
    place.extend_from_slice(&actor.node.0.to_be_bytes());
    place.extend_from_slice(&actor.incarnation.to_be_bytes());
}

fn actor_of(place: &[u8]) -> Result<ActorId, EngineError> {
    match (word(place, 2), word(place, 10), place.len()) {
        (Some(node), Some(incarnation), 18) => Ok(ActorId {
            node: NodeId(node),
            incarnation,
        }),
        _ => Err(EngineError::Damaged("unknown form of an actor")),
    }
}

/// Something about a partition that is so or is not.
#[derive(Clone, Copy)]
enum Mark {
    Frozen(ActorId),
    Peer(NodeId),
}

fn mark_place(partition: PartitionId, mark: Mark) -> Vec<u8> {
    let mut place = partition.0.to_be_bytes().to_vec();
    match mark {
        Mark::Frozen(actor) => {
            place.push(TAG_FROZEN);
            put_actor(&mut place, actor);
        }
        Mark::Peer(node) => {
            place.push(TAG_PEER);
            place.extend_from_slice(&node.0.to_be_bytes());
        }
    }
    place
}

fn mark_of(place: &[u8]) -> Result<Mark, EngineError> {
    match (place.get(2), word(place, 3), word(place, 11), place.len()) {
        (Some(&TAG_FROZEN), Some(node), Some(incarnation), 19) => Ok(Mark::Frozen(ActorId {
            node: NodeId(node),
            incarnation,
        })),
        (Some(&TAG_PEER), Some(node), _, 11) => Ok(Mark::Peer(NodeId(node))),
        _ => Err(EngineError::Damaged("unknown form of a mark")),
    }
}

fn word(place: &[u8], at: usize) -> Option<u64> {
    let bytes = place.get(at..at.checked_add(8)?)?;
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

/// Takes the directory for this process, or says which has it.
fn lock(dir: &Path) -> Result<File, EngineError> {
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
fn check_format(dir: &Path) -> Result<(), EngineError> {
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
fn open_synced(dir: &Path) -> Result<(File, u64), EngineError> {
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

fn io(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> EngineError {
    let what = format!("{what} {}", path.display());
    move |source| EngineError::Io { what, source }
}

impl From<fjall::Error> for EngineError {
    fn from(error: fjall::Error) -> Self {
        Self::Database(error.to_string())
    }
}
