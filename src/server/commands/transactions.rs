//! `MULTI` and what belongs to it: several commands without another client's between them.
//! `batch` says what that promises.

use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Keys, Outcome, Spec};

const FLAGS: &[&str] = &["noscript", "loading", "stale", "fast", "allow_busy"];

const BASE: Spec = Spec {
    group: "transactions",
    flags: FLAGS,
    since: "1.2.0",
    ..Spec::NONE
};

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        name: "discard",
        since: "2.0.0",
        summary: "Discards a transaction.",
        run: Some(discard),
        ..BASE
    },
    Spec {
        name: "exec",
        flags: &["noscript", "loading", "stale", "skip_slowlog"],
        summary: "Executes all commands in a transaction.",
        run: Some(exec),
        ..BASE
    },
    Spec {
        name: "multi",
        summary: "Starts a transaction.",
        run: Some(multi),
        ..BASE
    },
    Spec {
        name: "unwatch",
        since: "2.2.0",
        summary: "Forgets about watched keys of a transaction.",
        run: Some(unwatch),
        ..BASE
    },
    Spec {
        name: "watch",
        arity: -2,
        keys: Keys::ALL,
        since: "2.2.0",
        summary: "Monitors changes to keys to determine the execution of a transaction.",
        args: &[Arg::new("key", "key").multiple()],
        run: Some(watch),
        ..BASE
    },
];

fn multi(context: &mut Context<'_>, _: &mut Args) -> Result<Outcome, Failure> {
    context.session.transaction.begin()?;
    context.session.show_transaction();
    Ok(Outcome::Ok)
}

/// What is answered is pushed as the batch is executed, which begins with the next turn.
fn exec(context: &mut Context<'_>, _: &mut Args) -> Result<Outcome, Failure> {
    let begun = context.session.transaction.run();
    context.session.show_transaction();
    begun.map(|()| Outcome::Silent)
}

fn discard(context: &mut Context<'_>, _: &mut Args) -> Result<Outcome, Failure> {
    let discarded = context.session.transaction.discard();
    context.session.show_transaction();
    discarded.map(|()| Outcome::Ok)
}

fn watch(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let keys = args.take_from(1);
    let watched = context.session.transaction.watch(context.store, keys);
    context.session.show_transaction();
    Ok(watched?.map_or(Outcome::Ok, Outcome::Work))
}

fn unwatch(context: &mut Context<'_>, _: &mut Args) -> Result<Outcome, Failure> {
    context.session.transaction.unwatch();
    context.session.show_transaction();
    Ok(Outcome::Ok)
}
