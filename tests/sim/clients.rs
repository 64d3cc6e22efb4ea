//! What clients ask, and what is noted about it.

use std::sync::Arc;

use bytes::Bytes;
use netdb::clock::{Dot, VersionVector};
use netdb::node::request::{Consistency, Durability, Reply, Request, RequestError};
use netdb::replication::Strength;

use crate::ghost::Dots;
use crate::history::{Outcome, Value};
use crate::node::keyspace;
use crate::plan::{Kind, Operation};
use crate::replicas::values;
use crate::world::World;

/// What some client read of a key, and what that reading included.
pub struct Reading {
    key: u8,
    context: Arc<VersionVector>,
    seen: Dots,
}

/// What a coordinator knew of a key when it was asked.
struct Coordinator {
    known: Dots,
    live: usize,
    /// Dots issued so far under its actor for the key's partition.
    own: Dot,
    /// Rows of the partition's dot log.
    log_rows: usize,
}

impl World {
    pub fn operate(&mut self, operation: Operation) {
        if self.nodes[operation.node].process.is_none() || self.nodes[operation.node].leaving {
            return;
        }
        let node = operation.node;
        let Some((context, seen)) = self.context_for(&operation) else {
            return;
        };
        let before = self.coordinator(node, operation.key);
        let (kind, durability) = (operation.kind, operation.durability);
        let key = operation.key;
        let life = self.nodes[node].life;
        let op = self.history.begin(operation, life, self.now);
        let request = request(kind, key_bytes(key), op as Value, context);
        let consistency = Consistency {
            read: match kind {
                Kind::GetQuorum => Strength::Quorum,
                _ => Strength::One,
            },
            durability,
            ..Consistency::default()
        };
        let mut reply = None;
        self.act(node, |process, now| {
            let mut effects = Vec::new();
            reply = process
                .data
                .submit(now, request, consistency, || op, &mut effects);
            process.settle(now, effects)
        });
        self.note_issue(op, &before, seen);
        if let Some(reply) = reply {
            self.answer(op, reply);
        }
    }

    /// The context of a write that has one; none to give means that nobody has read the key.
    fn context_for(
        &self,
        operation: &Operation,
    ) -> Option<(Option<Arc<VersionVector>>, Option<Dots>)> {
        if !operation.kind.has_context() {
            return Some((None, None));
        }
        let of_key = |reading: &&Reading| reading.key == operation.key;
        let readings: Vec<&Reading> = self.readings.iter().filter(of_key).collect();
        let reading = readings.get(operation.reading.checked_rem(readings.len())?)?;
        Some((Some(reading.context.clone()), Some(reading.seen.clone())))
    }

    fn coordinator(&self, node: usize, key: u8) -> Coordinator {
        let process = self.nodes[node].process.as_ref().expect("a running node");
        let bytes = key_bytes(key);
        let id = keyspace().partition_of(&bytes);
        let mut found = None;
        process.data.inspect(|partition| {
            if partition.id() == id {
                let (clock, actor) = (partition.clock(), partition.actor());
                found = Some(Coordinator {
                    known: self.ghost.knowledge(clock, key),
                    live: partition
                        .object(&bytes)
                        .expect("a readable disk")
                        .versions
                        .len(),
                    own: Dot {
                        actor,
                        n: clock.base(actor),
                    },
                    log_rows: partition.stats().log_rows,
                });
            }
        });
        found.expect("every node holds every partition")
    }

    /// If the coordinator issued a dot, notes what it names.
    fn note_issue(&mut self, op: usize, before: &Coordinator, seen: Option<Dots>) {
        let operation = self.history.records[op].operation.clone();
        let after = self.coordinator(operation.node, operation.key);
        if after.own.n == before.own.n {
            return;
        }
        if after.own.n != before.own.n + 1 {
            let what = format!("{:?}, and before {:?}", after.own, before.own);
            self.fail("one_write_issues_one_dot", what);
        }
        let record = &mut self.history.records[op];
        record.dot = Some(after.own);
        let value = operation.kind.is_put().then_some(op as Value);
        let known = before.known.clone();
        let issued = self
            .ghost
            .issue(after.own, operation.key, value, known, seen);
        if !issued {
            let what = format!("{:?} was issued twice", after.own);
            self.fail("no_dot_is_issued_twice", what);
        }
        if after.live > 1 {
            self.met.insert("write that left a sibling");
        }
        if after.log_rows <= before.log_rows {
            self.met.insert("dot log cut at its bound");
        }
    }

    pub fn answer(&mut self, op: usize, reply: Reply) {
        self.trace
            .update(format!("reply {op} {reply:?}\n").as_bytes());
        let outcome = match &reply {
            Reply::Failed(RequestError::Unconfirmed { .. } | RequestError::Unanswered { .. }) => {
                self.met.insert("request that too few replicas answered");
                Outcome::Unconfirmed
            }
            Reply::Failed(_) => Outcome::Refused,
            _ => Outcome::Ok,
        };
        self.history.records[op].read = match &reply {
            Reply::Value(value) => value.iter().map(|value| decode(value)).collect(),
            Reply::Object(object) => values(&object.versions).into_values().collect(),
            _ => Vec::new(),
        };
        if let Reply::Object(object) = reply {
            let record = &self.history.records[op];
            let before = self.coordinator(record.operation.node, record.operation.key);
            self.readings.push(Reading {
                key: record.operation.key,
                context: Arc::new(object.context),
                seen: before.known,
            });
        }
        self.history.end(op, self.now, outcome);
    }

    /// One client deletes every key that there is.
    pub fn delete_everything(&mut self) {
        for key in 0..self.plan.profile.keys {
            self.operate(Operation {
                durability: Durability::Interval,
                node: usize::from(key) % self.nodes.len(),
                key,
                kind: Kind::Delete,
                reading: 0,
            });
        }
    }
}

fn request(kind: Kind, key: Bytes, value: Value, context: Option<Arc<VersionVector>>) -> Request {
    match kind {
        Kind::Put | Kind::PutSeen => Request::Put {
            key,
            value: Bytes::copy_from_slice(&value.to_be_bytes()),
            context,
        },
        Kind::Delete | Kind::DeleteSeen => Request::Delete { key, context },
        Kind::Get | Kind::GetQuorum => Request::Get { key },
        Kind::Inspect => Request::Inspect { key },
    }
}

pub fn key_bytes(key: u8) -> Bytes {
    Bytes::from(format!("key{key}"))
}

pub fn decode(bytes: &[u8]) -> Value {
    Value::from_be_bytes(bytes.try_into().expect("eight bytes"))
}
