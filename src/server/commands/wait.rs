//! Waiting until other replicas have what this connection has written.
//!
//! A write is answered when as many replicas have it as its strength asks for; these commands
//! wait for more, or for disks, and say how many there are. They keep nobody but their own
//! connection, and in a transaction nobody at all: there they say what this node knows by itself.

use std::sync::Arc;

use tokio::time::Instant;

use crate::resp::Value;
use crate::runtime::{Goal, Reached};
use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Outcome, Spec};

const BASE: Spec = Spec {
    group: "generic",
    flags: &["blocking"],
    ..Spec::NONE
};

const REPLICAS: Arg = Arg::new("numreplicas", "integer");
const TIMEOUT: Arg = Arg::new("timeout", "integer");

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        name: "wait",
        arity: 3,
        since: "3.0.0",
        summary: "Waits until other owners of what this connection has written have it, and \
                  returns how many have.",
        args: &[REPLICAS, TIMEOUT],
        run: Some(wait),
        ..BASE
    },
    Spec {
        name: "waitaof",
        arity: 4,
        since: "7.2.0",
        summary: "Waits until what this connection has written is on the disks of the owner \
                  that accepted it and of others, and returns whether and how many.",
        args: &[Arg::new("numlocal", "integer"), REPLICAS, TIMEOUT],
        run: Some(waitaof),
        ..BASE
    },
];

fn wait(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let goal = Goal {
        accepted: false,
        // As in Redis a negative number is one that is reached.
        others: usize::try_from(args.integer(1)?).unwrap_or(0),
        on_disk: false,
    };
    let deadline = context.deadline(args, 2)?;
    Ok(replicated(context, goal, deadline, |reached| {
        count(reached.others)
    }))
}

fn waitaof(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let accepted = match args.integer(1)? {
        0 => false,
        1 => true,
        _ => {
            return Err(Failure::new(
                "ERR value is out of range, value must between 0 and 1",
            ));
        }
    };
    let others = usize::try_from(args.integer(2)?)
        .map_err(|_| Failure::new("ERR value is out of range, must be positive"))?;
    let goal = Goal {
        accepted,
        others,
        on_disk: true,
    };
    if context.store.status().disk.state == "none" {
        return Err(Failure::new(
            "ERR WAITAOF cannot be used on a node that keeps its data in memory only: start it \
             without --memory",
        ));
    }
    let deadline = context.deadline(args, 3)?;
    Ok(replicated(context, goal, deadline, |reached| {
        let accepted = Value::Integer(reached.accepted.into());
        Value::Array(vec![accepted, count(reached.others)])
    }))
}

fn replicated(
    context: &Context<'_>,
    goal: Goal,
    deadline: Option<Instant>,
    shape: impl FnOnce(Reached) -> Value + Send + 'static,
) -> Outcome {
    let store = Arc::clone(context.store);
    let past = Arc::clone(&context.session.past);
    let gone = context.session.record.gone.clone();
    Context::work(async move {
        let reached = tokio::select! {
            reached = store.replicated(&past, goal, deadline) => reached,
            // Nobody is there to be told more.
            () = gone.cancelled() => store.replicated(&past, goal, Some(Instant::now())).await,
        };
        Ok(reached.map(shape)?)
    })
}

fn count(n: usize) -> Value {
    Value::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}
