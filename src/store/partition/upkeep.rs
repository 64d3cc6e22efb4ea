//! What a replica does by itself: shorten the log, drop what has ended, collapse rows.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{Advance, Partition};
use crate::clock::{Clock, MAX_DRIFT_MS, NodeId};
use crate::machine::Instant;
use crate::object::{Name, Row, Version, shared_key_of};
use crate::store::StoreError;
use crate::store::exchange::Push;
use crate::store::mutation::Mutation;

/// The most keys that one call of [`Partition::expire`] touches: a burst of endings must not
/// hold the partition for long.
pub const EXPIRE_KEYS_MAX: usize = 1024;

impl Partition {
    /// Notes the clock that `peer` said it had, in a digest or request. It only shortens the
    /// log, so it may be old, or too high because the peer lost its tail since (PROTOCOL 3.5).
    pub fn note_digest(&mut self, peer: NodeId, clock: &Clock) {
        self.known.insert(peer, clock.clone());
    }

    /// Says who the *other* replicas of the partition are. While there are none, what is written
    /// here is not logged: the floor rises over its dots at once (PROTOCOL 3.5), so that who comes
    /// later gets a full sync; and there is nobody to push it to.
    pub fn meet(&mut self, replicas: &BTreeSet<NodeId>) {
        self.is_alone = replicas.is_empty();
    }

    /// Drops the log rows of dots that all of `replicas`, the partition's *other* replicas,
    /// are known to have; all rows if there are no others. Says how many (PROTOCOL 3.5).
    ///
    /// The set may be wrong or old: serving is decided by a peer's actual digest against the
    /// floor, never by this.
    pub fn collect(&mut self, replicas: &BTreeSet<NodeId>) -> usize {
        self.known.retain(|peer, _| replicas.contains(peer));
        if self.known.len() < replicas.len() {
            return 0;
        }
        let clocks: Vec<&Clock> = self.known.values().collect();
        self.log.drop_known(&clocks)
    }

    /// Drops log rows that are older than the log may reach back, whoever lacks them.
    pub fn forget(&mut self, now: Instant) {
        self.log.age(now, self.options.log_age_max);
    }

    /// Drops rows from memory if this partition takes more than its part of the budget and all
    /// together take too much. One that is written or read does so by itself.
    pub fn trim(&mut self) {
        self.table.trim();
    }

    /// Removes versions that ended [`MAX_DRIFT_MS`] or more before `wall_ms`, of at most
    /// [`EXPIRE_KEYS_MAX`] keys; says how many keys it touched, and adds those that hold nothing
    /// any more to `ended`.
    ///
    /// Exactly the ended versions go, without a dot, and stay in the context (R22): it is a
    /// function of the version alone, so every replica does the same. A sibling that was
    /// never overwritten becomes visible.
    pub fn expire(&mut self, wall_ms: u64, ended: &mut Vec<Bytes>) -> Result<usize, StoreError> {
        let until_ms = wall_ms.saturating_sub(MAX_DRIFT_MS);
        let keys = self.table.ending(until_ms, EXPIRE_KEYS_MAX)?;
        if keys.is_empty() {
            return Ok(0);
        }
        let count = keys.len();
        let advance = Advance::new(&self.clock);
        let mut rows = Vec::with_capacity(count);
        let mut unread = None;
        for key in keys {
            let row = match self.row(&key) {
                Ok(row) => row,
                // It must not keep the others from ending.
                Err(error) => {
                    unread = Some(error);
                    continue;
                }
            };
            let context = row.own_context();
            let count = row.versions.len();
            let mut versions = row.versions;
            let is_over = |version: &Version| version.expired(until_ms);
            let last = versions.iter().map(|(_, v)| v).filter(|v| is_over(v));
            let last = last.map(|version| version.hlc).max();
            versions.retain(|_, version| !is_over(version));
            if self.options.breaks(Mutation::N21) {
                versions.retain(|_, version| Some(version.hlc) > last);
            }
            if versions.len() < count {
                rows.push((key, self.strip(versions, &context, &advance)));
            }
        }
        if !rows.is_empty() {
            let is_gone = |row: &Option<Row>| row.as_ref().is_none_or(|r| r.versions.is_empty());
            let gone = rows.iter().filter(|(_, row)| is_gone(row));
            let gone: Vec<Bytes> = gone.map(|(key, _)| key.clone()).collect();
            let step = self.step(rows, &[], advance, Vec::new())?;
            self.commit(step)?;
            ended.extend(gone);
        }
        unread.map_or(Ok(count), Err)
    }

    /// Deletes counters that ended [`MAX_DRIFT_MS`] or more before `wall_ms`, at most
    /// [`EXPIRE_KEYS_MAX`]; the pushes are for the other replicas.
    ///
    /// A counter's parts do not go by themselves ([`Part`](crate::object::Part)): which of them
    /// a replica has, and with it when they end, is not the same on all of them.
    pub fn end_counters(&mut self, wall_ms: u64) -> Result<Vec<Push>, StoreError> {
        let until_ms = wall_ms.saturating_sub(MAX_DRIFT_MS);
        let mut pushes = Vec::new();
        if self.is_rebuilding() {
            return Ok(pushes);
        }
        for key in self.table.ending(until_ms, EXPIRE_KEYS_MAX)? {
            let local = self.local(&key)?;
            if local.row.versions.ended_counter(until_ms) {
                pushes.push(self.replace(key, &local, None, None)?);
            }
        }
        Ok(pushes)
    }

    /// Keys whose elements have ended [`MAX_DRIFT_MS`] or more before `wall_ms` and are there
    /// still, or what says that they ended is; at most [`EXPIRE_KEYS_MAX`].
    pub fn ended_collections(&self, wall_ms: u64) -> Result<Vec<Bytes>, StoreError> {
        if self.is_rebuilding() {
            return Ok(Vec::new());
        }
        let until_ms = wall_ms.saturating_sub(MAX_DRIFT_MS);
        let ended = self.table.ending(until_ms, EXPIRE_KEYS_MAX)?.into_iter();
        let ends = ended.filter(|row| Name::of(row) == Name::End);
        Ok(ends.map(|row| shared_key_of(&row)).collect())
    }

    /// Rewrites rows whose versions together fit no message as one ordinary write of the last
    /// write's value, timestamp and end (PROTOCOL 3.1), at most `keys_max` of them; the pushes
    /// are for the other replicas.
    ///
    /// Such a row comes from concurrent writes of values near the limit. Until it is
    /// collapsed it stays out of deltas, and it keeps a full sync from being served.
    pub fn collapse(&mut self, keys_max: usize) -> Result<Vec<Push>, StoreError> {
        let keys = self.table.oversized(keys_max)?;
        let mut pushes = Vec::with_capacity(keys.len());
        for key in keys {
            let local = self.local(&key)?;
            let winner = local.row.versions.value_at(0);
            pushes.push(self.replace(key, &local, winner, None)?);
        }
        Ok(pushes)
    }
}
