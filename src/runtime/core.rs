//! What the tasks of one node share.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::counters::Counters;
use super::facts::NodeFacts;
use super::limiter::Limiter;
use super::links::Links;
use super::storage::Watched;
use super::time::Clock;
use super::udp::Command;
use crate::clock::NodeId;
use crate::membership::{Fingerprint, Identity, Member};
use crate::node::request::Reply;
use crate::node::{Data, View};
use crate::wire::KeyRing;

/// Who waits for a reply.
pub(super) type Waiter = oneshot::Sender<Reply>;

/// The members as the membership task last published them. A snapshot: readers never hold
/// that task up.
#[derive(Clone, Debug)]
pub(super) struct Roster {
    /// Every member that is remembered, this node included.
    pub(super) members: BTreeMap<NodeId, Member>,
    /// This node's identity now.
    pub(super) me: Identity,
    /// Membership's counters and those of sealed datagrams.
    pub(super) counters: Vec<(&'static str, u64)>,
    /// Whether any node of the cluster has been heard since the start.
    pub(super) heard: bool,
    /// Another live process that has this node's name, while there is one.
    pub(super) namesake: Option<Identity>,
}

impl Roster {
    /// The roster of a node that knows nobody.
    pub(super) fn alone(me: Identity) -> Self {
        Self {
            members: BTreeMap::new(),
            me,
            counters: Vec::new(),
            heard: false,
            namesake: None,
        }
    }

    /// Members that take part, without this node.
    pub(super) fn active_others(&self) -> impl Iterator<Item = &Member> {
        self.members
            .values()
            .filter(|member| member.state.is_active() && member.identity.id != self.me.id)
    }
}

/// What nodes say of themselves, by id: the newest life of each.
pub(super) type FactsTable = BTreeMap<NodeId, NodeFacts>;

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
}

/// A node. Tasks and handles share it; the tasks end when `stopped` is cancelled.
pub(super) struct Core {
    pub(super) profile: Profile,
    pub(super) clock: Clock,
    pub(super) data: Data<Waiter>,
    pub(super) engine: Arc<Watched>,
    pub(super) links: Links,
    pub(super) roster: watch::Sender<Arc<Roster>>,
    pub(super) facts: watch::Sender<Arc<FactsTable>>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) counters: Arc<Counters>,
    pub(super) limiter: Limiter,
    /// Cancelled when the node begins to stop: no new requests.
    pub(super) stopping: CancellationToken,
    /// Cancelled when the node's tasks must end.
    pub(super) stopped: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl Core {
    /// The members as last published.
    pub(super) fn roster(&self) -> Arc<Roster> {
        self.roster.borrow().clone()
    }

    /// Who can be written to, by what membership and the links say now.
    ///
    /// A suspect whose link is up counts as reachable: the link's own heartbeat says more
    /// than a lost datagram.
    pub(super) fn view(&self) -> View {
        let roster = self.roster();
        let up = self.links.up();
        View {
            replicas: roster
                .members
                .values()
                .filter(|member| member.state != crate::membership::State::Left)
                .map(|member| member.identity.id)
                .filter(|id| *id != self.profile.id)
                .collect(),
            reachable: roster
                .active_others()
                .map(|member| member.identity.id)
                .filter(|id| up.contains(id))
                .collect(),
        }
    }

    /// Starts a task that [`Handle::shutdown`](super::Handle::shutdown) waits for.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }
}
