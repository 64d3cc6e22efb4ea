//! Makes a failing plan small enough to read.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::plan::Plan;
use crate::world::{Failure, World};

/// Runs spent on shrinking one failure.
const RUNS_MAX: usize = 200;

fn fails(plan: &Plan) -> bool {
    let run = || World::new(plan.clone()).run().is_err();
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(true)
}

/// Leaves out steps, half of them first, then ever smaller pieces, while the run still
/// fails (delta debugging, Zeller 2002).
pub fn shrink(mut plan: Plan) -> Plan {
    let mut runs = 0;
    let mut piece = plan.steps.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        while at < plan.steps.len() && runs < RUNS_MAX {
            runs += 1;
            let end = (at + piece).min(plan.steps.len());
            let smaller = plan.without(at..end);
            if fails(&smaller) {
                plan = smaller;
            } else {
                at = end;
            }
        }
        if piece == 1 || runs >= RUNS_MAX {
            return plan;
        }
        piece = piece.div_ceil(2);
    }
}

/// What to tell whoever must find the bug.
pub fn story(name: &str, seed: u64, failure: &Failure, shrunk: &Plan) -> String {
    let steps: Vec<String> = shrunk.steps.iter().map(ToString::to_string).collect();
    format!(
        "{name}: seed {seed} failed at {:?}: {}\nshrunk to {} steps:\n{}\n\
         replay: NETDB_SIM_SEED={seed} cargo test --test sim {name} -- --nocapture",
        failure.at,
        failure.what,
        steps.len(),
        steps.join("\n"),
    )
}
