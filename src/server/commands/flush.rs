//! Deleting everything, a batch at a time.
//!
//! Every key that the cluster has is deleted by an ordinary delete: what
//! another owner has taken and the one that is asked has not seen stays, as does what is written behind the place that was
//! reached. Between two batches other clients have their turn.

use crate::node::request::{Reply, Request};
use crate::resp::Value;
use crate::runtime::Submitted;
use crate::server::failure::Failure;
use crate::server::outcome::failed;
use crate::server::spec::{Arg, Args, Context, Outcome, Spec, Worker};

/// Keys that are deleted before others have their turn: a millisecond's work or less, and
/// enough to share one wait for the replicas.
const BATCH_KEYS: usize = 512;

const BASE: Spec = Spec {
    arity: -1,
    flags: &["write"],
    args: &[Arg::of(
        "flush-type",
        "oneof",
        &[Arg::word("async", "ASYNC"), Arg::word("sync", "SYNC")],
    )
    .optional()],
    run: Some(flush),
    ..Spec::NONE
};

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        name: "flushall",
        summary: "Removes all keys.",
        ..BASE
    },
    Spec {
        name: "flushdb",
        summary: "Removes all keys; there is one database.",
        ..BASE
    },
];

/// `ASYNC` and `SYNC` are the same: it is done when it is answered.
fn flush(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    if args.len() > 2 || (args.len() == 2 && !args.is(1, "async") && !args.is(1, "sync")) {
        return Err(Failure::SYNTAX);
    }
    let work = delete_all(context.worker());
    Ok(Outcome::Work(Box::pin(work)))
}

async fn delete_all(worker: Worker) -> Value {
    let mut cursor = 0;
    loop {
        let page = match worker.store.scan(cursor, BATCH_KEYS).await {
            Ok(page) => page,
            Err(error) => return failed(&error),
        };
        let keys = page.keys.into_iter();
        let delete = |key| worker.begin_part(Request::Delete { key, context: None });
        let deletes: Vec<Submitted> = keys.map(delete).collect();
        for delete in deletes {
            if let Reply::Failed(error) = delete.wait().await {
                return failed(&error);
            }
        }
        if page.cursor == 0 {
            return Value::ok();
        }
        cursor = page.cursor;
        tokio::task::yield_now().await;
    }
}
