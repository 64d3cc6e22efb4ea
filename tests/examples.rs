//! The examples run, and say what they promise.

use std::process::Command;

#[track_caller]
fn run(example: &str) -> String {
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        // As `cargo test` has just built it.
        .args(["run", "--quiet", "--profile", "test"])
        .args(["--example", example])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complained}");
    said
}

#[test]
fn hello() {
    assert!(run("hello").contains("hello, world"));
}

#[test]
fn three_nodes() {
    assert!(run("three_nodes").contains("third reads green"));
}
