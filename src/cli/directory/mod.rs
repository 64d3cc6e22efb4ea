//! `netdb verify DIR` and `netdb repair DIR`: a data directory, without a node.

mod repair;
mod verify;

pub use repair::repair;
pub use verify::verify;

use std::path::{Path, PathBuf};

use netdb::placement::{Keyspace, PartitionId};
use netdb::store::engine::{EngineError, Examined};

use crate::cli::failure::Failure;
use crate::cli::remote::say;
use crate::cli::transfer::text::{bytes, counted};

/// Where in a node's directory the engine's is.
const STORE: &str = "store";

/// The most partitions that are listed one by one.
const LISTED_MAX: usize = 100;

/// The engine's directory in `dir`, which may be that directory itself.
fn store_of(dir: &Path) -> Result<PathBuf, Failure> {
    let is_store = |dir: &Path| dir.join("FORMAT").exists() || dir.join("fjall").exists();
    let store = dir.join(STORE);
    match (is_store(&store), is_store(dir)) {
        (true, _) => Ok(store),
        (false, true) => Ok(dir.to_owned()),
        (false, false) => Err(Failure::usage(format!(
            "{} is no data directory; give what --data of a node named",
            dir.display()
        ))),
    }
}

/// What `--partitions` says; the seed of the key hash is that of every cluster.
fn keyspace(partitions: Option<u16>) -> Option<Keyspace> {
    partitions.map(|partitions| Keyspace {
        partitions,
        ..Keyspace::default()
    })
}

fn failed(error: &EngineError) -> Failure {
    match error {
        EngineError::Locked { .. }
        | EngineError::Format { .. }
        | EngineError::Keyspace { .. }
        | EngineError::UnknownKeyspace(_) => Failure::usage(error),
        error => Failure::broken(error),
    }
}

/// Says what is wrong, a line each.
fn say_bad(found: &Examined) -> Result<(), Failure> {
    if let Some(problem) = &found.problem {
        say(&format!("Damaged: {problem}."))?;
    }
    if found.sums.partitions == 0 && found.problem.is_some() {
        return say("No partition can be read.");
    }
    for bad in found.bad.iter().take(LISTED_MAX) {
        say(&format!("Partition {}: {}.", bad.partition, bad.why))?;
    }
    let more = found.bad.len().saturating_sub(LISTED_MAX);
    if more > 0 {
        say(&format!("And {} more.", counted(more as u64, "partition")))?;
    }
    Ok(())
}

/// What is in order, in words.
fn sums(found: &Examined) -> String {
    let sums = &found.sums;
    let synced = match found.synced {
        Some(number) => number.to_string(),
        None => "unknown, because SYNCED cannot be read".to_owned(),
    };
    let torn = match found.is_torn {
        true => " The end of its journal is torn, as a loss of power leaves it; a start cuts it.",
        false => "",
    };
    format!(
        "{} in order: {}, {}, {}. Last batch {}, synced {synced}.{torn}",
        counted(sums.partitions, "partition"),
        counted(sums.keys, "key"),
        counted(sums.versions, "version"),
        bytes(sums.bytes),
        found.batch,
    )
}

fn count(partitions: &[PartitionId]) -> String {
    counted(partitions.len() as u64, "partition")
}
