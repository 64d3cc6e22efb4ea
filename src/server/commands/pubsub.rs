//! Channels: subscribe to them, publish there, ask who has subscribed.
//!
//! What is published on one node goes to the subscribers of all that can be reached at that
//! moment. It arrives at most once and is not kept: who is not there, or whose node is not, never
//! gets it. What the commands count is this node's, as in a Redis cluster.

use bytes::Bytes;

use crate::object::KEY_BYTES_MAX;
use crate::resp::Value;
use crate::server::commands::help;
use crate::server::commands::keyspace::checked_pattern;
use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Outcome, Spec};
use crate::server::subscribers::Kind;

/// Longest message: it goes to every node, and waits in memory for every subscriber that is
/// behind.
const MESSAGE_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Most channels that `PUBSUB CHANNELS` answers: its reply is built in memory at once.
const CHANNELS_REPLY_MAX: usize = 100_000;

/// What a subscription is answered is not one reply, as everything in a transaction is.
const BASE: Spec = Spec {
    flags: &["pubsub", "noscript", "loading", "stale", "no_multi"],
    group: "pubsub",
    since: "2.0.0",
    ..Spec::NONE
};

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        name: "psubscribe",
        arity: -2,
        summary: "Listens for messages published to channels that match one or more patterns.",
        args: &[Arg::new("pattern", "pattern").multiple()],
        run: Some(|context, args| subscribe(context, args, PATTERNS)),
        ..BASE
    },
    Spec {
        name: "publish",
        arity: 3,
        flags: &["pubsub", "loading", "stale", "fast"],
        summary: "Posts a message to a channel, on every node; returns how many of this node's \
                  subscribers got it.",
        args: &[Arg::new("channel", "string"), Arg::new("message", "string")],
        run: Some(publish),
        ..BASE
    },
    Spec {
        name: "pubsub",
        arity: -2,
        flags: &[],
        since: "2.8.0",
        summary: "A container for Pub/Sub commands.",
        subcommands: SUBCOMMANDS,
        ..BASE
    },
    Spec {
        name: "punsubscribe",
        arity: -1,
        summary: "Stops listening to messages published to channels that match one or more \
                  patterns.",
        args: &[Arg::new("pattern", "pattern").optional().multiple()],
        run: Some(|context, args| Ok(unsubscribe(context, args, PATTERNS))),
        ..BASE
    },
    Spec {
        name: "subscribe",
        arity: -2,
        summary: "Listens for messages published to channels.",
        args: &[Arg::new("channel", "string").multiple()],
        run: Some(|context, args| subscribe(context, args, CHANNELS)),
        ..BASE
    },
    Spec {
        name: "unsubscribe",
        arity: -1,
        summary: "Stops listening to messages posted to channels.",
        args: &[Arg::new("channel", "string").optional().multiple()],
        run: Some(|context, args| Ok(unsubscribe(context, args, CHANNELS))),
        ..BASE
    },
];

const SUBCOMMAND: Spec = Spec {
    flags: &["pubsub", "loading", "stale"],
    since: "2.8.0",
    ..BASE
};

const SUBCOMMANDS: &[Spec] = &[
    Spec {
        name: "channels",
        arity: -2,
        summary: "Returns the channels with subscribers on this node.",
        args: &[Arg::new("pattern", "pattern").optional()],
        run: Some(channels),
        ..SUBCOMMAND
    },
    help::HELP,
    Spec {
        name: "numpat",
        arity: 2,
        summary: "Returns a count of unique pattern subscriptions on this node.",
        run: Some(|context, _| Ok(number(context.shared.subscribers.pattern_count()).into())),
        ..SUBCOMMAND
    },
    Spec {
        name: "numsub",
        arity: -2,
        summary: "Returns a count of this node's subscribers to channels.",
        args: &[Arg::new("channel", "string").optional().multiple()],
        run: Some(numsub),
        ..SUBCOMMAND
    },
];

/// A kind of subscription and what its frames are called.
#[derive(Clone, Copy)]
struct Words {
    kind: Kind,
    subscribe: &'static str,
    unsubscribe: &'static str,
}

const CHANNELS: Words = Words {
    kind: Kind::Channel,
    subscribe: "subscribe",
    unsubscribe: "unsubscribe",
};

const PATTERNS: Words = Words {
    kind: Kind::Pattern,
    subscribe: "psubscribe",
    unsubscribe: "punsubscribe",
};

fn number(count: usize) -> Value {
    Value::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}

/// What became of one subscription, and how many the client has now.
fn frame(word: &'static str, name: Option<Bytes>, count: usize) -> Value {
    let name = name.map_or(Value::Null, Value::Bulk);
    Value::Push(vec![Value::bulk(word), name, number(count)])
}

fn subscribe(context: &mut Context<'_>, args: &mut Args, words: Words) -> Result<Outcome, Failure> {
    if words.kind == Kind::Pattern {
        for pattern in args.from(1) {
            checked_pattern(pattern)?;
        }
    }
    let subscriptions = &mut context.session.subscriptions;
    subscriptions.check_room(words.kind, args.from(1))?;
    let mut frames = Vec::with_capacity(args.len());
    for name in args.take_from(1) {
        subscriptions.add(words.kind, name.clone());
        frames.push(frame(words.subscribe, Some(name), subscriptions.count()));
    }
    context.session.show_subscriptions();
    Ok(Outcome::Subscribed(frames))
}

/// From those that are named, or from all of the kind.
fn unsubscribe(context: &mut Context<'_>, args: &mut Args, words: Words) -> Outcome {
    let subscriptions = &mut context.session.subscriptions;
    let mut names = args.take_from(1);
    if names.is_empty() {
        names = subscriptions.names(words.kind);
    }
    let mut frames = Vec::with_capacity(names.len());
    for name in names {
        subscriptions.remove(words.kind, &name);
        frames.push(frame(words.unsubscribe, Some(name), subscriptions.count()));
    }
    if frames.is_empty() {
        frames.push(frame(words.unsubscribe, None, subscriptions.count()));
    }
    context.session.show_subscriptions();
    Outcome::Pushed(frames)
}

/// A message is bounded like a key and its value: it must fit what nodes send each other.
fn publish(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let (channel, payload) = (args.take(1), args.take(2));
    for (what, bytes, max) in [
        ("channel", channel.len(), KEY_BYTES_MAX),
        ("message", payload.len(), MESSAGE_BYTES_MAX),
    ] {
        if bytes > max {
            return Err(Failure::new(format!(
                "ERR {what} of {bytes} bytes is too long: at most {max}"
            )));
        }
    }
    Ok(number(context.store.publish(&channel, &payload)).into())
}

fn channels(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let pattern = match args.len() {
        2 => None,
        3 => Some(args.take(2)),
        _ => {
            return Err(Failure::new(
                "ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. \
                 Try PUBSUB HELP.",
            ));
        }
    };
    if let Some(pattern) = &pattern {
        checked_pattern(pattern)?;
    }
    let all = &context.shared.subscribers;
    let channels = all.channels(pattern.as_deref(), CHANNELS_REPLY_MAX);
    let channels = channels.ok_or_else(|| {
        Failure::new(format!(
            "ERR more than {CHANNELS_REPLY_MAX} channels: use a narrower pattern"
        ))
    })?;
    let channels = channels.into_iter().map(Value::Bulk);
    Ok(Value::Array(channels.collect()).into())
}

fn numsub(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let all = &context.shared.subscribers;
    let counts = args.take_from(2).into_iter().flat_map(|channel| {
        let count = all.count(&channel);
        [Value::Bulk(channel), number(count)]
    });
    Ok(Value::Array(counts.collect()).into())
}
