//! What the tasks of one node share.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{OnceCell, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;

use super::counters::Counters;
use super::disk::Disk;
use super::facts_lane::FactsInbox;
use super::limiter::Limiter;
use super::links::Links;
use super::listeners::Listeners;
use super::long_frames::LongFrames;
use super::past::{Waiter, Waiters};
use super::state::{Command, FactsTable, Roster};
use super::storage::{Opening, Watched};
use super::sync_now::SyncNow;
use super::time::Clock;
use crate::clock::NodeId;
use crate::membership::Fingerprint;
use crate::node::Data;
use crate::node::request::Consistency;
use crate::wire::KeyRing;

/// What this node is, fixed at its start.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    pub(super) name: String,
    pub(super) id: NodeId,
    pub(super) cluster_addr: SocketAddr,
    pub(super) client_addr: Option<SocketAddr>,
    pub(super) fingerprint: Fingerprint,
    pub(super) keys: KeyRing,
    /// Where the data is kept, in words.
    pub(super) data: String,
    /// For requests that do not choose their own.
    pub(super) consistency: Consistency,
    /// How long a request waits for replicas.
    pub(super) timeout: Duration,
}

/// A node. Tasks and handles share it; the tasks end when `stopped` is cancelled.
pub(super) struct Core {
    pub(super) profile: Profile,
    pub(super) clock: Clock,
    pub(super) data: Data<Waiter>,
    pub(super) opening: Opening,
    /// The opening of the engine that is in use.
    pub(super) engine: Mutex<Arc<Watched>>,
    pub(super) disk: Arc<Disk>,
    pub(super) links: Links,
    pub(super) long_frames: LongFrames,
    /// Who is told what clients publish.
    pub(super) listeners: Listeners,
    pub(super) roster: watch::Sender<Arc<Roster>>,
    pub(super) facts: watch::Sender<Arc<FactsTable>>,
    pub(super) commands: mpsc::Sender<Command>,
    /// Where the membership task leaves what is for the node facts.
    pub(super) inbox: Arc<FactsInbox>,
    pub(super) counters: Arc<Counters>,
    pub(super) limiter: Limiter,
    /// Told when somebody waits for the disk.
    pub(super) sync_now: SyncNow,
    /// Who waits for replies.
    pub(super) waiters: Waiters,
    /// Cancelled when the node begins to stop: no new requests.
    pub(super) stopping: CancellationToken,
    /// Cancelled when the node's tasks must end.
    pub(super) stopped: CancellationToken,
    pub(super) tasks: TaskTracker,
    /// The embedder's runtime, on which the tasks run.
    pub(super) runtime: tokio::runtime::Handle,
    /// The clients' listener until somebody serves it.
    pub(super) clients: Mutex<Option<TcpListener>>,
    /// How long the seeds may stay silent before the node is ready alone.
    pub(super) ready_wait: Duration,
    /// Set once everything has ended.
    pub(super) ended: OnceCell<()>,
}

impl Core {
    /// The members as last published.
    pub(super) fn roster(&self) -> Arc<Roster> {
        self.roster.borrow().clone()
    }

    /// Who can be reached, by what membership and the links say now.
    ///
    /// A suspect whose link is up counts as reachable: the link's own heartbeat says more
    /// than a lost datagram.
    pub(super) fn reachable(&self) -> BTreeSet<NodeId> {
        let roster = self.roster();
        let up = self.links.up();
        let active = roster.active_others().map(|member| member.identity.id);
        active.filter(|id| up.contains(id)).collect()
    }

    /// Whether more than one request waits for its reply.
    pub(super) fn has_company(&self) -> bool {
        self.waiters.count() > 1
    }

    /// The opening of the engine that is in use.
    pub(super) fn engine(&self) -> Arc<Watched> {
        self.engine.lock().clone()
    }

    /// From now on this opening is in use.
    pub(super) fn replace_engine(&self, engine: Arc<Watched>) {
        *self.engine.lock() = engine;
    }

    /// Starts a task that [`Handle::shutdown`](super::Handle::shutdown) waits for.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(task, &self.runtime);
    }

    /// Starts a task without which the node is none. If it ends before the node stops,
    /// which takes a bug, the node stops rather than living on by half.
    pub(super) fn spawn_vital(
        self: &Arc<Self>,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let core = self.clone();
        let task = self.runtime.spawn(task);
        self.spawn(async move {
            let ended = task.await;
            if ended.is_ok() && core.stopping.is_cancelled() {
                return;
            }
            let reason = ended.err().map(|error| error.to_string());
            error!(
                task = name,
                reason, "a task ended that must not; stopping the node"
            );
            core.stopping.cancel();
            core.stopped.cancel();
        });
    }
}
