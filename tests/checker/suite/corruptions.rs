//! Right histories with one lie each: every lie is seen, and called by its name.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

use super::stores::{Model, generate};
use super::{pair, put};
use crate::checker::{History, Kind, Operation, Rule, Status, check};

/// Tries `corrupt` on many histories; where it finds something to corrupt, `rule` must be
/// broken afterwards.
#[track_caller]
fn detects(rule: Rule, model: Model, corrupt: impl Fn(&mut History, &mut SmallRng) -> Option<()>) {
    let mut corrupted = 0;
    for seed in 0..200 {
        let mut history = generate(model, seed);
        let mut rng = SmallRng::seed_from_u64(seed);
        if corrupt(&mut history, &mut rng).is_none() {
            continue;
        }
        corrupted += 1;
        let verdict = check(&history);
        assert!(
            verdict.count(rule) > 0,
            "seed {seed}: only {:#?}",
            verdict.violations
        );
    }
    assert!(corrupted >= 50, "only {corrupted} histories to corrupt");
}

fn is_put(operation: &Operation) -> bool {
    operation.kind == Kind::Put && operation.status == Status::Ok
}

fn is_kept(operation: &Operation) -> bool {
    is_put(operation) && ["k0", "k2"].contains(&operation.key.as_str())
}

fn value(operation: &Operation) -> String {
    operation.value.clone().expect("a put")
}

/// A read like `after`, at its node and key, just after it.
fn read_after(after: &Operation, read: &[String]) -> Operation {
    Operation {
        kind: Kind::Get,
        value: None,
        replaced: None,
        read: read.to_vec(),
        status: Status::Ok,
        start_us: after.end_us + 1,
        end_us: after.end_us + 2,
        ..after.clone()
    }
}

fn one<'a>(
    history: &'a History,
    rng: &mut SmallRng,
    fits: impl Fn(&Operation) -> bool,
) -> Option<&'a Operation> {
    let fitting: Vec<_> = history.operations.iter().filter(|o| fits(o)).collect();
    fitting.choose(rng).copied()
}

/// Makes all nodes answer `values` for `key` at the end.
fn answer_finally(history: &mut History, key: &str, values: &[String]) {
    for answer in history.finally.iter_mut().filter(|a| a.key == key) {
        answer.values = values.to_vec();
    }
}

/// Two writes through one node, the first of which the second covers.
fn covering(history: &History, rng: &mut SmallRng) -> Option<(Operation, Operation)> {
    pair(history, rng, |a, b| {
        let b_is_write = b.kind != Kind::Get && b.status == Status::Ok;
        is_put(a) && b_is_write && a.node == b.node && a.end_us < b.start_us
    })
}

#[test]
fn a_value_out_of_thin_air() {
    detects(Rule::ThinAir, Model::Replicated, |history, rng| {
        let read = one(history, rng, |o| !o.read.is_empty())?.clone();
        let lie = read_after(&read, &["nobody's".to_owned()]);
        history.operations.push(lie);
        Some(())
    });
}

#[test]
fn the_effect_of_a_refused_write() {
    detects(Rule::FailedWrite, Model::Replicated, |history, rng| {
        let refused = |o: &Operation| o.kind == Kind::Put && o.status == Status::Failed;
        let refused = one(history, rng, refused)?.clone();
        history
            .operations
            .push(read_after(&refused, &[value(&refused)]));
        Some(())
    });
}

#[test]
fn a_read_from_the_future() {
    detects(Rule::Future, Model::Replicated, |history, rng| {
        let write = one(history, rng, |o| is_put(o) && o.start_us > 10)?.clone();
        let mut read = read_after(&write, &[value(&write)]);
        (read.start_us, read.end_us) = (1, 2);
        history.operations.push(read);
        Some(())
    });
}

#[test]
fn a_read_of_what_the_node_itself_replaced() {
    detects(Rule::WentBack, Model::Replicated, |history, rng| {
        let (old, new) = covering(history, rng)?;
        history.operations.push(read_after(&new, &[value(&old)]));
        Some(())
    });
}

#[test]
fn a_read_that_goes_back_behind_another() {
    detects(Rule::WentBack, Model::Replicated, |history, rng| {
        let (old, new) = covering(history, rng).filter(|(_, new)| is_put(new))?;
        let elsewhere = Operation {
            node: "n9".to_owned(),
            ..new.clone()
        };
        let first = read_after(&elsewhere, &[value(&new)]);
        history.operations.push(read_after(&first, &[value(&old)]));
        history.operations.push(first);
        Some(())
    });
}

#[test]
fn a_node_that_forgets() {
    detects(Rule::Forgot, Model::Replicated, |history, rng| {
        let write = one(history, rng, is_kept)?.clone();
        history.operations.push(read_after(&write, &[]));
        Some(())
    });
}

#[test]
fn an_older_value_that_wins() {
    detects(Rule::Stale, Model::Skewed, |history, rng| {
        let skew = history.about.clock_skew_us?;
        let (old, new) = pair(history, rng, |old, new| {
            is_kept(old) && is_put(new) && old.node != new.node && old.end_us + skew < new.start_us
        })?;
        history.operations.push(read_after(&new, &[value(&old)]));
        Some(())
    });
}

#[test]
fn one_node_that_disagrees() {
    detects(Rule::Diverged, Model::Replicated, |history, rng| {
        let key = one(history, rng, is_put)?.key.clone();
        let other = one(history, rng, |o| is_put(o) && o.key == key)?.clone();
        let answer = history.finally.iter_mut().find(|a| a.key == key)?;
        let lie = vec![value(&other)];
        if answer.values == lie {
            answer.values.clear();
        } else {
            answer.values = lie;
        }
        Some(())
    });
}

#[test]
fn a_lost_write_that_leaves_nothing() {
    detects(Rule::Lost, Model::SingleCopy, |history, rng| {
        let key = one(history, rng, is_kept)?.key.clone();
        answer_finally(history, &key, &[]);
        Some(())
    });
}

#[test]
fn a_lost_write_of_a_key_written_once() {
    detects(Rule::Lost, Model::Replicated, |history, _| {
        let once = Operation {
            key: "once".to_owned(),
            ..put("n1", "once", 50, 60)
        };
        history.operations.push(once);
        let nothing = history.finally.first()?.clone();
        history.finally.push(crate::checker::Answer {
            key: "once".to_owned(),
            values: Vec::new(),
            ..nothing
        });
        Some(())
    });
}

#[test]
fn a_lost_write_behind_an_older_one() {
    detects(Rule::Lost, Model::Skewed, |history, rng| {
        let skew = history.about.clock_skew_us?;
        let (old, _) = pair(history, rng, |old, new| {
            is_kept(old) && is_put(new) && old.end_us + skew < new.start_us
        })?;
        answer_finally(history, &old.key, &[value(&old)]);
        Some(())
    });
}

#[test]
fn a_revived_value() {
    detects(Rule::Revived, Model::Replicated, |history, rng| {
        let (old, _) = covering(history, rng)?;
        answer_finally(history, &old.key, &[value(&old)]);
        Some(())
    });
}

#[test]
fn a_false_sibling() {
    detects(Rule::FalseSibling, Model::Replicated, |history, rng| {
        let (old, new) = covering(history, rng).filter(|(_, new)| is_put(new))?;
        let read = read_after(&new, &[value(&old), value(&new)]);
        history.operations.push(read);
        Some(())
    });
}

#[test]
fn a_lost_sibling() {
    detects(Rule::Lost, Model::Whole, |history, rng| {
        let there: Vec<_> = history
            .finally
            .iter()
            .filter(|a| !a.values.is_empty())
            .collect();
        let answer = (*there.choose(rng)?).clone();
        // Whether a value of unknown outcome is there, nobody can demand.
        let put = one(history, rng, |o| {
            is_put(o) && o.key == answer.key && answer.values.contains(&value(o))
        })?;
        let lost = value(put);
        let rest: Vec<_> = answer.values.into_iter().filter(|v| *v != lost).collect();
        answer_finally(history, &answer.key, &rest);
        Some(())
    });
}

#[test]
fn a_revived_sibling() {
    detects(Rule::Revived, Model::Whole, |history, rng| {
        let done = |o: &Operation| o.kind != Kind::Get && o.status == Status::Ok;
        let write = one(history, rng, |o| {
            done(o) && o.replaced.as_ref().is_some_and(|r| !r.is_empty())
        })?;
        let (key, replaced) = (write.key.clone(), write.replaced.clone()?);
        answer_finally(history, &key, &replaced);
        Some(())
    });
}
