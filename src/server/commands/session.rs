//! What a client has seen, taken along to another node.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::resp::Value;
use crate::runtime::{AfterError, TokenError};
use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Outcome, Spec};

/// How long `NETDB.AFTER` waits unless it is told: some rounds of sync.
const AFTER_WAIT: Duration = Duration::from_secs(5);

const BASE: Spec = Spec {
    group: "generic",
    flags: &["blocking"],
    since: "0.1.0",
    ..Spec::NONE
};

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        name: "netdb.after",
        arity: -2,
        summary: "Waits until this node has what a token of NETDB.TOKEN speaks of.",
        args: &[
            Arg::new("token", "string"),
            Arg::new("timeout", "integer").optional(),
        ],
        run: Some(after),
        ..BASE
    },
    Spec {
        name: "netdb.token",
        arity: 1,
        summary: "Returns a token of what this connection has read and written.",
        run: Some(token),
        ..BASE
    },
];

fn token(context: &mut Context<'_>, _: &mut Args) -> Result<Outcome, Failure> {
    let store = Arc::clone(context.store);
    let past = Arc::clone(&context.session.past);
    Ok(Context::work(async move {
        match store.token(&past).await {
            Ok(token) => Ok(Value::Bulk(token.into())),
            Err(TokenError::Progress(error)) => Err(error.into()),
            Err(error) => Err(Failure::new(format!("ERR {error}"))),
        }
    }))
}

fn after(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    if args.len() > 3 {
        return Err(Failure::SYNTAX);
    }
    let deadline = match args.len() {
        3 => context.deadline(args, 2)?,
        _ if context.session.transaction.is_running() => Some(Instant::now()),
        _ => Instant::now().checked_add(AFTER_WAIT),
    };
    let (store, token) = (Arc::clone(context.store), args.take(1));
    let past = Arc::clone(&context.session.past);
    let gone = context.session.record.gone.clone();
    Ok(Context::work(async move {
        let after = tokio::select! {
            after = store.after(&past, &token, deadline) => after,
            // Nobody is there to be told more.
            () = gone.cancelled() => store.after(&past, &token, Some(Instant::now())).await,
        };
        match after {
            Ok(()) => Ok(Value::ok()),
            Err(error @ AfterError::NoToken) => Err(Failure::new(format!("ERR {error}"))),
            Err(error) => Err(Failure::new(format!("TRYAGAIN {error}"))),
        }
    }))
}
