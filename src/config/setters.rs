//! How the text of each setting becomes its value.

use std::path::PathBuf;

use super::layer::{KeySource, LogFormat, Settings};
use super::secret::cluster_key;
use super::value::{self, ValueError};
use super::{Durability, HostPort, Network, Storage, Strength};

/// Most seeds: one is enough, a few survive a rack; more is a mistake in a script.
pub const SEEDS_MAX: usize = 64;

pub(super) fn put<T>(slot: &mut Option<T>, read: Result<T, ValueError>) -> Result<(), ValueError> {
    *slot = Some(read?);
    Ok(())
}

/// A key has two ways in; both in one source leave open which is meant.
pub(super) fn put_key(
    slot: &mut Option<KeySource>,
    read: Result<KeySource, ValueError>,
    other: &'static str,
) -> Result<(), ValueError> {
    if slot.is_some() {
        return Err(ValueError::Conflict(other.to_owned()));
    }
    put(slot, read)
}

pub(super) fn address(text: &str) -> Result<HostPort, ValueError> {
    Ok(text.parse()?)
}

pub(super) fn reachable(text: &str) -> Result<HostPort, ValueError> {
    Ok(address(text)?.reachable()?)
}

/// Commas separate in every source: it is what the variable needs, and harmless elsewhere.
pub(super) fn add_seeds(to: &mut Settings, text: &str) -> Result<(), ValueError> {
    let seeds = to.seeds.get_or_insert_default();
    for part in text.split(',') {
        if seeds.len() >= SEEDS_MAX {
            return Err(ValueError::TooMany(SEEDS_MAX));
        }
        seeds.push(reachable(part)?);
    }
    Ok(())
}

pub(super) fn set_data(to: &mut Settings, text: &str) -> Result<(), ValueError> {
    if to.storage == Some(Storage::Memory) {
        return Err(ValueError::Conflict("memory".to_owned()));
    }
    let directory = text_of(text, "write a directory, for example ./netdb-data/node-1")?;
    put(
        &mut to.storage,
        Ok(Storage::Directory(PathBuf::from(directory))),
    )
}

/// `false` says nothing: it leaves the word to the other sources.
pub(super) fn set_memory(to: &mut Settings, text: &str) -> Result<(), ValueError> {
    if !value::boolean(text)? {
        return Ok(());
    }
    if to.storage.is_some() {
        return Err(ValueError::Conflict("data".to_owned()));
    }
    put(&mut to.storage, Ok(Storage::Memory))
}

pub(super) fn strength(text: &str) -> Result<Strength, ValueError> {
    Strength::from_word(text.trim()).ok_or(ValueError::Choice("one, quorum, all, strict-quorum"))
}

pub(super) fn durability(text: &str) -> Result<Durability, ValueError> {
    Durability::from_word(text.trim()).ok_or(ValueError::Choice("os, interval, always"))
}

pub(super) fn network(text: &str) -> Result<Network, ValueError> {
    match text.trim().to_ascii_lowercase().as_str() {
        "local" => Ok(Network::Local),
        "lan" => Ok(Network::Lan),
        "wan" => Ok(Network::Wan),
        _ => Err(ValueError::Choice("local, lan, wan")),
    }
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, ValueError> {
    match text.trim().to_ascii_lowercase().as_str() {
        "human" => Ok(LogFormat::Human),
        "json" => Ok(LogFormat::Json),
        _ => Err(ValueError::Choice("human, json")),
    }
}

pub(super) fn count<T: TryFrom<u64>>(text: &str, min: u64, max: u64) -> Result<T, ValueError> {
    let number = value::number(text, min, max)?;
    T::try_from(number).map_err(|_| ValueError::Number { min, max })
}

pub(super) fn file(text: &str) -> Result<KeySource, ValueError> {
    let path = text_of(text, "write the path of a file")?;
    Ok(KeySource::File(PathBuf::from(path)))
}

pub(super) fn secret(text: &str) -> Result<KeySource, ValueError> {
    Ok(KeySource::Inline(cluster_key(text.as_bytes())?))
}

pub(super) fn text_of(text: &str, right: &'static str) -> Result<String, ValueError> {
    if text.trim().is_empty() || text.contains('\0') {
        return Err(ValueError::Empty(right));
    }
    Ok(text.to_owned())
}
