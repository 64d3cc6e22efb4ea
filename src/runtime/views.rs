//! What a node answers about itself, its members and its keys.

use std::net::SocketAddr;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::clock::NodeId;
use crate::node::request::{Reply, RequestError};

/// What became of a request: some are answered at once, others wait for replicas.
#[derive(Debug)]
pub enum Submitted {
    /// The answer.
    Ready(Reply),
    /// The answer will come. Later requests of the same caller see what was done.
    Waiting(oneshot::Receiver<Reply>),
    /// The answer will come, from the owner that decides. Until it is there, later requests of
    /// the same caller may not see what was done.
    Deferred(oneshot::Receiver<Reply>),
}

impl Submitted {
    /// What a node has answered, or who waits for it.
    pub(super) fn of(reply: Option<Reply>, receiver: Option<oneshot::Receiver<Reply>>) -> Self {
        match (reply, receiver) {
            (Some(reply), _) => Self::Ready(reply),
            (None, Some(receiver)) => Self::Waiting(receiver),
            // Either there is an answer or somebody waits for it.
            (None, None) => Self::Ready(Reply::Failed(RequestError::Interrupted)),
        }
    }

    /// The answer, once it is there.
    pub async fn wait(self) -> Reply {
        match self {
            Self::Ready(reply) => reply,
            Self::Waiting(receiver) | Self::Deferred(receiver) => receiver
                .await
                .unwrap_or(Reply::Failed(RequestError::Interrupted)),
        }
    }

    /// Whether the request was not done because it takes [several steps](RequestError::InSteps).
    pub(super) fn is_in_steps(&self) -> bool {
        matches!(self, Self::Ready(Reply::Failed(RequestError::InSteps(_))))
    }
}

/// A piece of a scan over all keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanPage {
    /// Where to go on; 0 when the scan is complete.
    pub cursor: u64,
    /// Keys of this piece, in the order of their hashes.
    pub keys: Vec<Bytes>,
}

/// One member as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Its name; its id in hexadecimal until its facts have arrived.
    pub name: String,
    /// Its id.
    pub id: NodeId,
    /// Where its peers reach it, UDP and TCP.
    pub cluster_addr: SocketAddr,
    /// Where clients reach it, once its facts have arrived.
    pub client_addr: Option<SocketAddr>,
    /// `alive`, `suspect`, `failed` or `left`.
    pub state: &'static str,
    /// SWIM incarnation: how often it refuted a suspicion since it started.
    pub incarnation: u64,
    /// Counts the node's starts; a later start has a larger one.
    pub generation: u64,
    /// Since when it is in this state, in milliseconds since the Unix epoch, by this node's clock.
    pub since_ms: u64,
    /// Whether it is the node that answers.
    pub me: bool,
}

/// How a node's disk is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskView {
    /// `healthy`, `full`, `failed`, or `none` if the data is in memory only.
    pub state: &'static str,
    /// Where it failed and what the system said, or how little room there is.
    pub cause: Option<String>,
    /// For how long it has taken no writes, in milliseconds.
    pub stopped_ms: Option<u64>,
    /// How many bytes are free, if that is known.
    pub free_bytes: Option<u64>,
}

impl Default for DiskView {
    /// That of a node whose data is in memory only.
    fn default() -> Self {
        Self {
            state: "none",
            cause: None,
            stopped_ms: None,
            free_bytes: None,
        }
    }
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The node's name.
    pub name: String,
    /// Its id.
    pub id: NodeId,
    /// The cluster's name.
    pub cluster: String,
    /// The version of the program.
    pub version: &'static str,
    /// Where peers reach it.
    pub cluster_addr: SocketAddr,
    /// Where clients reach it.
    pub client_addr: SocketAddr,
    /// How long it has been running, in milliseconds.
    pub uptime_ms: u64,
    /// Members that are alive, this one included.
    pub members_alive: usize,
    /// Members known, failed and left ones included.
    pub members_total: usize,
    /// Partitions of the keyspace.
    pub partitions: u16,
    /// Keys that have a value here.
    pub keys: u64,
    /// Values here that will end.
    pub ending: u64,
    /// Where the data is kept: a directory, or `memory`.
    pub data: String,
    /// How its disk is.
    pub disk: DiskView,
    /// Where data that was damaged was set aside last; empty if none ever was.
    pub quarantine: String,
    /// Counters and gauges, by name.
    pub counters: Vec<(&'static str, u64)>,
}

impl Status {
    /// How many bytes of memory the data may take.
    pub fn memory_budget(&self) -> u64 {
        let mut counters = self.counters.iter();
        let budget = counters.find(|(name, _)| *name == "memory_budget");
        budget.map_or(0, |(_, bytes)| *bytes)
    }
}
