//! Where `tracing` events go: standard error, for people or for machines.

use std::io::IsTerminal;

use netdb::config::LogFormat;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::failure::Failure;

/// What a node logs unless it is told: its own events, and others' warnings.
const FILTER: &str = "warn,netdb=info";

/// What it logs on a terminal that it shares with the REPL.
const FILTER_BESIDE_REPL: &str = "warn";

/// Checks a filter before anything is started.
///
/// # Errors
/// [`Failure::Usage`].
pub fn filter(given: Option<&str>, beside_repl: bool) -> Result<EnvFilter, Failure> {
    let default = if beside_repl {
        FILTER_BESIDE_REPL
    } else {
        FILTER
    };
    let text = given.unwrap_or(default);
    let filter = EnvFilter::builder().parse(text).ok();
    filter
        .filter(|_| text.split(',').all(names_a_level))
        .ok_or_else(|| {
            Failure::usage(format!(
                "log filter {text:?} is not understood; write off, error, warn, info, debug or \
             trace, for all or by module: warn,netdb::membership=debug"
            ))
        })
}

/// Whether one part of a filter says which level, or a module and its level. A lone word
/// would be taken for the name of a module, and `--log inof` would silently log nothing.
/// What has brackets selects spans, in a grammar that is left to the parser.
fn names_a_level(part: &str) -> bool {
    let (module, level) = part.rsplit_once('=').unwrap_or(("", part));
    let is_level = !level.trim().is_empty() && level.trim().parse::<LevelFilter>().is_ok();
    let is_module = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-');
    part.contains('[') || (is_level && module.trim().chars().all(is_module))
}

/// Begins to log. Only the first call has an effect.
pub fn begin(filter: EnvFilter, format: LogFormat) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // An error here means that there is a subscriber already, which is as good.
    let _ = match format {
        LogFormat::Human => builder.with_ansi(colours).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}
