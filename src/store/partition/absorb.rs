//! Taking in what peers send: pushes and deltas (PROTOCOL 3.3, 3.4).
//!
//! Both are rows with contexts and exact sets of dots. All local rows are filled with the
//! clock as it was *before* the message (R8, N26), all results are stripped with the clock as
//! it will be after it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::check::Unfit;
use super::table::ROW_MERGED_BYTES_MAX;
use super::{Advance, Applied, Local, Partition, naive};
use crate::clock::{Dot, VersionVector};
use crate::object::{Object, Row, SIBLINGS_MERGED_MAX, Versions};
use crate::store::exchange::{Delta, Push};
use crate::store::mutation::Mutation;
use crate::store::{Refusal, StoreError};

impl Partition {
    /// Takes in one write of another replica.
    ///
    /// Only the pushed dot and the live dots enter the clock (R2): the context speaks of this
    /// key, and the clock of all keys (N02). A push whose dot is known is ignored (R25), one
    /// that names a refused dot is dropped (3.9).
    pub fn apply_push(&mut self, push: Push, wall_ms: u64) -> Result<Applied, StoreError> {
        if let Err(refusal) = self.check_push(&push) {
            return Ok(Applied::Refused(refusal));
        }
        if self.clock.contains(push.dot) {
            return Ok(Applied::Duplicate);
        }
        let names_refused = {
            let mut dots = push.versions.dots().chain([push.dot]);
            dots.any(|dot| self.refuses(dot))
        };
        if names_refused {
            return Ok(Applied::Refused(Refusal::Frozen));
        }
        let local = self.local(&push.key)?;
        match self.replaces(&push, &local.row) {
            true => self.take_push(push, local, wall_ms),
            false => self.merge_push(push, local, wall_ms),
        }
    }

    /// Whether what is pushed is one write, or a delete, that knew all that the row shows: then
    /// it takes the place of the row, and [`merge`](Self::merge) would say the same. The clock
    /// does not have the write.
    pub(super) fn replaces(&self, push: &Push, local: &Row) -> bool {
        let is_known = |dot: Dot| {
            push.context.contains(dot) && (dot.actor != push.dot.actor || dot < push.dot)
        };
        self.options.breaks_none()
            && local.residual.is_empty()
            && local.versions.dots().all(is_known)
            && push.versions.dots().all(|dot| dot == push.dot)
    }

    /// Takes in a push that takes the place of the row.
    fn take_push(&mut self, push: Push, local: Local, wall_ms: u64) -> Result<Applied, StoreError> {
        let Push {
            dot,
            versions,
            context,
            ..
        } = push;
        let mut advance = Advance::new(&self.clock);
        advance.add(dot);
        if !advance.within_limits() {
            return Ok(Applied::Refused(Refusal::ClockFull));
        }
        let last_hlc = versions.last_hlc();
        let key = local.key.unwrap_or(push.key);
        let row = self.strip(versions, &context, &advance);
        let rows = vec![(key.clone(), row)];
        let step = self.step(rows, &[&local.row], advance, Vec::new())?;
        self.commit_write(step, dot, key, |other| {
            other != dot && context.contains(other)
        })?;
        if let Some(hlc) = last_hlc {
            self.hlc.observe(hlc, wall_ms);
        }
        Ok(Applied::New)
    }

    /// Takes in a push as the join of what it says and what is here.
    pub(super) fn merge_push(
        &mut self,
        push: Push,
        local: Local,
        wall_ms: u64,
    ) -> Result<Applied, StoreError> {
        let (key, row) = (local.key.unwrap_or(push.key), local.row);
        let mut dots: BTreeMap<_, _> = push
            .versions
            .dots()
            .map(|dot| (dot, Some(key.clone())))
            .collect();
        dots.insert(push.dot, Some(key.clone()));
        if self.options.breaks(Mutation::N02) {
            naive::claim_context(&mut dots, &push.context);
        }
        let mut advance = Advance::new(&self.clock);
        let logged = self.note(&mut advance, dots, [&push.versions]);
        let remote = Object {
            versions: push.versions,
            context: push.context,
        };
        let merged = self.merge(&row, &remote, &advance);
        if let Err(refusal) = check_merged(&advance, [&merged]) {
            return Ok(Applied::Refused(refusal));
        }
        let conflicts = conflicts(&row.versions, &remote.versions);
        let mut included = self.included_before(&logged)?;
        let news = logged.iter().map(|(dot, _)| *dot);
        let others = self.log.frontier(&key).chain(news);
        included.extend(others.filter(|&dot| dot != push.dot && remote.context.contains(dot)));
        let stripped = self.strip(merged.versions, &merged.context, &advance);
        let step = self.step(vec![(key, stripped)], &[&row], advance, logged)?;
        self.commit(step)?;
        self.log.include(included);
        self.learn([&remote.versions], conflicts, wall_ms);
        Ok(Applied::New)
    }

    /// Takes in the answer to a digest of this very opening (R17).
    ///
    /// Exactly the covers and the dots of the rows enter the clock (R5), all in one batch
    /// with the rows (R6, R13), and are logged with their keys so that this replica can pass
    /// on deletes and overwritten dots too (R9, N09).
    ///
    /// A group with a dot that is refused (3.9) is left out whole (R6), and the voids then too,
    /// because they come after all groups (R18).
    pub fn apply_delta(&mut self, mut delta: Delta, wall_ms: u64) -> Result<Applied, StoreError> {
        let mut covered = match self.check_delta(&delta) {
            Ok(covered) => covered,
            Err(Unfit::Refused(refusal)) => return Ok(Applied::Refused(refusal)),
            Err(Unfit::Unread(error)) => return Err(error),
        };
        let refused = self.refused_keys(&covered);
        if !refused.is_empty() {
            covered.retain(|_, key| key.as_ref().is_some_and(|key| !refused.contains(key)));
            delta.rows.retain(|(key, _)| !refused.contains(key));
            if covered.is_empty() {
                return Ok(Applied::Refused(Refusal::Frozen));
            }
        }
        for key in covered.values_mut().flatten() {
            *key = self.shared_key(key);
        }
        let mut advance = Advance::new(&self.clock);
        let live = delta.rows.iter().map(|(_, row)| &row.versions);
        let logged = self.note(&mut advance, covered, live);
        if logged.is_empty() {
            // Knowledge is a function of the clock: there is nothing to merge.
            return Ok(Applied::Duplicate);
        }
        let shared = SharedContext::new(&delta.base, &advance);
        let mut merged = Vec::with_capacity(delta.rows.len());
        let mut included = self.included_before(&logged)?;
        let mut conflicts = 0;
        for (key, row) in &delta.rows {
            let local = self.row(key)?;
            let remote = shared.object(row, &local.versions);
            conflicts += self::conflicts(&local.versions, &row.versions);
            let object = self.merge(&local, &remote, &advance);
            included.extend(replaced(&local.versions, &object.versions));
            merged.push((self.shared_key(key), object));
        }
        if let Err(refusal) = check_merged(&advance, merged.iter().map(|(_, object)| object)) {
            return Ok(Applied::Refused(refusal));
        }
        let rows = merged
            .into_iter()
            .map(|(key, object)| (key, self.strip(object.versions, &object.context, &advance)))
            .collect();
        let step = self.step(rows, &[], advance, logged)?;
        self.commit(step)?;
        self.log.include(included);
        let versions = delta.rows.iter().map(|(_, row)| &row.versions);
        self.learn(versions, conflicts, wall_ms);
        Ok(Applied::New)
    }

    /// The join of a local row, filled with the clock as it is *before* the step that leads to
    /// `after` (R8), and a remote state. No version leaves for having lost (R15).
    pub(super) fn merge(&self, local: &Row, remote: &Object, after: &Advance<'_>) -> Object {
        let mut merged = self.fill_for(local, &remote.versions).merge(remote);
        if self.options.breaks(Mutation::N26) {
            let known = |dot: Dot| dot.n <= after.base(dot.actor);
            let news = |dot: Dot| !local.versions.contains(dot);
            merged.versions.retain(|dot, _| !(news(dot) && known(dot)));
        }
        if self.options.breaks(Mutation::N08) {
            let winner = merged.winner().map(|(dot, _)| dot);
            merged.versions.retain(|dot, _| Some(dot) == winner);
        }
        merged
    }

    /// Adds dots to the clock to be; gives back those that were not in it, each with the key
    /// under which it is logged, whether it is live or not (R9).
    fn note<'a>(
        &self,
        advance: &mut Advance<'_>,
        dots: BTreeMap<Dot, Option<Bytes>>,
        live: impl IntoIterator<Item = &'a Versions>,
    ) -> Vec<(Dot, Option<Bytes>)> {
        let mut logged: Vec<_> = dots
            .into_iter()
            .filter(|(dot, _)| advance.add(*dot))
            .collect();
        if self.options.breaks(Mutation::N09) {
            naive::forget_dead(&mut logged, live);
        }
        logged
    }

    /// Those of the new dots that the contexts of their keys contain already: a later write
    /// has brought their effect.
    fn included_before(&self, news: &[(Dot, Option<Bytes>)]) -> Result<Vec<Dot>, StoreError> {
        let mut included = Vec::new();
        for (dot, key) in news {
            if let Some(key) = key
                && self.row_includes(key, *dot)?
            {
                included.push(*dot);
            }
        }
        Ok(included)
    }

    /// The keys of a delta that a refused dot has written.
    fn refused_keys(&self, covered: &BTreeMap<Dot, Option<Bytes>>) -> BTreeSet<Bytes> {
        covered
            .iter()
            .filter(|(dot, _)| self.refuses(**dot))
            .filter_map(|(_, key)| key.clone())
            .collect()
    }

    /// A stored row with as much of its context (PROTOCOL 1.1, fill) as decides about
    /// `against`: the bases (R14, not the maxima: N20) of the actors named there. What is left
    /// out is at or below a base, and would be stripped again.
    pub(super) fn fill_for(&self, row: &Row, against: &Versions) -> Object {
        let mut context = row.own_context();
        for dot in against.dots() {
            let known = match self.options.breaks(Mutation::N20) {
                true => self.clock.top(dot.actor),
                false => self.clock.base(dot.actor),
            };
            context.raise(dot.actor, known);
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

/// Whether the outcome is something that other replicas would accept from this one.
pub(super) fn check_merged<'a>(
    advance: &Advance<'_>,
    merged: impl IntoIterator<Item = &'a Object>,
) -> Result<(), Refusal> {
    if !advance.within_limits() {
        return Err(Refusal::ClockFull);
    }
    for object in merged {
        let versions = &object.versions;
        if versions.len() > SIBLINGS_MERGED_MAX {
            return Err(Refusal::TooManySiblings);
        }
        if versions.len() > 1 && versions.value_bytes() > ROW_MERGED_BYTES_MAX {
            return Err(Refusal::RowTooLarge);
        }
    }
    Ok(())
}

/// The dots of `before` whose versions another write has replaced in `after`. Versions with an
/// end are not among them, because they may have ended instead (R22).
fn replaced(before: &Versions, after: &Versions) -> Vec<Dot> {
    let gone = before
        .iter()
        .filter(|(dot, version)| version.expire_at_ms.is_none() && !after.contains(*dot));
    gone.map(|(dot, _)| dot).collect()
}

/// How many dots have another value there than here: a broken actor (N01).
pub(super) fn conflicts(here: &Versions, there: &Versions) -> u64 {
    there
        .iter()
        .filter(|&(dot, theirs)| here.get(dot).is_some_and(|ours| ours != theirs))
        .map(|_| 1)
        .sum()
}
