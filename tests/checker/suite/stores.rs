//! Histories of small stores that are right by construction, and of ones with a bug.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::checker::{About, Answer, History, Kind, Operation, Rule, Status, check};

const NODES: u64 = 3;
const SESSIONS: u64 = 5;
const OPERATIONS_PER_SESSION: u64 = 12;

/// Keys of even number are never deleted.
const KEYS: u64 = 4;

/// The most by which the clocks of [`Model::Skewed`] differ.
const SKEW_US: u64 = 40;

/// What to build a history from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// One copy behind all nodes: every operation happens at one moment.
    SingleCopy,
    /// A copy on each node that remembers every write with what that replaced; now and then
    /// one node tells another all it knows. Clocks agree.
    Replicated,
    /// The same with clocks that differ.
    Skewed,
    /// The same as seen by somebody who looks into the nodes.
    Whole,
    /// A bug: deletes leave nothing that others could learn.
    ForgetsDeletes,
    /// A bug: a node that learns something takes it for all there is.
    Overwrites,
}

/// A client's operation before the store has answered it: it happens at `at`, if at all.
struct Plan {
    operation: Operation,
    at: u64,
    node: usize,
    happens: bool,
}

/// One write as the replicated model remembers it.
struct Write {
    past: BTreeSet<usize>,
    value: Option<String>,
    clock: u64,
}

/// The history of a store under a random load.
pub fn generate(model: Model, seed: u64) -> History {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut plans: Vec<Plan> = (0..SESSIONS)
        .flat_map(|session| plan_session(&mut rng, session))
        .collect();
    plans.sort_by_key(|plan| plan.at);
    let mut store = Store::new(model);
    for plan in &mut plans {
        if rng.random_bool(0.3) {
            store.tell(
                rng.random_range(0..NODES) as usize,
                rng.random_range(0..NODES) as usize,
            );
        }
        if plan.happens {
            store.run(plan);
        }
    }
    store.tell_all();
    let mut finally = Vec::new();
    for node in 0..NODES as usize {
        finally.extend((0..KEYS).map(|key| Answer {
            node: node_name(node),
            key: key_name(key),
            values: store.answer(node, &key_name(key), model == Model::Whole),
        }));
    }
    History {
        about: About {
            clock_skew_us: match model {
                Model::Skewed => Some(SKEW_US),
                Model::Whole => None,
                _ => Some(0),
            },
            local_reads: true,
            whole: model == Model::Whole,
        },
        operations: plans.into_iter().map(|plan| plan.operation).collect(),
        finally,
    }
}

fn node_name(node: usize) -> String {
    format!("n{node}")
}

fn key_name(key: u64) -> String {
    format!("k{key}")
}

/// What one client does, one operation after the other. Most take a while; what happens,
/// happens in between, and what is not answered may happen long after.
fn plan_session(rng: &mut SmallRng, session: u64) -> Vec<Plan> {
    let node = (session % NODES) as usize;
    let mut now = rng.random_range(0..20);
    (0..OPERATIONS_PER_SESSION)
        .map(|number| {
            let start_us = now + rng.random_range(1..20);
            let mut at = start_us + rng.random_range(1..15);
            let end_us = at + rng.random_range(1..15);
            now = end_us;
            let key = rng.random_range(0..KEYS);
            let kind = match rng.random_range(0..10) {
                0..4 => Kind::Put,
                4..6 if key % 2 == 1 => Kind::Delete,
                _ => Kind::Get,
            };
            let status = match rng.random_range(0..10) {
                0 if kind != Kind::Get => Status::Failed,
                1 if kind != Kind::Get => Status::Indeterminate,
                _ => Status::Ok,
            };
            if status == Status::Indeterminate && rng.random_bool(0.5) {
                at += rng.random_range(0..100);
            }
            let operation = Operation {
                session: session as u32,
                node: node_name(node),
                key: key_name(key),
                kind,
                value: (kind == Kind::Put).then(|| format!("{session}-{number}")),
                replaced: None,
                read: Vec::new(),
                status,
                start_us,
                end_us,
            };
            Plan {
                operation,
                at,
                node,
                happens: status == Status::Ok
                    || status == Status::Indeterminate && rng.random_bool(0.5),
            }
        })
        .collect()
}

struct Store {
    model: Model,
    writes: Vec<Write>,
    /// For each node and key the writes that it knows of.
    known: Vec<BTreeMap<String, BTreeSet<usize>>>,
}

impl Store {
    fn new(model: Model) -> Self {
        Self {
            model,
            writes: Vec::new(),
            known: vec![BTreeMap::new(); NODES as usize],
        }
    }

    /// The copy that `node` uses.
    fn copy(&self, node: usize) -> usize {
        if self.model == Model::SingleCopy {
            0
        } else {
            node
        }
    }

    /// The puts that no known write replaced.
    fn live(&self, node: usize, key: &str) -> BTreeSet<usize> {
        let known = self.known[self.copy(node)].get(key);
        let known = known.cloned().unwrap_or_default();
        let replaced = |w: &usize| known.iter().any(|by| self.writes[*by].past.contains(w));
        let puts = known
            .iter()
            .filter(|w| self.writes[**w].value.is_some() && !replaced(w));
        puts.copied().collect()
    }

    fn answer(&self, node: usize, key: &str, all: bool) -> Vec<String> {
        let live = self.live(node, key);
        let winner = live
            .iter()
            .copied()
            .max_by_key(|w| (self.writes[*w].clock, *w));
        let shown = live.into_iter().filter(|w| all || Some(*w) == winner);
        shown.filter_map(|w| self.writes[w].value.clone()).collect()
    }

    fn run(&mut self, plan: &mut Plan) {
        let operation = &mut plan.operation;
        let past = self.live(plan.node, &operation.key);
        if operation.kind == Kind::Get || operation.kind == Kind::Delete && past.is_empty() {
            if operation.kind == Kind::Get || operation.status == Status::Ok {
                operation.kind = Kind::Get;
                operation.read = self.answer(plan.node, &operation.key, false);
            }
            return;
        }
        if self.model == Model::Whole {
            let values = past.iter().map(|w| self.writes[*w].value.clone());
            operation.replaced = Some(values.flatten().collect());
        }
        let copy = self.copy(plan.node);
        let known = self.known[copy].entry(operation.key.clone()).or_default();
        if self.model == Model::ForgetsDeletes && operation.kind == Kind::Delete {
            known.retain(|w| !past.contains(w));
            return;
        }
        let skew = match self.model {
            Model::Skewed => plan.node as u64 * SKEW_US / NODES,
            _ => 0,
        };
        // A write is later than what it replaces, whatever the clocks say.
        let floor = past.iter().map(|w| self.writes[*w].clock + 1).max();
        known.insert(self.writes.len());
        self.writes.push(Write {
            past,
            value: operation.value.clone(),
            clock: floor.unwrap_or(0).max(plan.at + skew),
        });
    }

    /// `from` tells `to` all it knows.
    fn tell(&mut self, from: usize, to: usize) {
        if from == to {
            return;
        }
        for (key, told) in self.known[from].clone() {
            let known = self.known[to].entry(key).or_default();
            if self.model == Model::Overwrites {
                *known = told;
            } else {
                known.extend(told);
            }
        }
    }

    fn tell_all(&mut self) {
        for node in 1..NODES as usize {
            self.tell(node, 0);
        }
        for node in 1..NODES as usize {
            self.tell(0, node);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_a_right_store_does_is_right(
        model in prop_oneof![
            Just(Model::SingleCopy),
            Just(Model::Replicated),
            Just(Model::Skewed),
            Just(Model::Whole),
        ],
        seed in any::<u64>(),
    ) {
        let history = generate(model, seed);
        let verdict = check(&history);
        prop_assert!(verdict.violations.is_empty(), "{:#?}", verdict.violations);
    }
}

/// How many of some histories of a store with a bug break one of the rules.
fn caught(model: Model, rules: &[Rule]) -> usize {
    let verdicts = (0..200).map(|seed| check(&generate(model, seed)));
    let broken = verdicts.filter(|verdict| rules.iter().any(|rule| verdict.count(*rule) > 0));
    broken.count()
}

#[test]
fn a_store_that_forgets_deletes_is_caught() {
    let caught = caught(Model::ForgetsDeletes, &[Rule::Revived, Rule::WentBack]);
    assert!(caught > 20, "in {caught} of 200 histories");
}

#[test]
fn a_store_that_overwrites_is_caught() {
    let caught = caught(Model::Overwrites, &[Rule::Lost, Rule::Forgot, Rule::Stale]);
    assert!(caught > 100, "in {caught} of 200 histories");
}
