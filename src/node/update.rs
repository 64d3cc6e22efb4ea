//! Read-modify-write of one key under its shard's lock.

use bytes::Bytes;

use super::change::{Change, Changed, Ends, EndsIf, OnlyIf, decide};
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
        let changed = decision.changed;
        let Some(write) = decision.write else {
            return Some(Reply::Changed(changed));
        };
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
            Change::Set { value, ends, .. } => {
                let expire_at_ms = match ends {
                    Ends::At(at_ms) => Some(at_ms),
                    Ends::Never | Ends::Kept => None,
                };
                let changed = Changed {
                    done: true,
                    length: value.len(),
                    ..Changed::default()
                };
                let has_come = expire_at_ms.is_some_and(|at_ms| at_ms <= task.now.wall_ms);
                let write = match has_come {
                    true => Write::Delete,
                    false => Write::Put {
                        value,
                        expire_at_ms,
                    },
                };
                let done = |dot| {
                    let dot = Some(dot);
                    Reply::Changed(Changed { dot, ..changed })
                };
                let write = (write, done);
                self.write_value(task, key, write, None, client, effects)
            }
        }
    }
}
