//! The rules of the house, held by a test.
//!
//! Arrows between rooms point down only, no two modules import each other, pure rooms have
//! no I/O, no clock and no chance, files and functions stay short, one codec speaks
//! bincode, unsafe code is forbidden, and nothing piles up beside `src/`. A rule is worth
//! what it catches, so each is shown to fail on a planted violation.
//!
//! Run with `cargo test --test architecture`.

mod architecture {
    mod paths;
    mod planted;
    pub mod rules;
    pub mod source;
}

use std::fs;
use std::path::{Path, PathBuf};

use architecture::rules;
use architecture::source::Source;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of `src/` that is not a test.
fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    collect(&root().join("src"), "", &mut found);
    let tests: Vec<Vec<String>> = found
        .iter()
        .flat_map(|source: &Source| {
            let child =
                |name: &String| [source.module.as_slice(), std::slice::from_ref(name)].concat();
            source.test_modules.iter().map(child).collect::<Vec<_>>()
        })
        .collect();
    found.retain(|source| !tests.iter().any(|module| source.module.starts_with(module)));
    found
}

fn collect(directory: &Path, below: &str, found: &mut Vec<Source>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{name}/"), found);
        } else if name.ends_with(".rs") {
            found.push(Source::new(
                &name,
                &fs::read_to_string(entry.path()).unwrap(),
            ));
        }
    }
}

#[track_caller]
fn assert_none(mut wrong: Vec<String>) {
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn there_is_something_to_check() {
    assert!(sources().len() > 10);
}

#[test]
fn arrows_point_down() {
    assert_none(rules::upward_arrows(rules::ROOMS));
    assert_none(rules::arrows(&sources()));
}

#[test]
fn no_two_modules_import_each_other() {
    assert_none(rules::mutual_imports(&sources()));
}

#[test]
fn pure_rooms_are_pure() {
    assert_none(rules::impurities(&sources()));
}

#[test]
fn only_codecs_call_bincode() {
    assert_none(rules::stray_codecs(&sources()));
}

#[test]
fn files_and_functions_are_short() {
    assert_none(rules::lengths(&sources()));
}

#[test]
fn unsafe_code_is_forbidden() {
    assert_none(rules::unsafe_roots(&sources()));
}

#[test]
fn nothing_strays_beside_the_sources() {
    let ignore = fs::read_to_string(root().join(".gitignore")).unwrap();
    let ignored: Vec<&str> = ignore.lines().map(|line| line.trim_matches('/')).collect();
    let entries: Vec<String> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
    let stray = rules::stray_entries(&entries, &ignored);
    assert!(stray.is_empty(), "these do not belong there: {stray:?}");
}
