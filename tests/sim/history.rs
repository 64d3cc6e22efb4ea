//! What clients asked and were told, and what each write knew when it was accepted.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::plan::{Kind, Operation};

/// Every put writes a value of its own.
pub type Value = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No answer: still waiting, or the node died first.
    Unknown,
    /// Acknowledged.
    Ok,
    /// Applied, but not confirmed by enough replicas in time.
    Unconfirmed,
    /// Refused: it must leave no effect.
    Refused,
}

#[derive(Clone, Debug)]
pub struct Record {
    pub operation: Operation,
    pub ended: Option<Duration>,
    pub outcome: Outcome,
    /// The value of a put.
    pub value: Option<Value>,
    /// Values that were live at the coordinator: those that this write replaces.
    pub replaced: BTreeSet<Value>,
    /// What a get returned.
    pub read: Option<Value>,
}

impl Record {
    /// Whether the write may have had an effect.
    pub fn may_have_happened(&self) -> bool {
        self.operation.kind != Kind::Get && self.outcome != Outcome::Refused
    }
}

#[derive(Debug, Default)]
pub struct History {
    pub records: Vec<Record>,
}

impl History {
    pub fn begin(&mut self, operation: Operation, replaced: BTreeSet<Value>) -> usize {
        let id = self.records.len();
        self.records.push(Record {
            value: (operation.kind == Kind::Put).then_some(id as Value),
            operation,
            ended: None,
            outcome: Outcome::Unknown,
            replaced,
            read: None,
        });
        id
    }

    pub fn end(&mut self, id: usize, at: Duration, outcome: Outcome, read: Option<Value>) {
        let record = &mut self.records[id];
        record.ended = Some(at);
        record.outcome = outcome;
        record.read = read;
    }

    pub fn acknowledged(&self) -> usize {
        let acknowledged = |r: &&Record| r.may_have_happened() && r.outcome == Outcome::Ok;
        self.records.iter().filter(acknowledged).count()
    }
}
