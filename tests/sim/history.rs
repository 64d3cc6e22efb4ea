//! What clients asked and were told, and what each write knew when it was accepted.

use std::time::Duration;

use netdb::clock::{ActorId, Dot};

use crate::plan::{Kind, Operation};

/// Every put writes a value of its own: the number of its operation.
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
    /// Which opening of the key's partition did it, the node's own or an owner's.
    pub served: Option<ActorId>,
    pub began: Duration,
    pub ended: Option<Duration>,
    pub outcome: Outcome,
    /// The dot of a write that had an effect.
    pub dot: Option<Dot>,
    /// What a read was answered.
    pub read: Vec<Value>,
    /// Whether a fault destroyed every copy of it. Nobody can promise such a write.
    pub destroyed: bool,
    /// Whether that happened to a write acknowledged at `always`, and no disk was replaced.
    pub betrayed: bool,
}

impl Record {
    /// Whether it is an acknowledged write whose effect must still be there.
    pub fn must_hold(&self) -> bool {
        self.operation.kind.is_write() && self.outcome == Outcome::Ok && !self.destroyed
    }
}

#[derive(Debug, Default)]
pub struct History {
    pub records: Vec<Record>,
}

impl History {
    pub fn begin(&mut self, operation: Operation, began: Duration) -> usize {
        self.records.push(Record {
            operation,
            served: None,
            began,
            ended: None,
            outcome: Outcome::Unknown,
            dot: None,
            read: Vec::new(),
            destroyed: false,
            betrayed: false,
        });
        self.records.len() - 1
    }

    pub fn end(&mut self, id: usize, at: Duration, outcome: Outcome) {
        let record = &mut self.records[id];
        record.ended = Some(at);
        record.outcome = outcome;
    }

    /// What was asked to be added to a number, in order.
    pub fn additions_to(&self, key: u8) -> impl Iterator<Item = &Record> {
        let is_one = move |record: &&Record| {
            record.operation.kind == Kind::Add && record.operation.key == key
        };
        self.records.iter().filter(is_one)
    }

    pub fn acknowledged(&self) -> usize {
        let acknowledged =
            |record: &&Record| record.operation.kind.is_write() && record.outcome == Outcome::Ok;
        self.records.iter().filter(acknowledged).count()
    }

    /// Acknowledged writes of which faults destroyed every copy.
    pub fn destroyed(&self) -> usize {
        let destroyed = |record: &&Record| record.outcome == Outcome::Ok && record.destroyed;
        self.records.iter().filter(destroyed).count()
    }
}
