//! What a replica does about what its disk has lost.
//!
//! *Rebuilding*: what was here was damaged and set aside. Rows come back by the same syncs as
//! ever, and until one of them has been to its end with a replica that vouches for having all,
//! a key that is not here is not known to be absent: reads and deletes are refused, writes are
//! taken. A replica that rebuilds vouches for nothing itself, so two of them do not take each
//! other for whole.
//!
//! *Own writes that others know*: a replica issues its dots itself, so one of an earlier
//! opening of its own that a peer has and it has not was here once. The disk has lost it. It
//! comes back like everything that is missing; an operator wants to know all the same.

use super::Partition;
use crate::clock::{ActorId, Clock, Entry};
use crate::store::StoreError;
use crate::store::engine::Batch;
use crate::store::exchange::Cover;

impl Partition {
    /// Whether what is not here is not known to be absent.
    pub fn is_rebuilding(&self) -> bool {
        self.recovery.is_rebuilding()
    }

    /// A sync has been to its end with a replica that vouches for having all. Returns whether
    /// that was waited for.
    ///
    /// # Errors
    /// The engine failed; it is waited on.
    pub fn rebuilt(&mut self) -> Result<bool, StoreError> {
        if !self.recovery.is_rebuilding() {
            return Ok(false);
        }
        self.commit(super::Step {
            batch: Batch {
                partition: self.id,
                rebuilding: Some(false),
                summary: self.summary(),
                ..Batch::default()
            },
            logged: Vec::new(),
        })?;
        Ok(true)
    }

    /// Notes which dots of earlier openings of this replica a peer has and it has not. Returns
    /// how many of them are news. While it is rebuilding it is known anyway that it lost what
    /// it had.
    pub fn note_lost(&mut self, theirs: &Clock) -> u64 {
        if self.recovery.is_rebuilding() {
            return 0;
        }
        let before = self.recovery.writes_lost();
        for (actor, entry) in theirs.entries() {
            if !self.is_earlier(actor) || self.clock.is_closed(actor) || entry.is_closed() {
                continue;
            }
            let own = self.clock.entry(actor).cloned().unwrap_or_default();
            self.recovery.lose(actor, &entry.minus(&own));
        }
        self.recovery.writes_lost().saturating_sub(before)
    }

    /// The same of what a delta brings, before it is applied. A dot without a key is void: it was
    /// never here.
    pub fn note_lost_in(&mut self, covers: &[Cover]) -> u64 {
        let mut theirs = Clock::new();
        for cover in covers.iter().filter(|cover| cover.key.is_some()) {
            for (actor, runs) in cover.dots.actors().filter(|(a, _)| self.is_earlier(*a)) {
                let mut entry = theirs.entry(actor).cloned().unwrap_or_default();
                entry.join(&Entry::of_runs(runs));
                theirs.set(actor, entry);
            }
        }
        self.note_lost(&theirs)
    }

    /// How many writes this replica once had that only others had since.
    pub fn writes_lost(&self) -> u64 {
        self.recovery.writes_lost()
    }

    /// A read that finds nothing must mean something.
    pub(super) fn check_readable(&self) -> Result<(), StoreError> {
        match self.recovery.is_rebuilding() {
            true => Err(StoreError::Rebuilding(self.id)),
            false => Ok(()),
        }
    }

    /// What makes the hash of a rebuilding replica unlike all others: it has to be compared
    /// clock by clock, with one that vouches.
    pub(super) fn recovery_hash(&self) -> u64 {
        match self.recovery.is_rebuilding() {
            true => self.actor.incarnation | 1,
            false => 0,
        }
    }

    fn is_earlier(&self, actor: ActorId) -> bool {
        actor.node == self.actor.node && actor != self.actor
    }
}
