//! The command line: what is asked for, and what the shell is told.
//!
//! Everything an operator gets wrong is refused in one line on standard error that says
//! what was wrong and what would be right, with exit status 2; what breaks while running
//! has exit status 1. The environment is a value that is passed in, so that all of this
//! can be tested without touching the process's own.

mod args;
mod directory;
mod environment;
mod failure;
mod files;
mod log;
mod place;
mod prompt;
mod remote;
mod settings;
mod signals;
mod start;
mod transfer;
mod tty;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::process::ExitCode;

pub use environment::Environment;

use args::{Asked, Command};
use failure::Failure;

/// Runs the program and gives its exit status.
pub fn run(args: impl IntoIterator<Item = OsString>, environment: Environment) -> ExitCode {
    let status = match dispatch(args, &environment) {
        Ok(status) => status,
        Err(failure) => failure.tell(),
    };
    ExitCode::from(status)
}

fn dispatch(
    args: impl IntoIterator<Item = OsString>,
    environment: &Environment,
) -> Result<u8, Failure> {
    match args::parse(args)? {
        Asked::Text(text) => {
            // Whoever closed the pipe has read enough.
            let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
            Ok(0)
        }
        Asked::Run(Command::Start(args)) => start::start(settings::resolve(&args, environment)?),
        Asked::Run(Command::Repl { node }) => remote::repl(node.as_deref(), environment),
        Asked::Run(Command::Exec { node, words }) => {
            remote::exec(node.as_deref(), words, environment)
        }
        Asked::Run(Command::Backup { node, force, file }) => {
            let node = remote::address("--node", node.as_deref(), environment)?;
            transfer::backup(&node, &file, force)
        }
        Asked::Run(Command::Restore { node, file }) => {
            let node = remote::address("--node", node.as_deref(), environment)?;
            transfer::restore(&node, &file)
        }
        Asked::Run(Command::Plan { node, join, leave }) => {
            let joins = join
                .iter()
                .map(|text| place::join(text))
                .collect::<Result<_, _>>()?;
            place::plan(node.as_deref(), joins, leave, environment)
        }
        Asked::Run(Command::Rebalance { node, how }) => {
            let node = remote::address("--node", node.as_deref(), environment)?;
            place::rebalance(&node, how)
        }
        Asked::Run(Command::Leave { node, force }) => {
            let node = remote::address("--node", node.as_deref(), environment)?;
            place::leave(&node, force)
        }
        Asked::Run(Command::Remove { node, name }) => {
            place::remove(node.as_deref(), name, environment)
        }
        Asked::Run(Command::Verify { partitions, path }) => match path.is_dir() {
            true => directory::verify(&path, partitions),
            false => transfer::verify(&path),
        },
        Asked::Run(Command::Repair {
            accept_loss,
            partitions,
            dir,
        }) => directory::repair(&dir, partitions, accept_loss),
    }
}
