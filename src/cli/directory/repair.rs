//! `netdb repair DIR`: a damaged data directory becomes one that a node can start with.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use netdb::store::engine::{self, Repair, Salvaged, SetAside};
use rand::Rng;

use super::{count, failed, keyspace, say_bad, store_of, sums};
use crate::cli::failure::Failure;
use crate::cli::remote::say;
use crate::cli::transfer::text::counted;

/// Repairs `dir` if something is wrong with it, and says what was done.
///
/// # Errors
/// It is no data directory, a node has it, what is damaged is nowhere else and `accept_loss`
/// was not given, or the disk fails. It is as before then.
pub fn repair(dir: &Path, partitions: Option<u16>, accept_loss: bool) -> Result<u8, Failure> {
    let store = store_of(dir)?;
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let how = Repair {
        keyspace: keyspace(partitions),
        accept_loss,
        now_s: since_epoch.unwrap_or_default().as_secs(),
        incarnation: rand::rng().next_u64(),
    };
    let repaired = engine::repair(&store, &how).map_err(|error| failed(&error))?;
    let found = &repaired.examined;
    say_bad(found)?;
    say(&sums(found))?;
    match &repaired.set_aside {
        None => say(&format!("{} is whole; nothing was changed.", dir.display()))?,
        Some(aside) => say_done(dir, aside)?,
    }
    Ok(0)
}

fn say_done(dir: &Path, aside: &SetAside) -> Result<(), Failure> {
    say(&format!(
        "Repaired {}. The old database is in {}.",
        dir.display(),
        aside.to.display()
    ))?;
    if !aside.rebuilding.is_empty() {
        say(&format!(
            "{} will be fetched from other nodes after the start; until then reads of their \
             keys are answered LOADING.",
            count(&aside.rebuilding)
        ))?;
    }
    if aside.salvaged.is_empty() {
        return Ok(());
    }
    let sum = |of: fn(&Salvaged) -> u64| aside.salvaged.iter().map(of).sum();
    say(&format!(
        "Of {} that no other node has, {} could be kept; {} could not be read. Restore a backup \
         if there is one: the last write of each key wins.",
        counted(aside.salvaged.len() as u64, "partition"),
        counted(sum(|salvaged| salvaged.keys), "key"),
        counted(sum(|salvaged| salvaged.unreadable), "other piece")
    ))
}
