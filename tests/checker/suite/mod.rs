//! Histories by hand, from stores that are right, and from stores that are not.

mod corruptions;
mod minimal;
mod stores;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

use crate::checker::{Answer, History, Kind, Operation, Status};

/// The key of histories by hand.
const KEY: &str = "k";

fn operation(node: &str, kind: Kind, start_us: u64, end_us: u64) -> Operation {
    Operation {
        session: 1,
        node: node.to_owned(),
        key: KEY.to_owned(),
        kind,
        value: None,
        replaced: None,
        read: Vec::new(),
        status: Status::Ok,
        start_us,
        end_us,
    }
}

fn put(node: &str, value: &str, start_us: u64, end_us: u64) -> Operation {
    Operation {
        value: Some(value.to_owned()),
        ..operation(node, Kind::Put, start_us, end_us)
    }
}

fn delete(node: &str, start_us: u64, end_us: u64) -> Operation {
    operation(node, Kind::Delete, start_us, end_us)
}

fn get(node: &str, read: &[&str], start_us: u64, end_us: u64) -> Operation {
    Operation {
        read: owned(read),
        ..operation(node, Kind::Get, start_us, end_us)
    }
}

fn ended(status: Status, operation: Operation) -> Operation {
    Operation {
        status,
        ..operation
    }
}

fn answer(node: &str, values: &[&str]) -> Answer {
    Answer {
        node: node.to_owned(),
        key: KEY.to_owned(),
        values: owned(values),
    }
}

fn owned(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

/// A history whose clocks agree, and in which both nodes answer the same at the end.
fn history(operations: &[Operation], finally: &[&str]) -> History {
    let mut history = History {
        operations: operations.to_vec(),
        finally: vec![answer("x", finally), answer("y", finally)],
        ..History::default()
    };
    history.about.clock_skew_us = Some(0);
    history
}

/// One of the pairs of operations for which `fits` holds.
fn pair(
    history: &History,
    rng: &mut SmallRng,
    fits: impl Fn(&Operation, &Operation) -> bool,
) -> Option<(Operation, Operation)> {
    let all = &history.operations;
    let pairs = all.iter().flat_map(|a| all.iter().map(move |b| (a, b)));
    let fitting: Vec<_> = pairs
        .filter(|(a, b)| a.key == b.key && fits(a, b))
        .collect();
    let (a, b) = fitting.choose(rng)?;
    Some(((*a).clone(), (*b).clone()))
}
