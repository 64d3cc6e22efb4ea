//! What a command is: its row in the table, what it works on, what it answers.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

pub(super) use super::args::Args;
use super::events::{Events, Teller};
use super::failure::Failure;
pub(super) use super::outcome::Outcome;
pub(super) use super::session::{ReplyMode, Session};
use super::shared::Shared;
use super::store::{Store, Streak};
use crate::node::change::Change;
use crate::node::request::{Consistency, Reply, Request, Strength};
use crate::resp::Value;
use crate::runtime::{Past, Submitted};

/// Executes a command whose arity has been checked.
pub(super) type Run = fn(&mut Context<'_>, &mut Args) -> Result<Outcome, Failure>;

/// One row of the command table. It drives dispatch, arity errors, `COMMAND` and `HELP`.
#[derive(Debug)]
pub(super) struct Spec {
    /// In small letters, without the container's name.
    pub(super) name: &'static str,
    /// Number of arguments with the name; negative: at least that many. A subcommand
    /// counts its container's name too.
    pub(super) arity: i64,
    /// Redis's names for what a command does: `readonly`, `write`, `fast`, …
    pub(super) flags: &'static [&'static str],
    pub(super) keys: Keys,
    /// Redis's name for the family, as `COMMAND DOCS` shows it.
    pub(super) group: &'static str,
    /// The Redis version whose meaning is followed; for our own commands our version.
    pub(super) since: &'static str,
    pub(super) summary: &'static str,
    pub(super) args: &'static [Arg],
    /// `None` for a command that is nothing without a subcommand.
    pub(super) run: Option<Run>,
    /// Whether all that it has a node do is what [`Context::submit`] does: then what one such
    /// command has taken of the node may stay taken for the next.
    pub(super) only_submits: bool,
    pub(super) subcommands: &'static [Spec],
}

impl Spec {
    /// What a row leaves out.
    pub(super) const NONE: Self = Self {
        name: "",
        arity: 1,
        flags: &[],
        keys: Keys::NONE,
        group: "server",
        since: "1.0.0",
        summary: "",
        args: &[],
        run: None,
        only_submits: false,
        subcommands: &[],
    };

    /// Whether `count` arguments, the name included, are allowed.
    pub(super) fn accepts(&self, count: usize) -> bool {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        if self.arity < 0 {
            count >= self.arity.saturating_neg()
        } else {
            count == self.arity
        }
    }

    /// Whether it is about data, and does not only take some away: then it or its answer may be
    /// long.
    pub(super) fn takes_memory(&self) -> bool {
        let is = |flag| self.flags.contains(&flag);
        is("readonly") || is("denyoom")
    }

    pub(super) fn subcommand(&self, name: &[u8]) -> Option<&'static Spec> {
        self.subcommands
            .iter()
            .find(|spec| spec.name.as_bytes().eq_ignore_ascii_case(name))
    }
}

/// Where the keys are among the arguments; the name is argument 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    /// 0 when there are none.
    pub(super) first: i64,
    /// Negative: counted from the end.
    pub(super) last: i64,
    pub(super) step: i64,
    /// Where the number of keys is that follow it, if the command says how many it has: then
    /// the others are 0.
    pub(super) count: i64,
}

impl Keys {
    pub(super) const NONE: Self = Self {
        first: 0,
        last: 0,
        step: 0,
        count: 0,
    };
    /// As many as the first argument says.
    pub(super) const COUNTED: Self = Self {
        count: 1,
        ..Self::NONE
    };
    pub(super) const FIRST: Self = Self {
        first: 1,
        last: 1,
        step: 1,
        count: 0,
    };
    pub(super) const ALL: Self = Self {
        first: 1,
        last: -1,
        step: 1,
        count: 0,
    };
}

/// One argument, for `COMMAND DOCS` and `HELP`.
#[derive(Debug)]
pub(super) struct Arg {
    pub(super) name: &'static str,
    /// Redis's name for its type: `key`, `string`, `integer`, `pattern`, `block`,
    /// `pure-token`, `oneof`.
    pub(super) kind: &'static str,
    /// The word that announces it.
    pub(super) token: Option<&'static str>,
    pub(super) optional: bool,
    pub(super) multiple: bool,
    /// The parts of a `block`, the choices of a `oneof`.
    pub(super) parts: &'static [Arg],
}

impl Arg {
    pub(super) const fn new(name: &'static str, kind: &'static str) -> Self {
        Self {
            name,
            kind,
            token: None,
            optional: false,
            multiple: false,
            parts: &[],
        }
    }

    /// A group of arguments or of choices.
    pub(super) const fn of(name: &'static str, kind: &'static str, parts: &'static [Arg]) -> Self {
        let mut arg = Self::new(name, kind);
        arg.parts = parts;
        arg
    }

    pub(super) const fn word(name: &'static str, token: &'static str) -> Self {
        Self::new(name, "pure-token").token(token)
    }

    pub(super) const fn token(mut self, token: &'static str) -> Self {
        self.token = Some(token);
        self
    }

    pub(super) const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    pub(super) const fn multiple(mut self) -> Self {
        self.multiple = true;
        self
    }
}

/// Every command, sorted by name.
#[derive(Debug)]
pub(super) struct Table(Vec<&'static Spec>);

impl Table {
    pub(super) fn new(families: &[&'static [Spec]]) -> Self {
        let mut specs: Vec<&'static Spec> =
            families.iter().flat_map(|family| family.iter()).collect();
        specs.sort_by_key(|spec| spec.name);
        Self(specs)
    }

    /// The command of that name, in whatever case.
    pub(super) fn find(&self, name: &[u8]) -> Option<&'static Spec> {
        self.0.get(self.place(name)?).copied()
    }

    /// The same, looking first where the last was found: the next is often the same.
    pub(super) fn find_from(&self, last: &mut usize, name: &[u8]) -> Option<&'static Spec> {
        let is_named = |spec: &&&Spec| spec.name.as_bytes().eq_ignore_ascii_case(name);
        if let Some(spec) = self.0.get(*last).filter(is_named) {
            return Some(spec);
        }
        *last = self.place(name)?;
        self.0.get(*last).copied()
    }

    fn place(&self, name: &[u8]) -> Option<usize> {
        self.0
            .binary_search_by(|spec| compare(spec.name.as_bytes(), name))
            .ok()
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &'static Spec> {
        self.0.iter().copied()
    }
}

fn compare(lower: &[u8], any_case: &[u8]) -> Ordering {
    lower
        .iter()
        .copied()
        .cmp(any_case.iter().map(u8::to_ascii_lowercase))
}

/// What a command works on.
pub(super) struct Context<'a> {
    pub(super) store: &'a Arc<dyn Store>,
    /// For what [only submits](Spec::only_submits).
    pub(super) streak: &'a (dyn Streak + 'a),
    /// Whether the command that runs does.
    pub(super) only_submits: bool,
    pub(super) shared: &'a Shared,
    pub(super) session: &'a mut Session,
    pub(super) table: &'static Table,
}

impl Context<'_> {
    /// How this connection's requests are done.
    pub(super) fn consistency(&self) -> Consistency {
        let chosen = self.session.consistency;
        chosen.unwrap_or_else(|| self.store.consistency())
    }

    /// Runs a request at the connection's strength, and tells what comes of it to whoever
    /// listens to that.
    pub(super) fn submit(&self, request: Request) -> Submitted {
        let notice = self.shared.events.notice(self.store, &request);
        let past = &self.session.past;
        if self.only_submits && notice.is_none() {
            return self.streak.submit(past, self.consistency(), request);
        }
        self.streak.release();
        let submitted = (self.store).submit_noting(past, self.consistency(), request);
        self.session.teller.tell(submitted, notice)
    }

    /// Changes a key's value at the connection's strength.
    pub(super) fn update(&self, key: Bytes, change: Change) -> Submitted {
        self.submit(Request::Update { key, change })
    }

    /// When the milliseconds of the `n`-th argument are over; none if it is 0, which waits as
    /// long as the client is there. Nothing waits in a transaction.
    pub(super) fn deadline(&self, args: &Args, n: usize) -> Result<Option<Instant>, Failure> {
        let ms = args
            .integer(n)
            .map_err(|_| Failure::new("ERR timeout is not an integer or out of range"))?;
        let ms = u64::try_from(ms).map_err(|_| Failure::new("ERR timeout is negative"))?;
        if self.session.transaction.is_running() {
            return Ok(Some(Instant::now()));
        }
        // One beyond the end of time is none.
        let deadline = Instant::now().checked_add(Duration::from_millis(ms));
        Ok(deadline.filter(|_| ms > 0))
    }

    /// What work needs that takes several steps.
    pub(super) fn worker(&self) -> Worker {
        Worker {
            store: Arc::clone(self.store),
            consistency: self.consistency(),
            events: Arc::clone(&self.shared.events),
            teller: Arc::clone(&self.session.teller),
            past: Arc::clone(&self.session.past),
        }
    }

    /// Work of several steps. No later command of the connection begins before its end.
    pub(super) fn work(
        work: impl Future<Output = Result<Value, Failure>> + Send + 'static,
    ) -> Outcome {
        Outcome::Work(Box::pin(async {
            work.await
                .unwrap_or_else(|failure| Value::Error(failure.0.into_owned()))
        }))
    }

    /// The same, begun in this turn, in which most of it is done where this node has the data.
    pub(super) fn begin(
        work: impl Future<Output = Result<Value, Failure>> + Send + 'static,
    ) -> Outcome {
        match Self::work(work) {
            Outcome::Work(work) => Outcome::begun(work),
            other => other,
        }
    }
}

/// What does the steps of a command one after the other.
pub(super) struct Worker {
    pub(super) store: Arc<dyn Store>,
    pub(super) consistency: Consistency,
    events: Arc<Events>,
    teller: Arc<Teller>,
    past: Arc<Past>,
}

impl Worker {
    /// What one replica answers to a read.
    pub(super) async fn read(&self, request: Request) -> Result<Reply, Failure> {
        let one = Consistency {
            read: Strength::One,
            ..self.consistency
        };
        let submitted = self.store.submit_noting(&self.past, one, request);
        match submitted.wait().await {
            Reply::Failed(error) => Err(error.into()),
            reply => Ok(reply),
        }
    }

    /// Begins a request at the connection's strength, and tells what comes of it.
    pub(super) fn submit(&self, request: Request) -> Submitted {
        let notice = self.events.notice(&self.store, &request);
        self.teller.tell(self.begin_part(request), notice)
    }

    /// Begins a request that is a part of something else, so what comes of it is not told.
    pub(super) fn begin_part(&self, request: Request) -> Submitted {
        (self.store).submit_noting(&self.past, self.consistency, request)
    }

    /// What becomes of a request at the connection's strength. It is a part of something else,
    /// so what comes of it is not told.
    pub(super) async fn run_part(&self, request: Request) -> Result<Reply, Failure> {
        match self.begin_part(request).wait().await {
            Reply::Failed(error) => Err(error.into()),
            reply => Ok(reply),
        }
    }

    /// Tells that something has happened to a key, whatever it holds.
    pub(super) fn tell(&self, event: &'static str, key: &Bytes) {
        self.tell_of(Events::GENERIC, event, key);
    }

    /// Tells that something of that class has happened to a key.
    pub(super) fn tell_of(&self, class: u16, event: &'static str, key: &Bytes) {
        self.events.tell(self.store.as_ref(), class, event, key);
    }
}
