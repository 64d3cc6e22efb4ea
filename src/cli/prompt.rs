//! The REPL on this process's terminal, and everything that can end it.

use std::io;

use netdb::repl::{History, RemoteNode, run_terminal};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::signals::Signals;
use super::tty;

/// Why the REPL ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// By `quit` or Ctrl-D.
    Quit,
    /// By this signal. SIGINT is not among them: it gives up a line or a command.
    Signal(&'static str),
    /// The terminal failed.
    Failed(String),
}

/// Runs the REPL until it ends. Reading the terminal blocks, hence a thread of its own; if
/// a signal or the caller ends the wait, [`tty::restore`] must be called, because the
/// thread cannot be.
///
/// # Errors
/// The signals cannot be taken over.
pub async fn run(node: RemoteNode, history: History, signals: &mut Signals) -> io::Result<End> {
    // Only here: elsewhere `nohup` may have chosen what becomes of it.
    let mut hangup = signal(SignalKind::hangup())?;
    let (ended, end) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new()
        .name("repl".to_owned())
        .spawn(move || {
            // Nobody listens any more if the process is ending anyway.
            let _ = ended.send(run_terminal(&runtime, node, &history));
        })?;
    let reason = tokio::select! {
        result = end => match result {
            Ok(Ok(())) => End::Quit,
            Ok(Err(error)) => End::Failed(error.to_string()),
            Err(_) => End::Failed("its thread died".to_owned()),
        },
        signal = signals.terminated() => {
            tty::restore();
            End::Signal(signal)
        }
        _ = hangup.recv() => {
            tty::restore();
            End::Signal("SIGHUP")
        }
    };
    // What was given up with Ctrl-C must not count as a wish to end the process at once.
    *signals = Signals::new()?;
    Ok(reason)
}
