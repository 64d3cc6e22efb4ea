//! Replies in the order of their commands, though some wait for replicas.
//!
//! A reply that is known is written to the output at once. One that waits is held, with
//! the bytes of the replies behind it, until it comes. So the order on the wire is the
//! order of the commands, everything held is bytes that can be counted, and a burst whose
//! replies are all known costs no queue at all. The answers of a transaction are those of its
//! commands behind the header of an array.

use std::collections::VecDeque;

use bytes::BytesMut;
use tokio::sync::oneshot;

use super::failure::Failure;
use super::outcome::{Join, Outcome, Shape, Work, joined, shaped};
use super::turns::Turns;
use crate::node::request::{Reply, RequestError};
use crate::resp::{
    BULK_BYTES_MAX_DEFAULT, Protocol, Value, encode, encode_array_header, encode_bulk,
    encode_error, encode_integer, encode_null, encode_null_array, encode_simple,
};
use crate::runtime::Submitted;

/// Most bytes of answers of one transaction: they are all in memory until they are sent.
const ARRAY_BYTES_MAX: usize = BULK_BYTES_MAX_DEFAULT;

/// Stands where an answer would go beyond [`ARRAY_BYTES_MAX`].
const LEFT_OUT: &str = "ERR the answers of the transaction are too long together: this one is \
                        left out, its command was executed";

/// The replies of one connection that have not been sent.
#[derive(Default)]
pub(super) struct Replies {
    out: BytesMut,
    held: VecDeque<Held>,
    held_bytes: usize,
    /// Whether work is held that later commands must not overtake.
    is_blocked: bool,
    /// Whether replies are parts of an array.
    in_array: bool,
    /// Bytes that are left for answers in the array.
    room: usize,
}

struct Held {
    waiting: Waiting,
    protocol: Protocol,
    in_array: bool,
    /// Replies that were known already, behind the one that waits.
    then: BytesMut,
}

enum Waiting {
    One(oneshot::Receiver<Reply>),
    Shaped(oneshot::Receiver<Reply>, Shape),
    Joined(Vec<Submitted>, Join),
    Work(Work),
    /// Work whose answer the client does not want.
    Unanswered(Work),
    Count(Count),
}

/// The answer to a command over many keys, as its parts come in.
#[derive(Debug, Default)]
struct Count {
    yes: i64,
    failure: Option<RequestError>,
    waiting: Vec<oneshot::Receiver<Reply>>,
}

impl Replies {
    /// Adds the next command's answer.
    pub(super) fn push(&mut self, outcome: Outcome, protocol: Protocol) {
        match outcome {
            Outcome::Silent => {}
            Outcome::Ok => self.ready(|out| encode_simple("OK", out)),
            Outcome::Queued => self.ready(|out| encode_simple("QUEUED", out)),
            Outcome::Pushed(frames) | Outcome::Subscribed(frames) => {
                for frame in frames {
                    self.push_frame(&frame, protocol);
                }
            }
            Outcome::Value(value) => self.ready(|out| encode(&value, protocol, out)),
            Outcome::Node(Submitted::Ready(reply)) => {
                self.ready(|out| encode_reply(&reply, protocol, out));
            }
            Outcome::Node(Submitted::Waiting(reply)) => self.hold(Waiting::One(reply), protocol),
            Outcome::Node(Submitted::Deferred(reply)) => {
                self.push_work(Waiting::One(reply), protocol);
            }
            Outcome::Shaped(reply, shape) => self.hold(Waiting::Shaped(reply, shape), protocol),
            Outcome::Joined(parts, join) => self.push_joined(parts, join, protocol),
            Outcome::Work(work) => self.push_work(Waiting::Work(work), protocol),
            Outcome::Count(parts) => {
                let count = Count::new(parts);
                if count.waiting.is_empty() {
                    self.ready(|out| count.encode(out));
                } else {
                    self.hold(Waiting::Count(count), protocol);
                }
            }
        }
    }

    /// Adds a frame of whatever kind behind everything that was added before.
    pub(super) fn push_frame(&mut self, frame: &Value, protocol: Protocol) {
        self.ready(|out| encode(frame, protocol, out));
    }

    /// Adds an error.
    pub(super) fn push_failure(&mut self, failure: &Failure) {
        self.ready(|out| encode_error(&failure.0, out));
    }

    /// Adds work that must end before the next command begins, and is not answered.
    pub(super) fn push_unanswered(&mut self, work: Work) {
        self.push_work(Waiting::Unanswered(work), Protocol::Resp2);
    }

    /// Begins an array; the next `count` replies are its parts.
    pub(super) fn begin_array(&mut self, count: usize) {
        self.ready(|out| encode_array_header(count, out));
        self.in_array = true;
        self.room = ARRAY_BYTES_MAX;
    }

    /// What is pushed from now on is no part of an array.
    pub(super) fn end_array(&mut self) {
        self.in_array = false;
    }

    /// Adds the null that stands for an array.
    pub(super) fn push_null_array(&mut self, protocol: Protocol) {
        self.ready(|out| encode_null_array(protocol, out));
    }

    fn push_work(&mut self, work: Waiting, protocol: Protocol) {
        self.is_blocked = true;
        self.hold(work, protocol);
    }

    fn push_joined(&mut self, parts: Vec<Submitted>, join: Join, protocol: Protocol) {
        let is_waiting = |part: &Submitted| !matches!(part, Submitted::Ready(_));
        if parts.iter().any(is_waiting) {
            self.hold(Waiting::Joined(parts, join), protocol);
            return;
        }
        let ready = parts.into_iter().filter_map(|part| match part {
            Submitted::Ready(reply) => Some(reply),
            Submitted::Waiting(_) | Submitted::Deferred(_) => None,
        });
        let value = joined(ready.collect(), join);
        self.ready(|out| encode(&value, protocol, out));
    }

    /// Whether the next command must wait until everything is [settled](Self::settle).
    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// Bytes that are known but not sent.
    pub(super) fn pending_bytes(&self) -> usize {
        self.out.len().saturating_add(self.held_bytes)
    }

    /// Waits until no reply waits any more. Work takes its steps in `turns`.
    pub(super) async fn settle(&mut self, turns: &Turns) {
        while let Some(held) = self.held.pop_front() {
            let before = self.out.len();
            match held.waiting {
                Waiting::One(receiver) => {
                    let reply = received(receiver).await;
                    encode_reply(&reply, held.protocol, &mut self.out);
                }
                Waiting::Count(mut count) => {
                    for receiver in std::mem::take(&mut count.waiting) {
                        count.add(received(receiver).await);
                    }
                    count.encode(&mut self.out);
                }
                Waiting::Shaped(receiver, shape) => {
                    let value = shaped(received(receiver).await, shape);
                    encode(&value, held.protocol, &mut self.out);
                }
                Waiting::Joined(parts, join) => {
                    let mut replies = Vec::with_capacity(parts.len());
                    for part in parts {
                        replies.push(part.wait().await);
                    }
                    encode(&joined(replies, join), held.protocol, &mut self.out);
                }
                Waiting::Work(work) => {
                    let value = turns.steps(work).await;
                    encode(&value, held.protocol, &mut self.out);
                }
                Waiting::Unanswered(work) => {
                    turns.steps(work).await;
                }
            }
            if held.in_array {
                fit(&mut self.out, before, &mut self.room);
            }
            self.out.extend_from_slice(&held.then);
        }
        self.held_bytes = 0;
        self.is_blocked = false;
    }

    /// What can be sent.
    pub(super) fn output(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    fn ready(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let held = self.held.back_mut();
        let is_held = held.is_some();
        let buffer = held.map_or(&mut self.out, |held| &mut held.then);
        let before = buffer.len();
        write(buffer);
        if self.in_array {
            fit(buffer, before, &mut self.room);
        }
        if is_held {
            let written = buffer.len().saturating_sub(before);
            self.held_bytes = self.held_bytes.saturating_add(written);
        }
    }

    fn hold(&mut self, waiting: Waiting, protocol: Protocol) {
        self.held.push_back(Held {
            waiting,
            protocol,
            in_array: self.in_array,
            then: BytesMut::new(),
        });
    }
}

/// Takes what was written behind `before` out of the room, or writes an error in its place.
fn fit(buffer: &mut BytesMut, before: usize, room: &mut usize) {
    let written = buffer.len().saturating_sub(before);
    match room.checked_sub(written) {
        Some(left) => *room = left,
        None => {
            buffer.truncate(before);
            encode_error(LEFT_OUT, buffer);
        }
    }
}

impl Count {
    fn new(parts: Vec<Submitted>) -> Self {
        let mut count = Self::default();
        for part in parts {
            match part {
                Submitted::Ready(reply) => count.add(reply),
                Submitted::Waiting(receiver) | Submitted::Deferred(receiver) => {
                    count.waiting.push(receiver);
                }
            }
        }
        count
    }

    fn add(&mut self, reply: Reply) {
        match reply {
            Reply::Deleted(Some(_)) | Reply::Exists(true) => self.yes = self.yes.saturating_add(1),
            Reply::Failed(error) => {
                self.failure.get_or_insert(error);
            }
            _ => {}
        }
    }

    fn encode(&self, out: &mut BytesMut) {
        match &self.failure {
            Some(error) => encode_error(&Failure::from(error).0, out),
            None => encode_integer(self.yes, out),
        }
    }
}

/// A reply whose sender is gone is one of a node that has stopped.
async fn received(receiver: oneshot::Receiver<Reply>) -> Reply {
    Submitted::Waiting(receiver).wait().await
}

fn encode_reply(reply: &Reply, protocol: Protocol, out: &mut BytesMut) {
    match reply {
        Reply::Value(Some(value)) => encode_bulk(value, out),
        Reply::Version(Some(version)) => encode_bulk(&version.value, out),
        Reply::Value(None) | Reply::Version(None) => encode_null(protocol, out),
        Reply::Changed(changed) => encode_integer(i64::from(changed.done), out),
        Reply::Exists(yes) => encode_integer(i64::from(*yes), out),
        Reply::Deleted(dot) => encode_integer(i64::from(dot.is_some()), out),
        Reply::Object(object) => {
            let values = object.versions.iter();
            let values = values.map(|(_, version)| Value::Bulk(version.value.clone()));
            encode(&Value::Array(values.collect()), protocol, out);
        }
        Reply::Keys { keys, .. } => {
            let keys = keys.iter().cloned().map(Value::Bulk).collect();
            encode(&Value::Array(keys), protocol, out);
        }
        Reply::Count(count) | Reply::Number(count) => {
            encode_integer(i64::try_from(*count).unwrap_or(i64::MAX), out);
        }
        Reply::Altered(altered) => {
            encode_integer(i64::try_from(altered.count).unwrap_or(i64::MAX), out);
        }
        Reply::Held(held) => encode_integer(held.is_some().into(), out),
        Reply::Cleared(has_more) => encode_integer((*has_more).into(), out),
        Reply::Values(values) => {
            let bulk = |value: &Option<_>| value.clone().map_or(Value::Null, Value::Bulk);
            encode(
                &Value::Array(values.iter().map(bulk).collect()),
                protocol,
                out,
            );
        }
        Reply::Elements { elements, .. } => {
            let names = elements
                .iter()
                .map(|(element, _)| Value::Bulk(element.clone()));
            encode(&Value::Array(names.collect()), protocol, out);
        }
        // Nobody is answered with it as it is.
        Reply::Progress(_) => encode_null(protocol, out),
        Reply::Stored(_) => encode_simple("OK", out),
        Reply::Failed(error) => encode_error(&Failure::from(error).0, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Dot;

    #[tokio::test]
    async fn replies_keep_the_order_of_their_commands() {
        let mut replies = Replies::default();
        let (first, first_reply) = oneshot::channel();
        let (second, second_reply) = oneshot::channel();
        replies.push(Outcome::Ok, Protocol::Resp2);
        replies.push(
            Outcome::Node(Submitted::Waiting(first_reply)),
            Protocol::Resp2,
        );
        replies.push(Value::Integer(7).into(), Protocol::Resp2);
        replies.push(
            Outcome::Count(vec![
                Submitted::Ready(Reply::Deleted(Some(Dot::default()))),
                Submitted::Waiting(second_reply),
                Submitted::Ready(Reply::Deleted(None)),
            ]),
            Protocol::Resp2,
        );
        replies.push(Value::Null.into(), Protocol::Resp3);
        assert_eq!(replies.pending_bytes(), 5 + 4 + 3);
        second.send(Reply::Deleted(Some(Dot::default()))).unwrap();
        first.send(Reply::Value(None)).unwrap();
        replies.settle(&Turns::default()).await;
        assert_eq!(&replies.output()[..], b"+OK\r\n$-1\r\n:7\r\n:2\r\n_\r\n");
        assert_eq!(replies.pending_bytes(), replies.output().len());
    }

    #[tokio::test]
    async fn one_failure_makes_a_count_an_error() {
        let mut replies = Replies::default();
        replies.push(
            Outcome::Count(vec![
                Submitted::Ready(Reply::Deleted(Some(Dot::default()))),
                Submitted::Ready(Reply::Failed(RequestError::ShuttingDown)),
            ]),
            Protocol::Resp2,
        );
        let (gone, reply) = oneshot::channel::<Reply>();
        replies.push(Outcome::Node(Submitted::Waiting(reply)), Protocol::Resp2);
        drop(gone);
        replies.settle(&Turns::default()).await;
        let text = String::from_utf8(replies.output().to_vec()).unwrap();
        assert_eq!(text.matches("-SHUTDOWN ").count(), 1, "{text}");
        assert_eq!(text.matches("-TIMEOUT ").count(), 1, "{text}");
    }
}
