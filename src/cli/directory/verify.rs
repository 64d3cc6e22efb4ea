//! `netdb verify DIR`: whether a data directory is in order.

use std::path::Path;

use netdb::store::engine::examine;

use super::{count, failed, keyspace, say_bad, store_of, sums};
use crate::cli::failure::Failure;
use crate::cli::remote::say;

/// Checks `dir` without changing anything in it, and says what it holds.
///
/// # Errors
/// It is none, a node has it, or something is wrong with it.
pub fn verify(dir: &Path, partitions: Option<u16>) -> Result<u8, Failure> {
    let store = store_of(dir)?;
    let scratch = std::env::temp_dir().join(format!("netdb-verify-{}", std::process::id()));
    let found = examine(&store, &scratch, keyspace(partitions));
    let found = found.map_err(|error| failed(&error))?;
    say_bad(&found)?;
    say(&sums(&found))?;
    if !found.rebuilding.is_empty() {
        let waiting = count(&found.rebuilding);
        say(&format!(
            "{waiting} wait to be fetched from another node, since a repair."
        ))?;
    }
    let dir = dir.display();
    match found.is_whole() {
        true => say(&format!("{dir} is whole."))?,
        false => {
            return Err(Failure::broken(format!(
                "{dir} is damaged; netdb repair {dir} keeps what is in order and has the rest \
                 fetched from other nodes"
            )));
        }
    }
    Ok(0)
}
