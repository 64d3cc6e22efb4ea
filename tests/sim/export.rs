//! A run as a history of its clients, for the checker that judges real processes too.
//!
//! The simulator knows what clients cannot: all that each write replaced. So loss is decided
//! exactly, and the invariants here and the checker there watch over each other. With
//! `NETDB_SIM_HISTORIES=DIR` every history is also left in that directory, as lines of JSON.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufWriter;
use std::time::Duration;

use netdb::clock::ActorId;

use crate::checker::{self, About, Answer, History, Kind, Operation, Status};
use crate::clients::partition_of;
use crate::history::{Outcome, Record, Value};
use crate::plan::{self, NUMBERS};
use crate::world::World;

/// Names the directory for histories.
const DIRECTORY: &str = "NETDB_SIM_HISTORIES";

/// What the checker says of the run so far. All must be healed.
pub fn judge(world: &World) -> Result<(), String> {
    let history = history(world);
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        let name = format!("seed-{}.jsonl", world.plan.seed);
        let file = File::create(std::path::Path::new(&directory).join(name));
        let written = file.and_then(|file| history.write(BufWriter::new(file)));
        written.map_err(|error| format!("{DIRECTORY}: {error}"))?;
    }
    match checker::check(&history).violations.first() {
        Some(violation) => Err(format!("the history checker: {violation}")),
        None => Ok(()),
    }
}

fn history(world: &World) -> History {
    let records = &world.history.records;
    // What a fault took from every disk is outside of what histories can say.
    let destroyed: BTreeSet<u8> = (records.iter().filter(|record| record.destroyed))
        .map(|record| record.operation.key)
        .collect();
    // The checker knows of values, not of numbers: see `numbers`.
    let told = |key: &u8| !destroyed.contains(key) && !NUMBERS.contains(key);
    let operations = records
        .iter()
        .enumerate()
        .filter(|(_, record)| told(&record.operation.key))
        .filter_map(|(id, record)| operation(world, id, record))
        .collect();
    History {
        about: About {
            clock_skew_us: None,
            local_reads: true,
            whole: true,
        },
        operations,
        finally: answers(world, told),
    }
}

fn operation(world: &World, id: usize, record: &Record) -> Option<Operation> {
    let asked = &record.operation;
    let status = match record.outcome {
        Outcome::Ok => Status::Ok,
        Outcome::Unknown | Outcome::Unconfirmed => Status::Indeterminate,
        Outcome::Refused => Status::Failed,
    };
    let kind = match asked.kind {
        kind if kind.is_put() => Kind::Put,
        kind if kind.is_write() => Kind::Delete,
        _ => Kind::Get,
    };
    // Neither refused nor named by a dot: it found nothing to do, or was never looked at.
    if kind != Kind::Get && record.dot.is_none() && status != Status::Failed {
        return None;
    }
    let replaced = record.dot.map(|dot| {
        let past = world.ghost.issued[&dot].past.iter();
        past.filter_map(|dot| world.ghost.issued.get(dot)?.value)
            .map(name)
            .collect()
    });
    Some(Operation {
        session: asked.node as u32,
        node: match (asked.kind, record.served) {
            // What several nodes said together is not what the one that was asked knows.
            (plan::Kind::GetQuorum, _) | (_, None) => format!("those of operation {id}"),
            (_, Some(opening)) => name_of(opening),
        },
        key: key_name(asked.key),
        kind,
        value: (kind == Kind::Put).then(|| name(id as Value)),
        replaced: replaced.filter(|_| kind != Kind::Get),
        read: record.read.iter().copied().map(name).collect(),
        status,
        start_us: micros(record.began),
        end_us: micros(record.ended.unwrap_or(world.now)),
    })
}

/// What the owners of every key that is told of hold.
fn answers(world: &World, told: impl Fn(&u8) -> bool) -> Vec<Answer> {
    let mut answers = Vec::new();
    for ((_, partition), mut replica) in world.replicas() {
        // Who owns nothing of it answers nothing.
        if !replica.is_whole {
            continue;
        }
        for key in world.plan.profile.registers().filter(&told) {
            if partition_of(key).0 == partition {
                let versions = replica.objects.remove(&key).unwrap_or_default();
                answers.push(Answer {
                    node: name_of(replica.opening),
                    key: key_name(key),
                    values: versions.into_values().map(name).collect(),
                });
            }
        }
    }
    answers
}

/// A node that starts again, or is an owner again, may have less than it had: each opening of a
/// partition has a name of its own.
fn name_of(opening: ActorId) -> String {
    format!("{opening:?}")
}

fn key_name(key: u8) -> String {
    format!("key{key}")
}

fn name(value: Value) -> String {
    value.to_string()
}

fn micros(at: Duration) -> u64 {
    at.as_micros() as u64
}
