//! What a command answers: at once, when replicas have confirmed, or when its work is done.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, Waker};

use tokio::sync::oneshot;

use super::failure::Failure;
use crate::node::request::{Reply, RequestError};
use crate::resp::Value;
use crate::runtime::Submitted;

/// Makes a command's own answer of the node's, which is no failure.
pub(super) type Shape = Box<dyn FnOnce(Reply) -> Value + Send>;

/// Makes one answer of the node's to the parts of a command, none of which is a failure.
pub(super) type Join = Box<dyn FnOnce(Vec<Reply>) -> Value + Send>;

/// Work that goes on between the turns of other clients. It ends with the answer.
pub(super) type Work = Pin<Box<dyn Future<Output = Value> + Send>>;

/// What a command answers.
pub(super) enum Outcome {
    /// `OK`.
    Ok,
    /// `QUEUED`.
    Queued,
    /// This.
    Value(Value),
    /// Whatever the node answers; not if that is [deferred](Submitted::Deferred).
    Node(Submitted),
    /// What the shape makes of the node's answer, once it is there.
    Shaped(oneshot::Receiver<Reply>, Shape),
    /// What is made of the node's answers to all parts; the first failure if one is.
    Joined(Vec<Submitted>, Join),
    /// How many of the node's answers are "yes"; an error if one is.
    Count(Vec<Submitted>),
    /// Whatever the work answers. No later command of the connection begins before that.
    Work(Work),
    /// Nothing at all.
    Silent,
    /// These, each a frame of its own, also when the client wants no replies.
    Pushed(Vec<Value>),
    /// The same, about what the client gets from now on: messages that came meanwhile follow.
    Subscribed(Vec<Value>),
}

impl Outcome {
    /// What `shape` makes of the node's answer; a failure stays one.
    pub(super) fn shaped(
        submitted: Submitted,
        shape: impl FnOnce(Reply) -> Value + Send + 'static,
    ) -> Self {
        match submitted {
            Submitted::Ready(reply) => Self::Value(shaped(reply, shape)),
            Submitted::Waiting(receiver) => Self::Shaped(receiver, Box::new(shape)),
            // What comes later is to see it.
            deferred => Self::Work(Box::pin(async { shaped(deferred.wait().await, shape) })),
        }
    }

    /// What `join` makes of the node's answers; the first failure if one is.
    pub(super) fn joined(
        parts: Vec<Submitted>,
        join: impl FnOnce(Vec<Reply>) -> Value + Send + 'static,
    ) -> Self {
        Self::Joined(parts, Box::new(join))
    }

    /// Takes the first steps of work in this turn. Most work needs no more where this node has
    /// the data.
    pub(super) fn begun(mut work: Work) -> Self {
        let mut task = TaskContext::from_waker(Waker::noop());
        match work.as_mut().poll(&mut task) {
            Poll::Ready(value) => Self::Value(value),
            Poll::Pending => Self::Work(work),
        }
    }
}

impl From<Value> for Outcome {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

/// What `shape` makes of a reply that is no failure.
pub(super) fn shaped(reply: Reply, shape: impl FnOnce(Reply) -> Value) -> Value {
    match reply {
        Reply::Failed(error) => failed(&error),
        reply => shape(reply),
    }
}

/// What `join` makes of replies of which none is a failure.
pub(super) fn joined(replies: Vec<Reply>, join: Join) -> Value {
    let failure = replies.iter().find_map(|reply| match reply {
        Reply::Failed(error) => Some(failed(error)),
        _ => None,
    });
    failure.unwrap_or_else(|| join(replies))
}

/// The error that a client is told.
pub(super) fn failed(error: &RequestError) -> Value {
    Value::Error(Failure::from(error).0.into_owned())
}
