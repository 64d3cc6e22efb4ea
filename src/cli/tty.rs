//! The terminal around the program.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::process::{Command, Stdio};

/// Whether someone can type to this process: standard input is a terminal, and it is ours
/// to read. A job in the background (`netdb start &`) has a terminal too, but reading from
/// it would stop the process, and a stopped node looks dead to the others.
pub fn is_typed_to() -> bool {
    io::stdin().is_terminal() && !is_background()
}

fn is_background() -> bool {
    let Ok(stat) = fs::read_to_string("/proc/self/stat") else {
        return false;
    };
    stdin_device().is_some_and(|device| is_background_job(&stat, device))
}

#[cfg(unix)]
fn stdin_device() -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self/fd/0")
        .ok()
        .map(|found| found.rdev())
}

#[cfg(not(unix))]
fn stdin_device() -> Option<u64> {
    None
}

/// Reads `/proc/self/stat` (proc_pid_stat(5)): whether the terminal `device` is the one
/// that controls the process, and another process group is in its foreground.
fn is_background_job(stat: &str, device: u64) -> bool {
    // The program's name stands in parentheses and may hold anything.
    let Some((_, fields)) = stat.rsplit_once(')') else {
        return false;
    };
    let field = |index| {
        fields
            .split_whitespace()
            .nth(index)
            .and_then(|text| text.parse::<i64>().ok())
    };
    match (field(2), field(4), field(5)) {
        (Some(group), Some(terminal), Some(foreground)) => {
            u64::try_from(terminal) == Ok(device) && foreground > 0 && foreground != group
        }
        _ => false,
    }
}

/// Gives the terminal back as shells expect it, when the prompt is ended from outside while
/// a line is being typed.
pub fn restore() {
    let mut stty = Command::new("stty");
    stty.arg("sane")
        .stdin(Stdio::inherit())
        .stderr(Stdio::null());
    let _ = stty.status();
    /// Ends bracketed paste, which the prompt has switched on.
    const BRACKETED_PASTE_OFF: &str = "\x1b[?2004l";
    let _ = writeln!(io::stdout(), "{BRACKETED_PASTE_OFF}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_background_job_is_recognised() {
        let stat = |name: &str, foreground: i64| {
            format!("7 ({name}) S 1 7 5 34816 {foreground} 4194560 1")
        };
        assert!(!is_background_job(&stat("netdb", 7), 34816));
        assert!(is_background_job(&stat("netdb", 5), 34816));
        assert!(is_background_job(&stat("a) b (c", 5), 34816));
        assert!(
            !is_background_job(&stat("netdb", -1), 34816),
            "no controlling terminal"
        );
        assert!(
            !is_background_job(&stat("netdb", 5), 34817),
            "another terminal"
        );
        assert!(!is_background_job("", 34816));
    }
}
