//! From arguments to an answer: finds the command's row, checks its arity, runs it, or queues it
//! in a transaction.

use super::failure::Failure;
use super::replies::Replies;
use super::spec::{Args, Context, Outcome, ReplyMode, Run, Session, Spec};
use crate::resp::Protocol;

/// Commands that are executed in a transaction too, instead of being queued.
const AT_ONCE: &[&str] = &["discard", "exec", "multi", "quit", "reset", "watch"];

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
    answered(context, replies, |context| run(context, &mut args));
}

/// Answers a command that was not kept, because there was no room for it.
pub(super) fn refuse(context: &mut Context<'_>, args: &Args, replies: &mut Replies) {
    answered(context, replies, |context| {
        let failure = context.shared.ledger.full();
        Err(refused(context, args, failure))
    });
}

fn answered(
    context: &mut Context<'_>,
    replies: &mut Replies,
    run: impl FnOnce(&mut Context<'_>) -> Result<Outcome, Failure>,
) {
    let skipped = context.session.replies == ReplyMode::SkipNext;
    if skipped {
        context.session.replies = ReplyMode::On;
    }
    let before = context.session.protocol;
    let result = run(context);
    let is_answered = !skipped && context.session.replies != ReplyMode::Off;
    if let Some(batch) = context.session.transaction.batch() {
        batch.is_answered = is_answered;
    } else if !matches!(result, Ok(Outcome::Subscribed(_))) {
        // What the client published itself comes before the answer, and nothing comes from a
        // channel behind the word that it was left; but behind the word that it was entered.
        push_messages(context.session, before, replies);
    }
    let protocols = (before, context.session.protocol);
    answer(result, protocols, is_answered, replies);
}

/// Adds what came of a command, with the protocols before and after it, to `replies`; what must
/// be waited for even if nobody wants an answer.
pub(super) fn answer(
    result: Result<Outcome, Failure>,
    (before, after): (Protocol, Protocol),
    is_answered: bool,
    replies: &mut Replies,
) {
    match result {
        Ok(Outcome::Work(work)) if !is_answered => replies.push_unanswered(work),
        Ok(outcome @ (Outcome::Pushed(_) | Outcome::Subscribed(_))) => {
            replies.push(outcome, before);
        }
        _ if !is_answered => {}
        // `HELLO` answers in the dialect that it has just chosen.
        Ok(Outcome::Value(value)) => replies.push(Outcome::Value(value), after),
        Ok(outcome) => replies.push(outcome, before),
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

/// Executes one command, or queues it.
pub(super) fn run(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let last = &mut context.session.last_found;
    let command = context.table.find_from(last, args.bytes(0));
    if let Some(command) = command
        && !context.session.transaction.is_running()
    {
        context.session.last_command = command.name;
    }
    let (row, run) = match row(command, args) {
        Ok(found) => found,
        Err(failure) => return Err(refused(context, args, failure)),
    };
    if context.session.only_listens() && !WHILE_LISTENING.contains(&row.name) {
        return Err(Failure::while_listening(&full_name(command, row)));
    }
    if let Err(failure) = context.shared.ledger.check()
        && row.takes_memory()
        && !context.session.transaction.is_running()
    {
        return Err(refused(context, args, failure));
    }
    let is_at_once = |command: &Spec| AT_ONCE.contains(&command.name);
    if context.session.transaction.is_queueing() && !command.is_some_and(is_at_once) {
        return queue(context, row, args);
    }
    context.only_submits = row.only_submits;
    if !row.only_submits {
        context.streak.release();
    }
    run(context, args)
}

/// The row that the arguments are for, which accepts as many, and what runs it.
fn row(command: Option<&'static Spec>, args: &Args) -> Result<(&'static Spec, Run), Failure> {
    let command = command.ok_or_else(|| Failure::unknown_command(args.all()))?;
    if !command.accepts(args.len()) {
        return Err(Failure::arity(command.name));
    }
    if command.subcommands.is_empty() || args.len() == 1 {
        let run = command.run.ok_or_else(|| Failure::arity(command.name))?;
        return Ok((command, run));
    }
    let name = args.bytes(1);
    let row = command
        .subcommand(name)
        .ok_or_else(|| Failure::unknown_subcommand(command.name, name))?;
    match row.run {
        Some(run) if row.accepts(args.len()) => Ok((row, run)),
        _ => Err(Failure::arity(&full_name(Some(command), row))),
    }
}

/// The name of a row, with that of its container if it has one.
fn full_name(command: Option<&Spec>, row: &Spec) -> String {
    match command.filter(|command| !std::ptr::eq(*command, row)) {
        Some(container) => format!("{}|{}", container.name, row.name),
        None => row.name.to_owned(),
    }
}

/// A transaction with a command that was refused will not be executed, and `EXEC` itself, if it
/// is refused, ends it.
fn refused(context: &mut Context<'_>, args: &Args, failure: Failure) -> Failure {
    if !args.is(0, "exec") {
        context.session.transaction.abort();
        return failure;
    }
    context.session.end_transaction();
    let why = failure.0.strip_prefix("ERR ").unwrap_or(&failure.0);
    Failure::new(format!("EXECABORT Transaction discarded because of: {why}"))
}

fn queue(context: &mut Context<'_>, row: &Spec, args: &mut Args) -> Result<Outcome, Failure> {
    let transaction = &mut context.session.transaction;
    if row.flags.contains(&"no_multi") {
        transaction.abort();
        return Err(Failure::new("ERR Command not allowed inside a transaction"));
    }
    let queued = transaction.queue(args.take_from(0));
    context.session.show_transaction();
    queued.map(|()| Outcome::Queued)
}
