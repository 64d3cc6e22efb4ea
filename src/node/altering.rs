//! What clients do to sets and hashes, under the lock of the key's shard.
//!
//! Each element is a row, so a change is a write per element: all are made in one step here,
//! and answered when enough replicas have all of them. On other replicas they arrive one by one.
//!
//! What a key holds beside what is changed goes when it is seen: elements of another kind, which
//! only writes that did not see each other can have left.

use bytes::Bytes;

use super::asking::{checked, sample};
use super::change::{Numbers, end_may_change, sum};
use super::clearing::{Writes, cleared, emptied, remove_some, removed};
use super::effect::{Client, Effect};
use super::request::{Reply, RequestError};
use super::requests::Task;
use super::shard::Shard;
use crate::object::{Amount, Kind, Lifetime, element_row, end_row, value_row};
use crate::replication::{
    Alter, Altered, Changed, EndsIf, Only, check_element_row, check_elements, check_value,
};
use crate::store::{Partition, Write};

/// One key whose elements are changed, as it is.
struct Subject<'a> {
    partition: &'a Partition,
    key: &'a Bytes,
    kind: Kind,
    collection: Bytes,
    lifetime: Lifetime,
    /// How many elements it shows.
    count: u64,
}

impl<W> Shard<W> {
    /// Changes elements of a key.
    pub(super) fn alter(
        &mut self,
        task: Task<'_>,
        key: Bytes,
        (kind, alter): (Kind, Alter),
        client: impl FnOnce() -> Option<Client<W>>,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Reply> {
        let partition = self.partitions.get(&task.partition)?;
        match altered(partition, &key, kind, alter, task.now.wall_ms) {
            Ok((writes, altered)) => {
                let done = |dot| Reply::Altered(Altered { dot, ..altered });
                self.write_all(task, (writes, done), client, effects)
            }
            Err(refused) => Some(Reply::Failed(refused)),
        }
    }

    /// Deletes some elements of a key.
    pub(super) fn clear(
        &mut self,
        task: Task<'_>,
        key: Bytes,
        client: impl FnOnce() -> Option<Client<W>>,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Reply> {
        let partition = self.partitions.get(&task.partition)?;
        match emptied(partition, &key) {
            Ok((writes, has_more)) => {
                let done = |_| Reply::Cleared(has_more);
                self.write_all(task, (writes, done), client, effects)
            }
            Err(refused) => Some(Reply::Failed(refused)),
        }
    }

    /// Chooses when the elements of a key end, or that they do not.
    pub(super) fn end_elements(
        &mut self,
        task: Task<'_>,
        key: Bytes,
        (at_ms, only_if): (Option<u64>, EndsIf),
        client: impl FnOnce() -> Option<Client<W>>,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Reply> {
        let partition = self.partitions.get(&task.partition)?;
        let planned = ended(partition, &key, at_ms, only_if, task.now.wall_ms);
        match planned {
            Ok((writes, done)) => {
                let done = |dot| {
                    Reply::Changed(Changed {
                        done,
                        dot,
                        ..Changed::default()
                    })
                };
                self.write_all(task, (writes, done), client, effects)
            }
            Err(refused) => Some(Reply::Failed(refused)),
        }
    }
}

fn ended(
    partition: &Partition,
    key: &Bytes,
    at_ms: Option<u64>,
    only_if: EndsIf,
    wall_ms: u64,
) -> Result<(Writes, bool), RequestError> {
    let judged_ms = partition.judged_at(wall_ms);
    let nothing = Ok((Writes::new(), false));
    if partition.shown_kind(key, judged_ms)?.is_none() {
        return nothing;
    }
    let lifetime = partition.lifetime(key, judged_ms)?;
    let may_change = match at_ms {
        Some(at_ms) => end_may_change(only_if, lifetime.ends_at_ms, at_ms),
        None => lifetime.ends_at_ms.is_some(),
    };
    if !may_change {
        return nothing;
    }
    if at_ms.is_some_and(|at_ms| at_ms <= judged_ms) {
        return Ok((cleared(partition, key)?, true));
    }
    let mut writes = match lifetime.gone_before_ms {
        0 => Writes::new(),
        // The row of an end that has come, by which they would be found, is another one now.
        _ => removed(partition, key, &lifetime)?,
    };
    writes.insert(end_row(key), Write::Lifetime(lifetime.ending(at_ms)));
    Ok((writes, true))
}

/// What a change means for a key.
fn altered(
    partition: &Partition,
    key: &Bytes,
    kind: Kind,
    alter: Alter,
    wall_ms: u64,
) -> Result<(Writes, Altered), RequestError> {
    let now_ms = partition.judged_at(wall_ms);
    let lifetime = match alter.replaces() {
        true => partition.lifetime(key, now_ms)?,
        false => checked(partition, key, kind, now_ms)?,
    };
    let subject = Subject {
        partition,
        key,
        kind,
        collection: kind.collection(key),
        count: partition.count_elements(kind, key, &lifetime)?,
        lifetime,
    };
    match alter {
        Alter::Put {
            elements,
            only: Only::These,
        } => subject.put_these(elements, now_ms),
        Alter::Put { elements, only } => subject.put(elements, only == Only::Absent),
        Alter::Remove { elements } => subject.remove(elements),
        Alter::Add {
            element,
            amount,
            whole,
        } => subject.add(element, amount, whole),
        Alter::Pop { seed, count } => subject.pop(seed, count),
    }
}

impl Subject<'_> {
    fn row(&self, element: &[u8]) -> Result<Bytes, RequestError> {
        let row = element_row(&self.collection, element);
        check_element_row(row.len())?;
        Ok(row)
    }

    fn has(&self, element: &[u8]) -> Result<bool, RequestError> {
        let (collection, lifetime) = (&self.collection, &self.lifetime);
        let shown = self.partition.element(collection, element, lifetime)?;
        Ok(shown.is_some())
    }

    /// What is written beside the first element of a key without any: an end that was chosen for
    /// others is not for it, and what lost to it goes.
    fn begin(&self, writes: &mut Writes) -> Result<(), RequestError> {
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != self.kind) {
            remove_some(self.partition, self.key, kind, writes)?;
        }
        if self.count > 0 || !self.partition.has_end(self.key)? {
            return Ok(());
        }
        let has_rows = self.partition.elements(self.kind, self.key)?.rows > 0;
        match self.lifetime.ends_at_ms {
            _ if !has_rows => writes.insert(end_row(self.key), Write::Delete),
            Some(_) => {
                let end = Write::Lifetime(self.lifetime.ending(None));
                writes.insert(end_row(self.key), end)
            }
            // It has come. What it took is removed because of it, and what is new comes after.
            None => None,
        };
        Ok(())
    }

    /// What is deleted with the last elements of a key.
    fn finish(&self, writes: &mut Writes, altered: &mut Altered) -> Result<(), RequestError> {
        altered.is_emptied = altered.count > 0 && altered.count >= self.count;
        let rows = self.partition.elements(self.kind, self.key)?.rows;
        if altered.count >= rows && altered.count > 0 && self.partition.has_end(self.key)? {
            writes.insert(end_row(self.key), Write::Delete);
        }
        Ok(())
    }

    fn put(
        &self,
        elements: Vec<(Bytes, Bytes)>,
        only_absent: bool,
    ) -> Result<(Writes, Altered), RequestError> {
        check_elements(elements.len())?;
        let mut writes = Writes::new();
        let mut altered = Altered::default();
        for (element, value) in elements {
            check_value(value.len())?;
            let row = self.row(&element)?;
            let is_there = self.has(&element)? || writes.contains_key(&row);
            altered.count = altered.count.saturating_add(u64::from(!is_there));
            // A member that is there is written again: a removal that has not seen this write
            // leaves it.
            if is_there && only_absent {
                continue;
            }
            let put = Write::Put {
                value,
                expire_at_ms: None,
            };
            writes.insert(row, put);
        }
        if !writes.is_empty() {
            altered.done = true;
            self.begin(&mut writes)?;
        }
        Ok((writes, altered))
    }

    fn put_these(
        &self,
        elements: Vec<(Bytes, Bytes)>,
        now_ms: u64,
    ) -> Result<(Writes, Altered), RequestError> {
        let mut writes = cleared(self.partition, self.key)?;
        let (puts, altered) = self.put(elements, false)?;
        writes.extend(puts);
        let value = value_row(self.key.clone());
        if self.partition.read(&value, now_ms)?.is_some() {
            writes.insert(value, Write::Delete);
        }
        if self.partition.has_end(self.key)? {
            writes.insert(end_row(self.key), Write::Delete);
        }
        Ok((writes, altered))
    }

    fn remove(&self, elements: Vec<Bytes>) -> Result<(Writes, Altered), RequestError> {
        check_elements(elements.len())?;
        let mut writes = Writes::new();
        for element in elements {
            if self.has(&element)? {
                writes.insert(self.row(&element)?, Write::Delete);
            }
        }
        let mut altered = Altered {
            count: writes.len() as u64,
            done: !writes.is_empty(),
            ..Altered::default()
        };
        self.finish(&mut writes, &mut altered)?;
        Ok((writes, altered))
    }

    fn add(
        &self,
        element: Bytes,
        amount: Amount,
        whole: bool,
    ) -> Result<(Writes, Altered), RequestError> {
        let row = self.row(&element)?;
        let (collection, lifetime) = (&self.collection, &self.lifetime);
        let before = self.partition.element(collection, &element, lifetime)?;
        let value = before.as_ref().map(|version| version.value.as_ref());
        let sum = sum(value, amount, whole, &Numbers::FIELDS)?;
        let altered = Altered {
            count: u64::from(before.is_none()),
            sum: Some(sum),
            done: true,
            ..Altered::default()
        };
        let add = Write::Add {
            amount,
            gone_before_ms: self.lifetime.gone_before_ms,
        };
        let mut writes = Writes::from([(row, add)]);
        self.begin(&mut writes)?;
        Ok((writes, altered))
    }

    fn pop(&self, seed: u64, count: usize) -> Result<(Writes, Altered), RequestError> {
        check_elements(count)?;
        let of = (self.kind, self.key);
        let taken = sample(self.partition, of, seed, count, &self.lifetime)?;
        let mut writes = Writes::new();
        for (element, _) in &taken {
            writes.insert(self.row(element)?, Write::Delete);
        }
        let mut altered = Altered {
            count: taken.len() as u64,
            done: !taken.is_empty(),
            taken: taken.into_iter().map(|(element, _)| element).collect(),
            ..Altered::default()
        };
        self.finish(&mut writes, &mut altered)?;
        Ok((writes, altered))
    }
}
