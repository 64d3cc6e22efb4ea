//! Redis clients: the socket that they connect to and the commands that they send.
//!
//! The server sees a [`Handle`] and request types, and nothing of the cluster behind
//! them. Each connection is one task (`connection`); it decodes whole commands, finds
//! their rows in one table (`commands`, `spec`), executes them at once (`execute`), and
//! writes the replies of a burst together and in order (`replies`), though some of them
//! wait for other nodes. A command that takes long (`FLUSHALL`) goes on in pieces between
//! other clients' turns, and its own connection's later commands wait for it (`outcome`).
//! What clients publish, on this node or another, goes into the mailboxes of the subscribers
//! (`subscribers`, `mailbox`), from which their connections send it between replies.
//! What a transaction has queued (`transaction`) is executed together (`batch`), in a turn in
//! which no other client has its own (`turns`); of two that watch one key of another node, one is
//! not (`claims`).
//!
//! Invariants: the effect of a command is visible to every later command of its
//! connection, because requests are submitted in order and a submitted request has taken
//! effect on this node; replies are in the order of commands; what a client sends can
//! end its own connection, never the server; every buffer is bounded (`connection` says
//! how) and all of them together (`ledger`); what is published arrives at most once, in the order of its publisher, and a
//! subscriber that cannot keep up is dropped. Deliberately absent: authentication and TLS,
//! messages that are kept for who is not there.

mod args;
mod batch;
mod claims;
mod commands;
mod connection;
mod events;
mod execute;
mod failure;
mod glob;
mod ledger;
mod limits;
mod mailbox;
mod outcome;
mod payload;
mod replies;
mod session;
mod shared;
mod spec;
mod store;
mod subscribers;
mod subscriptions;
mod transaction;
mod turns;
mod waiting;

#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::runtime::Handle;
pub use limits::ServerLimits;

use connection::Connection;
use shared::Shared;
use store::Store;
use waiting::End;

/// How long connections may take to end once the node stops: they answer what they have
/// begun, which takes no longer than the network needs.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// How long accepting rests after an error. The usual one is that the process has no file
/// descriptor left, and trying at once would only burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a connection is silent before the system asks whether the client still
/// exists. Redis's own default.
const KEEPALIVE: Duration = Duration::from_secs(300);

/// Serves Redis clients on `listener` until the node behind `handle` begins to stop.
/// Connections then end after the commands that they have begun.
pub async fn serve(listener: TcpListener, handle: Handle, limits: ServerLimits) {
    let stopping = handle.stopping();
    let shared = Arc::new(Shared::new(limits));
    let subscribers = Arc::clone(&shared.subscribers);
    handle.listen(Arc::new(move |channel, payload| {
        subscribers.deliver(channel, payload)
    }));
    let events = Arc::clone(&shared.events);
    handle.listen_expired(Arc::new(move |key| events.expired(key)));
    serve_store(listener, Arc::new(handle), stopping, shared).await;
}

async fn serve_store(
    listener: TcpListener,
    store: Arc<dyn Store>,
    stopping: CancellationToken,
    shared: Arc<Shared>,
) {
    let clients_max = shared.limits.clients_max;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            Some(ended) = connections.join_next() => note_end(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, addr)) if connections.len() >= clients_max => {
                    shared.stats.rejected.add(1);
                    debug!(%addr, clients_max, "client rejected");
                    reject(stream);
                }
                Ok((stream, addr)) => match admit(stream, addr, &store, &shared, &stopping) {
                    Ok(connection) => {
                        connections.spawn(async move { (addr, connection.serve().await) });
                    }
                    Err(error) => debug!(%addr, %error, "client lost while it connected"),
                },
                Err(error) => {
                    warn!(%error, "cannot accept clients");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    // Those that have not ended by then are aborted as the set goes out of scope.
    let _ = timeout(DRAIN_TIMEOUT, drained).await;
}

fn admit(
    stream: TcpStream,
    addr: SocketAddr,
    store: &Arc<dyn Store>,
    shared: &Arc<Shared>,
    stopping: &CancellationToken,
) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    let local_addr = stream.local_addr()?;
    shared.stats.connections.add(1);
    debug!(%addr, "client connected");
    let registration = shared.register(addr, local_addr, stopping.child_token());
    let (store, shared) = (Arc::clone(store), Arc::clone(shared));
    Ok(Connection::new(stream, store, shared, registration))
}

/// Says why and closes. The socket is new, so there is room for one line.
fn reject(stream: TcpStream) {
    if let Ok(mut stream) = stream.into_std() {
        let _ = stream.write_all(b"-ERR max number of clients reached\r\n");
    }
}

fn note_end(ended: Result<(SocketAddr, End), JoinError>) {
    match ended {
        Ok((addr, End::Failed(error))) => debug!(%addr, %error, "client lost"),
        Ok((addr, end)) => debug!(%addr, ?end, "client disconnected"),
        Err(error) if error.is_panic() => error!(%error, "a client's connection panicked"),
        Err(_) => {}
    }
}
