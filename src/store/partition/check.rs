//! What a peer may not say. Nothing here looks at more than the message holds.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::Partition;
use crate::clock::{ActorId, COUNTER_MAX, Clock, Dot, DotSet, RUNS_MAX, VersionVector};
use crate::object::{KEY_BYTES_MAX, Row, SIBLINGS_MERGED_MAX, VALUE_BYTES_MAX, Versions};
use crate::placement::PartitionId;
use crate::store::exchange::{Delta, Push};
use crate::store::mutation::Mutation;
use crate::store::{Refusal, StoreError};

/// Why a delta is not taken in.
pub(super) enum Unfit {
    /// A peer may not say that.
    Refused(Refusal),
    /// Whether it may cannot be read.
    Unread(StoreError),
}

impl From<Refusal> for Unfit {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for Unfit {
    fn from(error: StoreError) -> Self {
        Self::Unread(error)
    }
}

impl Partition {
    /// The answer is to a question of this very opening (R16, R17): another's was computed for
    /// a clock that this one may not have. `breaking` are the mistakes of not looking.
    pub(super) fn check_address(
        &self,
        partition: PartitionId,
        to: ActorId,
        breaking: &[Mutation],
    ) -> Result<(), Refusal> {
        if partition != self.id {
            return Err(Refusal::WrongPartition);
        }
        let looks = !breaking.iter().any(|&rule| self.options.breaks(rule));
        if looks && to != self.actor {
            return Err(Refusal::Stale);
        }
        Ok(())
    }

    pub(super) fn check_push(&self, push: &Push) -> Result<(), Refusal> {
        if push.partition != self.id {
            return Err(Refusal::WrongPartition);
        }
        self.check_key(&push.key)?;
        self.check_versions(&push.versions)?;
        self.check_dot(push.dot)?;
        self.check_context(&push.context)?;
        let mut dots = push.versions.dots().chain([push.dot]);
        match dots.find(|&dot| !push.context.contains(dot)) {
            Some(dot) => Err(Refusal::ContextMissesDot(dot)),
            None => Ok(()),
        }
    }

    /// Checks a delta and says which key each of its dots wrote.
    ///
    /// A row comes with covers and covers come with their row, each once: a row without its
    /// covers is N34, covers without their row are dots that never took effect (N05). The row
    /// may be absent where it would change nothing: the context of the key as it is here
    /// contains the dots (S4), because a write that includes them came before.
    pub(super) fn check_delta(&self, delta: &Delta) -> Result<BTreeMap<Dot, Option<Bytes>>, Unfit> {
        self.check_address(delta.partition, delta.to, &[Mutation::N28, Mutation::N29])?;
        self.check_context(&delta.base)?;
        let mut rows = BTreeMap::new();
        for (key, row) in &delta.rows {
            self.check_row(key, row)?;
            if rows.insert(key, row).is_some() {
                return Err(Refusal::CoversMismatch.into());
            }
        }
        let claimed = delta
            .covers
            .iter()
            .fold(0u64, |sum, cover| sum.saturating_add(cover.dots.count()));
        if claimed > RUNS_MAX as u64 {
            return Err(Refusal::TooManyDots.into());
        }
        let mut covered = BTreeMap::new();
        let mut keys = BTreeSet::new();
        for cover in &delta.covers {
            // The key as the row has it, so that row and log share one allocation.
            let key = cover.key.as_ref();
            let row = key.and_then(|key| rows.remove_entry(key));
            let key = row.map(|(key, _)| key).or(key);
            if key.is_some_and(|key| !keys.insert(key)) {
                return Err(Refusal::CoversMismatch.into());
            }
            if let (Some(key), None) = (key, row) {
                self.check_absent(key, &cover.dots)?;
            }
            for dot in cover.dots.dots() {
                self.check_dot(dot)?;
                claim(&mut covered, dot, key)?;
            }
        }
        if !rows.is_empty() {
            return Err(Refusal::CoversMismatch.into());
        }
        for (key, row) in &delta.rows {
            for dot in row.versions.dots() {
                claim(&mut covered, dot, Some(key))?;
            }
        }
        Ok(covered)
    }

    /// The row of `key` may be absent from a delta that covers `dots`.
    fn check_absent(&self, key: &Bytes, dots: &DotSet) -> Result<(), Unfit> {
        self.check_key(key)?;
        for dot in dots.dots() {
            if !self.clock.contains(dot) && !self.row_includes(key, dot)? {
                return Err(Refusal::CoversMismatch.into());
            }
        }
        Ok(())
    }

    pub(super) fn check_row(&self, key: &Bytes, row: &Row) -> Result<(), Refusal> {
        self.check_key(key)?;
        self.check_versions(&row.versions)?;
        self.check_context(&row.residual)
    }

    /// No clock may hold more of this actor's dots than were issued.
    pub(super) fn check_clock(&self, clock: &Clock) -> Result<(), Refusal> {
        if clock.top(self.actor) > self.clock.base(self.actor) {
            return Err(Refusal::ForgedDot);
        }
        Ok(())
    }

    fn check_key(&self, key: &Bytes) -> Result<(), Refusal> {
        if key.len() > KEY_BYTES_MAX {
            return Err(Refusal::TooLong);
        }
        if self.options.keyspace.partition_of_row(key) != self.id {
            return Err(Refusal::ForeignKey);
        }
        Ok(())
    }

    fn check_versions(&self, versions: &Versions) -> Result<(), Refusal> {
        if versions.len() > SIBLINGS_MERGED_MAX {
            return Err(Refusal::TooManySiblings);
        }
        for (dot, version) in versions.iter() {
            self.check_dot(dot)?;
            if version.value.len() > VALUE_BYTES_MAX {
                return Err(Refusal::TooLong);
            }
        }
        Ok(())
    }

    fn check_dot(&self, dot: Dot) -> Result<(), Refusal> {
        if !(1..=COUNTER_MAX).contains(&dot.n) {
            return Err(Refusal::BadCounter);
        }
        if dot.actor == self.actor && dot.n > self.clock.base(self.actor) {
            return Err(Refusal::ForgedDot);
        }
        Ok(())
    }

    fn check_context(&self, context: &VersionVector) -> Result<(), Refusal> {
        if context.get(self.actor) > self.clock.base(self.actor) {
            return Err(Refusal::ForgedDot);
        }
        Ok(())
    }

    /// Checks the live part of a piece of a full sync.
    pub(super) fn check_live(&self, live: &DotSet) -> Result<(), Refusal> {
        let own = self.clock.base(self.actor);
        let mut tops = live.actors().filter(|(actor, _)| *actor == self.actor);
        match tops.any(|(_, runs)| runs.last() > Some(own)) {
            true => Err(Refusal::ForgedDot),
            false => Ok(()),
        }
    }
}

/// Notes that `dot` wrote `key`, which it must not have been said of another key.
fn claim(
    covered: &mut BTreeMap<Dot, Option<Bytes>>,
    dot: Dot,
    key: Option<&Bytes>,
) -> Result<(), Refusal> {
    let known = covered.entry(dot).or_insert_with(|| key.cloned());
    if known.as_ref() != key {
        return Err(Refusal::DotOfTwoKeys(dot));
    }
    Ok(())
}
