//! Lines from a pipe: no prompt, no echo, answers to one side and errors to the other.

use std::io::{self, BufRead, Read, Write};

use super::session::{Node, Session};
use super::{Kind, run_line};

/// Longest line that is read: the largest value, every byte of it escaped.
pub const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Runs the lines of `input` until it ends, `quit`, or the node does not answer. Says how
/// it ended: [`Kind::Unreachable`] or [`Kind::Done`]; commands that fail do not end it.
///
/// # Errors
/// Those of reading and writing.
pub fn run_piped<N: Node>(
    runtime: &tokio::runtime::Handle,
    session: &mut Session<N>,
    mut input: impl BufRead,
    mut output: impl Write,
    mut errors: impl Write,
) -> io::Result<Kind> {
    let mut line = Vec::new();
    while read_line(&mut input, &mut line)? {
        if line.len() > LINE_BYTES_MAX {
            writeln!(
                errors,
                "Not understood: a line is longer than {LINE_BYTES_MAX} bytes."
            )?;
            continue;
        }
        let Some(outcome) = runtime.block_on(run_line(session, &line)) else {
            continue;
        };
        if let Some(note) = session.take_note() {
            writeln!(errors, "{note}")?;
        }
        if outcome.kind.is_error() {
            writeln!(errors, "{}", outcome.text)?;
        } else {
            writeln!(output, "{}", outcome.text)?;
            output.flush()?;
        }
        match outcome.kind {
            Kind::Quit => break,
            Kind::Unreachable => return Ok(Kind::Unreachable),
            _ => {}
        }
    }
    Ok(Kind::Done)
}

/// Reads one line without its end, or more than [`LINE_BYTES_MAX`] bytes of one that is too
/// long, the rest of which is skipped. False at the end of the input.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let limit = u64::try_from(LINE_BYTES_MAX)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    if input.take(limit).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() > LINE_BYTES_MAX {
        input.skip_until(b'\n')?;
    }
    Ok(true)
}
