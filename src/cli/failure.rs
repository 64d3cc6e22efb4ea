//! How the program says that it will not, or cannot.

use std::io::Write;

/// Exit status of a command that failed, or of a key that is not there.
pub const FAILED: u8 = 1;

/// What ends the program before or while it runs; the text is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The operator asked for something that cannot be: exit status 2.
    Usage(String),
    /// Something broke: exit status 1.
    Broken(String),
}

impl Failure {
    /// The operator's mistake, in words.
    pub fn usage(words: impl ToString) -> Self {
        Self::Usage(one_line(&words.to_string()))
    }

    /// What broke, in words.
    pub fn broken(words: impl ToString) -> Self {
        Self::Broken(one_line(&words.to_string()))
    }

    /// The same, with what it leaves behind.
    pub fn after(self, left: &str) -> Self {
        match self {
            Self::Usage(words) => Self::Usage(format!("{words}; {left}")),
            Self::Broken(words) => Self::Broken(format!("{words}; {left}")),
        }
    }

    /// The same, by whom.
    pub fn of(self, who: &str) -> Self {
        match self {
            Self::Usage(words) => Self::Usage(format!("{who}: {words}")),
            Self::Broken(words) => Self::Broken(format!("{who}: {words}")),
        }
    }

    /// What is wrong, in words.
    pub fn words(&self) -> &str {
        match self {
            Self::Usage(words) | Self::Broken(words) => words,
        }
    }

    /// Tells it on standard error, and gives the exit status.
    pub fn tell(&self) -> u8 {
        let (words, status) = match self {
            Self::Usage(words) => (words, 2),
            Self::Broken(words) => (words, FAILED),
        };
        // There is nowhere left to complain to if this fails.
        let _ = writeln!(std::io::stderr(), "netdb: {words}");
        status
    }
}

/// The text on one line, without anything that a terminal would act on.
fn one_line(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words
        .join(" ")
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}
