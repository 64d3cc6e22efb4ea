//! Why a node does not start.

use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;

use crate::node::JoinError;
use crate::wire::KeyError;

/// Why a node does not start. Each message is one line that says what was wrong and what
/// would be right.
#[derive(Debug, Error)]
pub enum StartError {
    /// Something else listens at an address that was asked for explicitly.
    #[error(
        "{knob} address {addr} is taken ({transport}): stop what uses it or give another {knob} port"
    )]
    AddressTaken {
        /// The address.
        addr: SocketAddr,
        /// The knob that asked for it.
        knob: &'static str,
        /// `UDP` or `TCP`.
        transport: &'static str,
    },
    /// Every port pair that an automatic choice may try is taken.
    #[error(
        "no free ports on 127.0.0.1: tried {tried} pairs from {cluster} and {client} on; give listen and client addresses"
    )]
    NoFreePorts {
        /// How many pairs were tried.
        tried: u16,
        /// The first cluster port tried.
        cluster: u16,
        /// The first client port tried.
        client: u16,
    },
    /// An address cannot be used here.
    #[error("{knob} address {value} cannot be used: {reason}")]
    BadAddress {
        /// The knob that named it.
        knob: &'static str,
        /// What it said.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Without a cluster key anybody who reaches the port can join, so it must not be
    /// reachable from outside.
    #[error(
        "listening on {addr} without a cluster key lets anybody join: give a cluster key, listen on 127.0.0.1, or allow it with insecure"
    )]
    InsecureListen {
        /// The address.
        addr: SocketAddr,
    },
    /// The node listens everywhere, and nothing tells which of its addresses others reach.
    #[error(
        "listening on {addr}, but no seed tells which address others reach: give an advertise address"
    )]
    AdvertiseUnknown {
        /// The address that it listens on.
        addr: SocketAddr,
    },
    /// The name cannot be used.
    #[error("name {name:?} cannot be used: {reason}")]
    BadName {
        /// The name.
        name: String,
        /// What a name must be like.
        reason: String,
    },
    /// Another live node of the cluster has this node's name.
    #[error("name {name} is taken by a live node at {addr}: give each node its own name")]
    NameTaken {
        /// The name.
        name: String,
        /// Where the other one is.
        addr: SocketAddr,
    },
    /// The node does not join its cluster.
    #[error("node does not join its cluster: {reason}")]
    NotJoined {
        /// Why not.
        reason: JoinError,
    },
    /// The cluster key cannot be used.
    #[error("cluster key cannot be used: {0}")]
    Key(#[from] KeyError),
    /// A setting is out of its range.
    #[error("{knob} is {value}, it must be {range}")]
    OutOfRange {
        /// The knob.
        knob: &'static str,
        /// What it said.
        value: String,
        /// What would be right.
        range: &'static str,
    },
    /// The data directory cannot be used.
    #[error("data directory {} cannot be used: {reason}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process has the data directory open.
    #[error("data directory {} is in use by process {pid}: give each node its own directory", path.display())]
    DirectoryInUse {
        /// The directory.
        path: PathBuf,
        /// The process that has it, as it wrote down.
        pid: String,
    },
    /// What the data directory holds cannot be read whole.
    #[error("stored data cannot be opened: {0}")]
    Storage(String),
    /// The system refused something that a node needs.
    #[error("{what} failed: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        error: std::io::Error,
    },
}

impl StartError {
    /// Whether the operator asked for something that cannot be, as opposed to something
    /// that broke.
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::Storage(_) | Self::System { .. })
    }
}
