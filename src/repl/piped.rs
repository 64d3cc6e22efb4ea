//! Lines from a pipe: no prompt, no echo, answers to one side and errors to the other.

use std::io::{self, BufRead, Read, Write};

use super::session::{Node, Session};
use super::{Kind, run_line};

/// Longest line that is read: the largest value, every byte of it escaped.
pub const LINE_BYTES_MAX: usize = 272 * 1024 * 1024;

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

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::super::{CallError, SHOWN_BYTES_MAX};
    use super::*;

    fn piped(fake: Fake, input: &[u8]) -> (Kind, String, String) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let mut session = Session::new(fake, SHOWN_BYTES_MAX);
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let kind = run_piped(
            runtime.handle(),
            &mut session,
            input,
            &mut output,
            &mut errors,
        );
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (kind.unwrap(), text(output), text(errors))
    }

    #[test]
    fn answers_and_errors_go_apart_and_failures_do_not_end_it() {
        let (kind, output, errors) = piped(
            Fake::default(),
            b"put a 1\r\n\nfoo\nget a\nget b\nput\nget a",
        );
        assert_eq!(kind, Kind::Done);
        assert_eq!(
            output,
            "Value stored.\nValue: 1\nKey not found.\nValue: 1\n"
        );
        assert!(
            errors.starts_with("Unknown command: foo.")
                && errors.ends_with("Usage: put KEY VALUE...\n")
        );
    }

    #[test]
    fn quit_ends_it() {
        let (kind, output, _) = piped(Fake::default(), b"quit\nput a 1\n");
        assert_eq!((kind, output.as_str()), (Kind::Done, "Goodbye!\n"));
    }

    #[test]
    fn a_node_that_is_gone_ends_it() {
        let fake = Fake::default();
        fake.0.lock().unwrap().refusals = vec![CallError::Failed("gone".to_owned())];
        let (kind, output, errors) = piped(fake, b"put a 1\nget a\n");
        assert_eq!(
            (kind, output.as_str(), errors.as_str()),
            (Kind::Unreachable, "", "Error: gone\n")
        );
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped() {
        let mut input = vec![b'x'; LINE_BYTES_MAX + 10];
        input.extend_from_slice(b"\nput a 1\n");
        let (_, output, errors) = piped(Fake::default(), &input);
        assert_eq!(output, "Value stored.\n");
        assert!(errors.starts_with("Not understood: a line is longer than"));
    }

    #[test]
    fn bytes_that_are_no_text_pass() {
        let (_, output, _) = piped(Fake::default(), b"put a \xff\xfe\nget a\n");
        assert_eq!(output, "Value stored.\nValue: \"\\xff\\xfe\"\n");
    }
}
