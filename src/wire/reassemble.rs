//! Messages put together from their parts, in bounded memory.
//!
//! The parts authenticated, so what is hostile here is a member gone wrong, and what is
//! common is loss. Both meet the same bounds: messages, bytes, time, and a share per
//! sender. A message of which a part is lost is lost; gossip repeats itself.

use std::collections::BTreeMap;
use std::time::Duration;

use super::datagram::{PART_BYTES_MAX, Part};
use super::fragment::{MESSAGE_BYTES_MAX, PARTS_MAX};
use crate::clock::NodeId;
use crate::machine::Instant;

/// How long parts wait for the others: ten gossip rounds, after which a newer message has
/// said the same.
pub const REASSEMBLY_WAIT: Duration = Duration::from_secs(2);

/// Unfinished messages of one sender: a round has three messages, and two rounds may
/// overlap. Beyond, its oldest goes.
pub const MESSAGES_PER_SENDER_MAX: usize = 6;

/// Unfinished messages in all: each sender of a round's three peers and some stragglers.
pub const MESSAGES_MAX: usize = 64;

/// Bytes of unfinished messages in all: half of what [`MESSAGES_MAX`] could hold, because
/// most long messages are far from the longest.
pub const PENDING_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Why a part is not taken. It has been counted; a message that it contradicts is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// Fewer than two parts, or more than the longest message needs.
    #[error("a message in {count} parts arrived, expected 2 to {PARTS_MAX}")]
    Count {
        /// The number of parts that was declared.
        count: u8,
    },
    /// The part's place is outside its message.
    #[error("part {index} of a message of {count} parts arrived (counted from 0)")]
    Index {
        /// The part's place.
        index: u8,
        /// The number of parts that was declared.
        count: u8,
    },
    /// No bytes, or more than one part carries.
    #[error("a part of {len} bytes arrived, expected 1 to {PART_BYTES_MAX}")]
    Size {
        /// The part's length in bytes.
        len: usize,
    },
    /// Another part of this message declared another number of parts.
    #[error("a part declares {count} parts where an earlier one declared {earlier}")]
    Contradiction {
        /// What this part declares.
        count: u8,
        /// What the earlier one declared.
        earlier: u8,
    },
    /// The parts add up to more than a message may have.
    #[error("a message in parts exceeds the limit of {MESSAGE_BYTES_MAX} bytes")]
    MessageTooLong,
}

/// How many parts and messages ended which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReassemblyStats {
    /// Messages put together.
    pub completed: u64,
    /// Messages dropped because parts were missing for [`REASSEMBLY_WAIT`].
    pub expired: u64,
    /// Messages dropped to make room for newer ones.
    pub displaced: u64,
    /// Parts that were there already.
    pub duplicates: u64,
    /// Parts refused, see [`PartError`].
    pub refused: u64,
}

/// Puts parts together.
///
/// Memory is bounded whatever arrives, and what is overdue is dropped when the next part
/// comes, so it needs no timer.
#[derive(Debug, Default)]
pub struct Reassembler {
    pending: BTreeMap<Key, Pending>,
    bytes: usize,
    stats: ReassemblyStats,
}

type Key = (NodeId, u32);

#[derive(Debug)]
struct Pending {
    since: Instant,
    count: u8,
    parts: BTreeMap<u8, Vec<u8>>,
    bytes: usize,
}

impl Reassembler {
    /// One per process.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many parts and messages ended which way.
    pub fn stats(&self) -> ReassemblyStats {
        self.stats
    }

    /// Takes a part; the message, if this was the last one missing.
    ///
    /// # Errors
    /// If the part cannot belong to a message.
    pub fn push(
        &mut self,
        now: Instant,
        sender: NodeId,
        part: Part,
    ) -> Result<Option<Vec<u8>>, PartError> {
        self.expire(now);
        let key = (sender, part.message);
        let taken = check(&part).and_then(|()| self.take(now, key, part));
        match taken {
            Ok(false) => Ok(None),
            Ok(true) => Ok(self.drop_pending(key).map(|whole| {
                self.stats.completed = self.stats.completed.saturating_add(1);
                whole.parts.into_values().flatten().collect()
            })),
            Err(error) => {
                self.stats.refused = self.stats.refused.saturating_add(1);
                Err(error)
            }
        }
    }

    /// Stores the part; whether its message is whole now.
    fn take(&mut self, now: Instant, key: Key, part: Part) -> Result<bool, PartError> {
        if let Err(error) = self.check_against_pending(key, &part) {
            self.drop_pending(key);
            return Err(error);
        }
        if self.has(key, part.index) {
            self.stats.duplicates = self.stats.duplicates.saturating_add(1);
            return Ok(false);
        }
        self.make_room(key, part.bytes.len());
        let pending = self.pending.entry(key).or_insert_with(|| Pending {
            since: now,
            count: part.count,
            parts: BTreeMap::new(),
            bytes: 0,
        });
        pending.bytes += part.bytes.len();
        self.bytes += part.bytes.len();
        pending.parts.insert(part.index, part.bytes);
        Ok(pending.parts.len() == usize::from(pending.count))
    }

    fn has(&self, key: Key, index: u8) -> bool {
        self.pending
            .get(&key)
            .is_some_and(|pending| pending.parts.contains_key(&index))
    }

    fn check_against_pending(&self, key: Key, part: &Part) -> Result<(), PartError> {
        let Some(pending) = self.pending.get(&key) else {
            return Ok(());
        };
        if pending.count != part.count {
            return Err(PartError::Contradiction {
                count: part.count,
                earlier: pending.count,
            });
        }
        if pending.bytes + part.bytes.len() > MESSAGE_BYTES_MAX
            && !pending.parts.contains_key(&part.index)
        {
            return Err(PartError::MessageTooLong);
        }
        Ok(())
    }

    /// Drops the oldest messages until one more part of `key` is within all bounds.
    fn make_room(&mut self, key: Key, more: usize) {
        let fresh = !self.pending.contains_key(&key);
        while fresh && self.count_of(key.0) >= MESSAGES_PER_SENDER_MAX {
            self.displace_oldest(|other| other.0 == key.0);
        }
        while fresh && self.pending.len() >= MESSAGES_MAX {
            self.displace_oldest(|_| true);
        }
        while self.bytes + more > PENDING_BYTES_MAX && self.pending.len() > usize::from(!fresh) {
            self.displace_oldest(|other| other != key);
        }
    }

    fn count_of(&self, sender: NodeId) -> usize {
        self.pending.range((sender, 0)..=(sender, u32::MAX)).count()
    }

    fn displace_oldest(&mut self, among: impl Fn(Key) -> bool) {
        let oldest = self
            .pending
            .iter()
            .filter(|(key, _)| among(**key))
            .min_by_key(|(_, pending)| pending.since)
            .map(|(key, _)| *key);
        if let Some(key) = oldest {
            self.drop_pending(key);
            self.stats.displaced = self.stats.displaced.saturating_add(1);
        }
    }

    fn expire(&mut self, now: Instant) {
        let overdue: Vec<Key> = self
            .pending
            .iter()
            .filter(|(_, pending)| now.since(pending.since) >= REASSEMBLY_WAIT)
            .map(|(key, _)| *key)
            .collect();
        for key in overdue {
            self.drop_pending(key);
            self.stats.expired = self.stats.expired.saturating_add(1);
        }
    }

    fn drop_pending(&mut self, key: Key) -> Option<Pending> {
        let pending = self.pending.remove(&key)?;
        self.bytes = self.bytes.saturating_sub(pending.bytes);
        Some(pending)
    }
}

fn check(part: &Part) -> Result<(), PartError> {
    let (index, count, len) = (part.index, part.count, part.bytes.len());
    if count < 2 || usize::from(count) > PARTS_MAX {
        return Err(PartError::Count { count });
    }
    if index >= count {
        return Err(PartError::Index { index, count });
    }
    if len == 0 || len > PART_BYTES_MAX {
        return Err(PartError::Size { len });
    }
    Ok(())
}

#[cfg(test)]
#[path = "reassemble_tests.rs"]
mod tests;
