//! How far it is: a bar on a terminal, a line now and then elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::text;

/// Between two drawings of the bar.
const DRAW_INTERVAL: Duration = Duration::from_millis(100);

/// Between two lines where nothing can be drawn over: so that a log shows that it goes on.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Characters of the bar.
const BAR: usize = 24;

/// Tells on standard error how far it is.
pub struct Progress {
    draws: bool,
    told: Instant,
    drawn: bool,
}

impl Progress {
    /// Nothing to tell yet.
    pub fn new() -> Self {
        Self {
            draws: io::stderr().is_terminal(),
            told: Instant::now(),
            drawn: false,
        }
    }

    /// `done` of `whole` are done, and so many bytes so far.
    pub fn tell(&mut self, what: &str, done: u64, whole: u64, bytes: u64) {
        self.tell_with(what, done, whole, &text::bytes(bytes));
    }

    /// `done` of `whole` partitions are done.
    pub fn tell_count(&mut self, what: &str, done: u64, whole: u64) {
        self.tell_with(what, done, whole, &format!("{done} of {whole} partitions"));
    }

    fn tell_with(&mut self, what: &str, done: u64, whole: u64, so_far: &str) {
        if !self.is_due() {
            return;
        }
        let share = done.min(whole) as f64 / whole.max(1) as f64;
        let percent = (share * 100.0) as u64;
        if self.draws {
            let filled = (share * BAR as f64) as usize;
            let (full, empty) = ("#".repeat(filled), "-".repeat(BAR - filled));
            self.draw(&format!("{what} [{full}{empty}] {percent:3} %  {so_far}"));
        } else {
            self.line(&format!("{what}: {percent} %, {so_far}"));
        }
    }

    /// It waits for something.
    pub fn wait(&mut self, what: &str) {
        if !self.is_due() {
        } else if self.draws {
            self.draw(what);
        } else {
            self.line(what);
        }
    }

    /// Takes the bar away.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    fn is_due(&mut self) -> bool {
        let interval = match self.draws {
            true => DRAW_INTERVAL,
            false => LINE_INTERVAL,
        };
        let due = self.told.elapsed() >= interval;
        if due {
            self.told = Instant::now();
        }
        due
    }

    fn draw(&mut self, line: &str) {
        self.drawn = true;
        // Whoever closed standard error does not want to know.
        let _ = write!(io::stderr(), "\r{line}\x1b[K");
    }

    fn line(&self, line: &str) {
        let _ = writeln!(io::stderr(), "netdb: {line}");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
