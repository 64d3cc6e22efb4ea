//! What the server needs of a node; the seam where tests put a store of their own.

use std::cell::RefCell;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use crate::clock::{NodeId, VersionVector};
use crate::node::request::{Consistency, Request, RequestError};
use crate::node::transfer::{TransferError, TransferReply, TransferRequest};
use crate::node::{LeaveError, RemoveError};
use crate::runtime::{
    self, AfterError, Goal, Handle, MemberView, NoContext, OwnersView, Past, PlacementView,
    PlanView, PlannedJoin, ProgressError, Reached, RebalanceView, ScanPage, Status, Submitted,
    TokenError,
};

/// Requests of one caller that come one behind the other. What one has taken of the node stays
/// taken for the next, so before the thread asks the store for anything else, and before it
/// passes on an answer, it must release that.
pub(super) trait Streak {
    /// Runs a request like [`Store::submit_noting`].
    fn submit(&self, past: &Arc<Past>, consistency: Consistency, request: Request) -> Submitted;

    /// Gives back what is taken. Dropping it does that too.
    fn release(&self);
}

/// The data and the views that commands work on. The methods are those of [`Handle`].
#[async_trait]
pub(super) trait Store: Send + Sync + 'static {
    /// The strength of requests that do not choose their own.
    fn consistency(&self) -> Consistency;

    /// Runs a request as far as this node can, at once and without blocking: a later
    /// request of the same caller sees its effect even while its answer still waits, unless
    /// that is [deferred](Submitted::Deferred).
    fn submit(&self, consistency: Consistency, request: Request) -> Submitted;

    /// The same for a caller whose past is noted.
    fn submit_noting(
        &self,
        past: &Arc<Past>,
        consistency: Consistency,
        request: Request,
    ) -> Submitted;

    /// Begins a streak: see there.
    fn streak(&self) -> Box<dyn Streak + '_>;

    /// Waits until owners have what a caller wrote, as many as the goal says, or until the
    /// deadline; who has it then.
    async fn replicated(
        &self,
        past: &Past,
        goal: Goal,
        deadline: Option<Instant>,
    ) -> Result<Reached, ProgressError>;

    /// A token of what a caller has written and read.
    async fn token(&self, past: &Past) -> Result<String, TokenError>;

    /// Waits until the node has what a token speaks of, or until the deadline.
    async fn after(
        &self,
        past: &Past,
        text: &[u8],
        deadline: Option<Instant>,
    ) -> Result<(), AfterError>;

    /// About `count` keys from `cursor` on.
    async fn scan(&self, cursor: u64, count: usize) -> Result<ScanPage, RequestError>;

    /// The next `count` keys after `after` that begin with `prefix`, in ascending order; fewer
    /// when there are no more.
    async fn list(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        count: usize,
    ) -> Result<Vec<Bytes>, RequestError>;

    /// Tells every subscriber in the cluster; how many on this node were told. Never waits.
    fn publish(&self, channel: &Bytes, payload: &Bytes) -> usize;

    /// A causal context of a key as text.
    fn seal_context(&self, key: &[u8], context: &VersionVector) -> String;

    /// The causal context of a key that a text is.
    fn open_context(&self, key: &[u8], text: &[u8]) -> Result<VersionVector, NoContext>;

    /// The wall clock by which values end, in milliseconds since the Unix epoch.
    fn wall_ms(&self) -> u64;

    /// Number of keys that have a value.
    async fn key_count(&self) -> Result<u64, RequestError>;

    /// Every member.
    fn members(&self) -> Vec<MemberView>;

    /// What the node says of itself.
    fn status(&self) -> Status;

    /// Who holds what.
    fn placement(&self) -> PlacementView;

    /// Who holds a key.
    fn owners(&self, key: &[u8]) -> OwnersView;

    /// Puts a request that changes nothing to one owner and to no other.
    fn ask_owner(&self, owner: NodeId, request: Request) -> Submitted;

    /// How far the change is that is under way.
    fn rebalance(&self) -> RebalanceView;

    /// What would move if these nodes joined and these members left.
    fn plan(&self, joins: &[PlannedJoin], leaves: &[String]) -> Result<PlanView, String>;

    /// Begins to leave for good.
    fn leave(&self, force: bool) -> Result<(), LeaveError>;

    /// Removes a dead member for good.
    fn remove(&self, name: &str) -> Result<(), RemoveError>;

    /// Does one step of a client's backup or restore.
    fn transfer(
        &self,
        client: u64,
        request: TransferRequest,
    ) -> Result<TransferReply, TransferError>;

    /// Forgets what a client has begun and not ended.
    fn forget_transfers(&self, client: u64);
}

/// A streak of a node's requests.
struct Requests<'a> {
    node: &'a Handle,
    streak: RefCell<runtime::Streak<'a>>,
}

impl Streak for Requests<'_> {
    fn submit(&self, past: &Arc<Past>, consistency: Consistency, request: Request) -> Submitted {
        let mut streak = self.streak.borrow_mut();
        self.node.submit_in(&mut streak, past, consistency, request)
    }

    fn release(&self) {
        self.streak.borrow_mut().release();
    }
}

#[async_trait]
impl Store for Handle {
    fn consistency(&self) -> Consistency {
        Handle::consistency(self)
    }

    fn submit(&self, consistency: Consistency, request: Request) -> Submitted {
        Handle::submit_at(self, consistency, request)
    }

    fn submit_noting(
        &self,
        past: &Arc<Past>,
        consistency: Consistency,
        request: Request,
    ) -> Submitted {
        Handle::submit_noting(self, past, consistency, request)
    }

    fn streak(&self) -> Box<dyn Streak + '_> {
        Box::new(Requests {
            node: self,
            streak: RefCell::new(Handle::streak(self)),
        })
    }

    async fn replicated(
        &self,
        past: &Past,
        goal: Goal,
        deadline: Option<Instant>,
    ) -> Result<Reached, ProgressError> {
        Handle::replicated(self, past, goal, deadline).await
    }

    async fn token(&self, past: &Past) -> Result<String, TokenError> {
        Handle::token(self, past).await
    }

    async fn after(
        &self,
        past: &Past,
        text: &[u8],
        deadline: Option<Instant>,
    ) -> Result<(), AfterError> {
        Handle::after(self, past, text, deadline).await
    }

    async fn scan(&self, cursor: u64, count: usize) -> Result<ScanPage, RequestError> {
        Handle::scan(self, cursor, count).await
    }

    async fn list(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        count: usize,
    ) -> Result<Vec<Bytes>, RequestError> {
        Handle::list(self, prefix, after, count).await
    }

    fn publish(&self, channel: &Bytes, payload: &Bytes) -> usize {
        Handle::publish(self, channel, payload)
    }

    fn seal_context(&self, key: &[u8], context: &VersionVector) -> String {
        Handle::seal_context(self, key, context)
    }

    fn open_context(&self, key: &[u8], text: &[u8]) -> Result<VersionVector, NoContext> {
        Handle::open_context(self, key, text)
    }

    fn wall_ms(&self) -> u64 {
        Handle::wall_ms(self)
    }

    async fn key_count(&self) -> Result<u64, RequestError> {
        Handle::key_count(self).await
    }

    fn members(&self) -> Vec<MemberView> {
        Handle::members(self)
    }

    fn status(&self) -> Status {
        Handle::status(self)
    }

    fn placement(&self) -> PlacementView {
        Handle::placement(self)
    }

    fn owners(&self, key: &[u8]) -> OwnersView {
        Handle::owners(self, key)
    }

    fn ask_owner(&self, owner: NodeId, request: Request) -> Submitted {
        Handle::ask_owner(self, owner, request)
    }

    fn rebalance(&self) -> RebalanceView {
        Handle::rebalance(self)
    }

    fn plan(&self, joins: &[PlannedJoin], leaves: &[String]) -> Result<PlanView, String> {
        Handle::plan(self, joins, leaves)
    }

    fn leave(&self, force: bool) -> Result<(), LeaveError> {
        Handle::leave(self, force)
    }

    fn remove(&self, name: &str) -> Result<(), RemoveError> {
        Handle::remove(self, name)
    }

    fn transfer(
        &self,
        client: u64,
        request: TransferRequest,
    ) -> Result<TransferReply, TransferError> {
        Handle::transfer(self, client, request)
    }

    fn forget_transfers(&self, client: u64) {
        Handle::forget_transfers(self, client);
    }
}
