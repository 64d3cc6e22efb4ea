//! `netdb repl` and `netdb exec`: commands to a node that runs elsewhere.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};

use netdb::config::{CLIENT_PORT_DEFAULT, HOST_DEFAULT, HostPort};
use netdb::repl::{
    Command, History, Kind, Node, Outcome, Patience, RemoteNode, SHOWN_BYTES_MAX, Session,
    run_command, run_piped, run_words,
};

use tokio::runtime::Runtime;

use super::environment::{self, Environment};
use super::failure::{FAILED, Failure};
use super::prompt::{self, End};
use super::settings;
use super::signals::Signals;

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
        let result = runtime.block_on(type_to(node, settings::history(environment)));
        // A thread that still waits for a line must not keep the process.
        runtime.shutdown_background();
        result.map(|()| 0)
    } else {
        pipe_to(node, &runtime)
    }
}

async fn type_to(node: RemoteNode, history: History) -> Result<(), Failure> {
    node.connect().await.map_err(Failure::broken)?;
    say(&format!(
        "Connected to {}. Type help for the commands, quit to leave.",
        node.address
    ))?;
    let mut signals = Signals::new().map_err(broken)?;
    match prompt::run(node, history, &mut signals)
        .await
        .map_err(broken)?
    {
        End::Quit | End::Signal(_) => Ok(()),
        End::Failed(error) => Err(Failure::broken(format!("the terminal failed: {error}"))),
    }
}

fn pipe_to(node: RemoteNode, runtime: &Runtime) -> Result<u8, Failure> {
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
        Err(error) => Err(broken(error)),
    }
}

/// Runs one command that was given as words.
///
/// # Errors
/// [`Failure::Usage`] for a wrong address.
pub fn exec(
    node: Option<&str>,
    words: Vec<OsString>,
    environment: &Environment,
) -> Result<u8, Failure> {
    let words: Vec<_> = words
        .into_iter()
        .map(OsString::into_encoded_bytes)
        .collect();
    let mut session = session(node, environment)?;
    tell(&runtime()?.block_on(run_words(&mut session, &words)))
}

/// Runs one command.
///
/// # Errors
/// [`Failure::Usage`] for a wrong address.
pub fn run(node: Option<&str>, command: Command, environment: &Environment) -> Result<u8, Failure> {
    let mut session = session(node, environment)?;
    tell(&runtime()?.block_on(run_command(&mut session, command)))
}

fn session(node: Option<&str>, environment: &Environment) -> Result<Session<RemoteNode>, Failure> {
    let node = RemoteNode {
        address: address("--node", node, environment)?,
        patience: Patience::Endless,
    };
    Ok(Session::new(node, value_bytes_max()))
}

fn tell(outcome: &Outcome) -> Result<u8, Failure> {
    if outcome.kind.is_error() {
        let _ = writeln!(io::stderr(), "{}", outcome.text);
    } else {
        say(&outcome.text)?;
    }
    Ok(status(outcome))
}

fn status(outcome: &Outcome) -> u8 {
    match outcome.kind {
        Kind::Done | Kind::Quit => 0,
        Kind::Missing | Kind::Failed | Kind::Unreachable => FAILED,
        Kind::Usage => 2,
    }
}

/// The node that is meant: by argument, by variable, or the first one on this machine.
///
/// # Errors
/// [`Failure::Usage`]: it is no address.
pub fn address(
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

/// What runs a command that talks to a node.
///
/// # Errors
/// The system has no threads left.
pub fn runtime() -> Result<Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let built = builder.worker_threads(1).enable_all().build();
    built.map_err(|error| Failure::broken(format!("no threads: {error}")))
}

fn broken(error: io::Error) -> Failure {
    Failure::broken(format!("terminal or pipe: {error}"))
}

/// Says something on standard output.
///
/// # Errors
/// It cannot be written; a closed pipe is no error, whoever closed it has read enough.
pub fn say(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(broken(error)),
        _ => Ok(()),
    }
}
