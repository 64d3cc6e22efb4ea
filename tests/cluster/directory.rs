//! A data directory without its node: what `netdb verify` and `netdb repair` say of it.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Output;

use tempfile::TempDir;

use crate::support::{Node, finish, netdb, unique_cluster_name};

const KEYS: usize = 200;

fn key(n: usize) -> String {
    format!("key {n}")
}

fn value(n: usize) -> String {
    n.to_string().repeat(500)
}

fn filled(directory: &TempDir) -> Node {
    let mut node = Node::new("n1", &unique_cluster_name(), directory.path());
    node.start_first();
    for n in 0..KEYS {
        node.put(&key(n), &value(n));
    }
    node
}

fn run(command: &[&str], node: &Node) -> Output {
    let data = node.data();
    let command = command.iter().map(|word| (*word).into());
    finish(&mut netdb(command.chain([data.into_os_string()])), "")
}

/// Its exit status must be `status`; gives all that it said.
#[track_caller]
fn told(command: &[&str], node: &Node, status: i32) -> String {
    let output = run(command, node);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).expect("text");
    assert_eq!(output.status.code(), Some(status), "{command:?}: {said}");
    said
}

/// Zeroes a page in the middle of what the journal holds.
fn damage_the_journal(node: &Node) {
    let entries = fs::read_dir(node.data().join("store/fjall")).expect("a database");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let journals: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "jnl"))
        .collect();
    let [journal] = journals.as_slice() else {
        panic!("one journal: {journals:?}");
    };
    let journal = fs::File::options().write(true).open(journal);
    let zeroed = journal.and_then(|journal| journal.write_all_at(&[0; 4_096], 40_960));
    zeroed.expect("a journal");
}

#[test]
fn a_directory_in_order_is_left_alone() {
    let directory = TempDir::new().expect("directory");
    let mut node = filled(&directory);
    for command in ["verify", "repair"] {
        let said = told(&[command], &node, 2);
        assert!(said.contains("in use by process"), "{said}");
    }
    assert!(node.stop().success());
    let said = told(&["verify"], &node, 0);
    assert!(said.contains(&format!("{KEYS} keys")), "{said}");
    assert!(said.contains("is whole"), "{said}");
    let said = told(&["repair"], &node, 0);
    assert!(said.contains("nothing was changed"), "{said}");
    node.start();
    assert_eq!(node.get(&key(7)), Ok(Some(value(7))));
}

/// Nobody else has what is damaged, so nothing is given up unless that is asked for.
#[test]
fn what_nobody_else_has_is_given_up_only_when_asked() {
    let directory = TempDir::new().expect("directory");
    let mut node = filled(&directory);
    assert!(node.stop().success());
    damage_the_journal(&node);
    let said = told(&["verify"], &node, 1);
    assert!(said.contains("netdb repair"), "{said}");
    let said = told(&["repair"], &node, 1);
    assert!(said.contains("--accept-loss"), "{said}");
    let again = told(&["verify"], &node, 1);
    assert!(again.contains("netdb repair"), "{again}");
    node.launch();
    let status = node.ended();
    assert!(!status.success(), "it must not start");
    assert!(
        node.log_tail().contains("--accept-loss"),
        "{}",
        node.log_tail()
    );
    let said = told(&["repair", "--accept-loss"], &node, 0);
    assert!(said.contains("quarantine"), "{said}");
    told(&["verify"], &node, 0);
    node.start();
    let kept = (0..KEYS).filter(|n| match node.get(&key(*n)) {
        Ok(Some(found)) => {
            assert_eq!(found, value(*n));
            true
        }
        other => {
            assert_eq!(other, Ok(None));
            false
        }
    });
    assert!((1..KEYS).contains(&kept.count()));
}

#[test]
fn what_is_no_directory_is_told_apart() {
    let directory = TempDir::new().expect("directory");
    let node = Node::new("n1", "none", directory.path());
    for command in ["verify", "repair"] {
        let said = told(&[command], &node, 2);
        assert!(said.contains(&node.data().display().to_string()), "{said}");
    }
}
