//! What one caller has written and read, as far as it can be asked for later.
//!
//! Noted are the last write of every life of a node in a partition, when the caller is told of
//! it, and which partitions it has read of. A write of which it is not known whether it was
//! done has no name and is not noted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::clock::{ActorId, Dot, VersionVector};
use crate::node::request::{Reply, Request};
use crate::placement::{Keyspace, PartitionId};

/// Most lives of nodes that one caller's writes are noted of, over all partitions: some for each
/// of a thousand partitions, and 300 KiB.
pub const PAST_WRITERS_MAX: usize = 4_096;

/// What one caller has written and read.
#[derive(Debug, Default)]
pub struct Past {
    written: Mutex<Written>,
    touched: Touched,
}

/// The last write of each actor. A write is noted by looking at one place, not down a tree.
#[derive(Debug, Default)]
struct Written {
    last: HashMap<(PartitionId, ActorId), u64>,
    /// Whether there was no room for a write.
    is_cut: bool,
}

/// The partitions of keys that were read or written, as bits: each request notes one, which
/// nearly always is there already.
#[derive(Debug, Default)]
struct Touched(OnceLock<Box<[AtomicU64]>>);

/// What is noted of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Noted {
    /// By partition the last write of each actor.
    pub(super) written: BTreeMap<PartitionId, VersionVector>,
    /// The partitions of keys that were read or written.
    pub(super) touched: BTreeSet<PartitionId>,
    /// Whether there was no room for a write.
    pub(super) is_cut: bool,
}

impl Touched {
    fn insert(&self, partition: PartitionId, keyspace: &Keyspace) {
        let words = self.0.get_or_init(|| {
            let count = u32::from(keyspace.partitions).div_ceil(u64::BITS);
            (0..count).map(|_| AtomicU64::new(0)).collect()
        });
        let (word, bit) = (
            u32::from(partition.0) / u64::BITS,
            u32::from(partition.0) % u64::BITS,
        );
        if let Some(word) = words.get(word as usize)
            && word.load(Ordering::Relaxed) & 1 << bit == 0
        {
            word.fetch_or(1 << bit, Ordering::Relaxed);
        }
    }

    fn all(&self) -> BTreeSet<PartitionId> {
        let words = self.0.get().into_iter().flatten();
        let words = words.map(|word| word.load(Ordering::Relaxed));
        let bits = words.flat_map(|word| (0..u64::BITS).map(move |bit| word & 1 << bit != 0));
        let set = (0..=u16::MAX).zip(bits).filter(|(_, is_set)| *is_set);
        set.map(|(id, _)| PartitionId(id)).collect()
    }
}

impl Past {
    /// What is noted now.
    pub(super) fn noted(&self) -> Noted {
        let mut noted = Noted {
            touched: self.touched.all(),
            ..Noted::default()
        };
        let written = self.written.lock();
        for (&(partition, actor), &n) in &written.last {
            let vector = noted.written.entry(partition).or_default();
            vector.raise(actor, n);
        }
        noted.is_cut = written.is_cut;
        noted
    }

    /// A request of the caller is about to be done. Returns its partition, if it is of one key.
    pub(super) fn touch(&self, request: &Request, keyspace: &Keyspace) -> Option<PartitionId> {
        let is_of_key = request.key().is_some();
        let partition = is_of_key.then(|| request.partition(keyspace))?;
        self.touched.insert(partition, keyspace);
        Some(partition)
    }

    /// The caller has seen something of these partitions.
    pub(super) fn touch_all(
        &self,
        partitions: impl Iterator<Item = PartitionId>,
        keyspace: &Keyspace,
    ) {
        partitions.for_each(|partition| self.touched.insert(partition, keyspace));
    }

    /// The caller is told of a write.
    pub(super) fn note(&self, partition: PartitionId, dot: Dot) {
        let mut written = self.written.lock();
        let place = (partition, dot.actor);
        if let Some(last) = written.last.get_mut(&place) {
            *last = dot.n.max(*last);
        } else if written.last.len() < PAST_WRITERS_MAX {
            written.last.insert(place, dot.n);
        } else {
            written.is_cut = true;
        }
    }
}

/// Who waits for a reply, and notes what it says.
#[derive(Debug)]
pub(super) struct Waiter {
    sender: oneshot::Sender<Reply>,
    past: Option<(Arc<Past>, PartitionId)>,
    /// Counts it while it is there.
    _counted: Arc<()>,
}

/// All who wait for replies.
#[derive(Debug, Default)]
pub(super) struct Waiters(Arc<()>);

impl Waiters {
    /// About how many there are.
    pub(super) fn count(&self) -> usize {
        Arc::strong_count(&self.0).saturating_sub(1)
    }

    /// One more.
    pub(super) fn waiter(
        &self,
        sender: oneshot::Sender<Reply>,
        past: Option<(Arc<Past>, PartitionId)>,
    ) -> Waiter {
        Waiter {
            sender,
            past,
            _counted: Arc::clone(&self.0),
        }
    }
}

impl Waiter {
    /// Hands the reply over; false if nobody waits any more.
    pub(super) fn send(self, reply: Reply) -> bool {
        if let Some((past, partition)) = self.past
            && let Some(dot) = reply.dot()
        {
            past.note(partition, dot);
        }
        self.sender.send(reply).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::NodeId;

    fn dot(incarnation: u64, n: u64) -> Dot {
        let actor = ActorId {
            node: NodeId(1),
            incarnation,
        };
        Dot { actor, n }
    }

    #[test]
    fn the_last_write_of_each_actor_is_noted_as_far_as_there_is_room() {
        let past = Past::default();
        for n in [2, 9, 4] {
            past.note(PartitionId(3), dot(0, n));
        }
        let noted = past.noted();
        assert_eq!(noted.written[&PartitionId(3)].get(dot(0, 1).actor), 9);
        for incarnation in 1..PAST_WRITERS_MAX as u64 {
            past.note(PartitionId(1), dot(incarnation, 1));
        }
        assert!(!past.noted().is_cut);
        past.note(PartitionId(1), dot(1, 2));
        assert!(!past.noted().is_cut);
        past.note(PartitionId(2), dot(0, 1));
        assert!(past.noted().is_cut);
    }

    #[test]
    fn the_partitions_that_were_touched_are_noted() {
        for partitions in [1, 64, 65, 1_000, u16::MAX] {
            let keyspace = Keyspace {
                partitions,
                hash_seed: 0,
            };
            let past = Past::default();
            assert_eq!(past.noted().touched, BTreeSet::new());
            let all = [0, partitions / 2, partitions - 1, partitions - 1].map(PartitionId);
            past.touch_all(all.into_iter(), &keyspace);
            assert_eq!(past.noted().touched, all.into_iter().collect());
        }
    }
}
