//! One step: what changes is put together, committed as one batch, and only then installed.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{Advance, Partition};
use crate::clock::{Dot, RUNS_MAX, VersionVector};
use crate::object::{Row, Versions};
use crate::store::StoreError;
use crate::store::derived::Summary;
use crate::store::engine::Batch;
use crate::store::mutation::Mutation;

/// What one step changes.
pub(super) struct Step {
    pub(super) batch: Batch,
    /// The new dots of the clock, each with its key.
    pub(super) logged: Vec<(Dot, Option<Bytes>)>,
}

impl Partition {
    /// Puts together what a step changes: `rows` and the clock entries of `advance`, and the
    /// rows whose residual context the new bases cover (PROTOCOL 1.1). `before` are the first of
    /// the rows as they are, as far as that is known.
    pub(super) fn step(
        &self,
        mut rows: Vec<(Bytes, Option<Row>)>,
        before: &[&Row],
        advance: Advance<'_>,
        logged: Vec<(Dot, Option<Bytes>)>,
    ) -> Result<Step, StoreError> {
        let mut keys = BTreeSet::new();
        for (actor, base) in advance.new_bases() {
            keys.extend(self.table.residual_up_to(actor, base)?);
        }
        if !keys.is_empty() {
            for (key, _) in &rows {
                keys.remove(key);
            }
        }
        for key in keys {
            let row = self.row(&key)?;
            let stripped = self.strip(row.versions, &row.residual, &advance);
            rows.push((key, stripped));
        }
        let (totals, indexes) = self.table.derive(&self.clock, &rows, before)?;
        let clock = advance.hash();
        let entries = advance.into_entries();
        let closed = entries.iter().filter(|(_, entry)| entry.is_closed());
        let thawed = closed.filter(|(actor, _)| self.closings.is_frozen(*actor));
        let batch = Batch {
            partition: self.id,
            frozen: thawed.map(|(actor, _)| (*actor, false)).collect(),
            rows,
            entries,
            indexes,
            summary: Summary { totals, clock },
            ..Batch::default()
        };
        Ok(Step { batch, logged })
    }

    /// The summary as it is.
    pub(super) fn summary(&self) -> Summary {
        Summary {
            totals: self.table.totals().clone(),
            clock: self.clock.hash(),
        }
    }

    /// Commits rows and clock entries as one batch (R13), then installs them and logs the
    /// dots with their keys (R9).
    ///
    /// On an error nothing changes in memory, and nothing will until the partition is opened
    /// again: the batch may be on disk all the same, and issuing its dot a second time would
    /// be N01 without a crash.
    pub(super) fn commit(&mut self, step: Step) -> Result<(), StoreError> {
        self.commit_batch(step.batch)?;
        for (dot, key) in step.logged {
            self.log.insert(dot, key);
        }
        self.bound_log();
        Ok(())
    }

    /// The same for a step that brings nothing but `dot`, a write of `key`, of which it is known
    /// which of the key's writes another one has included.
    pub(super) fn commit_write(
        &mut self,
        step: Step,
        dot: Dot,
        key: Bytes,
        is_included: impl Fn(Dot) -> bool,
    ) -> Result<(), StoreError> {
        self.commit_batch(step.batch)?;
        self.log.note(dot, Some(key), is_included);
        self.bound_log();
        Ok(())
    }

    fn bound_log(&mut self) {
        let rows_max = self.options.log_rows_max.clamp(2, RUNS_MAX);
        self.log.bound(rows_max, self.options.log_bytes_max);
    }

    fn commit_batch(&mut self, mut batch: Batch) -> Result<(), StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned(self.id));
        }
        let committed = match self.options.breaks(Mutation::N14) {
            true => self.commit_clock_first(&batch),
            false if self.table.keeps_no_rows() => self.engine.commit_taking(&mut batch),
            false => self.engine.commit(&batch),
        };
        if let Err(error) = committed {
            self.poisoned = true;
            return Err(error.into());
        }
        self.closings.install(&batch);
        self.recovery.install(&batch);
        if batch.entries.iter().any(|(_, entry)| entry.is_closed()) {
            // What was void to others took effect here perhaps.
            self.log.forget_included();
        }
        let entries = std::mem::take(&mut batch.entries);
        self.clock.install(entries, batch.summary.clock);
        self.table.install(batch);
        if self.options.breaks(Mutation::N12) {
            self.prune();
        }
        Ok(())
    }

    /// The stored form of a key after the step that leads to `advance` (PROTOCOL 1.1): of the
    /// context only what lies above the *base* of the clock (R14, N19), is not live, and is not
    /// of a closed actor (3.9). None if there is nothing left to store.
    pub(super) fn strip(
        &self,
        versions: Versions,
        context: &VersionVector,
        advance: &Advance<'_>,
    ) -> Option<Row> {
        let residual = context
            .iter()
            .filter(|&(actor, n)| self.is_residual(Dot { actor, n }, &versions, advance));
        let row = Row {
            residual: residual.collect(),
            versions,
        };
        (!row.is_empty()).then_some(row)
    }

    /// Whether a row with `versions` has to say that `dot` is included.
    fn is_residual(&self, dot: Dot, versions: &Versions, advance: &Advance<'_>) -> bool {
        let Dot { actor, n } = dot;
        let implied = match self.options.breaks(Mutation::N19) {
            true => advance.entry(actor).is_some_and(|entry| n <= entry.top()),
            false => advance.implies(actor, n),
        };
        !implied && !versions.contains(dot)
    }
}
