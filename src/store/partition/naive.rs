//! What the longer mistakes of [`Mutation`](crate::store::mutation::Mutation) do. Reached in
//! tests only.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{Advance, Partition};
use crate::clock::{ActorId, Clock, Dot, DotSet, Entry, VersionVector};
use crate::object::{Object, Row, Versions};
use crate::store::derived::Summary;
use crate::store::engine::{Batch, EngineError};
use crate::store::exchange::{Cover, Delta, Digest};

/// N02: all that a push's context includes counts as seen, whatever key it wrote.
pub(super) fn claim_context(dots: &mut BTreeMap<Dot, Option<Bytes>>, context: &VersionVector) {
    for (actor, n) in context.iter() {
        for n in 1..=n {
            dots.entry(Dot { actor, n }).or_insert(None);
        }
    }
}

/// N09: of what is not live here nobody will ask, so its key is forgotten.
pub(super) fn forget_dead<'a>(
    logged: &mut [(Dot, Option<Bytes>)],
    live: impl IntoIterator<Item = &'a Versions>,
) {
    let live: BTreeSet<Dot> = live.into_iter().flat_map(Versions::dots).collect();
    for (dot, key) in logged {
        if !live.contains(dot) {
            *key = None;
        }
    }
}

impl Partition {
    /// N12: dead actors of this node without holes and live versions leave the clock.
    pub(super) fn prune(&mut self) {
        let mut live: BTreeSet<ActorId> = BTreeSet::new();
        let read = self.table.scan(&self.clock, |_, row| {
            live.extend(row.versions.dots().map(|dot| dot.actor));
        });
        if read.is_err() {
            return;
        }
        let dead: Vec<ActorId> = self
            .clock
            .entries()
            .filter(|(actor, entry)| {
                let earlier = actor.node == self.actor.node && *actor != self.actor;
                earlier && entry.above().is_empty() && !live.contains(actor)
            })
            .map(|(actor, _)| actor)
            .collect();
        for actor in dead {
            self.clock.set(actor, Entry::default());
            let pruned = self.engine.commit(&Batch {
                partition: self.id,
                entries: vec![(actor, Entry::default())],
                summary: self.summary(),
                ..Batch::default()
            });
            if pruned.is_err() {
                self.poisoned = true;
            }
        }
    }

    /// N14: the clock is durable before the rows.
    pub(super) fn commit_clock_first(&self, batch: &Batch) -> Result<(), EngineError> {
        let mut rows = batch.clone();
        let entries = std::mem::take(&mut rows.entries);
        self.engine.commit(&Batch {
            partition: self.id,
            entries,
            summary: Summary {
                clock: batch.summary.clock,
                ..self.summary()
            },
            ..Batch::default()
        })?;
        self.engine.commit(&rows)
    }

    /// N10: whoever asks for what was forgotten is told that there was nothing.
    pub(super) fn all_void(&self, digest: &Digest, missing: DotSet) -> Delta {
        Delta {
            partition: self.id,
            to: digest.asker,
            base: self.clock.base_vector(),
            rows: Vec::new(),
            covers: vec![Cover {
                key: None,
                dots: missing,
            }],
            more: false,
        }
    }

    /// N05: what a piece does not carry is covered all the same. N28: so is what the asker
    /// said that it had.
    pub(super) fn claim_clock(&self, delta: &mut Delta, known: &Clock) {
        let mut covered = known.clone();
        for cover in &delta.covers {
            for dot in cover.dots.dots() {
                covered.add(dot);
            }
        }
        let rest = self.clock.minus(&covered);
        if !rest.is_empty() {
            delta.covers.push(Cover {
                key: None,
                dots: rest,
            });
        }
    }

    /// N33: the rows of a piece take effect at once.
    pub(super) fn apply_piece(&mut self, rows: &[(Bytes, Row)]) {
        for (key, row) in rows {
            let mut advance = Advance::new(&self.clock);
            let mut logged = Vec::new();
            for dot in row.versions.dots() {
                if advance.add(dot) {
                    logged.push((dot, Some(key.clone())));
                }
            }
            let remote = Object {
                versions: row.versions.clone(),
                context: row.own_context(),
            };
            let Ok(row) = self.row(key) else {
                return;
            };
            let merged = self.merge(&row, &remote, &advance);
            let stripped = self.strip(merged.versions, &merged.context, &advance);
            let step = self.step(vec![(key.clone(), stripped)], &[], advance, logged);
            let _ = step.and_then(|step| self.commit(step));
        }
    }
}
