//! The interpreter: lines typed, piped or given as arguments, against a node's client port.
//!
//! It is a client like any other and has no other way to the data, also when it runs
//! inside the node's own process. The path of a line is pure: `words` cut it,
//! `command` understands it, `session` asks the node, `answer` puts the reply into
//! words. Around it are thin edges: `terminal` (rustyline), `piped` (any reader) and
//! `remote` (the socket).
//!
//! Invariants: no line ends the process but `quit`; nothing that is printed from data can
//! steer the terminal; everything that is listed is bounded.

mod answer;
mod command;
mod completion;
#[cfg(test)]
mod fake;
mod fields;
mod history;
mod piped;
mod placing;
mod rebalancing;
mod remote;
mod session;
mod terminal;
mod text;
mod time;
mod words;

use std::time::{SystemTime, UNIX_EPOCH};

pub use command::{COMMANDS, Command, Entry, parse, parse_line};
pub use history::History;
pub use piped::{LINE_BYTES_MAX, run_piped};
pub use placing::Join;
pub use rebalancing::Rebalancing;
pub use remote::{Patience, Remote, RemoteNode};
pub use session::{CallError, Connection, Node, Session};
pub use terminal::run_terminal;
pub use text::{SHOWN_BYTES_MAX, bytes};
pub use time::{duration, utc};

/// What became of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub kind: Kind,
    /// What to tell, without a line feed at the end.
    pub text: String,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It was done.
    Done,
    /// There is no such key or member.
    Missing,
    /// It was not understood.
    Usage,
    /// The node refused it, or answered nonsense.
    Failed,
    /// The node did not answer.
    Unreachable,
    /// Leave.
    Quit,
}

impl Outcome {
    fn done(text: impl Into<String>) -> Self {
        Self {
            kind: Kind::Done,
            text: text.into(),
        }
    }

    fn failed(text: impl Into<String>) -> Self {
        Self {
            kind: Kind::Failed,
            text: text.into(),
        }
    }

    fn unreachable(text: impl Into<String>) -> Self {
        Self {
            kind: Kind::Unreachable,
            text: text.into(),
        }
    }

    fn usage(text: impl Into<String>) -> Self {
        Self {
            kind: Kind::Usage,
            text: text.into(),
        }
    }

    fn quit() -> Self {
        Self {
            kind: Kind::Quit,
            text: "Goodbye!".to_owned(),
        }
    }
}

impl Kind {
    /// Whether the text belongs on standard error, when that is apart.
    pub fn is_error(self) -> bool {
        matches!(self, Self::Usage | Self::Failed | Self::Unreachable)
    }
}

/// Runs one command that was given as words: the whole of `netdb exec`.
pub async fn run_words<N: Node>(session: &mut Session<N>, words: &[Vec<u8>]) -> Outcome {
    match parse(words) {
        Ok(command) => run_command(session, command).await,
        Err(words) => Outcome::usage(words),
    }
}

/// Runs one command.
pub async fn run_command<N: Node>(session: &mut Session<N>, command: Command) -> Outcome {
    session.run(command, wall_ms()).await
}

/// Runs one line; none if it is blank.
async fn run_line<N: Node>(session: &mut Session<N>, line: &[u8]) -> Option<Outcome> {
    match parse_line(line) {
        Ok(None) => None,
        Ok(Some(command)) => Some(session.run(command, wall_ms()).await),
        Err(words) => Some(Outcome::usage(words)),
    }
}

/// Milliseconds since the Unix epoch, by this machine's clock.
fn wall_ms() -> u64 {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
