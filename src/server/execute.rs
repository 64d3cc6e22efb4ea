//! From arguments to an answer: finds the command's row, checks its arity, runs it.

use super::failure::Failure;
use super::replies::Replies;
use super::spec::{Args, Context, Outcome, ReplyMode, Spec};

/// Executes one command of a connection and adds its answer to `replies`.
pub(super) fn execute(context: &mut Context<'_>, mut args: Args, replies: &mut Replies) {
    let skipped = context.session.replies == ReplyMode::SkipNext;
    if skipped {
        context.session.replies = ReplyMode::On;
    }
    let protocol = context.session.protocol;
    let result = run(context, &mut args);
    if skipped || context.session.replies == ReplyMode::Off {
        if let Ok(Outcome::Work(work)) = result {
            replies.push_unanswered(work);
        }
        return;
    }
    match result {
        // `HELLO` answers in the dialect that it has just chosen.
        Ok(Outcome::Value(value)) => {
            replies.push(Outcome::Value(value), context.session.protocol);
        }
        Ok(outcome) => replies.push(outcome, protocol),
        Err(failure) => replies.push_failure(&failure),
    }
}

fn run(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let spec = context
        .table
        .find(args.bytes(0))
        .ok_or_else(|| Failure::unknown_command(args.all()))?;
    context.session.last_command = spec.name;
    if !spec.accepts(args.len()) {
        return Err(Failure::arity(spec.name));
    }
    if spec.subcommands.is_empty() || args.len() == 1 {
        let run = spec.run.ok_or_else(|| Failure::arity(spec.name))?;
        return run(context, args);
    }
    run_subcommand(spec, context, args)
}

fn run_subcommand(
    container: &'static Spec,
    context: &mut Context<'_>,
    args: &mut Args,
) -> Result<Outcome, Failure> {
    let name = args.bytes(1);
    let spec = container
        .subcommand(name)
        .ok_or_else(|| Failure::unknown_subcommand(container.name, name))?;
    match spec.run {
        Some(run) if spec.accepts(args.len()) => run(context, args),
        _ => Err(Failure::arity(&format!("{}|{}", container.name, spec.name))),
    }
}
