//! Cuts of power at every write of a workload, with the files as a disk might then have them.
//!
//! After an fsync a disk has the files as they were. Of what was written since it has any
//! part: here the files are put together from what they were at the last sync and what the
//! system had since, cut at several places, and with a sector of the unsynced part missing.
//! Whatever it is, the directory opens, has every batch that was synced, and has of the later
//! ones the first few, each whole. `SYNCED` is written by a sync and forced to disk later: it
//! may be as it was then, or as it is, or torn.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::tests::{actor, batch, load, open, row, rows};
use super::*;

/// Batches of the workload.
const BATCHES: usize = 40;

/// Places per batch at which the unsynced part of each file is cut.
const CUTS: usize = 3;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// What each file holds up to its last byte that is not zero, and how long it is.
type Files = BTreeMap<PathBuf, (Vec<u8>, u64)>;

/// Files are read no further than this: the journal is made much longer than it is used.
const READ_MAX: u64 = 1024 * 1024;

fn files(dir: &Path) -> Files {
    let mut found = Files::new();
    let mut open = vec![dir.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => {
                    let place = path.strip_prefix(dir).unwrap().to_owned();
                    let mut bytes = Vec::new();
                    let file = File::open(&path).unwrap();
                    let length = file.metadata().unwrap().len();
                    file.take(READ_MAX).read_to_end(&mut bytes).unwrap();
                    let used = bytes.iter().rposition(|byte| *byte != 0);
                    bytes.truncate(used.map_or(0, |last| last + 1));
                    found.insert(place, (bytes, length));
                }
            }
        }
    }
    found
}

fn lay_out(files: &Files, dir: &Path) {
    for (place, (bytes, length)) in files {
        let path = dir.join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len((*length).max(bytes.len() as u64)).unwrap();
    }
}

/// What a disk might have of a file that was `synced` and then became `written`.
fn torn(synced: &[u8], written: &[u8], rng: &mut SmallRng) -> Vec<u8> {
    let differs = |at: &usize| synced.get(*at) != written.get(*at);
    let Some(first) = (0..written.len()).find(differs) else {
        return written.to_vec();
    };
    let last = (first..written.len()).rev().find(differs).unwrap_or(first);
    let cut = rng.random_range(first..=last + 1);
    let mut bytes = written[..cut].to_vec();
    bytes.extend(synced.iter().skip(cut));
    if rng.random_bool(0.3) {
        let sector = rng.random_range(first / SECTOR..=cut / SECTOR) * SECTOR;
        let end = (sector + SECTOR).min(cut);
        let lost = bytes.iter_mut().enumerate().take(end);
        for (at, byte) in lost.skip(sector.max(first)) {
            *byte = synced.get(at).copied().unwrap_or(0);
        }
    }
    bytes
}

/// The rows and the clock after each batch, from none on.
fn states() -> (Vec<Batch>, Vec<BTreeMap<Bytes, Row>>) {
    let mut rng = SmallRng::seed_from_u64(7);
    let (mut batches, mut states) = (Vec::new(), vec![BTreeMap::new()]);
    for n in 1..=BATCHES as u64 {
        let key = format!("key {}", rng.random_range(0..20));
        let old: &BTreeMap<Bytes, Row> = states.last().unwrap();
        let mut state = old.clone();
        let length = rng.random_range(0..3_000);
        let value = rng.random_bool(0.8).then(|| row(n, length));
        match &value {
            Some(value) => drop(state.insert(Bytes::from(key.clone()), value.clone())),
            None => drop(state.remove(key.as_bytes())),
        }
        batches.push(batch(0, &[(key.as_bytes(), value)], &[(1, n)]));
        states.push(state);
    }
    (batches, states)
}

#[test]
fn what_was_synced_survives_a_cut_at_every_write() {
    let mut rng = SmallRng::seed_from_u64(1);
    let (batches, states) = states();
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live");
    let engine = open(&live).unwrap();
    let (mut synced, mut on_disk) = (0, files(&live));
    let mut cuts = 0;
    for (at, batch) in batches.iter().enumerate() {
        engine.commit(batch).unwrap();
        let written = files(&live);
        for _ in 0..CUTS {
            let nothing = (Vec::new(), 0);
            let left: Files = written
                .iter()
                .map(|(place, (bytes, length))| {
                    let (before, _) = on_disk.get(place).unwrap_or(&nothing);
                    (place.clone(), (torn(before, bytes, &mut rng), *length))
                })
                .collect();
            let after = dir.path().join(format!("cut {cuts}"));
            lay_out(&left, &after);
            let opened: Arc<dyn Engine> = Arc::new(open(&after).unwrap());
            let clock = load(&*opened, 0).clock;
            let found = usize::try_from(clock.base(actor(1))).unwrap();
            assert!(
                (synced..=at + 1).contains(&found),
                "{found} of {synced} synced, {} written",
                at + 1
            );
            assert_eq!(rows(&*opened, 0), states[found], "rows and clock are one");
            drop(opened);
            fs::remove_dir_all(after).unwrap();
            cuts += 1;
        }
        if rng.random_bool(0.3) {
            let settled = on_disk.remove(Path::new("SYNCED"));
            engine.sync().unwrap();
            (synced, on_disk) = (at + 1, files(&live));
            match rng.random_bool(0.3) {
                true => engine.settle().unwrap(),
                false => on_disk.extend(settled.map(|file| ("SYNCED".into(), file))),
            }
        }
    }
    println!("{cuts} cuts of power among {BATCHES} writes: every synced batch survived");
}
