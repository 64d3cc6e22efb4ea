//! Keys whatever they hold: delete, exist, count, list.

use bytes::Bytes;

use crate::node::request::{Reply, Request};
use crate::resp::Value;
use crate::runtime::Submitted;
use crate::server::commands::keys::type_name;
use crate::server::failure::{Failure, quoted};
use crate::server::glob::{self, PATTERN_BYTES_MAX};
use crate::server::spec::{Arg, Args, Context, Keys, Outcome, Spec, Worker};
use crate::server::store::Store;

/// Keys per page of `SCAN` without `COUNT`, as in Redis.
const SCAN_COUNT_DEFAULT: usize = 10;

/// Most keys that one `SCAN` looks at, whatever its `COUNT`: a page holds up its
/// connection's worker for as long as it takes.
const SCAN_COUNT_MAX: usize = 10_000;

/// Most bytes of a type that is asked for: more than the longest has.
const TYPE_BYTES_MAX: usize = 64;

/// Most keys that `KEYS` answers: its reply is built in memory at once.
const KEYS_REPLY_MAX: usize = 100_000;

/// Most keys that `KEYS` looks at, which are those that begin like its pattern: about a
/// second's work. After each [`SCAN_COUNT_MAX`] of them others have their turn.
const KEYS_VISITED_MAX: u64 = 1_000_000;

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        name: "dbsize",
        flags: &["readonly", "fast"],
        summary: "Returns the number of keys in the database.",
        group: "generic",
        run: Some(dbsize),
        ..Spec::NONE
    },
    Spec {
        name: "del",
        arity: -2,
        flags: &["write"],
        keys: Keys::ALL,
        group: "generic",
        summary: "Deletes one or more keys.",
        args: &[Arg::new("key", "key").multiple()],
        run: Some(del),
        ..Spec::NONE
    },
    Spec {
        name: "exists",
        arity: -2,
        flags: &["readonly", "fast"],
        keys: Keys::ALL,
        group: "generic",
        summary: "Determines whether one or more keys exist.",
        args: &[Arg::new("key", "key").multiple()],
        run: Some(exists),
        ..Spec::NONE
    },
    Spec {
        name: "keys",
        arity: 2,
        flags: &["readonly"],
        group: "generic",
        summary: "Returns all key names that match a pattern.",
        args: &[Arg::new("pattern", "pattern")],
        run: Some(keys),
        ..Spec::NONE
    },
    Spec {
        name: "scan",
        arity: -2,
        flags: &["readonly"],
        group: "generic",
        since: "2.8.0",
        summary: "Iterates over the key names in the database.",
        args: &[
            Arg::new("cursor", "integer"),
            Arg::new("pattern", "pattern").token("MATCH").optional(),
            Arg::new("count", "integer").token("COUNT").optional(),
            Arg::new("type", "string").token("TYPE").optional(),
        ],
        run: Some(scan),
        ..Spec::NONE
    },
    Spec {
        name: "touch",
        arity: -2,
        flags: &["readonly", "fast"],
        keys: Keys::ALL,
        group: "generic",
        since: "3.2.1",
        summary: "Returns the number of existing keys out of those specified; when they were \
                  used is not noted.",
        args: &[Arg::new("key", "key").multiple()],
        run: Some(exists),
        ..Spec::NONE
    },
    Spec {
        name: "unlink",
        arity: -2,
        flags: &["write", "fast"],
        keys: Keys::ALL,
        group: "generic",
        since: "4.0.0",
        summary: "Deletes one or more keys.",
        args: &[Arg::new("key", "key").multiple()],
        run: Some(del),
        ..Spec::NONE
    },
];

/// `NETDB KEYS PREFIX [AFTER key] [COUNT n]`.
pub(super) const NETDB_KEYS: Spec = Spec {
    name: "keys",
    arity: -3,
    flags: &["readonly"],
    group: "generic",
    summary: "Returns the first keys that begin with a prefix, in ascending order, or the first \
              after a key.",
    since: "0.1.0",
    args: &[
        Arg::new("prefix", "string"),
        Arg::new("after", "string").token("AFTER").optional(),
        Arg::new("count", "integer").token("COUNT").optional(),
    ],
    run: Some(netdb_keys),
    ..Spec::NONE
};

fn dbsize(context: &mut Context<'_>, _: &mut Args) -> Result<Outcome, Failure> {
    let worker = context.worker();
    Ok(Context::work(async move {
        let count = worker.store.key_count().await?;
        Ok(Value::Integer(i64::try_from(count).unwrap_or(i64::MAX)))
    }))
}

fn del(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    Ok(count(context, args, |key| Request::Delete {
        key,
        context: None,
    }))
}

fn exists(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    Ok(count(context, args, |key| Request::Exists { key }))
}

/// How many of the keys the node says "yes" to.
fn count(context: &mut Context<'_>, args: &mut Args, request: fn(Bytes) -> Request) -> Outcome {
    let keys = args.take_from(1).into_iter();
    let parts: Vec<Submitted> = keys.map(|key| context.submit(request(key))).collect();
    Outcome::Count(parts)
}

fn keys(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    checked_pattern(args.bytes(1))?;
    let (pattern, store) = (args.take(1), context.worker().store);
    Ok(Context::work(async move {
        matching(store.as_ref(), &pattern).await
    }))
}

/// All keys that match a pattern.
async fn matching(store: &dyn Store, pattern: &[u8]) -> Result<Value, Failure> {
    let prefix = glob::literal_prefix(pattern);
    let mut found = Vec::new();
    let mut visited: u64 = 0;
    let mut after: Option<Bytes> = None;
    loop {
        let page = store
            .list(&prefix, after.as_deref(), SCAN_COUNT_MAX)
            .await?;
        let is_last = page.len() < SCAN_COUNT_MAX;
        visited = visited.saturating_add(page.len() as u64);
        after = page.last().cloned();
        if visited > KEYS_VISITED_MAX {
            return Err(Failure::new(format!(
                "ERR KEYS looks at {KEYS_VISITED_MAX} keys at most and more begin like the pattern: use SCAN"
            )));
        }
        let matching = page.into_iter();
        found.extend(matching.filter(|key| glob::matches(pattern, key)));
        if found.len() > KEYS_REPLY_MAX {
            return Err(Failure::new(format!(
                "ERR more than {KEYS_REPLY_MAX} keys match: use SCAN or a narrower pattern"
            )));
        }
        if is_last {
            break;
        }
        tokio::task::yield_now().await;
    }
    Ok(Value::Array(found.into_iter().map(Value::Bulk).collect()))
}

fn netdb_keys(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let (mut after, mut count) = (None, SCAN_COUNT_MAX);
    let mut at = 3;
    while at < args.len() {
        let value = at.saturating_add(1);
        if value >= args.len() {
            return Err(Failure::SYNTAX);
        }
        if args.is(at, "after") {
            after = Some(args.take(value));
        } else if args.is(at, "count") {
            count = checked_count(args, value)?;
        } else {
            return Err(Failure::SYNTAX);
        }
        at = value.saturating_add(1);
    }
    let (prefix, store) = (args.take(2), context.worker().store);
    Ok(Context::work(async move {
        let keys = store.list(&prefix, after.as_deref(), count).await?;
        Ok(Value::Array(keys.into_iter().map(Value::Bulk).collect()))
    }))
}

/// What a `SCAN` asked for beyond its cursor.
pub(super) struct ScanOptions {
    pattern: Option<Bytes>,
    pub(super) count: usize,
    /// The type asked for, in small letters.
    kind: Option<String>,
}

fn scan(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let cursor = cursor(args.bytes(1))?;
    let options = scan_options(args, 2, true)?;
    let worker = context.worker();
    Ok(Context::work(async move {
        let mut page = worker.store.scan(cursor, options.count).await?;
        page.keys.retain(|key| options.matches(key));
        let keys = match &options.kind {
            Some(kind) => of_kind(&worker, page.keys, kind).await?,
            None => page.keys,
        };
        let keys = keys.into_iter().map(Value::Bulk).collect();
        let cursor = Value::bulk(page.cursor.to_string());
        Ok(Value::Array(vec![cursor, Value::Array(keys)]))
    }))
}

/// Those of the keys that hold something of that type.
async fn of_kind(worker: &Worker, keys: Vec<Bytes>, kind: &str) -> Result<Vec<Bytes>, Failure> {
    let ask = |key: Bytes| (key.clone(), worker.submit(Request::Describe { key }));
    let asked: Vec<(Bytes, Submitted)> = keys.into_iter().map(ask).collect();
    let mut found = Vec::new();
    for (key, held) in asked {
        match held.wait().await {
            Reply::Held(Some(held)) if type_name(&held) == kind => found.push(key),
            Reply::Failed(error) => return Err(error.into()),
            _ => {}
        }
    }
    Ok(found)
}

impl ScanOptions {
    pub(super) fn matches(&self, name: &[u8]) -> bool {
        let pattern = self.pattern.as_ref();
        pattern.is_none_or(|pattern| glob::matches(pattern, name))
    }
}

/// Where a scan goes on.
pub(super) fn cursor(text: &[u8]) -> Result<u64, Failure> {
    let text = std::str::from_utf8(text).ok();
    let cursor = text.and_then(|text| text.parse::<u64>().ok());
    cursor.ok_or(Failure::new("ERR invalid cursor"))
}

/// Reads `[MATCH pattern] [COUNT count]`, and `[TYPE type]` if there are types, from the `at`-th
/// argument on.
pub(super) fn scan_options(
    args: &mut Args,
    mut at: usize,
    has_types: bool,
) -> Result<ScanOptions, Failure> {
    let mut options = ScanOptions {
        pattern: None,
        count: SCAN_COUNT_DEFAULT,
        kind: None,
    };
    while at < args.len() {
        if at.saturating_add(1) >= args.len() {
            return Err(Failure::SYNTAX);
        }
        let value = at.saturating_add(1);
        if args.is(at, "match") {
            checked_pattern(args.bytes(value))?;
            options.pattern = Some(args.take(value));
        } else if args.is(at, "count") {
            options.count = checked_count(args, value)?;
        } else if has_types && args.is(at, "type") {
            options.kind = Some(quoted(args.bytes(value), TYPE_BYTES_MAX).to_lowercase());
        } else {
            return Err(Failure::SYNTAX);
        }
        at = at.saturating_add(2);
    }
    Ok(options)
}

/// A `COUNT`, cut to what one page may hold.
fn checked_count(args: &Args, at: usize) -> Result<usize, Failure> {
    let count = args.integer(at)?;
    if count < 1 {
        return Err(Failure::SYNTAX);
    }
    let count = usize::try_from(count).unwrap_or(SCAN_COUNT_MAX);
    Ok(count.min(SCAN_COUNT_MAX))
}

/// A pattern that is not too long to be matched.
pub(super) fn checked_pattern(pattern: &[u8]) -> Result<&[u8], Failure> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(Failure::new(format!(
            "ERR pattern of {} bytes is too long: at most {PATTERN_BYTES_MAX}",
            pattern.len()
        )));
    }
    Ok(pattern)
}
