//! What a connection remembers between commands.

use std::sync::Arc;

use super::events::Teller;
use super::shared::ClientRecord;
use super::subscribers::Kind;
use super::subscriptions::Subscriptions;
use super::transaction::Transaction;
use crate::node::request::Consistency;
use crate::resp::Protocol;
use crate::runtime::Past;

/// What a connection remembers between commands.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) record: Arc<ClientRecord>,
    pub(super) protocol: Protocol,
    pub(super) replies: ReplyMode,
    /// No further command is read; what has been answered is sent, then the connection
    /// is closed.
    pub(super) closing: bool,
    pub(super) last_command: &'static str,
    /// Where in the table the last command stands.
    pub(super) last_found: usize,
    /// What the connection chose instead of the node's default.
    pub(super) consistency: Option<Consistency>,
    /// Whether the connection has begun a backup or a restore, which end with it.
    pub(super) transfers: bool,
    pub(super) subscriptions: Subscriptions,
    pub(super) teller: Arc<Teller>,
    pub(super) transaction: Transaction,
    /// What the connection has written and read.
    pub(super) past: Arc<Past>,
}

impl Session {
    pub(super) fn new(record: Arc<ClientRecord>, subscriptions: Subscriptions) -> Self {
        Self {
            record,
            subscriptions,
            teller: Arc::default(),
            protocol: Protocol::Resp2,
            replies: ReplyMode::On,
            closing: false,
            last_command: "NULL",
            last_found: 0,
            consistency: None,
            transfers: false,
            transaction: Transaction::default(),
            past: Arc::default(),
        }
    }

    /// Forgets the transaction and what is watched.
    pub(super) fn end_transaction(&mut self) {
        self.transaction.forget();
        self.show_transaction();
    }

    /// Lets others see what it did last.
    pub(super) fn show_last_command(&self) {
        let mut profile = self.record.profile.lock();
        profile.last_command = self.last_command;
        profile.last_at = std::time::Instant::now();
    }

    /// Lets others see how far the transaction is.
    pub(super) fn show_transaction(&self) {
        let mut profile = self.record.profile.lock();
        profile.queued = self.transaction.queued();
        profile.watched = self.transaction.watched();
    }

    pub(super) fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        self.record.profile.lock().protocol = protocol;
    }

    /// Lets others see how much it has subscribed to.
    pub(super) fn show_subscriptions(&self) {
        let mut profile = self.record.profile.lock();
        profile.channels = self.subscriptions.count_of(Kind::Channel);
        profile.patterns = self.subscriptions.count_of(Kind::Pattern);
    }

    /// Whether its dialect cannot tell messages from replies and it has subscribed: then it may
    /// only change its subscriptions, and little else.
    pub(super) fn only_listens(&self) -> bool {
        self.protocol == Protocol::Resp2 && self.subscriptions.count() > 0
    }
}

/// Whether commands are answered; `CLIENT REPLY` changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplyMode {
    /// They are.
    On,
    /// They are not.
    Off,
    /// The next one is not.
    SkipNext,
}
