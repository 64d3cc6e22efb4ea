//! Who a node is: its name, the id made of it, and the number of its life.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::error::StartError;
use crate::clock::NodeId;

/// Longest name in bytes: it is a node fact, and all facts of a node share 1 KiB.
pub const NAME_BYTES_MAX: usize = 64;

const GENERATION_FILE: &str = "generation";

/// The name that `configured` or, without it, this machine and its cluster port make.
pub(super) fn name(configured: Option<&str>, cluster: SocketAddr) -> Result<String, StartError> {
    match configured {
        Some(name) => check_name(name).map(|()| name.to_owned()),
        None => Ok(format!("{}-{}", host_name(), cluster.port())),
    }
}

/// Names become file names and appear in logs and tables, so they are plain.
pub(super) fn check_name(name: &str) -> Result<(), StartError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    if fits && name.chars().all(plain) && !name.starts_with(['.', '-']) {
        return Ok(());
    }
    Err(StartError::BadName {
        name: name.chars().take(2 * NAME_BYTES_MAX).collect(),
        reason: format!(
            "use 1 to {NAME_BYTES_MAX} letters, digits, '-', '_' and '.', beginning with a letter or digit"
        ),
    })
}

/// This machine's name as far as it can be part of a node's name.
fn host_name() -> String {
    let raw = fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| fs::read_to_string("/etc/hostname"))
        .or_else(|_| std::env::var("HOSTNAME"))
        .unwrap_or_default();
    let short = raw.trim().split('.').next().unwrap_or_default();
    let plain: String = short
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_')
        .take(NAME_BYTES_MAX / 2)
        .collect();
    match plain.trim_start_matches(['-', '_']) {
        "" => "node".to_owned(),
        name => name.to_owned(),
    }
}

/// The id of the node `name` of `cluster`. Equal names give equal ids on every machine;
/// two different names of one cluster share an id once in 2⁶⁴ pairs.
pub(super) fn node_id(cluster: &str, name: &str) -> NodeId {
    let text = [cluster.as_bytes(), b"\0", name.as_bytes()].concat();
    // Zero names nobody.
    NodeId(xxh3_64(&text).max(1))
}

/// Where a node remembers its generation; nowhere if it keeps its data in memory.
#[derive(Clone, Debug)]
pub(super) struct GenerationFile {
    path: Option<PathBuf>,
}

impl GenerationFile {
    pub(super) fn in_memory() -> Self {
        Self { path: None }
    }

    pub(super) fn in_directory(directory: &Path) -> Self {
        Self {
            path: Some(directory.join(GENERATION_FILE)),
        }
    }

    /// The number of a new life: greater than that of every earlier one, also if the clock
    /// was set back since. Stored before it is used.
    pub(super) fn next(&self, wall_ms: u64) -> Result<u64, StartError> {
        let Some(path) = &self.path else {
            return Ok(wall_ms.max(1));
        };
        let stored = read_generation(path)?;
        let generation = stored.saturating_add(1).max(wall_ms).max(1);
        self.store(generation)
            .map_err(|error| directory_error(path, error.to_string()))?;
        Ok(generation)
    }

    /// Remembers `generation` durably.
    pub(super) fn store(&self, generation: u64) -> io::Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let temporary = path.with_extension("new");
        let mut file = File::create(&temporary)?;
        writeln!(file, "{}", generation_line(generation))?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        match path.parent() {
            Some(directory) => File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    }
}

/// The number and its checksum: one that is damaged and still a number may lie far ahead, and
/// the other members would take no later start for news until that time has come.
fn generation_line(generation: u64) -> String {
    let checksum = xxh3_64(&generation.to_le_bytes());
    format!("{generation} {checksum:016x}")
}

fn read_generation(path: &Path) -> Result<u64, StartError> {
    match fs::read(path) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let number = text.split(' ').next().and_then(|word| word.parse().ok());
            let checked = number.filter(|number| text.trim_end() == generation_line(*number));
            checked.ok_or_else(|| {
                directory_error(
                    path,
                    "it should hold one number and its checksum; delete it to start a new count"
                        .into(),
                )
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(directory_error(path, error.to_string())),
    }
}

fn directory_error(path: &Path, reason: String) -> StartError {
    StartError::Directory {
        path: path.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDR: &str = "127.0.0.1:7979";

    #[test]
    fn names_are_plain_and_bounded() {
        let addr = ADDR.parse().unwrap();
        for good in ["a", "node-1", "n_2.example", &"x".repeat(NAME_BYTES_MAX)] {
            assert_eq!(name(Some(good), addr).unwrap(), good);
        }
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for bad in ["", "../up", "a b", "ü", ".hidden", "-x", "a/b", &long] {
            let error = name(Some(bad), addr).unwrap_err().to_string();
            assert!(error.contains("letters, digits"), "{error}");
        }
        let automatic = name(None, addr).unwrap();
        assert!(automatic.ends_with("-7979"));
        assert!(check_name(&automatic).is_ok(), "{automatic}");
    }

    #[test]
    fn ids_depend_on_cluster_and_name() {
        assert_eq!(node_id("c", "n"), node_id("c", "n"));
        assert_ne!(node_id("c", "n"), node_id("c", "m"));
        assert_ne!(node_id("ab", "c"), node_id("a", "bc"));
    }

    #[test]
    fn generations_grow_even_when_the_clock_goes_back() {
        let directory = tempfile::tempdir().unwrap();
        let file = GenerationFile::in_directory(directory.path());
        assert_eq!(file.next(1_000).unwrap(), 1_000);
        assert_eq!(file.next(900).unwrap(), 1_001);
        assert_eq!(file.next(5_000).unwrap(), 5_000);
        file.store(9_000).unwrap();
        assert_eq!(file.next(6_000).unwrap(), 9_001);
    }

    #[test]
    fn a_damaged_generation_is_an_error_that_says_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let flipped = generation_line(1_795_647_749_256).replacen('1', "5", 1);
        let contents = [
            &b"later"[..],
            &[0xff, b'1'],
            b"1795647749256",
            flipped.as_bytes(),
        ];
        for content in contents {
            fs::write(directory.path().join(GENERATION_FILE), content).unwrap();
            let file = GenerationFile::in_directory(directory.path());
            let error = file.next(1).unwrap_err().to_string();
            assert!(error.contains("one number"), "{error}");
        }
    }
}
