//! What a replica does about what its disk has lost.
//!
//! *Rebuilding*: what was here was damaged and set aside, or dropped when others were to have
//! it, or it has never been here. Rows come back by the same syncs as
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
use crate::store::mutation::Mutation;

impl Partition {
    /// Whether what is not here is not known to be absent.
    pub fn is_rebuilding(&self) -> bool {
        self.recovery.is_rebuilding()
    }

    /// What is not here is not known to be absent until somebody says so: of a node that
    /// remembers no cluster. Nothing is written.
    pub fn presume_rebuilding(&mut self) {
        self.recovery.presume(true);
    }

    /// Whether that is durable: what is not here is not known to be absent, or is.
    pub fn is_marked(&self, rebuilding: bool) -> bool {
        self.recovery.is_kept(rebuilding)
    }

    /// From now on, or no longer, what is not here is not known to be absent.
    ///
    /// # Errors
    /// The engine failed; it is as it was.
    pub fn set_rebuilding(&mut self, rebuilding: bool) -> Result<(), StoreError> {
        self.recovery.presume(false);
        if self.recovery.is_kept(rebuilding) {
            return Ok(());
        }
        self.commit(super::step::Step {
            batch: Batch {
                partition: self.id,
                rebuilding: Some(rebuilding),
                summary: self.summary(),
                ..Batch::default()
            },
            logged: Vec::new(),
        })
    }

    /// A sync has been to its end with a replica that vouches for having all. Returns whether
    /// that was waited for.
    ///
    /// # Errors
    /// The engine failed; it is waited on.
    pub fn rebuilt(&mut self) -> Result<bool, StoreError> {
        let waited = self.recovery.is_rebuilding();
        self.set_rebuilding(false)?;
        Ok(waited)
    }

    /// Notes which dots of earlier openings of this replica a peer has and it has not. Returns
    /// how many of them are news. While it is rebuilding it is known anyway that it does not
    /// have what it had, and a copy that was dropped was not lost.
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

    /// Whether there ever was another replica, as far as is known.
    pub fn has_had_peers(&self) -> bool {
        !self.closings.peers.is_empty()
    }

    /// N15: a copy of it is given up when others were asked about it.
    pub fn drops_on_hope(&self) -> bool {
        self.options.breaks(Mutation::N15)
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
