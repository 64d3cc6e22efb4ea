//! Requests that wait for replicas, and what they are answered in the end.

use super::effect::{Client, Effect};
use super::request::{Reply, RequestError};
use crate::machine::Now;
use crate::object::Object;
use crate::placement::PartitionId;
use crate::replication::Ended;

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
    pub(super) client: Client<W>,
    /// What is answered when enough of them have it.
    pub(super) done: Reply,
}

/// What a read wants to know of an object.
#[derive(Clone, Copy)]
pub(super) enum Question {
    Value,
    Version,
    Existence,
    Object,
}

/// The reply that the end of a write's wait means.
pub(super) fn write_reply<W>(ended: Ended<Writing<W>>) -> Effect<W> {
    let met = ended.is_met();
    let Writing { client, done, .. } = ended.payload;
    let reply = if met {
        done
    } else {
        Reply::Failed(RequestError::Unconfirmed {
            confirmed: ended.answered,
            needed: ended.needed,
            waited: ended.waited,
        })
    };
    client.reply(reply)
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
    };
    client.reply(reply)
}
