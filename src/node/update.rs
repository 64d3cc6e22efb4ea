//! Read-modify-write of one key under its shard's lock.

use bytes::Bytes;

use super::change::{Change, Changed, decide};
use super::effect::{Client, Effect};
use super::request::Reply;
use super::requests::Task;
use super::shard::Shard;

impl<W> Shard<W> {
    /// Evaluates `change` on what this node has of `key` and writes what comes of it, if
    /// anything, like any other write. A change that writes nothing is answered at once.
    pub(super) fn update(
        &mut self,
        task: Task<'_>,
        key: Bytes,
        change: Change,
        client: impl FnOnce() -> Option<Client<W>>,
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
            Err(refused) => return Some(Reply::Failed(refused)),
        };
        let changed = decision.changed;
        let Some(write) = decision.write else {
            return Some(Reply::Changed(changed));
        };
        let done = |dot| {
            let dot = Some(dot);
            Reply::Changed(Changed { dot, ..changed })
        };
        self.write(task, key, (write, done), None, client, effects)
    }
}
