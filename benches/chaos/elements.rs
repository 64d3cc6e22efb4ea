//! A set and a hash that all clients write to: in the end the set has every member whose adding
//! was acknowledged and whose removal was not asked for, and none whose removal was acknowledged;
//! of the hash each client's own fields are as it last wrote them, and each common one is the sum
//! of what was added.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use netdb::resp::Value;

use crate::caller::{Called, Caller, status_of};
use crate::checker::Status;

const SET: &str = "set";
const HASH: &str = "hash";

/// Fields that all clients add to.
const SUMS: usize = 3;

/// Pause between two looks at nodes that do not agree yet.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What was done to them, as far as it is known.
#[derive(Default)]
pub struct Elements(Mutex<Done>);

#[derive(Default)]
struct Done {
    /// By member, whether it must be there, where that is known.
    members: BTreeMap<String, Option<bool>>,
    /// By field, what it may be.
    fields: BTreeMap<String, BTreeSet<String>>,
    /// By common field, what was added for certain, and at most.
    sums: BTreeMap<String, (i64, i64)>,
}

/// How much was done.
pub struct Figures {
    pub added: usize,
    pub removed: usize,
    pub fields: usize,
}

/// What became of a command; none if it was not sent or did nothing.
async fn call(caller: &mut Caller, command: &[&str]) -> Option<Option<Value>> {
    let words: Vec<&[u8]> = command.iter().map(|word| word.as_bytes()).collect();
    match caller.call(&words).await {
        Called::NotSent => None,
        Called::Unknown => Some(None),
        Called::Answered(answer) => match status_of(&answer) {
            Status::Ok => Some(Some(answer)),
            Status::Indeterminate => Some(None),
            Status::Failed => None,
        },
    }
}

impl Elements {
    fn done(&self) -> std::sync::MutexGuard<'_, Done> {
        self.0.lock().expect("no client panics")
    }

    /// Adds a member that nobody added before.
    pub async fn add(&self, caller: &mut Caller, member: &str) {
        if let Some(answer) = call(caller, &["SADD", SET, member]).await {
            let is_there = answer.map(|_| true);
            self.done().members.insert(member.to_owned(), is_there);
        }
    }

    /// Removes a member that this client, on the same node, may have added.
    pub async fn remove(&self, caller: &mut Caller, member: &str) {
        let Some(answer) = call(caller, &["SREM", SET, member]).await else {
            return;
        };
        let mut done = self.done();
        let before = done.members.get(member).copied().flatten();
        let is_there = match answer {
            Some(Value::Integer(1)) => Some(false),
            // It was not seen there, so it stays if it is elsewhere.
            Some(_) => before,
            None => None,
        };
        done.members.insert(member.to_owned(), is_there);
    }

    /// Gives a field of this client's own a value that it never had.
    pub async fn set(&self, caller: &mut Caller, field: &str, value: &str) {
        let Some(answer) = call(caller, &["HSET", HASH, field, value]).await else {
            return;
        };
        let mut done = self.done();
        let values = done.fields.entry(field.to_owned()).or_default();
        if answer.is_some() {
            values.clear();
        } else if values.is_empty() {
            // Perhaps it is not there at all.
            values.insert(String::new());
        }
        values.insert(value.to_owned());
    }

    /// Adds to a field that others add to.
    pub async fn count(&self, caller: &mut Caller, number: usize, amount: i64) {
        let field = format!("sum:{}", number % SUMS);
        let text = amount.to_string();
        let Some(answer) = call(caller, &["HINCRBY", HASH, &field, &text]).await else {
            return;
        };
        let mut done = self.done();
        let (certain, most) = done.sums.entry(field).or_default();
        *most += amount;
        if answer.is_some() {
            *certain += amount;
        }
    }

    pub fn figures(&self) -> Figures {
        let done = self.done();
        let count = |fate| done.members.values().filter(|is| **is == fate).count();
        Figures {
            added: count(Some(true)),
            removed: count(Some(false)),
            fields: done.fields.len() + done.sums.len(),
        }
    }

    /// What is wrong with them on healed nodes, which may take `bound` to agree.
    pub async fn judge(&self, nodes: &[(String, SocketAddr)], bound: Duration) -> Vec<String> {
        let since = Instant::now();
        let (members, fields) = loop {
            let mut all = Vec::new();
            for (_, addr) in nodes {
                all.push(read(*addr).await);
            }
            let agree = all.windows(2).all(|two| two[0] == two[1]);
            match all.swap_remove(0) {
                Some(read) if agree => break read,
                _ if since.elapsed() > bound => {
                    return vec!["the nodes do not agree on sets and hashes".to_owned()];
                }
                _ => tokio::time::sleep(LOOK_AGAIN).await,
            }
        };
        let done = self.done();
        let mut complaints = Vec::new();
        for (member, must_be) in &done.members {
            if must_be.is_some_and(|must_be| must_be != members.contains(member)) {
                complaints.push(format!("{member} must be in the set: {must_be:?}"));
            }
        }
        let unknown = members.iter().filter(|m| !done.members.contains_key(*m));
        complaints.extend(unknown.map(|member| format!("nobody added {member}")));
        for (field, values) in &done.fields {
            let value = fields.get(field).cloned().unwrap_or_default();
            if !values.contains(&value) {
                complaints.push(format!("{field} is {value:?} and may be {values:?}"));
            }
        }
        for (field, (certain, most)) in &done.sums {
            let value = fields.get(field).and_then(|value| value.parse().ok());
            if !(*certain..=*most).contains(&value.unwrap_or(0)) {
                complaints.push(format!(
                    "{field} is {value:?}: {certain} to {most} were added"
                ));
            }
        }
        complaints
    }
}

/// Members and fields as a node has them.
async fn read(addr: SocketAddr) -> Option<(BTreeSet<String>, BTreeMap<String, String>)> {
    let mut caller = Caller::new(addr);
    if !caller.connect().await {
        return None;
    }
    let members = texts(call(&mut caller, &["SMEMBERS", SET]).await??)?;
    let fields = texts(call(&mut caller, &["HGETALL", HASH]).await??)?;
    let pairs = fields.chunks_exact(2);
    Some((
        members.into_iter().collect(),
        pairs.map(|two| (two[0].clone(), two[1].clone())).collect(),
    ))
}

fn texts(answer: Value) -> Option<Vec<String>> {
    let Value::Array(values) = answer else {
        return None;
    };
    let text = |value: &Value| Some(String::from_utf8_lossy(value.as_bytes()?).into_owned());
    values.iter().map(text).collect()
}
