//! What can be typed: the table of commands, and words as one of them.

use crate::config::nearest;

use super::placing::{self, Join};
use super::text;
use super::words::{self, WordsError};

/// A command that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Give a key a value.
    Put {
        /// The key.
        key: Vec<u8>,
        /// Its new value.
        value: Vec<u8>,
    },
    /// Show a key's value.
    Get {
        /// The key.
        key: Vec<u8>,
    },
    /// Delete a key.
    Delete {
        /// The key.
        key: Vec<u8>,
    },
    /// List keys.
    Keys {
        /// What they begin with.
        prefix: Vec<u8>,
    },
    /// List members.
    Members {
        /// What their names begin with.
        prefix: String,
    },
    /// Show what the node says of itself.
    Status,
    /// Show the members' places.
    Placement,
    /// Show who holds a key.
    Owners {
        /// The key.
        key: Vec<u8>,
    },
    /// Show how far the change of members is.
    Rebalance,
    /// Show what a change of members would move.
    Plan {
        /// Who would join.
        joins: Vec<Join>,
        /// Who would leave.
        leaves: Vec<String>,
    },
    /// Make the node leave the cluster for good.
    Leave {
        /// Without waiting until others have what it holds.
        force: bool,
    },
    /// Remove a dead member for good.
    Remove {
        /// Its name.
        name: String,
    },
    /// Explain the commands, or one of them.
    Help(Option<&'static Entry>),
    /// End the session.
    Quit,
}

/// A row of the table of commands.
#[derive(Debug)]
pub struct Entry {
    /// Its name, then its other names.
    pub names: &'static [&'static str],
    /// What follows the name.
    pub arguments: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// What else is worth knowing; may be empty.
    pub details: &'static str,
    /// Understands the words after the name; none if they are too few or too many.
    parse: fn(&[Vec<u8>]) -> Option<Command>,
}

/// Entries are equal when they are the same row.
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.names == other.names
    }
}

impl Eq for Entry {}

/// All commands, in the order of the help.
pub static COMMANDS: &[Entry] = &[
    Entry {
        names: &["put", "set"],
        arguments: "KEY VALUE...",
        summary: "store a value under a key",
        details: "The value is the rest of the line, its words joined by one space each. \
                  Quotes keep spaces as they are: put k \"a  b\". In double quotes, \\n \\r \
                  \\t \\0 \\\\ \\\" and \\xHH stand for one byte.",
        parse: |words| match words {
            [key, first, rest @ ..] => Some(Command::Put {
                key: key.clone(),
                value: rest.iter().fold(first.clone(), |mut value, word| {
                    value.push(b' ');
                    value.extend_from_slice(word);
                    value
                }),
            }),
            _ => None,
        },
    },
    Entry {
        names: &["get"],
        arguments: "KEY",
        summary: "show the value of a key",
        details: "A value that is not plain text is shown in quotes, as put would take it. A \
                  key with spaces needs quotes.",
        parse: |words| match words {
            [key] => Some(Command::Get { key: key.clone() }),
            _ => None,
        },
    },
    Entry {
        names: &["delete", "del"],
        arguments: "KEY",
        summary: "delete a key",
        details: "",
        parse: |words| match words {
            [key] => Some(Command::Delete { key: key.clone() }),
            _ => None,
        },
    },
    Entry {
        names: &["keys"],
        arguments: "[PREFIX]",
        summary: "list the keys, or those that begin with PREFIX",
        details: "At most 1000 are shown. PREFIX means itself: '*' and '?' are not special.",
        parse: |words| match words {
            [] => Some(Command::Keys { prefix: Vec::new() }),
            [prefix] => Some(Command::Keys {
                prefix: prefix.clone(),
            }),
            _ => None,
        },
    },
    Entry {
        names: &["members"],
        arguments: "[NAME]",
        summary: "list the members of the cluster as this node sees them",
        details: "With NAME, only those whose name begins with it. A member is alive, suspect \
                  (it does not answer, and may still refute that), failed (it did not) or left \
                  (it said goodbye).",
        parse: |words| match words {
            [] => Some(Command::Members {
                prefix: String::new(),
            }),
            [name] => Some(Command::Members {
                prefix: String::from_utf8_lossy(name).into_owned(),
            }),
            _ => None,
        },
    },
    Entry {
        names: &["status"],
        arguments: "",
        summary: "show what the node says of itself",
        details: "",
        parse: |words| words.is_empty().then_some(Command::Status),
    },
    Entry {
        names: &["placement"],
        arguments: "",
        summary: "show the members' places: zone, weight, phase, partitions",
        details: "A member is joining (it fetches its share), active or leaving (it hands off what \
                  it holds). It owns partitions now, and will own others when that is done.",
        parse: |words| words.is_empty().then_some(Command::Placement),
    },
    Entry {
        names: &["owners"],
        arguments: "KEY",
        summary: "show which members hold a key",
        details: "",
        parse: |words| match words {
            [key] => Some(Command::Owners { key: key.clone() }),
            _ => None,
        },
    },
    Entry {
        names: &["rebalance"],
        arguments: "",
        summary: "show how far the last change of members is",
        details: "",
        parse: |words| words.is_empty().then_some(Command::Rebalance),
    },
    Entry {
        names: &["plan"],
        arguments: "[join NAME [zone ZONE] [weight N]]... [leave NAME]...",
        summary: "show what a change of members would move",
        details: "Nothing is changed.",
        parse: |words| {
            let (joins, leaves) = placing::parse_plan(words)?;
            Some(Command::Plan { joins, leaves })
        },
    },
    Entry {
        names: &["leave"],
        arguments: "[force]",
        summary: "make the node leave the cluster for good, handing off what it holds",
        details: "With force it does not wait until others have what it holds, and what only it \
                  holds is lost. To end this session, type quit.",
        parse: |words| match words {
            [] => Some(Command::Leave { force: false }),
            [word] if word.eq_ignore_ascii_case(b"force") => Some(Command::Leave { force: true }),
            _ => None,
        },
    },
    Entry {
        names: &["remove"],
        arguments: "NAME",
        summary: "remove a dead member for good",
        details: "What it held is made again on others. One that comes back joins anew.",
        parse: |words| match words {
            [name] => Some(Command::Remove {
                name: String::from_utf8_lossy(name).into_owned(),
            }),
            _ => None,
        },
    },
    Entry {
        names: &["help"],
        arguments: "[COMMAND]",
        summary: "explain the commands, or one of them",
        details: "",
        parse: |words| match words {
            [] => Some(Command::Help(None)),
            [name] => Entry::named(name).map(|entry| Command::Help(Some(entry))),
            _ => None,
        },
    },
    Entry {
        names: &["quit", "exit"],
        arguments: "",
        summary: "end this session",
        details: "So does Ctrl-D. A node that was started with this prompt leaves the cluster.",
        parse: |words| words.is_empty().then_some(Command::Quit),
    },
];

impl Entry {
    /// Its first name.
    pub fn name(&self) -> &'static str {
        self.names.first().copied().unwrap_or_default()
    }

    /// Name and arguments, as they are typed.
    pub fn usage(&self) -> String {
        format!("{} {}", self.name(), self.arguments)
            .trim_end()
            .to_owned()
    }

    /// The row with that name, in upper or lower case.
    pub fn named(name: &[u8]) -> Option<&'static Self> {
        COMMANDS.iter().find(|entry| {
            entry
                .names
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        })
    }

    /// Everything about it.
    fn page(&self) -> String {
        let mut page = format!("{}: {}.", self.usage(), self.summary);
        if let [_, others @ ..] = self.names
            && !others.is_empty()
        {
            page.push_str(&format!(" Also: {}.", others.join(", ")));
        }
        if !self.details.is_empty() {
            page.push('\n');
            page.push_str(self.details);
        }
        page
    }
}

/// Understands a line; none if it is blank.
///
/// # Errors
/// What to tell who typed it: what is wrong, and the usage.
pub fn parse_line(line: &[u8]) -> Result<Option<Command>, String> {
    let words =
        words::split(line).map_err(|error: WordsError| format!("Not understood: {error}."))?;
    if words.is_empty() {
        Ok(None)
    } else {
        parse(&words).map(Some)
    }
}

/// Understands words, the first of which names the command.
///
/// # Errors
/// What to tell who typed it: what is wrong, and the usage.
pub fn parse(words: &[Vec<u8>]) -> Result<Command, String> {
    let Some((name, arguments)) = words.split_first() else {
        return Err(format!("No command. {}", known()));
    };
    let Some(entry) = Entry::named(name) else {
        return Err(unknown(name));
    };
    (entry.parse)(arguments).ok_or_else(|| match (entry.name(), arguments) {
        ("help", [topic]) => unknown(topic),
        _ => format!("Usage: {}", entry.usage()),
    })
}

fn unknown(name: &[u8]) -> String {
    /// Most bytes of an unknown command that are repeated.
    const NAME_SHOWN_BYTES_MAX: usize = 40;
    let all_names = COMMANDS
        .iter()
        .flat_map(|entry| entry.names.iter().copied());
    let near = nearest(&String::from_utf8_lossy(name), all_names);
    let shown = text::data(name, NAME_SHOWN_BYTES_MAX);
    match near.and_then(|near| Entry::named(near.as_bytes()).map(|entry| (near, entry))) {
        Some((near, entry)) => {
            let usage = entry.usage();
            format!("Unknown command: {shown}. Did you mean {near}? Usage: {usage}")
        }
        None => format!("Unknown command: {shown}. {}", known()),
    }
}

fn known() -> String {
    let names: Vec<_> = COMMANDS.iter().map(Entry::name).collect();
    format!(
        "Commands: {}. Type help COMMAND for one of them.",
        names.join(", ")
    )
}

/// The answer to `help`.
pub fn help(topic: Option<&Entry>) -> String {
    if let Some(entry) = topic {
        return entry.page();
    }
    let row = |entry: &Entry| [entry.usage(), entry.summary.to_owned()];
    let rows: Vec<_> = COMMANDS.iter().map(row).collect();
    text::table(&rows)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(line: &str) -> Result<Option<Command>, String> {
        parse_line(line.as_bytes())
    }

    fn put(key: &str, value: &str) -> Result<Option<Command>, String> {
        Ok(Some(Command::Put {
            key: key.into(),
            value: value.into(),
        }))
    }

    #[test]
    fn values_may_hold_spaces_with_or_without_quotes() {
        assert_eq!(parsed("put k hello world"), put("k", "hello world"));
        assert_eq!(parsed("put k \"a  b\""), put("k", "a  b"));
        assert_eq!(
            parsed("SET 'my key' it's \"a  b\""),
            put("my key", "it's a  b")
        );
        assert_eq!(parsed("put k \"\""), put("k", ""));
        assert_eq!(parsed("put k \"\\x00\\n\""), put("k", "\0\n"));
    }

    #[test]
    fn commands_have_other_names_and_case_does_not_matter() {
        assert_eq!(parsed("del k"), parsed("DELETE k"));
        assert_eq!(parsed("exit"), Ok(Some(Command::Quit)));
        assert_eq!(parsed(" Keys "), Ok(Some(Command::Keys { prefix: vec![] })));
        assert_eq!(parsed("   "), Ok(None));
    }

    #[test]
    fn wrong_arity_prints_the_usage() {
        for (line, usage) in [
            ("put", "Usage: put KEY VALUE..."),
            ("put k", "Usage: put KEY VALUE..."),
            ("get", "Usage: get KEY"),
            ("get a b", "Usage: get KEY"),
            ("del", "Usage: delete KEY"),
            ("keys a b", "Usage: keys [PREFIX]"),
            ("status now", "Usage: status"),
            ("quit now", "Usage: quit"),
            ("help a b", "Usage: help [COMMAND]"),
        ] {
            assert_eq!(parsed(line), Err(usage.to_owned()), "{line}");
        }
    }

    #[test]
    fn an_unknown_command_is_helped() {
        assert_eq!(
            parsed("gte k").unwrap_err(),
            "Unknown command: gte. Did you mean get? Usage: get KEY"
        );
        assert!(
            parsed("frobnicate")
                .unwrap_err()
                .contains("Commands: put, get, delete, keys")
        );
        assert!(
            parsed("help frobnicate")
                .unwrap_err()
                .starts_with("Unknown command: frobnicate.")
        );
        assert!(!parsed("\u{1b}[2J").unwrap_err().contains('\u{1b}'));
        assert!(
            parsed("put k \"v")
                .unwrap_err()
                .starts_with("Not understood: a quote is not closed")
        );
    }

    #[test]
    fn help_explains_all_and_each() {
        let all = help(None);
        for entry in COMMANDS {
            assert!(all.contains(&entry.usage()));
            let Ok(Some(Command::Help(topic))) = parsed(&format!("help {}", entry.name())) else {
                panic!("help {}", entry.name());
            };
            assert!(help(topic).starts_with(&entry.usage()));
        }
    }

    proptest! {
        #[test]
        fn any_line_is_understood_or_explained_safely(line: Vec<u8>, text: String) {
            for line in [line.as_slice(), text.as_bytes()] {
                if let Err(words) = parse_line(line) {
                    prop_assert!(!words.contains(super::super::words::is_unsafe));
                    prop_assert!(words.len() < 500);
                }
            }
        }
    }
}
