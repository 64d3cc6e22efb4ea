//! A history as data, and as lines of JSON.
//!
//! ```text
//! {"line":"about","clock_skew_us":50000,"local_reads":true,"whole":false}
//! {"line":"operation","session":3,"node":"n1","key":"k","kind":"put","value":"3-17","status":"ok","start_us":1200,"end_us":1650}
//! {"line":"operation","session":3,"node":"n1","key":"k","kind":"get","read":["3-17"],"status":"ok","start_us":1700,"end_us":1790}
//! {"line":"answer","node":"n2","key":"k","values":["3-17"]}
//! ```

use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};

/// What clients asked and were answered, and what every node answered at the end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// What may be assumed.
    pub about: About,
    /// In any order.
    pub operations: Vec<Operation>,
    /// One for each key and node.
    pub finally: Vec<Answer>,
}

/// What the checker may assume of a history.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The most by which the wall clocks of two nodes differ, with everything that adds to
    /// it. None: they may differ by any amount, so last-write-wins may prefer what is older.
    pub clock_skew_us: Option<u64>,
    /// Whether a node answers reads from its own state alone.
    pub local_reads: bool,
    /// Whether every write names all that it replaced, and the answers at the end show every
    /// concurrent value rather than the winner. Only somebody who looks into the nodes, as
    /// the simulator does, can know that.
    pub whole: bool,
}

impl Default for About {
    fn default() -> Self {
        Self {
            clock_skew_us: None,
            local_reads: true,
            whole: false,
        }
    }
}

/// One operation of one client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// The client.
    pub session: u32,
    /// The node that it asked. A node that comes back with less than it had (an older disk,
    /// none) is another node and has another name.
    pub node: String,
    /// The key.
    pub key: String,
    /// What it asked for.
    pub kind: Kind,
    /// The value of a put: no other put of the history has the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The values that a write is known to replace. None: it was sent without a context, so
    /// it replaces what its node knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Vec<String>>,
    /// What a get was answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<String>,
    /// How it ended.
    pub status: Status,
    /// Just before it was sent, in microseconds of the one clock of the history.
    pub start_us: u64,
    /// Just after it was answered, or given up.
    pub end_us: u64,
}

/// What is asked for.
///
/// A delete that was answered "there was nothing" has changed nothing: it belongs into the
/// history as a get that read nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Put,
    Delete,
    Get,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Done.
    Ok,
    /// Perhaps done, perhaps yet to be done: at any time after its start.
    Indeterminate,
    /// Refused: not done and never will be.
    Failed,
}

/// What a node answers at the end, once all is healed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The node.
    pub node: String,
    /// The key.
    pub key: String,
    /// Nothing, the winner, or all concurrent values.
    pub values: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "lowercase")]
enum Line {
    About(About),
    Operation(Operation),
    Answer(Answer),
}

impl History {
    /// Writes it as lines of JSON.
    pub fn write(&self, mut to: impl Write) -> std::io::Result<()> {
        let about = [Line::About(self.about)].into_iter();
        let operations = self.operations.iter().cloned().map(Line::Operation);
        let finally = self.finally.iter().cloned().map(Line::Answer);
        for line in about.chain(operations).chain(finally) {
            serde_json::to_writer(&mut to, &line)?;
            to.write_all(b"\n")?;
        }
        to.flush()
    }

    /// Reads lines of JSON.
    ///
    /// # Errors
    /// Which line is none of ours, and why.
    pub fn read(from: impl BufRead) -> Result<Self, String> {
        let mut history = Self::default();
        for (number, line) in (1..).zip(from.lines()) {
            let line = line.map_err(|error| format!("line {number}: {error}"))?;
            if line.trim().is_empty() {
                continue;
            }
            match serde_json::from_str(&line).map_err(|error| format!("line {number}: {error}"))? {
                Line::About(about) => history.about = about,
                Line::Operation(operation) => history.operations.push(operation),
                Line::Answer(answer) => history.finally.push(answer),
            }
        }
        Ok(history)
    }
}
