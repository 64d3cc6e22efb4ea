//! Commands made of whatever bytes, executed without a socket in between: whatever comes of
//! them, nothing panics, every command has one answer, and what is kept is bounded. `resp::tests`
//! says how to try it a million times.

use std::future::Future;
use std::pin::pin;
use std::task::{Context as TaskContext, Poll, Waker};

use proptest::prelude::*;

use super::*;
use crate::resp::RequestDecoder;
use crate::resp::tests::{arb_mutated, arb_pipeline, fuzz_cases};
use crate::server::batch;
use crate::server::commands::TABLE;
use crate::server::execute::execute;
use crate::server::replies::Replies;
use crate::server::shared::{Registration, Shared};
use crate::server::spec::{Args, Context, ReplyMode, Session, Spec};
use crate::server::transaction::{QUEUED_COMMANDS_MAX, WATCHED_KEYS_MAX};

/// Words that mean something to some command.
const WORDS: &[&str] = &[
    "a",
    "b",
    "late",
    "decided",
    "far",
    "raced",
    "0",
    "1",
    "-1",
    "3",
    "9223372036854775807",
    "nx",
    "XX",
    "get",
    "EX",
    "px",
    "keepttl",
    "match",
    "COUNT",
    "*",
    "a*",
    "[a",
    "type",
    "string",
    "after",
    "AUTH",
    "default",
    "setname",
    "on",
    "off",
    "skip",
    "id",
    "addr",
    "yes",
    "filterby",
    "pattern",
    "aclcat",
    "module",
    "write=one",
    "read=all",
    "join",
    "leave",
    "begin",
    "next",
    "set",
    "get",
    "object",
    "client|id",
    "",
    "len",
    "IDX",
    "replace",
    "db",
    "persist",
    "sync",
    "absttl",
    "idletime",
    "freq",
];

/// A client of a server, without their sockets.
struct Client {
    fake: Arc<Fake>,
    store: Arc<dyn Store>,
    shared: Arc<Shared>,
    session: Session,
    decoder: RequestDecoder,
    input: BytesMut,
    replies: Replies,
    /// Commands that are answered, and whether all are.
    answered: usize,
    are_all_answered: bool,
    _registration: Registration,
}

impl Client {
    fn new() -> Self {
        let shared = Arc::new(Shared::new(ServerLimits::default()));
        let addr = "127.0.0.1:1".parse().unwrap();
        let registration = shared.register(addr, addr, CancellationToken::new());
        let subscriptions = shared.subscriptions(registration.record.id);
        let fake = Arc::new(Fake::new(Arc::clone(&shared)));
        Self {
            store: Arc::<Fake>::clone(&fake),
            fake,
            session: Session::new(Arc::clone(&registration.record), subscriptions),
            decoder: RequestDecoder::new(shared.limits.request),
            shared,
            input: BytesMut::new(),
            replies: Replies::default(),
            answered: 0,
            are_all_answered: true,
            _registration: registration,
        }
    }

    /// Executes what can be decoded; false when there is to be no more.
    fn receive(&mut self, bytes: &[u8]) -> bool {
        self.input.extend_from_slice(bytes);
        loop {
            let args = match self.decoder.decode(&mut self.input) {
                Ok(Some(args)) => Args::new(args),
                Ok(None) => {
                    self.settle();
                    return true;
                }
                Err(_) => {
                    self.settle();
                    return false;
                }
            };
            self.answered += 1;
            self.with_context(|context, replies| execute(context, args, replies));
            self.are_all_answered &= self.session.replies == ReplyMode::On;
            while self.session.transaction.is_running() {
                self.with_context(|context, replies| assert!(batch::proceed(context, replies)));
                self.settle();
            }
            if self.replies.is_blocked() || self.session.closing {
                self.settle();
            }
            if self.session.closing {
                return false;
            }
        }
    }

    fn with_context(&mut self, act: impl FnOnce(&mut Context<'_>, &mut Replies)) {
        let streak = self.store.streak();
        let mut context = Context {
            store: &self.store,
            streak: &*streak,
            only_submits: false,
            shared: &self.shared,
            session: &mut self.session,
            table: &TABLE,
        };
        act(&mut context, &mut self.replies);
    }

    /// Waits for what waits, and answers what is late.
    fn settle(&mut self) {
        let mut settled = pin!(self.replies.settle(&self.shared.turns));
        let mut task = TaskContext::from_waker(Waker::noop());
        let mut polls = 0;
        while settled.as_mut().poll(&mut task) == Poll::Pending {
            let late = std::mem::take(&mut *self.fake.late.lock());
            for (sender, late) in late {
                let _ = sender.send(self.fake.answer(late));
            }
            polls += 1;
            assert!(polls < 100_000, "it never ends");
        }
    }

    /// Every command has one answer, and nothing is kept beyond its bounds.
    fn check(&mut self) {
        let mut decoder = ReplyDecoder::new(ReplyLimits::default());
        let mut frames = 0;
        while let Some(frame) = decoder.decode(self.replies.output()).expect("a frame") {
            let is_whole = !matches!(frame, Value::Push(_));
            assert!(is_whole, "{frame:?}");
            frames += 1;
        }
        assert!(self.replies.output().is_empty());
        if self.are_all_answered {
            assert_eq!(frames, self.answered);
        }
        assert!(self.session.transaction.queued().unwrap_or(0) <= QUEUED_COMMANDS_MAX);
        assert!(self.session.transaction.watched() <= WATCHED_KEYS_MAX);
    }
}

/// A command with its name, and words that may be its arguments.
fn arb_words() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let mut names: Vec<Vec<&str>> = Vec::new();
    // A subscription is answered in several frames, or in none.
    let has_one_answer = |command: &&Spec| command.group != "pubsub" || command.name == "publish";
    for command in TABLE.iter().filter(has_one_answer) {
        names.push(vec![command.name]);
        let subcommands = command.subcommands.iter();
        names.extend(subcommands.map(|row| vec![command.name, row.name]));
    }
    let transactions = [
        "multi", "exec", "multi", "exec", "watch", "unwatch", "discard",
    ];
    let name = prop_oneof![
        3 => prop::sample::select(names),
        1 => prop::sample::select(transactions.map(|name| vec![name]).to_vec()),
    ];
    let word = prop_oneof![
        5 => prop::sample::select(WORDS).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ];
    (name, prop::collection::vec(word, 0..5)).prop_map(|(name, words)| {
        let name = name.into_iter().map(|word| word.as_bytes().to_vec());
        name.chain(words).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(fuzz_cases(10_000)))]

    #[test]
    fn hostile_commands_are_answered_one_by_one(
        bytes in prop_oneof![
            3 => arb_pipeline(arb_words(), 1..12),
            2 => arb_mutated(arb_pipeline(arb_words(), 1..12)),
        ],
        pieces in prop::collection::vec(0_usize..60, 0..10),
    ) {
        let mut client = Client::new();
        let mut rest = &bytes[..];
        for piece in pieces.into_iter().chain([usize::MAX]) {
            let (now, later) = rest.split_at(piece.min(rest.len()));
            rest = later;
            if !client.receive(now) {
                break;
            }
        }
        client.check();
    }
}
