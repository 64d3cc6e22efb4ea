//! The signals that ask a node to end.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT and SIGTERM, from the moment this was made: none is missed in between.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes the signals over from their defaults.
    ///
    /// # Errors
    /// Those of the system.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next signal that asks to end; its name. Cancel-safe.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }

    /// The next signal that ends even a process with a REPL: on a terminal SIGINT gives up
    /// a command, and closing the window hangs up. Cancel-safe.
    pub async fn next_beside_repl(&mut self, hangup: &mut Signal) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = hangup.recv() => "SIGHUP",
        }
    }
}

/// SIGHUP. Only taken over where there is a REPL: elsewhere `nohup` may have chosen.
///
/// # Errors
/// Those of the system.
pub fn hangup() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}
