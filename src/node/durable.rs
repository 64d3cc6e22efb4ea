//! Confirmations that wait for the disk.
//!
//! At [`Durability::Always`] a replica confirms a write after an fsync that began when the
//! write was committed. The driver takes all that wait with [`Data::begin_sync`], forces the
//! engine to disk without holding a lock, and hands them back to [`Data::end_sync`]. What
//! is committed meanwhile waits for the next turn, so writes that come at the same time share
//! one fsync (group commit).

use std::sync::atomic::Ordering;

use super::Data;
use super::confirmation::Confirmation;
use super::effect::Effect;
use super::gathering::write_reply;
use super::shard::Shard;
use crate::machine::Now;
use crate::replication::{Durability, Message};

/// Confirmations that one shard lets wait for the disk. Beyond it they are not given:
/// the coordinators' writes time out, and stand.
const UNSYNCED_MAX: usize = 65_536;

/// Everything that waits for one fsync. It must begin after this was taken.
#[derive(Debug)]
#[must_use = "what is in it waits until `Data::end_sync`"]
pub struct Syncing {
    confirmations: Vec<Confirmation>,
    number: u64,
}

impl<W> Data<W> {
    /// Takes what waits for the disk. None if nothing was committed that should be there: then
    /// there is nothing to force.
    pub fn begin_sync(&self) -> Option<Syncing> {
        let is_dirty = self.dirty.swap(false, Ordering::AcqRel);
        let mut confirmations = Vec::new();
        for shard in &self.shards {
            confirmations.append(&mut shard.lock().unsynced);
        }
        if !is_dirty && confirmations.is_empty() {
            return None;
        }
        Some(Syncing {
            confirmations,
            number: self.syncs.begin(),
        })
    }

    /// The fsync is over: confirms what it covers, if it was `kept`. If not nobody is told,
    /// and the writes time out, since the disk may have them or not.
    pub fn end_sync(&self, now: Now, syncing: Syncing, kept: bool, effects: &mut Vec<Effect<W>>) {
        if !kept {
            self.dirty.store(true, Ordering::Release);
            return;
        }
        self.syncs.keep(syncing.number);
        for confirmation in syncing.confirmations {
            match confirmation {
                Confirmation::Own { partition, id } => {
                    let ended = self.shard(partition).lock().writes.confirm(now.mono, id);
                    effects.extend(ended.and_then(write_reply));
                }
                Confirmation::Peer(push) => effects.push(push.told()),
                Confirmation::Held {
                    partition,
                    id,
                    asker,
                    actor,
                } => effects.push(Effect::Send {
                    to: asker,
                    message: Message::Held {
                        partition,
                        id,
                        to: actor,
                    },
                }),
            }
        }
    }

    /// Something was committed at this level: said after the commit, so that the sync which
    /// this causes covers it.
    pub(super) fn note_commit(&self, level: Durability) {
        if level != Durability::Os {
            self.dirty.store(true, Ordering::Release);
        }
    }
}

impl<W> Shard<W> {
    /// Lets a confirmation wait for the disk.
    pub(super) fn confirm_when_synced(
        &mut self,
        confirmation: Confirmation,
        effects: &mut Vec<Effect<W>>,
    ) {
        if self.unsynced.len() < UNSYNCED_MAX {
            self.unsynced.push(confirmation);
            effects.push(Effect::SyncNow);
        }
    }
}
