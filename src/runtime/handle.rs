//! The one way to the data: what the server, the REPL and embedders hold of a node.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::core::Core;
use super::error::StartError;
use super::past::Past;
use super::streak::Streak;
use super::views::{MemberView, Status, Submitted};
use super::{lifecycle, status};
use crate::node::request::{Consistency, Reply, Request, RequestError};
use crate::placement::Keyspace;

/// A running node. Clones are handles to the same node.
///
/// Dropping handles, even the last one, does not stop the node: its tasks go on as long as
/// their runtime does. Call [`shutdown`](Self::shutdown). A data directory is released when
/// the node has shut down *and* the last handle is gone.
#[derive(Clone)]
pub struct Handle {
    core: Arc<Core>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("name", &self.core.profile.name)
            .field("id", &self.core.profile.id)
            .finish_non_exhaustive()
    }
}

impl Handle {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// The strength of requests that do not choose their own.
    pub fn consistency(&self) -> Consistency {
        self.core.profile.consistency
    }

    /// Runs `request`, at the node's default strength, as far as this node can and says what
    /// became of it. Never blocks on the network.
    pub fn submit(&self, request: Request) -> Submitted {
        self.submit_at(self.consistency(), request)
    }

    /// Runs `request` at a strength of its own: see [`submit`](Self::submit).
    pub fn submit_at(&self, consistency: Consistency, request: Request) -> Submitted {
        self.run(None, consistency, request)
    }

    /// The same for a caller whose past is noted.
    pub fn submit_noting(
        &self,
        past: &Arc<Past>,
        consistency: Consistency,
        request: Request,
    ) -> Submitted {
        self.run(Some(past), consistency, request)
    }

    /// Begins a streak of requests. Until it is released the thread must ask nothing else of the
    /// node.
    pub fn streak(&self) -> Streak<'_> {
        Streak::new(&self.core)
    }

    fn run(
        &self,
        past: Option<&Arc<Past>>,
        consistency: Consistency,
        request: Request,
    ) -> Submitted {
        self.run_in(&mut self.streak(), past, consistency, request)
    }

    /// Runs a request of a streak like [`submit_noting`](Self::submit_noting).
    pub fn submit_in(
        &self,
        streak: &mut Streak<'_>,
        past: &Arc<Past>,
        consistency: Consistency,
        request: Request,
    ) -> Submitted {
        self.run_in(streak, Some(past), consistency, request)
    }

    fn run_in(
        &self,
        streak: &mut Streak<'_>,
        past: Option<&Arc<Past>>,
        consistency: Consistency,
        request: Request,
    ) -> Submitted {
        if streak.is_over {
            return Submitted::Ready(Reply::Failed(RequestError::ShuttingDown));
        }
        if Self::is_read_abreast(&request, consistency) {
            return self.read_abreast(past.cloned(), consistency, request);
        }
        let submitted = streak.submit(past, consistency, request);
        match streak.again(&submitted) {
            Some(request) => {
                Submitted::Deferred(self.do_in_steps(past.cloned(), consistency, request))
            }
            None => submitted,
        }
    }

    /// Deletes the elements of a key, some at a time, and then does what was asked for.
    fn do_in_steps(
        &self,
        past: Option<Arc<Past>>,
        consistency: Consistency,
        request: Request,
    ) -> oneshot::Receiver<Reply> {
        let (answer, waiting) = oneshot::channel();
        let node = self.clone();
        tokio::spawn(async move {
            // The caller may be gone, which no step need wait for.
            let _ = answer.send(node.cleared(past.as_ref(), consistency, request).await);
        });
        waiting
    }

    async fn cleared(
        &self,
        past: Option<&Arc<Past>>,
        consistency: Consistency,
        request: Request,
    ) -> Reply {
        loop {
            let clear = self.run_once(past, consistency, request.clearing());
            match clear.wait().await {
                Reply::Cleared(true) => {}
                Reply::Cleared(false) => {
                    let submitted = self.run_once(past, consistency, request.clone());
                    match submitted.wait().await {
                        // Others have put as many there meanwhile.
                        Reply::Failed(RequestError::InSteps(_)) => {}
                        reply => return reply,
                    }
                }
                failed => return failed,
            }
        }
    }

    pub(super) fn run_once(
        &self,
        past: Option<&Arc<Past>>,
        consistency: Consistency,
        request: Request,
    ) -> Submitted {
        self.streak().submit(past, consistency, request)
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn get(&self, key: impl Into<Bytes>) -> Result<Option<Bytes>, RequestError> {
        let key = key.into();
        match self.submit(Request::Get { key }).wait().await {
            Reply::Value(value) => Ok(value),
            other => Err(failure(other)),
        }
    }

    /// Gives `key` a value.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn put(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> Result<(), RequestError> {
        let (key, value) = (key.into(), value.into());
        match self
            .submit(Request::Put {
                key,
                value,
                context: None,
            })
            .wait()
            .await
        {
            Reply::Stored(_) => Ok(()),
            other => Err(failure(other)),
        }
    }

    /// Deletes `key`; says whether there was anything to delete.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn delete(&self, key: impl Into<Bytes>) -> Result<bool, RequestError> {
        let key = key.into();
        match self
            .submit(Request::Delete { key, context: None })
            .wait()
            .await
        {
            Reply::Deleted(dot) => Ok(dot.is_some()),
            other => Err(failure(other)),
        }
    }

    /// How the cluster cuts its keyspace.
    pub fn keyspace(&self) -> Keyspace {
        self.core.data.keyspace()
    }

    /// The wall clock of the node, by which values end, in milliseconds since the Unix epoch.
    pub fn wall_ms(&self) -> u64 {
        self.core.clock.now().wall_ms
    }

    /// Every member, ordered by name.
    pub fn members(&self) -> Vec<MemberView> {
        status::members(&self.core)
    }

    /// What this node says of itself.
    pub fn status(&self) -> Status {
        status::status(&self.core)
    }

    /// Waits until the node is worth talking to: it has joined at least one other member
    /// and once had everything that some member had, or its seeds stay silent and it is
    /// alone. Bounded: a node that does not catch up within half a minute is ready anyway.
    ///
    /// # Errors
    /// [`StartError::NameTaken`] if another live node has this node's name. The node does
    /// not join then; shut it down.
    pub async fn ready(&self) -> Result<(), StartError> {
        lifecycle::ready(&self.core).await
    }

    /// The listener of the client port, once: for whoever serves clients. `None` if the
    /// port is off or somebody serves it already.
    pub fn client_listener(&self) -> Option<TcpListener> {
        self.core.clients.lock().take()
    }

    /// Leaves the cluster gracefully and stops the node; returns when that is done. Takes
    /// about a second at most, unless a disk is slow. Calling it again waits for the same
    /// end.
    pub async fn shutdown(&self) {
        lifecycle::shutdown(&self.core).await;
    }

    /// Cancelled when the node begins to stop.
    pub fn stopping(&self) -> CancellationToken {
        self.core.stopping.clone()
    }
}

/// What is wrong with a reply that is not the one to this request.
pub(super) fn failure(reply: Reply) -> RequestError {
    match reply {
        Reply::Failed(error) => error,
        other => RequestError::Storage(format!("unexpected reply {other:?}")),
    }
}
