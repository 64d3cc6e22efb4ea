//! One client's connection: its bytes in, its bytes out, and the bounds of both.
//!
//! The task turns in one loop: take what can be decoded and execute it (a *burst*), wait
//! for the replies that wait, write, read. Everything it keeps is bounded:
//!
//! - input: one unfinished command (the decoder's limits, and what all clients may take
//!   together: `ledger`) and one read; who leaves a long one unfinished is dropped;
//! - output: while more than [`OUTPUT_PAUSE_BYTES`] are unsent no further command is
//!   executed and nothing is read, so there is at most that and one more reply; a client
//!   that takes nothing for [`ServerLimits::stall`](super::limits::ServerLimits) is dropped;
//! - other tasks' time: after [`TURN_MAX`] commands or messages the task writes what it has and
//!   goes to the back of the queue, whether they came at once or one by one: a task that it has
//!   woken, as the one that writes to a peer, may wait behind it;
//! - what is published for it waits in its mailbox, which is bounded, while its output is
//!   longer than that; a client that leaves it until it is full is dropped;
//! - a transaction: what is queued and watched (`transaction`), and what its batch answers
//!   (`replies`);
//! - an idle connection holds no buffer at all, and ends after
//!   [`ServerLimits::idle`](super::limits::ServerLimits) unless it has subscribed to something.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::batch;
use super::commands::TABLE;
use super::execute::{execute, refuse};
use super::failure::Failure;
use super::ledger::Account;
use super::replies::Replies;
use super::shared::{Registration, Shared};
use super::spec::{Args, Context, Session};
use super::store::{Store, Streak};
use super::turns::ALONE_PAUSE;
use super::waiting::{End, closed, linger, messages, read_now, ready, write};
use crate::resp::{Decoded, RequestDecoder};

/// Unsent output beyond which a client is served nothing more until it has read. Large
/// enough for any sane pipeline, small enough for ten thousand clients that do it.
pub(super) const OUTPUT_PAUSE_BYTES: usize = 1024 * 1024;

/// Commands that one client may have executed, or messages that it gets, before others get a
/// turn: below a millisecond's work at a microsecond each, and enough to fill a write.
const TURN_MAX: usize = 512;

/// Room for one read when nothing is known about what comes.
const READ_BYTES: usize = 16 * 1024;

/// What a burst left in the input, or in the mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// No whole command, no message.
    NeedsInput,
    /// Perhaps more.
    MayHaveMore,
    /// A batch that has to stand back.
    NoTurn,
}

/// A client's connection and all it keeps.
pub(super) struct Connection {
    stream: TcpStream,
    store: Arc<dyn Store>,
    shared: Arc<Shared>,
    session: Session,
    decoder: RequestDecoder,
    input: BytesMut,
    replies: Replies,
    /// What it takes of what clients may take together.
    account: Account,
    /// Commands and messages since others last had a turn.
    turn: usize,
    /// Since when the client has taken none of the output that is there for it.
    stalled_since: Option<Instant>,
    /// When bytes last went either way.
    active_at: Instant,
    /// How long the client may be silent.
    idle: watch::Receiver<Duration>,
    /// Why no further command is read.
    end: Option<End>,
    /// Takes the client off the list at the end.
    _registration: Registration,
}

impl Connection {
    pub(super) fn new(
        stream: TcpStream,
        store: Arc<dyn Store>,
        shared: Arc<Shared>,
        registration: Registration,
    ) -> Self {
        let record = Arc::clone(&registration.record);
        let subscriptions = shared.subscriptions(record.id);
        Self {
            stream,
            store,
            session: Session::new(record, subscriptions),
            decoder: RequestDecoder::new(shared.limits.request),
            idle: shared.idle.subscribe(),
            account: shared.ledger.account(),
            shared,
            input: BytesMut::new(),
            replies: Replies::default(),
            turn: 0,
            stalled_since: None,
            active_at: Instant::now(),
            end: None,
            _registration: registration,
        }
    }

    /// Serves the client until either side ends it.
    pub(super) async fn serve(mut self) -> End {
        let (Ok(end) | Err(end)) = self.run().await;
        if self.session.transfers {
            let client = self.session.record.id;
            self.store.forget_transfers(client);
        }
        match &end {
            End::Protocol => linger(&mut self.stream).await,
            End::Stalled => self.shared.stats.stalled_dropped.add(1),
            End::Idle => self.shared.stats.idle_dropped.add(1),
            End::Overrun => self.shared.stats.subscribers_dropped.add(1),
            _ => {}
        }
        end
    }

    async fn run(&mut self) -> Result<End, End> {
        loop {
            let rest = self.burst();
            self.settle().await;
            let mail = self.take_messages()?;
            self.write()?;
            let unsent = self.replies.pending_bytes();
            self.account
                .answered(unsent, self.session.transaction.queued_bytes());
            if unsent == 0
                && let Some(end) = self.end.take()
            {
                return Ok(end);
            }
            let may_go_on = unsent < OUTPUT_PAUSE_BYTES && self.end.is_none();
            let goes_on = may_go_on && [rest, mail].contains(&Rest::MayHaveMore);
            if rest == Rest::NoTurn && may_go_on {
                tokio::time::sleep(ALONE_PAUSE).await;
                continue;
            }
            if goes_on || self.turn >= TURN_MAX {
                self.turn = 0;
                tokio::task::yield_now().await;
            }
            if !goes_on {
                self.wait(may_go_on).await?;
            }
        }
    }

    /// Waits for the replies that wait, and notes meanwhile whether the client has gone.
    async fn settle(&mut self) {
        let mut settled = pin!(self.replies.settle(&self.shared.turns));
        tokio::select! {
            biased;
            () = &mut settled => return,
            () = closed(&self.stream) => self.session.record.gone.cancel(),
        }
        settled.await;
    }

    /// Executes a batch that is under way, or what the input holds: whichever has its turn.
    fn burst(&mut self) -> Rest {
        if !self.session.transaction.is_running() {
            let shared = Arc::clone(&self.shared);
            let Some(_turn) = shared.turns.share() else {
                return Rest::MayHaveMore;
            };
            let rest = self.execute_input();
            if !self.session.transaction.is_running() {
                return rest;
            }
        }
        if self.replies.pending_bytes() >= OUTPUT_PAUSE_BYTES {
            return Rest::MayHaveMore;
        }
        self.execute_batch()
    }

    fn execute_batch(&mut self) -> Rest {
        let store = Arc::clone(&self.store);
        let streak = store.streak();
        let (mut context, replies) = self.parts(&*streak);
        if !batch::proceed(&mut context, replies) {
            return Rest::NoTurn;
        }
        if self.session.closing && !self.session.transaction.is_running() {
            self.end = Some(End::Closed);
        }
        Rest::MayHaveMore
    }

    /// What commands work on, and where their answers go.
    fn parts<'a>(&'a mut self, streak: &'a dyn Streak) -> (Context<'a>, &'a mut Replies) {
        let context = Context {
            store: &self.store,
            streak,
            only_submits: false,
            shared: &self.shared,
            session: &mut self.session,
            table: &TABLE,
        };
        (context, &mut self.replies)
    }

    /// Executes what the input holds, within the bounds of a turn.
    fn execute_input(&mut self) -> Rest {
        let mut executed = 0;
        let store = Arc::clone(&self.store);
        let streak = store.streak();
        let rest = loop {
            if self.end.is_some() {
                break Rest::NeedsInput;
            }
            if executed == TURN_MAX
                || self.session.transaction.is_running()
                || self.replies.is_blocked()
                || self.replies.pending_bytes() >= OUTPUT_PAUSE_BYTES
            {
                break Rest::MayHaveMore;
            }
            let account = &mut self.account;
            let admit = |bytes| account.admit(bytes);
            match self.decoder.decode_within(&mut self.input, admit) {
                Ok(None) => break Rest::NeedsInput,
                Ok(Some(decoded)) => {
                    self.execute(&*streak, decoded);
                    executed += 1;
                }
                Err(error) => {
                    self.shared.stats.protocol_errors.add(1);
                    let failure = Failure::new(format!("ERR {error}"));
                    self.replies.push_failure(&failure);
                    self.end = Some(End::Protocol);
                }
            }
        };
        drop(streak);
        self.turn = self.turn.saturating_add(executed);
        if executed > 0 {
            self.shared.stats.commands.add(executed as u64);
            self.session.show_last_command();
        }
        rest
    }

    fn execute(&mut self, streak: &dyn Streak, decoded: Decoded) {
        self.account.read();
        let (args, is_refused) = match decoded {
            Decoded::Command(args) => (Args::new(args), false),
            Decoded::Refused(args) => (Args::new(args), true),
        };
        // A browser can be made to send any bytes after these words, so a connection that
        // begins an HTTP request is not spoken to at all.
        if args.is(0, "post") || args.is(0, "host:") {
            self.shared.stats.http_dropped.add(1);
            self.end = Some(End::Http);
            return;
        }
        let (mut context, replies) = self.parts(streak);
        match is_refused {
            true => refuse(&mut context, &args, replies),
            false => execute(&mut context, args, replies),
        }
        if self.session.closing {
            self.end = Some(End::Closed);
        }
    }

    /// Adds to the output what was published for the client, within the bounds of a turn.
    fn take_messages(&mut self) -> Result<Rest, End> {
        let Some(mailbox) = self.session.subscriptions.mailbox() else {
            return Ok(Rest::NeedsInput);
        };
        if mailbox.is_overrun() {
            return Err(End::Overrun);
        }
        // What a batch answers is one reply.
        if self.session.transaction.is_running() {
            return Ok(Rest::NeedsInput);
        }
        let mut taken = 0;
        while taken < TURN_MAX && self.replies.pending_bytes() < OUTPUT_PAUSE_BYTES {
            let Some(message) = mailbox.take() else {
                break;
            };
            let frame = message.into_value();
            self.replies.push_frame(&frame, self.session.protocol);
            taken += 1;
        }
        self.turn = self.turn.saturating_add(taken);
        match taken {
            TURN_MAX => Ok(Rest::MayHaveMore),
            _ => Ok(Rest::NeedsInput),
        }
    }

    /// Writes as much as the socket takes now.
    fn write(&mut self) -> Result<(), End> {
        let written = write(&self.stream, self.replies.output())?;
        if written > 0 {
            self.stalled_since = None;
            self.active_at = Instant::now();
            self.shared.stats.output_bytes.add(written as u64);
        }
        Ok(())
    }

    /// Waits until the socket can do something for us, and reads if that is wanted.
    async fn wait(&mut self, want_input: bool) -> Result<(), End> {
        let want_output = !self.replies.output().is_empty();
        let deadline = match want_output {
            true => {
                let since = *self.stalled_since.get_or_insert_with(Instant::now);
                Some((since + self.shared.limits.stall, End::Stalled))
            }
            false => self.silent_until(),
        };
        self.release_buffers();
        let interest = match (want_input, want_output) {
            (true, false) => Interest::READABLE,
            (true, true) => Interest::READABLE | Interest::WRITABLE,
            // Without input wanted there is output: that is why input is not wanted.
            (false, _) => Interest::WRITABLE,
        };
        let record = Arc::clone(&self.session.record);
        // While no input is wanted nothing is, but to know when the client has to go.
        let mailbox = self.session.subscriptions.mailbox();
        let ready = tokio::select! {
            biased;
            () = record.stop.cancelled() => return Err(End::Stopped),
            ready = ready(&self.stream, interest, deadline) => ready?,
            () = messages(mailbox, want_input) => return Ok(()),
            // It may be silent for another time now.
            Ok(()) = self.idle.changed() => return Ok(()),
        };
        if want_input && (ready.is_readable() || ready.is_read_closed()) {
            self.read().await?;
        }
        Ok(())
    }

    /// Until when the client may be silent, if not for ever, and what it is then.
    fn silent_until(&mut self) -> Option<(Instant, End)> {
        let idle = *self.idle.borrow_and_update();
        let is_bounded = !idle.is_zero() && self.session.subscriptions.count() == 0;
        let (pause, end) = match self.account.is_reading() {
            // Memory is kept for the rest of what it has begun.
            true => (self.shared.limits.stall, End::Stalled),
            false => (Some(idle).filter(|_| is_bounded)?, End::Idle),
        };
        Some((self.active_at.checked_add(pause)?, end))
    }

    async fn read(&mut self) -> Result<(), End> {
        let missing = self.decoder.bytes_missing(&self.input);
        self.input.reserve(missing.max(READ_BYTES));
        match read_now(&mut self.stream, &mut self.input).await? {
            None => {}
            // It may have closed its half only: what it asked for is still sent.
            Some(0) => self.end = Some(End::Closed),
            Some(read) => {
                self.active_at = Instant::now();
                self.shared.stats.input_bytes.add(read as u64);
            }
        }
        Ok(())
    }

    /// Gives back buffers that hold nothing: most of ten thousand connections are idle.
    fn release_buffers(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        let out = self.replies.output();
        if out.is_empty() {
            *out = BytesMut::new();
        }
    }
}
