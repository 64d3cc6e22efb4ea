use std::fs;
use std::path::Path;

use super::source::Source;
use super::target::Target;
use super::text::{bytes, counted, listed};
use super::verify::verify;
use crate::cli::failure::Failure;

fn refused<T>(result: Result<T, Failure>) -> String {
    match result.err() {
        Some(Failure::Usage(words)) => words,
        other => panic!("{other:?}"),
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

#[test]
fn a_file_is_there_when_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let mut target = Target::create(&path, false).unwrap();
    target.write(b"one").unwrap();
    assert!(!path.exists());
    target.write(b"and what is taken back").unwrap();
    target.cut(3).unwrap();
    target.write(b"two").unwrap();
    target.keep().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"onetwo");
    assert_eq!(names(dir.path()), ["file"]);
}

#[test]
fn what_is_given_up_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut target = Target::create(&dir.path().join("file"), false).unwrap();
    target.write(b"one").unwrap();
    assert_eq!(names(dir.path()).len(), 1);
    drop(target);
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn what_is_there_stays_unless_told_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "before").unwrap();
    let words = refused(Target::create(&path, false).map(drop));
    assert!(words.ends_with("file exists; give another path, or --force to replace it"));

    let mut target = Target::create(&path, true).unwrap();
    target.write(b"after").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"before");
    target.keep().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"after");

    // One that has appeared meanwhile stays too.
    let other = dir.path().join("other");
    let target = Target::create(&other, false).unwrap();
    fs::write(&other, "appeared").unwrap();
    assert!(target.keep().is_err());
    assert_eq!(fs::read(&other).unwrap(), b"appeared");
    assert_eq!(names(dir.path()).len(), 2);
}

#[test]
fn places_where_no_file_can_be_are_named_with_their_reason() {
    let dir = tempfile::tempdir().unwrap();
    let create = |path: &Path| refused(Target::create(path, true).map(drop));
    assert!(create(dir.path()).contains("is a directory"));
    assert!(create(Path::new("/dev/null")).contains("is no regular file"));
    let nowhere = dir.path().join("missing/file");
    assert!(create(&nowhere).contains("No such file or directory"));
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(create(&file.join("below")).contains("Not a directory"));
}

#[cfg(unix)]
#[test]
fn a_backup_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    Target::create(&path, false).unwrap().keep().unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_is_no_backup_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    assert!(refused(Source::open(dir.path()).map(drop)).contains("give the file of a backup"));
    let missing = dir.path().join("missing");
    assert!(refused(verify(&missing)).contains("does not exist"));
    let path = dir.path().join("file");
    for (content, words) in [
        ("PK", "is damaged at byte 0, frame 0: not a netdb backup"),
        ("", "is damaged at byte 0, frame 0: file ends in the middle"),
        (
            "netdb backup\r\n\x09\0",
            "backup has format 9, this program reads 1",
        ),
    ] {
        fs::write(&path, content).unwrap();
        match verify(&path) {
            Err(Failure::Broken(said)) => assert!(said.contains(words), "{said}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn numbers_read_well() {
    for (count, words) in [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (1_234_567, "1.2 MB"),
        (u64::MAX, "18446744.1 TB"),
    ] {
        assert_eq!(bytes(count), words);
    }
    assert_eq!(counted(1, "value"), "1 value");
    assert_eq!(counted(0, "value"), "0 values");
    let names = ["a", "b", "c"].map(str::to_owned);
    assert_eq!(listed(&names), "a, b and c");
    assert_eq!(listed(&names[..2]), "a and b");
    assert_eq!(listed(&names[..1]), "a");
}
