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
//! This folder is what touches the disk in the store; `journal` mends a torn journal before
//! the database sees it.

mod files;
mod journal;
mod records;

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use blake2::{Blake2s256, Digest};
use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::Mutex;

use self::files::{check_format, io, lock, open_synced};
pub use self::journal::Mended;
use self::records::{open_record, seal_record};

use super::{Batch, Engine, EngineError, Loaded};
use crate::clock::{ActorId, Entry, NodeId};
use crate::object::Row;
use crate::placement::PartitionId;

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

/// Keeps partitions in a directory.
pub struct Fjall {
    mended: Option<Mended>,
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
        let mended = journal::mend(&path).map_err(io("cannot mend the journal in", &path))?;
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
            mended,
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

impl Fjall {
    /// What had to be done to the journal at opening.
    pub fn mended(&self) -> Option<&Mended> {
        self.mended.as_ref()
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

impl From<fjall::Error> for EngineError {
    fn from(error: fjall::Error) -> Self {
        Self::Database(error.to_string())
    }
}
