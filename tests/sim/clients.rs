//! What clients ask, and what is noted about it.
//!
//! The node that is asked may have an owner of the key do it. So what a write replaced is noted
//! when it is accepted, wherever that is.

use std::sync::Arc;

use bytes::Bytes;
use netdb::clock::{Dot, VersionVector};
use netdb::node::change::{Change, Ends, OnlyIf};
use netdb::node::request::{Consistency, Durability, Reply, Request, RequestError};
use netdb::object::{self, element_row};
use netdb::placement::PartitionId;
use netdb::replication::{Alter, Message, Only, Strength};

use crate::ghost::Dots;
use crate::history::{Outcome, Value};
use crate::node::keyspace;
use crate::plan::{FIELDS, Kind, NUMBERS, Operation};
use crate::replicas::{object_of, values};
use crate::world::World;

/// What some client read of a key, and what that reading included.
pub struct Reading {
    key: u8,
    context: Arc<VersionVector>,
    seen: Dots,
}

/// What a coordinator knew of a key when it was asked.
pub struct Coordinator {
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
        let Some(value) = self.value_for(&operation) else {
            return;
        };
        let before = self.coordinator(node, operation.key);
        let (kind, durability) = (operation.kind, operation.durability);
        let key = operation.key;
        let op = self.history.begin(operation, self.now);
        self.contexts.extend(seen.map(|seen| (op, seen)));
        self.submitting = Some(op);
        let request = match FIELDS.contains(&key) {
            true => field_request(kind, key, value),
            false => request(kind, key_bytes(key), value, context),
        };
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
        if self.submitting.take().is_some() {
            self.note_served(op, node, &before);
        }
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

    /// What an operation writes, if it writes something: the number of the operation, or what is
    /// this addition's alone. None if the number has no room for one more.
    fn value_for(&self, operation: &Operation) -> Option<Value> {
        if operation.kind != Kind::Add {
            return Some(self.history.records.len() as Value);
        }
        let addition = self.history.additions_to(operation.key).count();
        (addition < ADDITIONS_MAX).then(|| amount(addition))
    }

    fn coordinator(&self, node: usize, key: u8) -> Coordinator {
        let process = self.nodes[node].process.as_ref().expect("a running node");
        let bytes = row_bytes(key);
        let id = partition_of(key);
        let mut found = None;
        process.data.inspect(|partition| {
            if partition.id() == id {
                let (clock, actor) = (partition.clock(), partition.actor());
                found = Some(Coordinator {
                    known: self.ghost.knowledge(clock, key),
                    live: object_of(&self.nodes[node], partition, &bytes).len(),
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

    /// A node has an owner of the key do what the client asks of it right now.
    pub fn see_forward(&mut self, id: u64) {
        if let Some(op) = self.submitting.take() {
            self.underway.insert(id, op);
        }
    }

    /// A message is about to reach a node, or did not leave it; which request it is about, if it
    /// is about one, and what the node knows before.
    pub fn see_forwarded(&self, node: usize, message: &Message) -> Option<(usize, Coordinator)> {
        let (Message::Forward { id, .. } | Message::Forwarded { id, .. }) = message else {
            return None;
        };
        self.nodes[node].process.as_ref()?;
        let op = *self.underway.get(id)?;
        let key = self.history.records[op].operation.key;
        Some((op, self.coordinator(node, key)))
    }

    /// A node heard that another owner did not do what a client of its own asked for: if it is its
    /// turn it has done so itself.
    pub fn note_turn(&mut self, op: usize, node: usize, before: &Coordinator) {
        let is_up = self.nodes[node].process.is_some();
        let key = self.history.records[op].operation.key;
        if is_up && self.coordinator(node, key).own != before.own {
            self.met.insert("conditional write that its turn came to");
            self.note_served(op, node, before);
        }
    }

    /// A node did what a client asked, unless it refused. If it issued a dot, notes what that
    /// names.
    pub fn note_served(&mut self, op: usize, node: usize, before: &Coordinator) {
        let operation = self.history.records[op].operation.clone();
        let after = self.coordinator(node, operation.key);
        let record = &mut self.history.records[op];
        // An owner that was silent may read for the client long after another one has answered.
        if operation.kind.is_write() || record.ended.is_none() {
            record.served = Some(after.own.actor);
        }
        if after.own.n == before.own.n {
            return;
        }
        if after.own.n != before.own.n + 1 || self.history.records[op].dot.is_some() {
            let what = format!("{:?}, and before {:?}", after.own, before.own);
            self.fail("one_write_issues_one_dot", what);
        }
        self.see_accepted(node, &key_bytes(operation.key));
        let record = &mut self.history.records[op];
        record.dot = Some(after.own);
        let value = operation.kind.is_put().then_some(op as Value);
        let known = before.known.clone();
        let is_own = |dot: &&Dot| dot.actor == after.own.actor;
        let seen = match operation.kind {
            // It replaces what its own actor has added before (PROTOCOL R23).
            Kind::Add => Some(known.iter().filter(is_own).copied().collect()),
            _ => self.contexts.get(&op).cloned(),
        };
        if operation.kind == Kind::Add && !known.iter().all(|dot| is_own(&dot)) {
            self.met.insert("number that several nodes added to");
        }
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
        let is_conditional = self.history.records[op].operation.kind == Kind::PutAbsent;
        let outcome = match &reply {
            Reply::Failed(RequestError::Unconfirmed { .. } | RequestError::Unanswered { .. }) => {
                self.met.insert("request that too few replicas answered");
                Outcome::Unconfirmed
            }
            Reply::Failed(RequestError::OwnerSilent { .. }) => {
                self.met.insert("request that its owner did not answer");
                Outcome::Unconfirmed
            }
            Reply::Failed(_) => Outcome::Refused,
            Reply::Changed(changed) if !changed.done => {
                self.met.insert("conditional write that did nothing");
                Outcome::Refused
            }
            Reply::Altered(altered) if is_conditional && altered.dot.is_none() => Outcome::Refused,
            _ => Outcome::Ok,
        };
        self.history.records[op].read = match &reply {
            Reply::Value(value) => value.iter().map(|value| decode(value)).collect(),
            Reply::Object(object) => values(&object.versions).into_values().collect(),
            _ => Vec::new(),
        };
        if let Reply::Object(object) = reply {
            let key = self.history.records[op].operation.key;
            self.readings.push(Reading {
                key,
                seen: self.ghost.included(&object.context, key),
                context: Arc::new(object.context),
            });
        }
        self.history.end(op, self.now, outcome);
    }

    /// One client deletes every key that there is.
    pub fn delete_everything(&mut self) {
        let running = (0..self.nodes.len()).filter(|node| self.nodes[*node].process.is_some());
        let running: Vec<usize> = running.collect();
        for key in self.plan.profile.registers().chain(NUMBERS) {
            self.operate(Operation {
                durability: Durability::Interval,
                node: running[usize::from(key) % running.len()],
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
            value: encode(value),
            context,
        },
        Kind::PutAbsent => Request::Update {
            key,
            change: Change::Set {
                value: encode(value),
                ends: Ends::Never,
                only_if: OnlyIf::Absent,
                is_swap: false,
            },
        },
        Kind::Delete | Kind::DeleteSeen => Request::Delete { key, context },
        Kind::Get | Kind::GetQuorum => Request::Get { key },
        Kind::Inspect => Request::Inspect { key },
        Kind::Add => Request::Update {
            key,
            change: Change::Add {
                amount: i64::try_from(value).expect("a small amount").into(),
                whole: true,
            },
        },
    }
}

/// The same of a field.
fn field_request(kind: Kind, key: u8, value: Value) -> Request {
    let field = field_bytes(key);
    let put = |only| Alter::Put {
        elements: vec![(field.clone(), encode(value))],
        only,
    };
    Request::Alter {
        key: key_bytes(key),
        kind: object::Kind::Hash,
        alter: match kind {
            Kind::PutAbsent => put(Only::Absent),
            Kind::Delete => Alter::Remove {
                elements: vec![field.clone()],
            },
            _ => put(Only::All),
        },
    }
}

/// Digits of a number that each addition has one of: so many of them fit into 64 bits.
const DIGIT_BITS: usize = 2;

/// Additions to one number.
const ADDITIONS_MAX: usize = 62 / DIGIT_BITS;

/// What the addition of this number adds: a one in a digit of its own. One that counts twice, or
/// three times, shows there and nowhere else.
fn amount(addition: usize) -> Value {
    1 << (addition * DIGIT_BITS)
}

/// How often the addition of this number is in what the key shows.
pub fn times_in(number: Value, addition: usize) -> u64 {
    (number >> (addition * DIGIT_BITS)) % (1 << DIGIT_BITS)
}

/// The key that clients name.
pub fn key_bytes(key: u8) -> Bytes {
    match FIELDS.contains(&key) {
        true => Bytes::from_static(b"hash"),
        false => Bytes::from(format!("key{key}")),
    }
}

fn field_bytes(key: u8) -> Bytes {
    Bytes::from(format!("field{key}"))
}

/// The row that holds it.
pub fn row_bytes(key: u8) -> Bytes {
    let bytes = key_bytes(key);
    match FIELDS.contains(&key) {
        true => element_row(&object::Kind::Hash.collection(&bytes), &field_bytes(key)),
        false => bytes,
    }
}

/// The partition that it lies in.
pub fn partition_of(key: u8) -> PartitionId {
    keyspace().partition_of(&key_bytes(key))
}

fn encode(value: Value) -> Bytes {
    Bytes::copy_from_slice(&value.to_be_bytes())
}

pub fn decode(bytes: &[u8]) -> Value {
    Value::from_be_bytes(bytes.try_into().expect("eight bytes"))
}
