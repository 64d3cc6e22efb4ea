//! What a node is asked for a command, and its answer as text.

use crate::resp::Value;

use super::fields::{Fields, items, scalar};
use super::text;
use super::{Kind, Outcome, time};

/// Most keys that `keys` lists; more are no longer read by a person.
pub const KEYS_SHOWN_MAX: usize = 1_000;

/// The outcome of `put`.
pub fn put(reply: &Value) -> Outcome {
    match reply {
        Value::Simple(_) => Outcome::done("Value stored."),
        other => unexpected(other),
    }
}

/// The outcome of `get`; a value is cut after `limit` bytes.
pub fn get(reply: &Value, limit: usize) -> Outcome {
    match reply {
        Value::Null => missing(),
        Value::Bulk(value) => Outcome::done(format!("Value: {}", text::data(value, limit))),
        Value::Simple(value) => Outcome::done(format!("Value: {}", text::line(value))),
        other => unexpected(other),
    }
}

/// The outcome of `delete`.
pub fn delete(reply: &Value) -> Outcome {
    match reply {
        Value::Integer(0) => missing(),
        Value::Integer(_) => Outcome::done("Key deleted."),
        other => unexpected(other),
    }
}

fn missing() -> Outcome {
    Outcome {
        kind: Kind::Missing,
        text: "Key not found.".to_owned(),
    }
}

/// The keys that `NETDB KEYS` lists, for at most one more than [`KEYS_SHOWN_MAX`].
pub fn keys(reply: &Value) -> Outcome {
    /// Most bytes of one key: they are shown one to a line.
    const KEY_SHOWN_BYTES_MAX: usize = 200;
    let keys = match reply {
        Value::Array(keys) => keys.iter().map(bytes).collect::<Option<Vec<_>>>(),
        _ => None,
    };
    let Some(keys) = keys else {
        return unexpected(reply);
    };
    let shown = keys.iter().take(KEYS_SHOWN_MAX);
    let mut lines: Vec<String> = shown
        .map(|key| text::data(key, KEY_SHOWN_BYTES_MAX))
        .collect();
    let count = lines.len();
    lines.push(match (count, keys.len() > KEYS_SHOWN_MAX) {
        (0, _) => "No keys.".to_owned(),
        (1, false) => "1 key.".to_owned(),
        (count, false) => format!("{count} keys."),
        (count, true) => format!("Cut after {count} keys: there are more. Narrow it: keys PREFIX"),
    });
    Outcome::done(lines.join("\n"))
}

/// The names of all members, for completion.
pub fn member_names(reply: &Value) -> Vec<String> {
    let members = items(reply).unwrap_or_default();
    members
        .iter()
        .filter_map(|member| Fields::of(member)?.text("name"))
        .collect()
}

/// The outcome of `members`: those whose names begin with `prefix`, as of `now_ms`.
pub fn members(reply: &Value, prefix: &str, now_ms: u64) -> Outcome {
    let Some(members) = items(reply) else {
        return unexpected(reply);
    };
    let heading = [
        "NAME",
        "CLUSTER ADDRESS",
        "CLIENT ADDRESS",
        "STATE",
        "INCARNATION",
        "SINCE",
    ];
    let mut rows = vec![heading.map(str::to_owned)];
    let mut states: Vec<(String, usize)> = Vec::new();
    for member in members {
        let Some(fields) = Fields::of(member) else {
            return unexpected(reply);
        };
        if !fields.text("name").unwrap_or_default().starts_with(prefix) {
            continue;
        }
        let state = fields.cell("state");
        match states.iter_mut().find(|(known, _)| *known == state) {
            Some((_, count)) => *count += 1,
            None => states.push((state, 1)),
        }
        rows.push(member_row(&fields, now_ms));
    }
    match rows.len() {
        1 => Outcome {
            kind: Kind::Missing,
            text: "No such member.".to_owned(),
        },
        _ => Outcome::done(format!("{}\n{}", text::table(&rows), totals(&states))),
    }
}

fn member_row(fields: &Fields<'_>, now_ms: u64) -> [String; 6] {
    let me = fields.is("me");
    let since = fields.text("since_ms").and_then(|ms| ms.parse().ok());
    [
        format!("{}{}", fields.cell("name"), if me { " (me)" } else { "" }),
        fields.cell("cluster"),
        fields.cell("client"),
        fields.cell("state"),
        fields.cell("incarnation"),
        since.map_or("-".to_owned(), |ms| {
            format!("{} ({})", time::ago(ms, now_ms), time::utc(ms))
        }),
    ]
}

fn totals(states: &[(String, usize)]) -> String {
    let total: usize = states.iter().map(|(_, count)| count).sum();
    let noun = if total == 1 { "member" } else { "members" };
    let each: Vec<_> = states
        .iter()
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    format!("{total} {noun}: {}.", each.join(", "))
}

/// The outcome of `status`.
pub fn status(reply: &Value) -> Outcome {
    let Some(fields) = Fields::of(reply) else {
        return unexpected(reply);
    };
    let rows = fields.0.iter().map(|(name, value)| {
        let value = scalar(value).map_or("-".to_owned(), |value| text::line(&value));
        match name.strip_suffix("_ms") {
            Some(name) => [
                text::line(name),
                value.parse().map_or(value, time::duration),
            ],
            None => [text::line(name), value],
        }
    });
    Outcome::done(text::table(&rows.collect::<Vec<_>>()))
}

/// The outcome of an error, or of an answer that fits no question.
pub fn unexpected(reply: &Value) -> Outcome {
    Outcome::failed(match reply {
        Value::Error(error) => format!("Error: {}", text::line(error)),
        _ => "Error: the node's answer was not understood; is it a netdb node of this version?"
            .to_owned(),
    })
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Bulk(bytes) => Some(bytes.to_vec()),
        Value::Simple(text) => Some(text.clone().into_bytes()),
        _ => None,
    }
}
