//! Read-modify-write of one key under its shard's lock.

use bytes::Bytes;

use super::change::{Change, Changed, Decision, EndsIf, OnlyIf, decide};
use super::effect::{Client, Effect};
use super::request::{Reply, RequestError};
use super::requests::Task;
use super::shard::Shard;
use crate::object::value_row;
use crate::store::Write;

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
        let row = value_row(key.clone());
        let current = match partition.read(&row, wall_ms) {
            Ok(current) => current,
            Err(error) => return Some(Reply::Failed((&error).into())),
        };
        if current.is_none() {
            match partition.shown_kind(&key, wall_ms) {
                Ok(None) => {}
                Ok(Some(_)) => return self.update_elements(task, key, change, client, effects),
                Err(error) => return Some(Reply::Failed((&error).into())),
            }
        }
        let decision = match decide(change, current.as_ref(), wall_ms) {
            Ok(decision) => decision,
            Err(refused) => return Some(Reply::Failed(refused)),
        };
        let Decision { write, changed } = decision;
        match write {
            Some(write) => self.write_changed(task, key, (write, changed), client, effects),
            None => Some(Reply::Changed(changed)),
        }
    }

    /// Writes what a change came to.
    fn write_changed(
        &mut self,
        task: Task<'_>,
        key: Bytes,
        (write, changed): (Write, Changed),
        client: impl FnOnce() -> Option<Client<W>>,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Reply> {
        let done = |dot| {
            let dot = Some(dot);
            Reply::Changed(Changed { dot, ..changed })
        };
        self.write_value(task, key, (write, done), None, client, effects)
    }

    /// The same for a key that shows elements.
    fn update_elements(
        &mut self,
        task: Task<'_>,
        key: Bytes,
        change: Change,
        client: impl FnOnce() -> Option<Client<W>>,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Reply> {
        match change {
            Change::End { at_ms, only_if } => {
                let end = (Some(at_ms), only_if);
                self.end_elements(task, key, end, client, effects)
            }
            Change::Persist => {
                let end = (None, EndsIf::Any);
                self.end_elements(task, key, end, client, effects)
            }
            Change::Set {
                only_if: OnlyIf::Absent,
                ..
            } => Some(Reply::Changed(Changed::default())),
            Change::Set { is_swap: true, .. }
            | Change::Append { .. }
            | Change::Overwrite { .. }
            | Change::Add { .. }
            | Change::Take => Some(Reply::Failed(RequestError::WrongType)),
            // As where there is nothing, but that what there is goes in any case.
            Change::Set {
                value,
                ends,
                is_swap,
                ..
            } => {
                let only_if = OnlyIf::Always;
                let set = Change::Set {
                    value,
                    ends,
                    only_if,
                    is_swap,
                };
                match decide(set, None, task.now.wall_ms) {
                    Ok(Decision { write, changed }) => {
                        let write = write.unwrap_or(Write::Delete);
                        self.write_changed(task, key, (write, changed), client, effects)
                    }
                    Err(refused) => Some(Reply::Failed(refused)),
                }
            }
        }
    }
}
