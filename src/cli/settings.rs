//! Flags over variables over file over defaults: what a node is started with.

use std::path::{Path, PathBuf};

use netdb::config::{Config, KNOBS, LogFormat, Settings};
use netdb::repl::History;

use super::args::StartArgs;
use super::environment::{self, Environment};
use super::failure::Failure;
use super::files;

/// What `netdb start` starts.
#[derive(Debug)]
pub struct Plan {
    /// The node.
    pub config: Config,
    /// Whether the REPL may run.
    pub repl: bool,
    /// The log filter, if one was given.
    pub log: Option<String>,
    /// The form of the log.
    pub log_format: LogFormat,
    /// Where the REPL keeps its history.
    pub history: History,
    /// What the operator should know; to be logged.
    pub warnings: Vec<String>,
}

/// Brings all sources together.
///
/// # Errors
/// [`Failure::Usage`] for whatever is wrong in any of them, whether or not another source
/// would have had the last word: a mistake does not become right by being hidden.
pub fn resolve(args: &StartArgs, environment: &Environment) -> Result<Plan, Failure> {
    let given = args
        .given
        .iter()
        .map(|(knob, values)| (*knob, values.as_slice()));
    let flags = Settings::from_flags(given).map_err(Failure::usage)?;
    let variables = from_environment(environment)?;
    let file = from_file(args, environment)?;
    let settings = flags.over(variables).over(file);

    let mut warnings = environment.doubts();
    let (repl, log) = (!settings.no_repl.unwrap_or_default(), settings.log.clone());
    let log_format = settings.log_format.unwrap_or_default();
    let config = settings.into_config(|path: &Path| files::key(path, &mut warnings))?;
    config.validate().map_err(Failure::usage)?;
    Ok(Plan {
        config,
        repl,
        log,
        log_format,
        history: history(environment),
        warnings,
    })
}

/// Where the REPL keeps its history.
pub fn history(environment: &Environment) -> History {
    History::choose(environment.path(environment::HISTORY), environment.home())
}

fn from_environment(environment: &Environment) -> Result<Settings, Failure> {
    for knob in KNOBS {
        environment.text(&knob.variable())?;
    }
    let variable = |name: &str| environment.text(name).unwrap_or_default();
    Settings::from_variables(variable).map_err(Failure::usage)
}

fn from_file(args: &StartArgs, environment: &Environment) -> Result<Settings, Failure> {
    let by_flag = args.config.clone().map(|path| ("--config", path));
    let named = match by_flag {
        Some(named) => Some(named),
        None => environment
            .text(environment::CONFIG)?
            .map(|path| (environment::CONFIG, path)),
    };
    let Some((named_by, path)) = named else {
        return Ok(Settings::default());
    };
    let path = PathBuf::from(path);
    let text = files::config(named_by, &path)?;
    Settings::from_file(&path, &text).map_err(Failure::usage)
}
