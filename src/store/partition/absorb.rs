//! Taking in what peers send: pushes and deltas (PROTOCOL 3.3, 3.4).
//!
//! Both are rows with contexts and exact sets of dots. All local rows are filled with the
//! clock as it was *before* the message (R8, N26), all results are stripped with the clock as
//! it will be after it.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Advance, Applied, Partition, strip};
use crate::clock::{Dot, VersionVector};
use crate::object::{Object, Row, SIBLINGS_MERGED_MAX, Versions};
use crate::store::exchange::{Delta, Push};
use crate::store::{Refusal, StoreError};

impl Partition {
    /// Takes in one write of another replica.
    ///
    /// Only the pushed dot and the live dots enter the clock (R2): the context speaks of this
    /// key, and the clock of all keys (N02). A push whose dot is known is ignored (R25).
    pub fn apply_push(&mut self, push: Push, wall_ms: u64) -> Result<Applied, StoreError> {
        if let Err(refusal) = self.check_push(&push) {
            return Ok(Applied::Refused(refusal));
        }
        if self.clock.contains(push.dot) {
            return Ok(Applied::Duplicate);
        }
        let key = self.shared_key(&push.key);
        let mut dots: BTreeMap<_, _> = push
            .versions
            .dots()
            .map(|dot| (dot, Some(key.clone())))
            .collect();
        dots.insert(push.dot, Some(key.clone()));
        let mut advance = Advance::new(&self.clock);
        let logged = note(&mut advance, dots);
        let remote = Object {
            versions: push.versions,
            context: push.context,
        };
        let row = self.row(&key);
        let merged = self.fill_for(&row, &remote.versions).merge(&remote);
        if let Err(refusal) = check_merged(&advance, [&merged]) {
            return Ok(Applied::Refused(refusal));
        }
        let conflicts = conflicts(&row.versions, &remote.versions);
        let stripped = strip(merged.versions, merged.context, &advance);
        let step = self.step(vec![(key, stripped)], advance, logged);
        self.commit(step)?;
        self.learn([&remote.versions], conflicts, wall_ms);
        Ok(Applied::New)
    }

    /// Takes in the answer to a digest of this very opening (R17).
    ///
    /// Exactly the covers and the dots of the rows enter the clock (R5), all in one batch
    /// with the rows (R6, R13), and are logged with their keys so that this replica can pass
    /// on deletes and overwritten dots too (R9, N09).
    pub fn apply_delta(&mut self, delta: Delta, wall_ms: u64) -> Result<Applied, StoreError> {
        let mut covered = match self.check_delta(&delta) {
            Ok(covered) => covered,
            Err(refusal) => return Ok(Applied::Refused(refusal)),
        };
        for key in covered.values_mut().flatten() {
            *key = self.shared_key(key);
        }
        let mut advance = Advance::new(&self.clock);
        let logged = note(&mut advance, covered);
        if logged.is_empty() {
            // Knowledge is a function of the clock: there is nothing to merge.
            return Ok(Applied::Duplicate);
        }
        let shared = SharedContext::new(&delta.base, &advance);
        let mut merged = Vec::with_capacity(delta.rows.len());
        let mut conflicts = 0;
        for (key, row) in &delta.rows {
            let local = self.row(key);
            let remote = shared.object(row, &local.versions);
            conflicts += self::conflicts(&local.versions, &row.versions);
            let object = self.fill_for(&local, &row.versions).merge(&remote);
            merged.push((self.shared_key(key), object));
        }
        if let Err(refusal) = check_merged(&advance, merged.iter().map(|(_, object)| object)) {
            return Ok(Applied::Refused(refusal));
        }
        let rows = merged
            .into_iter()
            .map(|(key, object)| (key, strip(object.versions, object.context, &advance)))
            .collect();
        let step = self.step(rows, advance, logged);
        self.commit(step)?;
        let versions = delta.rows.iter().map(|(_, row)| &row.versions);
        self.learn(versions, conflicts, wall_ms);
        Ok(Applied::New)
    }

    /// A stored row with as much of its context (PROTOCOL 1.1, fill) as decides about
    /// `against`: the bases (R14, not the maxima: N20) of the actors named there. What is left
    /// out is at or below a base, and would be stripped again.
    pub(super) fn fill_for(&self, row: &Row, against: &Versions) -> Object {
        let mut context = row.own_context();
        for dot in against.dots() {
            context.raise(dot.actor, self.clock.base(dot.actor));
        }
        Object {
            versions: row.versions.clone(),
            context,
        }
    }

    /// Follows the timestamps of what was taken in, and counts broken dots.
    pub(super) fn learn<'a>(
        &mut self,
        versions: impl IntoIterator<Item = &'a Versions>,
        conflicts: u64,
        wall_ms: u64,
    ) {
        for hlc in versions.into_iter().filter_map(Versions::last_hlc) {
            self.hlc.observe(hlc, wall_ms);
        }
        self.dot_conflicts += conflicts;
    }
}

/// The part of the context that all rows of a message share, cut down per row to what matters.
pub(super) struct SharedContext<'a> {
    base: &'a VersionVector,
    /// What of it lies above the receiver's bases after the step: it stays as residual.
    excess: VersionVector,
}

impl<'a> SharedContext<'a> {
    pub(super) fn new(base: &'a VersionVector, advance: &Advance<'_>) -> Self {
        let excess = base
            .iter()
            .filter(|&(actor, n)| n > advance.base(actor))
            .collect();
        Self { base, excess }
    }

    /// A row of the message with as much of its context as decides about the versions in
    /// `against`.
    pub(super) fn object(&self, row: &Row, against: &Versions) -> Object {
        let mut context = row.own_context();
        context.join(&self.excess);
        for dot in against.dots() {
            context.raise(dot.actor, self.base.get(dot.actor));
        }
        Object {
            versions: row.versions.clone(),
            context,
        }
    }
}

/// Adds dots to the clock to be; gives back those that were not in it.
fn note(
    advance: &mut Advance<'_>,
    dots: BTreeMap<Dot, Option<Bytes>>,
) -> Vec<(Dot, Option<Bytes>)> {
    dots.into_iter()
        .filter(|(dot, _)| advance.add(*dot))
        .collect()
}

/// Whether the outcome is something that other replicas would accept from this one.
pub(super) fn check_merged<'a>(
    advance: &Advance<'_>,
    merged: impl IntoIterator<Item = &'a Object>,
) -> Result<(), Refusal> {
    if !advance.within_limits() {
        return Err(Refusal::ClockFull);
    }
    let mut merged = merged.into_iter();
    match merged.any(|object| object.versions.len() > SIBLINGS_MERGED_MAX) {
        true => Err(Refusal::TooManySiblings),
        false => Ok(()),
    }
}

/// How many dots have another value there than here: a broken actor (N01).
pub(super) fn conflicts(here: &Versions, there: &Versions) -> u64 {
    there
        .iter()
        .filter(|&(dot, theirs)| here.get(dot).is_some_and(|ours| ours != theirs))
        .map(|_| 1)
        .sum()
}
