//! The environment variables the program knows, as a value.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use netdb::config::{KNOBS, nearest};

use super::failure::Failure;

/// What every variable of netdb begins with.
const PREFIX: &str = "NETDB_";

/// The configuration file of `netdb start`.
pub const CONFIG: &str = "NETDB_CONFIG";

/// The node that `netdb repl` and `netdb exec` speak to.
pub const NODE: &str = "NETDB_NODE";

/// The file of the REPL's history.
pub const HISTORY: &str = "NETDB_HISTORY";

/// Where users have their files.
const HOME: &str = "HOME";

/// The variables that matter here.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// The process's own.
    pub fn of_process() -> Self {
        Self::of(
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))),
        )
    }

    /// These variables; the ones that do not matter, and empty ones, are left out.
    pub fn of(variables: impl IntoIterator<Item = (String, OsString)>) -> Self {
        let matters = |(name, value): &(String, OsString)| {
            (name.starts_with(PREFIX) || name == HOME) && !value.is_empty()
        };
        Self(variables.into_iter().filter(matters).collect())
    }

    /// A variable's text, if it is set.
    ///
    /// # Errors
    /// It is not text.
    pub fn text(&self, name: &str) -> Result<Option<String>, Failure> {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        let text = value.to_str().ok_or_else(|| {
            Failure::usage(format!("{name} is not valid UTF-8; write it in UTF-8"))
        })?;
        Ok(Some(text.to_owned()))
    }

    /// A variable's path, if it is set.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.0.get(name).map(PathBuf::from)
    }

    /// The user's home directory.
    pub fn home(&self) -> Option<PathBuf> {
        self.path(HOME)
    }

    /// A warning for each variable that is probably a mistyped one of ours. Others are let
    /// be: orchestrators make variables from the names of services.
    pub fn doubts(&self) -> Vec<String> {
        let mut known: Vec<String> = KNOBS.iter().map(netdb::config::Knob::variable).collect();
        known.extend([CONFIG, NODE, HISTORY].map(str::to_owned));
        let words = || known.iter().filter_map(|name| name.strip_prefix(PREFIX));
        let ours = self.0.keys().filter_map(|name| name.strip_prefix(PREFIX));
        ours.filter(|word| !words().any(|known| known == *word))
            .filter_map(|word| Some((word, nearest(word, words())?)))
            .map(|(word, near)| {
                format!("variable {PREFIX}{word} means nothing; did you mean {PREFIX}{near}?")
            })
            .collect()
    }
}
