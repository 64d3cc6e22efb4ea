//! `netdb repl` and `netdb exec`: commands to a node that runs elsewhere.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};

use netdb::config::{CLIENT_PORT_DEFAULT, HOST_DEFAULT, HostPort};
use netdb::repl::{
    Kind, Node, Outcome, Patience, RemoteNode, SHOWN_BYTES_MAX, Session, run_piped, run_terminal,
    run_words,
};

use super::FAILED;
use super::environment::{self, Environment};
use super::failure::Failure;
use super::settings;

/// Runs lines from the terminal or a pipe.
///
/// # Errors
/// [`Failure::Usage`] for a wrong address, [`Failure::Broken`] if the node is not there.
pub fn repl(node: Option<&str>, environment: &Environment) -> Result<u8, Failure> {
    let typed = io::stdin().is_terminal();
    let patience = if typed {
        Patience::UntilInterrupted
    } else {
        Patience::Endless
    };
    let address = address("HOST:PORT", node, environment)?;
    let node = RemoteNode { address, patience };
    let runtime = runtime()?;
    if typed {
        runtime.block_on(node.connect()).map_err(Failure::broken)?;
        say(&format!(
            "Connected to {}. Type help for the commands, quit to leave.",
            node.address
        ))?;
        let history = settings::history(environment);
        run_terminal(runtime.handle(), node, &history).map_err(broken_pipe)?;
        return Ok(0);
    }
    let mut session = Session::new(node, value_bytes_max());
    runtime
        .block_on(session.connect())
        .map_err(Failure::broken)?;
    let (input, output, errors) = (io::stdin().lock(), io::stdout().lock(), io::stderr());
    match run_piped(runtime.handle(), &mut session, input, output, errors) {
        Ok(Kind::Unreachable) => Ok(FAILED),
        Ok(_) => Ok(0),
        // Whoever closed the pipe has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        Err(error) => Err(broken_pipe(error)),
    }
}

/// Runs one command.
///
/// # Errors
/// [`Failure::Usage`] for a wrong address.
pub fn exec(
    node: Option<&str>,
    words: Vec<OsString>,
    environment: &Environment,
) -> Result<u8, Failure> {
    let address = address("--node", node, environment)?;
    let node = RemoteNode {
        address,
        patience: Patience::Endless,
    };
    let words: Vec<_> = words
        .into_iter()
        .map(OsString::into_encoded_bytes)
        .collect();
    let mut session = Session::new(node, value_bytes_max());
    let outcome = runtime()?.block_on(run_words(&mut session, &words));
    if outcome.kind.is_error() {
        let _ = writeln!(io::stderr(), "{}", outcome.text);
    } else {
        say(&outcome.text)?;
    }
    Ok(status(&outcome))
}

fn status(outcome: &Outcome) -> u8 {
    match outcome.kind {
        Kind::Done | Kind::Quit => 0,
        Kind::Missing | Kind::Failed | Kind::Unreachable => FAILED,
        Kind::Usage => 2,
    }
}

/// The node that is meant: by argument, by variable, or the first one on this machine.
fn address(
    argument: &str,
    given: Option<&str>,
    environment: &Environment,
) -> Result<HostPort, Failure> {
    let (named_by, text) = match given {
        Some(text) => (argument, text.to_owned()),
        None => match environment.text(environment::NODE)? {
            Some(text) => (environment::NODE, text),
            None => {
                return Ok(HostPort {
                    host: HOST_DEFAULT.to_owned(),
                    port: CLIENT_PORT_DEFAULT,
                });
            }
        },
    };
    text.parse::<HostPort>()
        .and_then(HostPort::reachable)
        .map_err(|problem| Failure::usage(format!("{named_by} {text:?} {problem}")))
}

/// A screen is spared huge values; a file or a program gets them whole.
fn value_bytes_max() -> usize {
    if io::stdout().is_terminal() {
        SHOWN_BYTES_MAX
    } else {
        usize::MAX
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let built = builder.worker_threads(1).enable_all().build();
    built.map_err(|error| Failure::broken(format!("no threads: {error}")))
}

fn broken_pipe(error: io::Error) -> Failure {
    Failure::broken(format!("terminal or pipe: {error}"))
}

fn say(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(broken_pipe(error)),
        _ => Ok(()),
    }
}
