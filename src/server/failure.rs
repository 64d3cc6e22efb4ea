//! Errors as clients see them: Redis's codes and, where clients match on them, its words.
//!
//! | what happened | code | was anything changed |
//! |---|---|---|
//! | key or value too long, or no number | `ERR` | no |
//! | the key holds something else | `WRONGTYPE` | no |
//! | too few replicas confirmed in time, or before the node stopped | `TIMEOUT` | yes: the write stands and spreads |
//! | too few replicas within reach for a strict strength | `NOREPLICAS` | no |
//! | too many writes in flight | `BUSY` | no; try again later |
//! | storage failed | `IOERR` | by a read no; a write may come to be in effect later |
//! | data that is in memory only takes all that it may | `OOM` | no; delete something |
//! | the node's disk has failed or is full | `MISCONF` | no; use another node, or try again later |
//! | the key's partition was damaged here and is being fetched, or the node has not joined yet | `LOADING` | no; try again later |
//! | none of the key's owners can be reached | `CLUSTERDOWN` | no; try again later, or another node |
//! | node is stopping | `SHUTDOWN` | no; use another node |
//!
//! A time-out is not Redis's `NOREPLICAS`, because clients take that one to mean that nothing
//! was written. The other codes are `ERR`, `NOPROTO` and `WRONGPASS`, as in Redis.

use std::borrow::Cow;

use bytes::Bytes;

use crate::node::request::RequestError;
use crate::runtime::ProgressError;

/// Most bytes of a client's own words that an error quotes. Redis's own limit.
const QUOTED_BYTES_MAX: usize = 128;

/// Why a command was refused: the text of an error reply, code first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure(pub(super) Cow<'static, str>);

impl Failure {
    pub(super) const SYNTAX: Self = Self(Cow::Borrowed("ERR syntax error"));
    pub(super) const NOT_AN_INTEGER: Self =
        Self(Cow::Borrowed("ERR value is not an integer or out of range"));

    pub(super) fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self(text.into())
    }

    /// `name` is the full name: `get`, or `client|setname`.
    pub(super) fn arity(name: &str) -> Self {
        Self::new(format!(
            "ERR wrong number of arguments for '{name}' command"
        ))
    }

    /// A client that only listens may not do this; `name` is the full name.
    pub(super) fn while_listening(name: &str) -> Self {
        Self::new(format!(
            "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
             RESET are allowed in this context"
        ))
    }

    /// There is no such command; quotes how it began, so that a client that lost its place
    /// in the stream can be recognised.
    pub(super) fn unknown_command(args: &[Bytes]) -> Self {
        let (name, rest) = match args {
            [name, rest @ ..] => (quoted(name, QUOTED_BYTES_MAX), rest),
            [] => (String::new(), args),
        };
        let mut beginning = String::new();
        for arg in rest {
            let room = QUOTED_BYTES_MAX.saturating_sub(beginning.len());
            if room == 0 {
                break;
            }
            beginning.push_str(&format!("'{}' ", quoted(arg, room)));
        }
        Self::new(format!(
            "ERR unknown command '{name}', with args beginning with: {beginning}"
        ))
    }

    pub(super) fn unknown_subcommand(container: &str, name: &[u8]) -> Self {
        Self::new(format!(
            "ERR unknown subcommand '{}'. Try {} HELP.",
            quoted(name, QUOTED_BYTES_MAX),
            container.to_ascii_uppercase()
        ))
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        Self::from(&error)
    }
}

impl From<&RequestError> for Failure {
    fn from(error: &RequestError) -> Self {
        let code = match error {
            RequestError::KeyTooLong { .. }
            | RequestError::ValueTooLong { .. }
            | RequestError::ElementTooLong { .. }
            | RequestError::TooManyElements { .. }
            | RequestError::InSteps(_)
            | RequestError::NotAnInteger
            | RequestError::FieldNotAnInteger
            | RequestError::FieldNotAFloat
            | RequestError::NotAFloat
            | RequestError::Overflow
            | RequestError::Infinite
            | RequestError::InMemory
            | RequestError::Refused(_) => "ERR",
            RequestError::WrongType => "WRONGTYPE",
            RequestError::Unconfirmed { .. }
            | RequestError::Unanswered { .. }
            | RequestError::OwnerSilent { .. }
            | RequestError::Interrupted => "TIMEOUT",
            RequestError::NoReplicas { .. } => "NOREPLICAS",
            RequestError::NoOwner { .. } => "CLUSTERDOWN",
            RequestError::Busy { .. } => "BUSY",
            RequestError::OutOfMemory { .. } => "OOM",
            RequestError::Storage(_) => "IOERR",
            RequestError::WritesStopped(_) => "MISCONF",
            RequestError::Rebuilding(_) | RequestError::NotJoined => "LOADING",
            RequestError::ShuttingDown => "SHUTDOWN",
        };
        Self::new(format!("{code} {error}"))
    }
}

impl From<ProgressError> for Failure {
    fn from(error: ProgressError) -> Self {
        match error {
            ProgressError::Node(error) => error.into(),
            error @ ProgressError::Cut => Self::new(format!("ERR {error}")),
        }
    }
}

/// The first bytes of a client's word, as text.
pub(super) fn quoted(word: &[u8], bytes_max: usize) -> String {
    let cut = word.get(..bytes_max).unwrap_or(word);
    String::from_utf8_lossy(cut).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_command_is_quoted_as_redis_does() {
        let args = ["foo", "a", "b"].map(|arg| Bytes::from_static(arg.as_bytes()));
        assert_eq!(
            Failure::unknown_command(&args).0,
            "ERR unknown command 'foo', with args beginning with: 'a' 'b' "
        );
        assert_eq!(
            Failure::unknown_command(&args[..1]).0,
            "ERR unknown command 'foo', with args beginning with: "
        );
        let long = vec![Bytes::from(vec![b'x'; 100_000]); 1_000];
        assert!(Failure::unknown_command(&long).0.len() < 500);
    }

    #[test]
    fn every_refusal_of_the_node_has_a_code() {
        let error = RequestError::Unconfirmed {
            confirmed: 1,
            needed: 2,
            waited: std::time::Duration::from_secs(2),
            dot: None,
        };
        assert!(
            Failure::from(&error)
                .0
                .starts_with("TIMEOUT write is on 1 of 2")
        );
        assert_eq!(
            Failure::from(&RequestError::Storage("disk full".to_owned())).0,
            "IOERR storage failed: disk full"
        );
        assert_eq!(
            Failure::from(&RequestError::WritesStopped("disk full".into())).0,
            "MISCONF writes are stopped: disk full"
        );
    }
}
