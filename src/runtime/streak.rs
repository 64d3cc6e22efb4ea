//! Requests of one caller that come one behind the other, and are done without waiting.
//!
//! What the node keeps for the next of them ([`node::Streak`](crate::node::Streak)) and what is
//! left to do for those before lie here until the streak is released. That takes microseconds,
//! and the answers that the caller has meanwhile it must not pass on before.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::core::Core;
use super::past::{Past, Waiter};
use super::views::Submitted;
use crate::machine::Now;
use crate::node::request::{Consistency, Reply, Request};
use crate::node::{self, Effect};
use crate::replication::Message;

/// Requests that come one behind the other. Dropping it releases it.
pub struct Streak<'a> {
    core: &'a Core,
    requests: node::Streak<'a, Waiter>,
    effects: Vec<Effect<Waiter>>,
    /// When what is kept was taken.
    now: Option<Now>,
    /// Whether the node took no requests any more when it began.
    pub(super) is_over: bool,
}

impl<'a> Streak<'a> {
    pub(super) fn new(core: &'a Core) -> Self {
        Self {
            core,
            requests: core.data.streak(),
            effects: Vec::new(),
            now: None,
            is_over: core.stopping.is_cancelled(),
        }
    }

    /// Runs a request as far as this node can and says what became of it.
    pub(super) fn submit(
        &mut self,
        past: Option<&Arc<Past>>,
        consistency: Consistency,
        request: Request,
    ) -> Submitted {
        let core = self.core;
        let mut receiver = None;
        let keyspace = core.data.keyspace();
        let past = past.and_then(|past| Some((past, past.touch(&request, &keyspace)?)));
        let waiter = || {
            let (sender, waiting) = oneshot::channel();
            receiver = Some(waiting);
            let past = past.map(|(past, partition)| (Arc::clone(past), partition));
            core.waiters.waiter(sender, past)
        };
        let is_decided = request.is_decided();
        let before = self.effects.len();
        let now = *self.now.get_or_insert_with(|| core.clock.now());
        let reply = self
            .requests
            .submit(now, request, consistency, waiter, &mut self.effects);
        let mut new = self.effects.iter().skip(before);
        let is_deferred = is_decided && new.any(is_forward);
        if !self.requests.is_held() {
            self.release();
        }
        if let Some((past, partition)) = past
            && let Some(dot) = reply.as_ref().and_then(Reply::dot)
        {
            past.note(partition, dot);
        }
        match Submitted::of(reply, receiver) {
            Submitted::Waiting(receiver) if is_deferred => Submitted::Deferred(receiver),
            submitted => submitted,
        }
    }

    /// What was submitted last, if it [takes several steps](crate::node::request::RequestError::InSteps).
    pub(super) fn again(&mut self, submitted: &Submitted) -> Option<Request> {
        let again = self.requests.again();
        let in_steps = submitted.is_in_steps();
        again.filter(|_| in_steps)
    }

    /// Gives back what is kept, and does what is left to do.
    pub fn release(&mut self) {
        self.requests.release();
        self.now = None;
        if !self.effects.is_empty() {
            self.core.execute(self.effects.drain(..));
        }
    }
}

impl Drop for Streak<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

fn is_forward<W>(effect: &Effect<W>) -> bool {
    matches!(
        effect,
        Effect::Send {
            message: Message::Forward { .. },
            ..
        }
    )
}
