//! The files an operator names, read with bounds.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use netdb::config::{Secret, cluster_key};

use super::failure::Failure;

/// Largest configuration file: the longest sensible one is a hundredth of it, and a wrong
/// path may lead anywhere.
pub const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// Largest file of a cluster key.
const KEY_FILE_BYTES_MAX: u64 = 64 * 1024;

/// The text of the configuration file that `named_by` (a flag, a variable) names.
///
/// # Errors
/// [`Failure::Usage`]: it cannot be read, is too large or is not text.
pub fn config(named_by: &str, path: &Path) -> Result<String, Failure> {
    let wrong = |problem: String| wrong(named_by, path, &problem);
    let bytes = read(path, CONFIG_BYTES_MAX).map_err(wrong)?;
    String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8; write a TOML file".to_owned()))
}

/// The cluster key in a file, with a warning if others may read it.
///
/// # Errors
/// [`Failure::Usage`]: it cannot be read, or is no key.
pub fn key(path: &Path, warnings: &mut Vec<String>) -> Result<Secret, Failure> {
    const WHAT: &str = "cluster key file";
    let bytes = read(path, KEY_FILE_BYTES_MAX).map_err(|problem| wrong(WHAT, path, &problem))?;
    if is_open_to_others(path) {
        let path = path.display();
        warnings.push(format!(
            "others may read the cluster key file {path:?}; chmod 600 it"
        ));
    }
    cluster_key(&bytes).map_err(|problem| wrong(WHAT, path, &problem.to_string()))
}

fn wrong(what: &str, path: &Path, problem: &str) -> Failure {
    Failure::usage(format!("{what} {:?} {problem}", path.display().to_string()))
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    let mut bounded = file.take(limit.saturating_add(1));
    bounded
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(&error))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(format!("is too large: at most {limit} bytes"));
    }
    Ok(bytes)
}

/// Why a file cannot be read, and what to do.
pub fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "does not exist; give the path of a file".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory; give the path of a file".to_owned(),
        io::ErrorKind::PermissionDenied => "may not be read by this user".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path)
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_: &Path) -> bool {
    false
}
