//! Read-modify-write of one key under its shard's lock.

use bytes::Bytes;

use super::change::{Change, TooLong, decide};
use super::effect::{Client, Effect};
use super::request::{Reply, RequestError};
use super::requests::Task;
use super::shard::Shard;
use crate::object::VALUE_BYTES_MAX;

impl<W> Shard<W> {
    /// Evaluates `change` on what this node has of `key` and writes what comes of it, if
    /// anything, like any other write. A change that writes nothing is answered at once.
    pub(super) fn update(
        &mut self,
        task: Task<'_>,
        key: Bytes,
        change: Change,
        client: impl FnOnce() -> Client<W>,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Reply> {
        let partition = self.partitions.get(&task.partition)?;
        let wall_ms = task.now.wall_ms;
        let current = match partition.read(&key, wall_ms) {
            Ok(current) => current,
            Err(error) => return Some(Reply::Failed((&error).into())),
        };
        let decision = match decide(change, current.as_ref(), wall_ms) {
            Ok(decision) => decision,
            Err(TooLong(length)) => {
                return Some(Reply::Failed(RequestError::ValueTooLong {
                    length,
                    limit: VALUE_BYTES_MAX,
                }));
            }
        };
        let changed = Reply::Changed(decision.changed);
        match decision.write {
            Some(write) => self.write(task, key, (write, changed), None, client, effects),
            None => Some(changed),
        }
    }
}
