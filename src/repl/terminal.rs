//! The terminal: rustyline around the interpreter.
//!
//! Reading a line blocks, so all of this runs on a thread of its own; calls to the node
//! are driven by the runtime whose handle it has.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustyline::completion::{Completer, Pair};
use rustyline::error::{ReadlineError, Signal};
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Context, Editor, Helper, Highlighter, Hinter, Validator};

use super::completion::complete;
use super::history::{History, LINE_BYTES_MAX, LINES_MAX};
use super::session::{Connection, Node, Session, netdb};
use super::{Kind, SHOWN_BYTES_MAX, answer, run_line};

/// The prompt.
const PROMPT: &str = "> ";

/// How often the names for completion are asked for: soon enough for a member that a person
/// has just started, and no load.
const NAMES_INTERVAL: Duration = Duration::from_secs(3);

/// Runs the prompt until `quit`, Ctrl-D or a signal to end. Blocks; must not be called from
/// within the runtime.
///
/// # Errors
/// Those of the terminal. A node that cannot be reached is told and tried again at the
/// next command.
pub fn run_terminal<N: Node + Clone + 'static>(
    runtime: &tokio::runtime::Handle,
    node: N,
    history: &History,
) -> io::Result<()> {
    let names = Arc::default();
    let asking = runtime.spawn(keep_names(node.clone(), Arc::clone(&names)));
    let mut session = Session::new(node, SHOWN_BYTES_MAX);
    let result = editor(names, history)
        .and_then(|mut editor| converse(runtime, &mut session, &mut editor, history));
    asking.abort();
    match result {
        Ok(()) => Ok(()),
        Err(ReadlineError::Io(error)) => Err(error),
        Err(other) => Err(io::Error::other(other)),
    }
}

type NetdbEditor = Editor<Assistant, DefaultHistory>;

fn editor(names: Names, history: &History) -> rustyline::Result<NetdbEditor> {
    let config = Config::builder()
        .max_history_size(LINES_MAX)?
        .history_ignore_dups(true)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(Assistant { names }));
    if let Some(file) = history.file() {
        // A damaged history is no reason to refuse the prompt.
        let _ = editor.load_history(file);
    }
    Ok(editor)
}

fn converse<N: Node>(
    runtime: &tokio::runtime::Handle,
    session: &mut Session<N>,
    editor: &mut NetdbEditor,
    history: &History,
) -> rustyline::Result<()> {
    loop {
        let line = match editor.readline(PROMPT) {
            Ok(line) => line,
            // Ctrl-C gives up the line, and nothing else.
            Err(ReadlineError::Interrupted | ReadlineError::Signal(Signal::Resize)) => continue,
            Err(ReadlineError::Eof | ReadlineError::Signal(_)) => return say("Goodbye!"),
            Err(error) => return Err(error),
        };
        remember(editor, history, &line);
        let Some(outcome) = runtime.block_on(run_line(session, line.as_bytes())) else {
            continue;
        };
        if let Some(note) = session.take_note() {
            say(&note)?;
        }
        say(&outcome.text)?;
        if outcome.kind == Kind::Quit {
            return Ok(());
        }
    }
}

/// Kept at once, so that it survives whatever ends the process.
fn remember(editor: &mut NetdbEditor, history: &History, line: &str) {
    if line.len() > LINE_BYTES_MAX || !matches!(editor.add_history_entry(line), Ok(true)) {
        return;
    }
    if let Some(file) = history.file() {
        let _ = editor.append_history(file);
    }
}

fn say(text: &str) -> rustyline::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()?;
    Ok(())
}

/// Members' names, as last heard.
type Names = Arc<Mutex<Vec<String>>>;

/// Asks for the names now and then, on a connection of its own so that it never stands in
/// the way of a command.
async fn keep_names<N: Node>(node: N, names: Names) {
    let mut connection = None;
    loop {
        if connection.is_none() {
            connection = node.connect().await.ok();
        }
        if let Some(mut open) = connection.take()
            && let Ok(reply) = open.call(&netdb("MEMBERS")).await
        {
            let heard = answer::member_names(&reply);
            *names.lock().unwrap_or_else(PoisonError::into_inner) = heard;
            connection = Some(open);
        }
        tokio::time::sleep(NAMES_INTERVAL).await;
    }
}

/// What rustyline asks while a line is typed.
#[derive(Helper, Highlighter, Hinter, Validator)]
struct Assistant {
    names: Names,
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let (start, candidates) = complete(line.get(..pos).unwrap_or(line), &names);
        let pair = |replacement: String| Pair {
            display: replacement.trim_end().to_owned(),
            replacement,
        };
        Ok((start, candidates.into_iter().map(pair).collect()))
    }
}
