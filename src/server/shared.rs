//! What all connections of one server share: the list of clients, and counters.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::claims::Claims;
use super::events::Events;
use super::ledger::Ledger;
use super::limits::ServerLimits;
use super::subscribers::Subscribers;
use super::subscriptions::Subscriptions;
use super::turns::Turns;
use crate::resp::Protocol;

/// State of the server as a whole.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) limits: ServerLimits,
    pub(super) stats: Stats,
    pub(super) subscribers: Arc<Subscribers>,
    pub(super) events: Arc<Events>,
    pub(super) turns: Turns,
    pub(super) claims: Arc<Claims>,
    pub(super) ledger: Arc<Ledger>,
    /// [`ServerLimits::idle`] as it was changed last.
    pub(super) idle: watch::Sender<Duration>,
    clients: Mutex<BTreeMap<u64, Arc<ClientRecord>>>,
    last_id: AtomicU64,
}

/// Counters since the server started.
#[derive(Debug, Default)]
pub(super) struct Stats {
    pub(super) connections: Counter,
    pub(super) rejected: Counter,
    pub(super) commands: Counter,
    pub(super) input_bytes: Counter,
    pub(super) output_bytes: Counter,
    pub(super) protocol_errors: Counter,
    pub(super) http_dropped: Counter,
    pub(super) stalled_dropped: Counter,
    pub(super) idle_dropped: Counter,
    /// Subscribers that did not keep up with what was published.
    pub(super) subscribers_dropped: Counter,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What others may know of a connected client.
#[derive(Debug)]
pub(super) struct ClientRecord {
    pub(super) id: u64,
    pub(super) addr: SocketAddr,
    pub(super) local_addr: SocketAddr,
    pub(super) since: Instant,
    /// Cancelled to end the connection.
    pub(super) stop: CancellationToken,
    /// Cancelled when the client says nothing more, or its connection is to end: who waits for
    /// as long as the client likes waits no longer.
    pub(super) gone: CancellationToken,
    pub(super) profile: Mutex<Profile>,
}

/// The part of a [`ClientRecord`] that changes.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    pub(super) name: Bytes,
    pub(super) library: Bytes,
    pub(super) library_version: Bytes,
    pub(super) protocol: Protocol,
    /// How many channels it has subscribed to, and how many patterns.
    pub(super) channels: usize,
    pub(super) patterns: usize,
    pub(super) last_command: &'static str,
    pub(super) last_at: Instant,
    /// Commands in its transaction, if it has one.
    pub(super) queued: Option<usize>,
    /// Keys that it watches.
    pub(super) watched: usize,
}

/// A client's place in the list; leaving scope takes it off, however its task ended.
#[derive(Debug)]
pub(super) struct Registration {
    shared: Arc<Shared>,
    pub(super) record: Arc<ClientRecord>,
}

impl Profile {
    /// Whether it has subscribed to anything.
    pub(super) fn is_subscriber(&self) -> bool {
        self.channels > 0 || self.patterns > 0
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.shared.clients.lock().remove(&self.record.id);
    }
}

impl Shared {
    pub(super) fn new(limits: ServerLimits) -> Self {
        Self {
            idle: watch::Sender::new(limits.idle),
            ledger: Arc::new(Ledger::new(limits.memory_bytes_max)),
            limits,
            stats: Stats::default(),
            subscribers: Arc::default(),
            events: Arc::default(),
            turns: Turns::default(),
            claims: Arc::default(),
            clients: Mutex::new(BTreeMap::new()),
            last_id: AtomicU64::new(0),
        }
    }

    /// Adds a client to the list under a new id.
    pub(super) fn register(
        self: &Arc<Self>,
        addr: SocketAddr,
        local_addr: SocketAddr,
        stop: CancellationToken,
    ) -> Registration {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let now = Instant::now();
        let record = Arc::new(ClientRecord {
            id,
            addr,
            local_addr,
            since: now,
            gone: stop.child_token(),
            stop,
            profile: Mutex::new(Profile {
                name: Bytes::new(),
                library: Bytes::new(),
                library_version: Bytes::new(),
                protocol: Protocol::Resp2,
                channels: 0,
                patterns: 0,
                last_command: "NULL",
                last_at: now,
                queued: None,
                watched: 0,
            }),
        });
        self.clients.lock().insert(id, Arc::clone(&record));
        Registration {
            shared: Arc::clone(self),
            record,
        }
    }

    /// What a client has subscribed to: nothing yet.
    pub(super) fn subscriptions(&self, client: u64) -> Subscriptions {
        Subscriptions::new(client, Arc::clone(&self.subscribers))
    }

    /// Every connected client, oldest first.
    pub(super) fn clients(&self) -> Vec<Arc<ClientRecord>> {
        self.clients.lock().values().cloned().collect()
    }

    pub(super) fn client_count(&self) -> usize {
        self.clients.lock().len()
    }
}
