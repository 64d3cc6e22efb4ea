//! Forcing the journal to disk, beside the database.
//!
//! fjall 3.1 forces its journal under the lock that every commit takes: what is written
//! meanwhile waits, and with it whoever wants to read the same shard. So the youngest journal
//! is forced through a descriptor of our own, without that lock. What that rests on, all of it
//! in fjall's `journal/writer.rs`:
//!
//! - A commit of ours has handed its batch to the system when it returns, because it asks for
//!   `PersistMode::Buffer`; it is in whichever journal was the youngest then.
//! - A journal is forced to disk, without an error, before the next one is made. The next one has
//!   the next number, and is there, at its full length, before anything is written to it.
//! - The youngest is never removed, and an older one only when tables have all that was in it.
//!
//! Whoever asks has the number of the last batch first. Then the youngest journal is looked for,
//! and it is certain that there was none younger after that number was known: so no batch up to
//! it is in a younger one, and those in older ones are on the disk. A journal that is begun
//! later, while the one that was found is forced, changes nothing about that.
//!
//! The system tells every descriptor once of a page that it could not write, if the descriptor
//! was open by then. One of ours is opened when its journal is first seen. What the database was
//! told before, it alone knows, and so it forces every journal once too, and is asked at every
//! time whether it has failed. The one before is forced a last time through its own descriptor
//! for the same reason.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use fjall::{Database, PersistMode};

use super::files;
use super::journal::{journal, youngest};
use crate::store::engine::EngineError;

/// The youngest journal of a database.
pub(super) struct Forcing {
    dir: PathBuf,
    /// With its number; none before the first.
    open: Option<(u64, File)>,
}

impl Forcing {
    /// Of the database in `dir`.
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, open: None }
    }

    /// Forces to disk what was committed before the call.
    ///
    /// # Errors
    /// What was committed may be on the disk or not, and a second attempt that succeeds proves
    /// nothing: the database must be opened again.
    pub(super) fn force(&mut self, database: &Database) -> Result<(), EngineError> {
        // It has nothing left to write, and says whether it has failed.
        database.persist(PersistMode::Buffer)?;
        loop {
            if let Some((number, file)) = &self.open {
                let is_youngest = !self.exists(number.saturating_add(1))?;
                // Data is enough: the length is forced with it.
                file.sync_data().map_err(|error| self.cannot(error))?;
                if is_youngest {
                    return Ok(());
                }
            }
            self.follow(database)?;
        }
    }

    fn exists(&self, number: u64) -> Result<bool, EngineError> {
        let path = journal(&self.dir, number);
        path.try_exists().map_err(|error| self.cannot(error))
    }

    /// Opens the journal that is the youngest now.
    fn follow(&mut self, database: &Database) -> Result<(), EngineError> {
        let Some((number, path)) = youngest(&self.dir).map_err(|error| self.cannot(error))? else {
            return Err(EngineError::Damaged("there is no journal"));
        };
        self.open = match File::open(path) {
            Ok(file) => Some((number, file)),
            // Its successor has come since, and tables have all that was in it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(self.cannot(error)),
        };
        // Waits for whoever is just beginning it, too.
        database.persist(PersistMode::SyncAll)?;
        // For its name: that it was begun without an error is the database's to know.
        files::sync_dir(&self.dir).map_err(|error| self.cannot(error))
    }

    fn cannot(&self, error: io::Error) -> EngineError {
        files::io("cannot force to disk", &self.dir)(error)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use bytes::Bytes;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::object::Row;
    use crate::store::MemoryBudget;
    use crate::store::engine::tests::{batch, open, row, rows};
    use crate::store::engine::{Engine, Fjall};

    /// The journal that was forced last.
    fn forced(engine: &Fjall) -> Option<u64> {
        let syncing = engine.syncing.lock();
        syncing.forcing.open.as_ref().map(|(number, _)| *number)
    }

    fn latest(engine: &Fjall) -> u64 {
        let (number, _) = youngest(&engine.dir.join("fjall")).unwrap().unwrap();
        number
    }

    /// A row that takes as much in the journal as in memory.
    fn noise(rng: &mut SmallRng, n: u64) -> Row {
        let mut value = vec![0; 2 * 1024 * 1024];
        rng.fill_bytes(&mut value);
        let mut noise = row(n, 0);
        let versions = noise.versions.iter();
        let versions = versions.map(|(dot, version)| {
            let mut version = version.clone();
            version.value = Bytes::from(value.clone());
            (dot, version)
        });
        noise.versions = versions.collect();
        noise
    }

    /// A batch may be in a journal that was begun since the last sync, and the one before in the
    /// one that was the youngest then.
    #[test]
    fn a_sync_forces_the_journal_that_is_the_youngest_by_then() {
        const BATCHES_MAX: u64 = 500;
        let dir = tempfile::tempdir().unwrap();
        let engine = Fjall::open(dir.path(), MemoryBudget::new(0)).unwrap();
        let mut rng = SmallRng::seed_from_u64(1);
        let mut all = BTreeMap::new();
        let mut n = 0;
        let mut commit = |all: &mut BTreeMap<Bytes, Row>| {
            n += 1;
            assert!(n < BATCHES_MAX, "no journal was begun");
            let (key, row) = (vec![(n % 4) as u8], noise(&mut rng, n));
            let changed = batch(0, &[(&key, Some(row.clone()))], &[(1, n)]);
            engine.commit(&changed).unwrap();
            all.insert(Bytes::from(key), row);
        };
        assert_eq!(forced(&engine), None);
        for _ in 0..2 {
            commit(&mut all);
            engine.sync().unwrap();
            let before = latest(&engine);
            assert_eq!(forced(&engine), Some(before));
            while latest(&engine) == before {
                assert_eq!(forced(&engine), Some(before));
                commit(&mut all);
            }
        }
        commit(&mut all);
        engine.sync().unwrap();
        assert_eq!(forced(&engine), Some(latest(&engine)));
        drop(engine);
        let engine = open(dir.path()).unwrap();
        assert!(rows(&engine, 0) == all);
    }

    /// The database knows nothing of an fsync that fails beside it: what comes after it must not
    /// be kept, nor a second fsync that succeeds be believed.
    #[test]
    fn nothing_is_kept_after_an_fsync_that_failed() {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path()).unwrap();
        let put = |key: &[u8]| engine.commit(&batch(0, &[(key, Some(row(1, 1)))], &[(1, 1)]));
        put(b"synced").unwrap();
        engine.sync().unwrap();
        let number = latest(&engine);
        put(b"unsynced").unwrap();
        // What has no place on a disk cannot be forced there.
        let broken = File::open("/dev/null").unwrap();
        let working = engine.syncing.lock().forcing.open.replace((number, broken));
        let synced = fs::read(dir.path().join("SYNCED")).unwrap();
        let error = engine.sync().unwrap_err().to_string();
        assert!(error.contains(&dir.path().display().to_string()), "{error}");
        engine.syncing.lock().forcing.open = working;
        for failed in [engine.sync(), put(b"later"), engine.check()] {
            assert!(failed.is_err());
        }
        assert_eq!(fs::read(dir.path().join("SYNCED")).unwrap(), synced);
        let again = engine.reopen().unwrap();
        assert_eq!((again.lost, rows(&*again.engine, 0).len()), (0, 2));
        again.engine.sync().unwrap();
        let later = batch(0, &[(b"later", Some(row(1, 1)))], &[(1, 1)]);
        again.engine.commit(&later).unwrap();
    }
}
