//! Text that is drawn again in the same place.

use std::io::{self, IsTerminal, Write};

/// Standard output, drawn over on a terminal.
pub struct Screen {
    draws: bool,
    lines: usize,
}

impl Screen {
    /// Nothing is drawn yet.
    pub fn new() -> Self {
        Self {
            draws: io::stdout().is_terminal(),
            lines: 0,
        }
    }

    /// Whether text can be drawn over.
    pub fn draws(&self) -> bool {
        self.draws
    }

    /// Shows `text` in the place of what was shown before, or below it where nothing can be
    /// drawn over.
    ///
    /// # Errors
    /// Nobody reads any more.
    pub fn show(&mut self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        write!(out, "{}", over(self.lines, text))?;
        out.flush()?;
        self.lines = match self.draws {
            true => text.lines().count(),
            false => 0,
        };
        Ok(())
    }
}

/// `text` with what takes the `lines` before it away. ECMA-48: CPL and ED.
fn over(lines: usize, text: &str) -> String {
    match lines {
        0 => format!("{text}\n"),
        lines => format!("\x1b[{lines}F\x1b[J{text}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_takes_the_place_of_what_was_there() {
        assert_eq!(over(0, "a\nb"), "a\nb\n");
        assert_eq!(over(2, "c"), "\x1b[2F\x1b[Jc\n");
    }
}
