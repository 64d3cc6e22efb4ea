//! From arguments to an answer: finds the command's row, checks its arity, runs it.

use super::failure::Failure;
use super::replies::Replies;
use super::spec::{Args, Context, Outcome, ReplyMode, Session, Spec};
use crate::resp::Protocol;

/// What a client that [only listens](Session::only_listens) may still execute.
const WHILE_LISTENING: &[&str] = &[
    "ping",
    "psubscribe",
    "punsubscribe",
    "quit",
    "reset",
    "subscribe",
    "unsubscribe",
];

/// Executes one command of a connection and adds its answer to `replies`.
pub(super) fn execute(context: &mut Context<'_>, mut args: Args, replies: &mut Replies) {
    let skipped = context.session.replies == ReplyMode::SkipNext;
    if skipped {
        context.session.replies = ReplyMode::On;
    }
    let protocol = context.session.protocol;
    let result = run(context, &mut args);
    // What the client published itself comes before the answer, and nothing comes from a channel
    // behind the word that it was left; but behind the word that it was entered.
    if !matches!(result, Ok(Outcome::Subscribed(_))) {
        push_messages(context.session, protocol, replies);
    }
    if skipped || context.session.replies == ReplyMode::Off {
        match result {
            Ok(Outcome::Work(work)) => replies.push_unanswered(work),
            Ok(outcome @ (Outcome::Pushed(_) | Outcome::Subscribed(_))) => {
                replies.push(outcome, protocol);
            }
            _ => {}
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

/// Adds the messages that wait for the client, all of them: a mailbox is bounded. What comes
/// meanwhile is another turn's.
fn push_messages(session: &Session, protocol: Protocol, replies: &mut Replies) {
    let Some(mailbox) = session.subscriptions.mailbox() else {
        return;
    };
    for message in mailbox.take_all() {
        replies.push_frame(&message.into_value(), protocol);
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
        if context.session.only_listens() && !WHILE_LISTENING.contains(&spec.name) {
            return Err(Failure::while_listening(spec.name));
        }
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
    let full_name = || format!("{}|{}", container.name, spec.name);
    match spec.run {
        Some(run) if spec.accepts(args.len()) => match context.session.only_listens() {
            true => Err(Failure::while_listening(&full_name())),
            false => run(context, args),
        },
        _ => Err(Failure::arity(&full_name())),
    }
}
