//! The clock as it will be after a step, before the step is committed.

use crate::clock::{ACTORS_MAX, ActorId, Clock, Dot, Entry, RUNS_MAX};

/// A clock, and the entries that a step changes in it.
#[derive(Debug)]
pub(super) struct Advance<'a> {
    clock: &'a Clock,
    /// In the order of actors; nearly always one.
    entries: Vec<(ActorId, Entry)>,
}

impl<'a> Advance<'a> {
    /// No change to `clock` yet.
    pub(super) fn new(clock: &'a Clock) -> Self {
        Self {
            clock,
            entries: Vec::new(),
        }
    }

    /// Adds `dot`. False if it was there.
    pub(super) fn add(&mut self, dot: Dot) -> bool {
        !self.clock.contains(dot) && self.entry_mut(dot.actor).add(dot.n)
    }

    /// Adds all that `other` holds, and closes what it has closed.
    pub(super) fn join(&mut self, other: &Clock) {
        for (actor, entry) in other.entries() {
            let says_nothing_new = self
                .clock
                .entry(actor)
                .is_some_and(|own| own.covers(entry) && (own.is_closed() || !entry.is_closed()));
            if !says_nothing_new {
                self.entry_mut(actor).join(entry);
            }
        }
    }

    /// Closes the entry of `actor` (PROTOCOL 3.9).
    pub(super) fn close(&mut self, actor: ActorId) {
        self.entry_mut(actor).close();
    }

    /// The base of `actor` after the step.
    pub(super) fn base(&self, actor: ActorId) -> u64 {
        self.entry(actor).map_or(0, Entry::base)
    }

    /// Whether the clock will say all that `n` of `actor` in a context would say: it is at
    /// or below the *base* (R14, N19), or the actor is closed and nothing of it can come.
    pub(super) fn implies(&self, actor: ActorId, n: u64) -> bool {
        n <= self.base(actor) || self.entry(actor).is_some_and(Entry::is_closed)
    }

    /// The entry of `actor` after the step.
    pub(super) fn entry(&self, actor: ActorId) -> Option<&Entry> {
        match self.position(actor) {
            Ok(at) => Some(&self.entries[at].1),
            Err(_) => self.clock.entry(actor),
        }
    }

    /// The changed entries with their new values.
    pub(super) fn entries(&self) -> impl Iterator<Item = (ActorId, &Entry)> + '_ {
        self.entries.iter().map(|(actor, entry)| (*actor, entry))
    }

    /// The changed entries whose base moves, with the new one. Of a closed actor everything
    /// is known.
    pub(super) fn new_bases(&self) -> impl Iterator<Item = (ActorId, u64)> + '_ {
        self.entries()
            .map(|(actor, entry)| match entry.is_closed() {
                true => (actor, u64::MAX),
                false => (actor, entry.base()),
            })
            .filter(|&(actor, base)| base > self.clock.base(actor))
    }

    /// Whether the clock stays within what others accept of it.
    pub(super) fn within_limits(&self) -> bool {
        let mut actors = self.clock.len();
        let mut runs = self.clock.runs();
        for (actor, entry) in self.entries() {
            match self.clock.entry(actor) {
                Some(before) => runs -= before.above().len(),
                None => actors += 1,
            }
            runs += entry.above().len();
        }
        actors <= ACTORS_MAX && runs <= RUNS_MAX
    }

    /// The hash of the clock after the step.
    pub(super) fn hash(&self) -> u64 {
        self.clock.hash_with(self.entries())
    }

    /// Whether nothing changes.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The changed entries with their new values.
    pub(super) fn into_entries(self) -> Vec<(ActorId, Entry)> {
        self.entries
    }

    fn entry_mut(&mut self, actor: ActorId) -> &mut Entry {
        let at = self.position(actor).unwrap_or_else(|at| {
            let entry = self.clock.entry(actor).cloned().unwrap_or_default();
            self.entries.insert(at, (actor, entry));
            at
        });
        &mut self.entries[at].1
    }

    fn position(&self, actor: ActorId) -> Result<usize, usize> {
        self.entries
            .binary_search_by_key(&actor, |(known, _)| *known)
    }
}
