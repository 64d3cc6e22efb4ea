//! What is done about a damaged directory: what is in order is kept, the rest set aside, to
//! come back from other replicas.
//!
//! A partition that passes every check is exactly what it was after its last batch that is
//! there: perhaps an old state, which replicas mend as they mend a copy from yesterday. It may
//! be kept. One that does not pass must never be served: its clock may cover rows that are
//! gone, and those would be deletes, and spread. It begins anew, empty, with a mark that it is
//! *rebuilding*: until it was compared to the end with a replica that is whole, what is not in
//! it is not known to be absent. A database that lacks confirmed writes has lost some of any
//! partition: all of them are kept, and marked.
//!
//! What nobody else has is not given up without being told to. Then what can be read of it is
//! carried over (`salvage`).
//!
//! Nothing is deleted and nothing changed in place. A new database is made in `rebuilding/`,
//! synced and checked; renaming it to `rebuilt/` is the moment at which it counts. Then the old
//! files go to `quarantine/`, under the time of the repair, and the new ones take their places;
//! a crash in the middle of that is completed by the next opening, one before has changed
//! nothing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Fjall;
use super::examine::{Examined, Looked, look};
use super::files::{self, lock, sync_dir};
use super::guarded::guarded;
use super::quarantine::{
    BUILDING, BUILT, QUARANTINE, SPECIMEN, finish, free_name, remove, write_name,
};
use super::salvage::{Salvaged, salvage};
use crate::clock::{ActorId, NodeId};
use crate::placement::{Keyspace, PartitionId};
use crate::store::derived::{IndexChange, indexes};
use crate::store::elements::{Elements, Gathering};
use crate::store::engine::{Batch, Engine, EngineError, Loaded, Piece, Reader};
use crate::store::{MemoryBudget, Totals, verify};

/// What is copied at once: one batch of the new database.
const PIECE: Piece = Piece {
    rows: 1024,
    bytes: 1024 * 1024,
};

/// How to repair.
#[derive(Clone, Copy, Debug)]
pub struct Repair {
    /// How keys are placed, if the directory does not say.
    pub keyspace: Option<Keyspace>,
    /// Whether to go on without what nobody else has, and to take partitions that still wait
    /// for another replica as they are.
    pub accept_loss: bool,
    /// The time, in seconds since the Unix epoch: the name of what is set aside.
    pub now_s: u64,
    /// 64 random bits: the actor of what is carried over (PROTOCOL R1).
    pub incarnation: u64,
}

/// What a repair found and did.
#[derive(Clone, Debug)]
pub struct Repaired {
    /// What was found.
    pub examined: Examined,
    /// What was done; none if all was in order.
    pub set_aside: Option<SetAside>,
}

/// What was done about a damaged directory.
#[derive(Clone, Debug)]
pub struct SetAside {
    /// Where the old files are.
    pub to: PathBuf,
    /// The partitions that are to come back from other replicas, or to be compared with them.
    pub rebuilding: Vec<PartitionId>,
    /// Those of which there was no other replica: what was carried over.
    pub salvaged: Vec<Salvaged>,
}

/// Opens `dir`; repairs it first if it is damaged and that loses nothing that others have not.
/// Nobody else gets the directory in between.
///
/// # Errors
/// As [`Fjall::open`], [`Fjall::place_by`] and [`repair`].
pub fn open_or_repair(
    dir: &Path,
    memory: MemoryBudget,
    keyspace: Keyspace,
    how: &Repair,
) -> Result<(Fjall, Option<Repaired>), EngineError> {
    fs::create_dir_all(dir).map_err(files::io("cannot create data directory", dir))?;
    let lock = Arc::new(lock(dir)?);
    let open = || guarded(|| open_checked(dir, memory, keyspace, lock.clone()));
    let damage = match open() {
        Ok(engine) => return Ok((engine, None)),
        Err(error) if error.is_damage() => error,
        Err(error) => return Err(error),
    };
    let keyspace_known = Some(keyspace);
    let how = Repair {
        keyspace: keyspace_known,
        ..*how
    };
    let repaired = repair_locked(dir, &how)?;
    if repaired.set_aside.is_none() {
        return Err(damage);
    }
    let engine = open()?;
    Ok((engine, Some(repaired)))
}

/// Opens the directory and reads what every partition's opening must know.
fn open_checked(
    dir: &Path,
    memory: MemoryBudget,
    keyspace: Keyspace,
    lock: Arc<File>,
) -> Result<Fjall, EngineError> {
    let engine = Fjall::open_and_finish(dir, memory, lock)?;
    engine.place_by(keyspace)?;
    for partition in keyspace.all() {
        let loaded = engine.reader().load(partition)?;
        if loaded.clock.hash() != loaded.summary.clock {
            return Err(EngineError::Damaged(
                "a clock that is not of the last batch",
            ));
        }
    }
    Ok(engine)
}

/// Checks everything in `dir`. If something is wrong, sets the database aside and puts one in
/// its place that has what is in order.
///
/// # Errors
/// A process has the directory, it is of another format, [`EngineError::OnlyCopy`], or the disk
/// fails. The directory is as before then.
pub fn repair(dir: &Path, how: &Repair) -> Result<Repaired, EngineError> {
    let _lock = lock(dir)?;
    repair_locked(dir, how)
}

/// See [`repair`]; for who has the directory already.
fn repair_locked(dir: &Path, how: &Repair) -> Result<Repaired, EngineError> {
    finish(dir)?;
    let looked = look(dir, &dir.join(SPECIMEN), how.keyspace)?;
    let takes_as_is = how.accept_loss && !looked.examined.rebuilding.is_empty();
    if looked.examined.is_whole() && !takes_as_is {
        return Ok(Repaired {
            examined: looked.examined,
            set_aside: None,
        });
    }
    let suspect = looked.examined.problem.is_some();
    let at_risk = |id: &&PartitionId| suspect || looked.is_bad(**id);
    let lost = looked.only_copies.iter().filter(at_risk).count();
    if lost > 0 && !how.accept_loss {
        return Err(EngineError::OnlyCopy {
            dir: dir.display().to_string(),
            reason: looked.examined.reason(),
            partitions: lost,
        });
    }
    let set_aside = rebuild(dir, &looked, how)?;
    Ok(Repaired {
        examined: looked.examined,
        set_aside: Some(set_aside),
    })
}

fn rebuild(dir: &Path, looked: &Looked, how: &Repair) -> Result<SetAside, EngineError> {
    let building = dir.join(BUILDING);
    let cannot = || files::io("cannot make a new database in", &building);
    remove(&building).map_err(cannot())?;
    let engine = Fjall::open(&building, MemoryBudget::new(0))?;
    engine.place_by(looked.examined.keyspace)?;
    let mut builder = Builder {
        looked,
        how,
        engine: &engine,
        rebuilding: Vec::new(),
        salvaged: Vec::new(),
    };
    for partition in looked.examined.keyspace.all() {
        builder.carry_over(partition)?;
    }
    let (rebuilding, salvaged) = (builder.rebuilding, builder.salvaged);
    engine.sync()?;
    engine.settle()?;
    check(&engine, looked.examined.keyspace)?;
    drop(engine);
    let name = free_name(&dir.join(QUARANTINE), how.now_s);
    let built = dir.join(BUILT);
    write_name(&building, &name)
        .and_then(|()| fs::rename(&building, &built))
        .and_then(|()| sync_dir(dir))
        .map_err(cannot())?;
    finish(dir)?;
    Ok(SetAside {
        to: dir.join(QUARANTINE).join(name),
        rebuilding,
        salvaged,
    })
}

/// Nothing is put in the place of anything that has not been read and found in order.
fn check(engine: &Fjall, keyspace: Keyspace) -> Result<(), EngineError> {
    for partition in keyspace.all() {
        if verify(engine.reader(), partition, keyspace).is_err() {
            return Err(EngineError::Damaged("the new database cannot be read back"));
        }
    }
    Ok(())
}

/// Fills the new database.
struct Builder<'a> {
    looked: &'a Looked,
    how: &'a Repair,
    engine: &'a Fjall,
    rebuilding: Vec<PartitionId>,
    salvaged: Vec<Salvaged>,
}

impl Builder<'_> {
    fn carry_over(&mut self, partition: PartitionId) -> Result<(), EngineError> {
        let looked = self.looked;
        let loaded = looked.loaded.get(&partition).cloned().unwrap_or_default();
        let only_copy = looked.only_copies.binary_search(&partition).is_ok();
        if looked.is_bad(partition) && only_copy {
            let actor = ActorId {
                // Of nobody: it never writes again.
                node: NodeId(0),
                incarnation: self.how.incarnation,
            };
            let keyspace = looked.examined.keyspace;
            let view = looked.specimen.as_ref().map(|specimen| &specimen.view);
            let salvaged = salvage(view, partition, keyspace, actor, self.engine)?;
            self.salvaged.push(salvaged);
            return Ok(());
        }
        let is_behind = looked.examined.problem.is_some();
        let waits = match looked.is_bad(partition) {
            true => true,
            false => (is_behind || loaded.rebuilding && !self.how.accept_loss) && !only_copy,
        };
        if waits {
            self.rebuilding.push(partition);
        }
        match looked.is_bad(partition) {
            true => self.engine.commit(&Batch {
                partition,
                peers: loaded.peers.into_iter().collect(),
                rebuilding: Some(true),
                ..Batch::default()
            }),
            false => self.copy(partition, loaded, waits),
        }
    }

    /// Copies a partition that is in order, in bounded batches.
    fn copy(
        &self,
        partition: PartitionId,
        loaded: Loaded,
        rebuilding: bool,
    ) -> Result<(), EngineError> {
        let keyspace = self.looked.examined.keyspace;
        let Some(specimen) = &self.looked.specimen else {
            return Ok(());
        };
        let mut after = None;
        let mut gathering = Gathering::default();
        loop {
            let rows = specimen.view.rows(partition, after.as_deref(), PIECE)?;
            let Some((last, _)) = rows.last() else {
                break;
            };
            after = Some(last.clone());
            let mut changes = Vec::new();
            for (key, row) in &rows {
                gathering.replace(&keyspace, key, None, Some(row));
                let of_key = indexes(keyspace.hash_of_row(key), key, row).into_iter();
                changes.extend(of_key.map(|index| IndexChange {
                    index,
                    key: key.clone(),
                    is_set: true,
                }));
            }
            let rows = rows.into_iter().map(|(key, row)| (key, Some(row)));
            self.engine.commit(&Batch {
                partition,
                rows: rows.collect(),
                indexes: changes,
                summary: loaded.summary.clone(),
                ..Batch::default()
            })?;
        }
        let mut collections = Vec::new();
        let none = |_: &[u8]| Ok::<_, EngineError>(Elements::default());
        // The sums have it already.
        gathering.finish(&keyspace, none, &mut Totals::default(), &mut collections)?;
        let entries = loaded.clock.entries();
        self.engine.commit(&Batch {
            partition,
            indexes: collections,
            entries: entries
                .map(|(actor, entry)| (actor, entry.clone()))
                .collect(),
            frozen: loaded.frozen.iter().map(|actor| (*actor, true)).collect(),
            peers: loaded.peers.into_iter().collect(),
            rebuilding: rebuilding.then_some(true),
            summary: loaded.summary,
            ..Batch::default()
        })
    }
}
