//! Requests that wait for replicas, and what they are answered in the end.

use std::sync::Arc;

use parking_lot::Mutex;

use super::effect::{Client, Effect};
use super::request::{Reply, RequestError};
use crate::machine::Now;
use crate::object::{Object, Version};
use crate::placement::PartitionId;
use crate::replication::{Ended, Held};

/// A read that several replicas take part in (PROTOCOL 3.7). What they know is merged and
/// the answer given from the merge. The merged row is never pushed: it would carry effects
/// without their dots (N33, N34). Replicas that differ are reconciled by anti-entropy.
pub(super) struct Gathering<W> {
    pub(super) partition: PartitionId,
    pub(super) client: Client<W>,
    pub(super) question: Question,
    pub(super) local: Object,
    pub(super) merged: Object,
}

/// A write that waits for replicas.
pub(super) struct Writing<W> {
    pub(super) partition: PartitionId,
    pub(super) part_of: Awaited<W>,
}

/// What is answered when enough replicas have a write, or several.
pub(super) enum Awaited<W> {
    /// The client's one write.
    One(Client<W>, Reply),
    /// One of several. There is none left once the client has its answer.
    Several(Arc<Mutex<Option<Several<W>>>>),
}

/// Writes of one client that are answered together.
pub(super) struct Several<W> {
    /// How many wait.
    pub(super) left: usize,
    pub(super) client: Client<W>,
    /// What is answered when enough replicas have all of them.
    pub(super) done: Reply,
}

impl<W> Awaited<W> {
    /// The client and what it is answered, if it is now.
    fn answer(self, met: bool) -> Option<(Client<W>, Reply)> {
        let several = match self {
            Self::One(client, done) => return Some((client, done)),
            Self::Several(several) => several,
        };
        let mut several = several.lock();
        if let Some(waiting) = several.as_mut()
            && met
        {
            waiting.left = waiting.left.saturating_sub(1);
            if waiting.left > 0 {
                return None;
            }
        }
        several.take().map(|several| (several.client, several.done))
    }
}

/// What a read wants to know of an object.
#[derive(Clone, Copy)]
pub(super) enum Question {
    Value,
    Version,
    Existence,
    Object,
    Description,
}

/// What a value is without it.
pub(super) fn described(version: &Version) -> Held {
    Held {
        kind: None,
        size: version.value.len() as u64,
        ends_at_ms: version.expire_at_ms,
    }
}

/// The reply that the end of a write's wait means; none if the client waits for others, too, or
/// was answered that one failed.
pub(super) fn write_reply<W>(ended: Ended<Writing<W>>) -> Option<Effect<W>> {
    let met = ended.is_met();
    let (client, done) = ended.payload.part_of.answer(met)?;
    let reply = if met {
        done
    } else {
        Reply::Failed(RequestError::Unconfirmed {
            confirmed: ended.answered,
            needed: ended.needed,
            waited: ended.waited,
            dot: done.dot(),
        })
    };
    Some(client.reply(reply))
}

/// The reply that the end of a read's wait means.
pub(super) fn read_reply<W>(now: Now, ended: Ended<Gathering<W>>) -> Effect<W> {
    let met = ended.is_met();
    let Gathering {
        client,
        question,
        merged,
        ..
    } = ended.payload;
    let value = merged.versions.value_at(now.wall_ms);
    let reply = match question {
        _ if !met => Reply::Failed(RequestError::Unanswered {
            answered: ended.answered,
            needed: ended.needed,
            waited: ended.waited,
        }),
        Question::Value => Reply::Value(value.map(|version| version.value)),
        Question::Version => Reply::Version(value),
        Question::Existence => Reply::Exists(value.is_some()),
        Question::Object => Reply::Object(merged),
        Question::Description => Reply::Held(value.as_ref().map(described)),
    };
    client.reply(reply)
}
