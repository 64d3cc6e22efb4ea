//! `netdb verify`: whether a backup is whole, without a node.

use std::path::Path;

use netdb::backup::{Header, Part};

use super::progress::Progress;
use super::source::Source;
use super::text::{bytes, counted, origin};
use crate::cli::failure::Failure;
use crate::cli::remote::say;

/// Checks the backup at `path` and says what it holds.
///
/// # Errors
/// It cannot be read, or something is wrong with it.
pub fn verify(path: &Path) -> Result<u8, Failure> {
    let mut source = Source::open(path)?;
    let header = check(&mut source, &mut Progress::new())?;
    let totals = source.totals();
    say(&format!(
        "{} is whole: {} in {}, {}.",
        path.display(),
        counted(totals.versions, "value"),
        counted(totals.partitions, "partition"),
        bytes(source.read)
    ))?;
    say(&format!(
        "Backup of {}, by netdb {}; hash seed {}.",
        origin(&header),
        header.program,
        header.hash_seed
    ))?;
    Ok(0)
}

/// Reads all of `source` and gives its header.
///
/// # Errors
/// It cannot be read, or something is wrong with it.
pub fn check(source: &mut Source, progress: &mut Progress) -> Result<Header, Failure> {
    let mut header = Header::default();
    while let Some(part) = source.next()? {
        if let Part::Header(found) = part {
            header = found;
        }
        progress.tell("checking", source.read, source.length, source.read);
    }
    progress.clear();
    Ok(header)
}
