//! How a new database takes the place of a damaged one, whatever crashes: see `repair`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::files::{self, sync_dir};
use crate::store::engine::EngineError;

/// A new database in the making.
pub(super) const BUILDING: &str = "rebuilding";
/// One that counts.
pub(super) const BUILT: &str = "rebuilt";
/// What was set aside.
pub(super) const QUARANTINE: &str = "quarantine";
/// A copy that is looked at.
pub(super) const SPECIMEN: &str = "specimen";

/// In `rebuilt/`: where in `quarantine/` the old files go.
const ASIDE: &str = "ASIDE";

/// What takes the place of what was there before. `ROSTER` stays: it is no part of the database.
const FILES: [&str; 5] = ["fjall", "FORMAT", "SYNCED", "KEYSPACE", "REPLICAS"];

/// Completes a repair whose new database counts already; removes what one left that does not.
pub(super) fn finish(dir: &Path) -> Result<(), EngineError> {
    let built = dir.join(BUILT);
    let done = match built.exists() {
        true => install(dir, &built),
        false => remove(&dir.join(BUILDING)).and_then(|()| remove(&dir.join(SPECIMEN))),
    };
    done.map_err(files::io("cannot complete the repair of", dir))
}

fn install(dir: &Path, built: &Path) -> io::Result<()> {
    let name = fs::read_to_string(built.join(ASIDE))?;
    let aside = dir.join(QUARANTINE).join(name.trim());
    fs::create_dir_all(&aside)?;
    for file in FILES {
        let (new, old) = (built.join(file), dir.join(file));
        // Whatever is in its place when it has none is new already.
        if new.exists() {
            if old.exists() {
                fs::rename(&old, aside.join(file))?;
            }
            fs::rename(&new, &old)?;
        }
    }
    sync_dir(&aside)?;
    sync_dir(&dir.join(QUARANTINE))?;
    sync_dir(dir)?;
    fs::remove_dir_all(built)
}

pub(super) fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Where what was set aside last is, if anything ever was.
pub fn quarantine_of(dir: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(dir.join(QUARANTINE)).ok()?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.max()
}

/// A name in `quarantine` for what is set aside at `now_s` seconds since the Unix epoch.
pub(super) fn free_name(quarantine: &Path, now_s: u64) -> String {
    let mut name = format!("{now_s:010}");
    for n in 2.. {
        if !quarantine.join(&name).exists() {
            break;
        }
        name = format!("{now_s:010}-{n}");
    }
    name
}

/// Notes in the new database where in the quarantine the old one goes.
pub(super) fn write_name(building: &Path, name: &str) -> io::Result<()> {
    let mut file = fs::File::create(building.join(ASIDE))?;
    writeln!(file, "{name}")?;
    file.sync_all()?;
    sync_dir(building)
}
