//! The lines typed before, kept in a file of the user's own.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

/// Most lines that are kept.
pub const LINES_MAX: usize = 1_000;

/// Longest line that is kept: pasted values are data, not history.
pub const LINE_BYTES_MAX: usize = 4_096;

/// The file in the home directory, unless another is named.
const FILE_NAME: &str = ".netdb_history";

/// Where the lines are kept, if anywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History(Option<PathBuf>);

impl History {
    /// In `named` if given, else in `home`, else nowhere.
    pub fn choose(named: Option<PathBuf>, home: Option<PathBuf>) -> Self {
        Self(named.or_else(|| home.map(|home| home.join(FILE_NAME))))
    }

    /// The file, made if it is missing and readable by its owner alone: values that were
    /// typed are in it. None if there can be no such file; a history is not worth an error.
    ///
    /// Anything but a regular file is left alone. The file is made here because rustyline
    /// would change the mode mask of the whole process for it, under the node's feet.
    pub(super) fn file(&self) -> Option<&Path> {
        let path = self.0.as_deref()?;
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        if !path.exists() {
            options.open(path).ok()?;
        }
        fs::metadata(path)
            .is_ok_and(|found| found.is_file())
            .then_some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_the_named_one_or_in_the_home_directory() {
        let at = |path: &str| History(Some(path.into()));
        assert_eq!(
            History::choose(Some("/h".into()), Some("/home/a".into())),
            at("/h")
        );
        assert_eq!(
            History::choose(None, Some("/home/a".into())),
            at("/home/a/.netdb_history")
        );
        assert_eq!(History::choose(None, None).file(), None);
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_private_and_regular() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history");
        let history = History(Some(path.clone()));
        assert_eq!(history.file(), Some(path.as_path()));
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(History(Some("/dev/null".into())).file(), None);
        assert_eq!(History(Some(dir.path().join("no/such"))).file(), None);
    }
}
