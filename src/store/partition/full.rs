//! Full sync, asking: for a replica that is below the floor of a log, or new (PROTOCOL 3.6,
//! R16).
//!
//! The pieces are staged; nothing takes effect before the end has come and everything is there
//! (N22, N33), and then all of it in one batch.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::absorb::{SharedContext, check_merged, conflicts};
use super::stage::Stage;
use super::{Advance, Applied, Partition};
use crate::clock::{Clock, DotSet};
use crate::object::{Object, Row};
use crate::store::exchange::{FullEnd, FullNext, FullRows};
use crate::store::mutation::Mutation;
use crate::store::{Refusal, StoreError};

impl Partition {
    /// Puts a piece of a full sync aside, and says which to ask for next. The first piece of
    /// another sync takes the place of a running one; a piece that was there already is not
    /// taken twice.
    pub fn stage(&mut self, piece: FullRows) -> Result<FullNext, Refusal> {
        self.check_address(piece.partition, piece.to, &[Mutation::N27])?;
        for (key, row) in &piece.rows {
            self.check_row(key, row)?;
        }
        self.check_live(&piece.live)?;
        if self.options.breaks(Mutation::N33) {
            self.apply_piece(&piece.rows);
        }
        let running = self.stage.as_ref();
        if piece.sequence == 0 && running.is_none_or(|stage| stage.session != piece.session) {
            self.stage = Some(Stage::new(piece.session));
        }
        let bytes_max = self.options.stage_bytes_max;
        let stage = self.stage.as_mut().ok_or(Refusal::UnknownSession)?;
        let taken = stage.take(piece, bytes_max);
        if taken == Err(Refusal::TooLarge) || taken == Err(Refusal::CoversMismatch) {
            self.stage = None;
        }
        let (session, sequence) = taken?;
        Ok(FullNext {
            partition: self.id,
            session,
            sequence,
        })
    }

    /// The piece that a running full sync waits for: what to ask for again when it does not
    /// come.
    pub fn staged(&self) -> Option<FullNext> {
        self.stage.as_ref().map(|stage| FullNext {
            partition: self.id,
            session: stage.session,
            sequence: stage.next,
        })
    }

    /// Drops the pieces of a full sync whose source has fallen silent.
    pub fn unstage(&mut self) {
        self.stage = None;
    }

    /// Makes a staged full sync take effect, in one batch (R16).
    ///
    /// Staged rows are merged as in a delta. Own versions that the source has known and does
    /// not hold are gone there: overwritten or deleted, so they go here. The clock takes in
    /// the source's whole clock and what it has closed, and the floor rises over what came with
    /// it. One with a dot that is refused is refused, unless its source has closed the actor
    /// (3.9).
    pub fn apply_full(&mut self, end: FullEnd, wall_ms: u64) -> Result<Applied, StoreError> {
        if let Err(refusal) = self.check_end(&end) {
            return Ok(Applied::Refused(refusal));
        }
        let stage = match self.stage.take() {
            Some(stage) => stage,
            None if self.options.breaks(Mutation::N22) => Stage::new(end.session),
            None => return Ok(Applied::Refused(Refusal::UnknownSession)),
        };
        let missing = end.clock.minus(&self.clock);
        if self.refuses_clock(&end.clock, &missing) {
            return Ok(Applied::Refused(Refusal::Frozen));
        }
        self.take_whole(&stage, &end.clock, &missing, wall_ms)
    }

    /// Merges all rows of another state of the partition, of which `clock` is the whole clock
    /// and `missing` the part that is news here.
    pub(super) fn take_whole(
        &mut self,
        stage: &Stage,
        clock: &Clock,
        missing: &DotSet,
        wall_ms: u64,
    ) -> Result<Applied, StoreError> {
        let mut advance = Advance::new(&self.clock);
        advance.join(clock);
        let (merged, conflicts) = self.merge_stage(stage, clock, &advance)?;
        if let Err(refusal) = check_merged(&advance, merged.values()) {
            return Ok(Applied::Refused(refusal));
        }
        let mut rows = Vec::new();
        for (key, object) in merged {
            let row = self.strip(object.versions, &object.context, &advance);
            let is_new = |local: Option<&Row>| local != row.as_ref();
            if self.table.read(&self.clock, &key, is_new)? {
                rows.push((key, row));
            }
        }
        if rows.is_empty() && advance.is_empty() {
            return Ok(Applied::Duplicate);
        }
        let step = self.step(rows, &[], advance, Vec::new())?;
        self.commit(step)?;
        for (actor, runs) in missing.actors() {
            self.log.raise_floor(actor, runs.last().unwrap_or(0));
        }
        let versions = stage.rows.values().map(|row| &row.versions);
        self.learn(versions, conflicts, wall_ms);
        Ok(Applied::New)
    }

    /// Everything of the sync is there, and it does not contradict itself.
    fn check_end(&mut self, end: &FullEnd) -> Result<(), Refusal> {
        self.check_address(end.partition, end.to, &[Mutation::N27])?;
        self.check_clock(&end.clock)?;
        if self.options.breaks(Mutation::N22) {
            return Ok(());
        }
        let stage = self.stage.as_ref().ok_or(Refusal::UnknownSession)?;
        if stage.session != end.session {
            return Err(Refusal::UnknownSession);
        }
        let limited = self.options.breaks(Mutation::N23);
        if !limited && !stage.is_whole(end) {
            self.stage = None;
            return Err(Refusal::Incomplete);
        }
        Ok(())
    }

    /// The rows that the sync touches, merged, and how many dots were in conflict.
    fn merge_stage(
        &self,
        stage: &Stage,
        source: &Clock,
        advance: &Advance<'_>,
    ) -> Result<(BTreeMap<Bytes, Object>, u64), StoreError> {
        let base = source.base_vector();
        let shared = SharedContext::new(&base, advance);
        let gone = |dot| source.contains(dot) && !stage.live.contains(dot);
        let mut touched = BTreeMap::new();
        let mut broken = 0;
        for (key, row) in &stage.rows {
            let local = self.row(key)?;
            let remote = shared.object(row, &local.versions);
            broken += conflicts(&local.versions, &row.versions);
            let object = self.merge(&local, &remote, advance);
            touched.insert(self.shared_key(key), object);
        }
        self.table.scan(&self.clock, |key, row| {
            if !touched.contains_key(&key) && row.versions.dots().any(gone) {
                let object = Object {
                    context: row.own_context(),
                    versions: row.versions,
                };
                touched.insert(key, object);
            }
        })?;
        for object in touched.values_mut() {
            object.versions.retain(|dot, _| !gone(dot));
        }
        Ok((touched, broken))
    }
}
