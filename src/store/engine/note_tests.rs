//! The note beside the partitions, of every engine.

use std::sync::Arc;

use super::tests::{batch, load, open, row, rows};
use super::*;

/// A note is the last one that was kept, for every later opening.
fn notes(mut engine: Arc<dyn Engine>, mut reopen: impl FnMut(Arc<dyn Engine>) -> Arc<dyn Engine>) {
    assert_eq!(engine.note().unwrap(), None);
    let long = vec![7; 1024 * 1024];
    for note in [b"first".as_slice(), &long, b""] {
        engine.keep_note(note).unwrap();
        assert_eq!(engine.note().unwrap().unwrap(), note);
        engine = reopen(engine);
        assert_eq!(engine.note().unwrap().unwrap(), note);
    }
    let too_long = vec![0; NOTE_BYTES_MAX + 1];
    let refused = engine.keep_note(&too_long);
    assert!(matches!(refused, Err(EngineError::NoteTooLong(_))));
    engine.keep_note(&too_long[1..]).unwrap();
    assert_eq!(engine.note().unwrap().unwrap().len(), NOTE_BYTES_MAX);
    let again = engine.reopen().unwrap().engine;
    let closed = |error| matches!(error, Some(EngineError::Closed));
    assert!(closed(engine.note().err()));
    assert!(closed(
        engine.keep_note(b"of an opening that is over").err()
    ));
    assert_eq!(again.note().unwrap().unwrap().len(), NOTE_BYTES_MAX);
    assert_eq!(
        load(&*again, 0),
        Loaded::default(),
        "no part of a partition"
    );
}

#[test]
fn every_engine_keeps_a_note() {
    notes(Arc::new(Memory::new()), |engine| engine);
    let disk = Arc::new(Simulated::new());
    notes(disk.clone(), move |_| {
        disk.crash_losing_tail();
        disk.clone()
    });
    let dir = tempfile::tempdir().unwrap();
    notes(Arc::new(open(dir.path()).unwrap()), |engine| {
        drop(engine);
        Arc::new(open(dir.path()).unwrap())
    });
}

#[test]
fn a_simulated_disk_keeps_its_note_through_crashes_only() {
    let disk = Simulated::new();
    disk.keep_note(b"first").unwrap();
    disk.commit(&batch(0, &[(b"a", Some(row(1, 1)))], &[]))
        .unwrap();
    let backup = disk.backup();
    disk.crash_losing_tail();
    assert_eq!(disk.note().unwrap().unwrap(), "first");
    disk.fail(true);
    assert!(disk.keep_note(b"second").is_err());
    assert_eq!(disk.note().unwrap().unwrap(), "first");
    disk.fail(false);
    disk.keep_note(b"second").unwrap();
    disk.restore(&backup);
    assert_eq!(disk.note().unwrap().unwrap(), "first");
    disk.wipe();
    assert_eq!(disk.note().unwrap(), None);
}

/// Whatever becomes of the file of the note, nothing else is the worse for it, and another
/// note can be kept.
#[test]
fn a_damaged_note_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).unwrap();
    engine
        .commit(&batch(0, &[(b"a", Some(row(1, 1)))], &[(1, 1)]))
        .unwrap();
    assert!(!engine.is_note_damaged().unwrap(), "there is none");
    engine.keep_note(b"the roster").unwrap();
    drop(engine);
    let file = dir.path().join("ROSTER");
    let kept = std::fs::read(&file).unwrap();
    let flipped = (0..kept.len()).map(|at| {
        let mut bytes = kept.clone();
        bytes[at] ^= 1;
        bytes
    });
    let cut = (0..kept.len()).map(|length| kept[..length].to_vec());
    let longer = [kept.as_slice(), b"\0"].concat();
    for bytes in flipped.chain(cut).chain([longer]) {
        std::fs::write(&file, bytes).unwrap();
        let engine = open(dir.path()).unwrap();
        assert_eq!(engine.note().unwrap(), None);
        assert!(engine.is_note_damaged().unwrap());
        assert_eq!(rows(&engine, 0).len(), 1);
    }
    // A file of a size that no note has is not read: this one would not fit in memory.
    let endless = std::fs::File::create(&file).unwrap();
    endless.set_len(1 << 40).unwrap();
    let engine = open(dir.path()).unwrap();
    assert_eq!(engine.note().unwrap(), None);
    assert!(engine.is_note_damaged().unwrap());
    engine.keep_note(b"learned again").unwrap();
    assert_eq!(engine.note().unwrap().unwrap(), "learned again");
    assert!(!engine.is_note_damaged().unwrap());
}

/// A note that could not be written whole leaves the one before.
#[test]
fn a_note_that_cannot_be_written_leaves_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).unwrap();
    engine.keep_note(b"first").unwrap();
    // Nothing is written to a directory, which stands for a disk that takes nothing.
    let new = dir.path().join("ROSTER.new");
    std::fs::create_dir(&new).unwrap();
    assert!(engine.keep_note(b"second").is_err());
    assert_eq!(engine.note().unwrap().unwrap(), "first");
    std::fs::remove_dir(&new).unwrap();
    // What a crash left of one that was being written does not count.
    std::fs::write(&new, b"half of").unwrap();
    assert_eq!(engine.note().unwrap().unwrap(), "first");
    engine.keep_note(b"third").unwrap();
    assert_eq!(engine.note().unwrap().unwrap(), "third");
}
