//! What is wrong with a directory, without changing it.

use std::collections::BTreeMap;
use std::path::Path;

use super::files::{check_format, lock_to_read, read_keyspace, read_replicated, read_synced};
use super::guarded::guarded;
use super::specimen::Specimen;
use crate::placement::{Keyspace, PartitionId};
use crate::store::engine::{EngineError, Loaded, Reader};
use crate::store::{Totals, verify};

/// What was found in a directory.
#[derive(Clone, Debug)]
pub struct Examined {
    /// How its keys are placed.
    pub keyspace: Keyspace,
    /// The last batch that is there; zero if the database cannot be opened.
    pub batch: u64,
    /// The last batch that was on the disk for certain; none if that cannot be told.
    pub synced: Option<u64>,
    /// Whether the end of the journal is torn, as a loss of power leaves it: it was confirmed
    /// to nobody, and a node cuts it off.
    pub is_torn: bool,
    /// What is wrong with the directory as a whole.
    pub problem: Option<String>,
    /// What the partitions that are in order hold together.
    pub sums: Sums,
    /// The partitions that are not in order, ascending.
    pub bad: Vec<Bad>,
    /// Those in order that wait to be compared with another replica since an earlier repair.
    pub rebuilding: Vec<PartitionId>,
}

/// What partitions hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many they are.
    pub partitions: u64,
    /// Keys with a value.
    pub keys: u64,
    /// Their versions.
    pub versions: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

/// A partition that is not in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// The partition.
    pub partition: PartitionId,
    /// What is wrong with it.
    pub why: String,
}

impl Examined {
    /// Whether a node can serve all of it.
    pub fn is_whole(&self) -> bool {
        self.problem.is_none() && self.bad.is_empty()
    }

    /// The worst of what is wrong, in words.
    pub fn reason(&self) -> String {
        let bad = || {
            let bad = self.bad.first()?;
            Some(format!("partition {}: {}", bad.partition, bad.why))
        };
        let problem = self.problem.clone();
        problem.or_else(bad).unwrap_or_default()
    }
}

/// Reads everything in `dir` and checks it, without changing anything there: what it needs of
/// room is at `scratch`, a directory that is made and removed again. `keyspace` is used if
/// `dir` does not say how its keys are placed.
///
/// # Errors
/// A process has the directory, it is of another format, or it cannot be read at all; what is
/// wrong with what is in it is no error.
pub fn examine(
    dir: &Path,
    scratch: &Path,
    keyspace: Option<Keyspace>,
) -> Result<Examined, EngineError> {
    let _lock = lock_to_read(dir)?;
    Ok(look(dir, scratch, keyspace)?.examined)
}

/// What was found, and what it was found in.
pub(super) struct Looked {
    pub(super) examined: Examined,
    /// The database, if it can be opened.
    pub(super) specimen: Option<Specimen>,
    /// What each partition's opening would know, as far as it can be read.
    pub(super) loaded: BTreeMap<PartitionId, Loaded>,
    /// The partitions that have never had another replica, as far as is known.
    pub(super) only_copies: Vec<PartitionId>,
}

/// See [`examine`]; for who has the directory already.
pub(super) fn look(
    dir: &Path,
    scratch: &Path,
    keyspace: Option<Keyspace>,
) -> Result<Looked, EngineError> {
    let mut problem = match check_format(dir) {
        Err(EngineError::Damaged(what)) => Some(what.to_owned()),
        checked => checked.map(|()| None)?,
    };
    let keyspace = read_keyspace(dir)?.or(keyspace);
    let unknown = || EngineError::UnknownKeyspace(dir.display().to_string());
    let keyspace = keyspace.ok_or_else(unknown)?;
    let synced = read_synced(dir)?;
    let path = dir.join("fjall");
    let opened = guarded(|| match path.exists() {
        true => Specimen::open(&path, scratch),
        false => Err(EngineError::Damaged("there is no database")),
    });
    let specimen = match opened {
        Ok(specimen) => Some(specimen),
        Err(error) if error.is_damage() => {
            problem = Some(format!("it cannot be opened: {error}"));
            None
        }
        Err(error) => return Err(error),
    };
    let mut looked = Looked {
        examined: Examined {
            keyspace,
            batch: specimen.as_ref().map_or(0, Specimen::batch),
            synced,
            is_torn: specimen.as_ref().is_some_and(Specimen::is_torn),
            problem,
            sums: Sums::default(),
            bad: Vec::new(),
            rebuilding: Vec::new(),
        },
        specimen,
        loaded: BTreeMap::new(),
        only_copies: Vec::new(),
    };
    looked.check_number(dir);
    looked.check_partitions(dir)?;
    Ok(looked)
}

impl Looked {
    fn check_number(&mut self, dir: &Path) {
        let (found, confirmed) = (self.examined.batch, self.examined.synced.unwrap_or(0));
        if self.examined.problem.is_none() && found < confirmed {
            let error = EngineError::Behind {
                dir: dir.display().to_string(),
                found,
                confirmed,
            };
            self.examined.problem = Some(error.to_string());
        }
    }

    fn check_partitions(&mut self, dir: &Path) -> Result<(), EngineError> {
        let noted = read_replicated(dir)?.unwrap_or_default();
        for partition in self.examined.keyspace.all() {
            let checked = match &self.specimen {
                Some(specimen) => check(specimen, partition, self.examined.keyspace),
                None => Err("the database cannot be opened".to_owned()),
            };
            let loaded = self.specimen.as_ref().and_then(|specimen| {
                let loaded = guarded(|| specimen.view.load(partition));
                loaded.ok()
            });
            let has_another = |loaded: &Loaded| !loaded.peers.is_empty() || loaded.rebuilding;
            if !loaded.as_ref().is_some_and(has_another) && !noted.contains(&partition) {
                self.only_copies.push(partition);
            }
            match checked {
                Ok(totals) => {
                    self.examined.sums.add(&totals);
                    if loaded.as_ref().is_some_and(|loaded| loaded.rebuilding) {
                        self.examined.rebuilding.push(partition);
                    }
                }
                Err(why) => self.examined.bad.push(Bad { partition, why }),
            }
            self.loaded.extend(loaded.map(|loaded| (partition, loaded)));
        }
        Ok(())
    }

    /// Whether `partition` is not in order.
    pub(super) fn is_bad(&self, partition: PartitionId) -> bool {
        let bad = &self.examined.bad;
        bad.binary_search_by_key(&partition, |bad| bad.partition)
            .is_ok()
    }
}

/// Checks one partition; in words what is wrong.
fn check(
    specimen: &Specimen,
    partition: PartitionId,
    keyspace: Keyspace,
) -> Result<Totals, String> {
    let verified = guarded(|| Ok(verify(&specimen.view, partition, keyspace)));
    match verified {
        Ok(Ok(totals)) => Ok(totals),
        Ok(Err(error)) => Err(error.to_string()),
        Err(panic) => Err(panic.to_string()),
    }
}

impl Sums {
    fn add(&mut self, totals: &Totals) {
        self.partitions += 1;
        self.keys += totals.keys;
        self.versions += totals.dots_live;
        self.bytes += totals.bytes;
    }
}
