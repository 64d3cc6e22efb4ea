//! `EXEC`: the commands that a transaction has queued, one after the other.
//!
//! The batch takes a turn alone, in which no command of another client of this node is
//! executed, looks once more at the keys that are watched, and executes its commands in order.
//! What they answer goes behind the header of an array, as it would without a transaction:
//! answers that wait for replicas or for owners elsewhere are waited for when the turn is over.
//!
//! A command of several steps (`RENAME`, `MSETNX`, `FLUSHALL`, …) whose first steps do not finish
//! it, and one that another owner of its key decides (`SETNX`, `APPEND`, …), divides the batch, because what follows must not overtake it: the turn ends, and the rest
//! has another when the work is done. A turn is never kept while something is waited for.
//!
//! What is promised: commands of other clients of this node come before the batch, after it, or
//! where it is divided. What is not: there is no rollback, a command that fails leaves the others
//! done; writes arrive from other nodes at any time; keys of which another node is the owner are
//! done there, each for itself; if the node dies in the middle, a prefix of the batch may stand.

use super::execute::{answer, run};
use super::outcome::Outcome;
use super::replies::Replies;
use super::spec::{Args, Context};
use super::transaction::Batch;

/// Goes on with the connection's batch as far as it gets without waiting. It is over when the
/// transaction no longer runs; else this is to be called again, once nothing blocks the replies.
/// Returns whether it had its turn: if not, it is to be called again after a pause.
pub(super) fn proceed(context: &mut Context<'_>, replies: &mut Replies) -> bool {
    let (store, shared) = (context.store, context.shared);
    let Some(batch) = context.session.transaction.batch() else {
        return true;
    };
    if let Some(check) = batch.watches.check_far(store, &shared.claims) {
        replies.push_unanswered(check);
        return true;
    }
    let Some(_turn) = shared.turns.alone() else {
        return false;
    };
    let is_answered = batch.is_answered;
    if !batch.is_begun {
        batch.is_begun = true;
        let count = batch.count;
        if batch.watches.is_changed(store) {
            if is_answered {
                replies.push_null_array(context.session.protocol);
            }
            context.session.end_transaction();
            return true;
        }
        if is_answered {
            replies.begin_array(count);
        }
    }
    execute_all(context, is_answered, replies);
    true
}

/// Executes commands until there are no more, or what comes next must wait.
fn execute_all(context: &mut Context<'_>, is_answered: bool, replies: &mut Replies) {
    while let Some(command) = context.session.transaction.batch().and_then(Batch::next) {
        let before = context.session.protocol;
        let result = run(context, &mut Args::new(command));
        let result = match result {
            Ok(Outcome::Work(work)) => Ok(Outcome::begun(work)),
            other => other,
        };
        let protocols = (before, context.session.protocol);
        answer(result, protocols, is_answered, replies);
        if replies.is_blocked() {
            return;
        }
    }
    replies.end_array();
    context.session.end_transaction();
}
