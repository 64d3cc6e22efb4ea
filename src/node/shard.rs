//! Some of a node's partitions, with the requests that wait on them.
//!
//! A shard is owned by one lock. Each call runs to its end without waiting: it reads or
//! commits, and leaves [`Effect`]s to be executed after the lock is released. What clients
//! ask is in `requests`, what replicas fetch from each other in `pull` and `full`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::confirmation::Confirmation;
use super::effect::Effect;
use super::gathering::{Gathering, read_reply, write_reply};
use super::losses::Losses;
use super::request::Reply;
use super::view::View;
use crate::clock::NodeId;
use crate::machine::{Instant, Now};
use crate::object::Row;
use crate::placement::PartitionId;
use crate::replication::{Durability, Message, Waits};
use crate::store::exchange::Push;
use crate::store::{FullSource, Partition, PartitionStats, row_bytes};

/// A full sync whose receiver asks for nothing for this long is forgotten.
const SOURCE_IDLE: Duration = Duration::from_secs(30);

/// Rows of one partition that are rewritten per turn because their versions together outgrew
/// a message: each may take megabytes on every link.
const COLLAPSED_MAX: usize = 1;

/// Requests of one kind and shard that may wait for replicas at the same time. Each holds a small
/// record and keeps one client waiting.
const WAITING_MAX: usize = 16_384;

/// A full sync that this shard serves.
pub(super) struct Source {
    pub(super) source: FullSource,
    pub(super) session: u64,
    pub(super) used: Instant,
    /// The end was sent. It may have been lost, so the source stays while there is room.
    pub(super) ended: bool,
}

/// A full sync that this shard fetches.
pub(super) struct Fetch {
    pub(super) peer: NodeId,
    /// When something was last asked for.
    pub(super) asked: Instant,
    /// How often it was asked for again since something came.
    pub(super) tries: u32,
}

/// Part of a node's partitions.
pub(super) struct Shard<W> {
    pub(super) partitions: BTreeMap<PartitionId, Partition>,
    pub(super) writes: Waits<(W, Reply)>,
    pub(super) reads: Waits<Gathering<W>>,
    /// What is confirmed once the disk has it. Bounded by what may wait.
    pub(super) unsynced: Vec<Confirmation>,
    pub(super) sources: BTreeMap<(NodeId, PartitionId), Source>,
    pub(super) fetches: BTreeMap<PartitionId, Fetch>,
    /// The last full sync of each partition that ended, well or not: late pieces of it begin
    /// nothing.
    pub(super) ended: BTreeMap<PartitionId, u64>,
    pub(super) next_session: u64,
    /// Writes of this node's that others know and its disk has lost.
    pub(super) losses: Losses,
}

/// What a piece of data held.
#[derive(Clone, Copy, Default)]
pub(super) struct Brought {
    pub(super) keys: u64,
    /// About as many as the message took.
    pub(super) bytes: u64,
}

impl Brought {
    pub(super) fn of(rows: &[(Bytes, Row)]) -> Self {
        let bytes = rows.iter().map(|(key, row)| row_bytes(key, row) as u64);
        Self {
            keys: rows.len() as u64,
            bytes: bytes.sum(),
        }
    }
}

/// What a peer's piece of data did to a pull.
pub(super) enum Pulled {
    /// It brought something and there is more to ask for.
    More(Brought),
    /// It brought something and the peer has nothing more.
    All(Brought),
    /// It does not belong to what was asked for.
    Stale,
}

impl<W> Shard<W> {
    pub(super) fn new(
        partitions: impl IntoIterator<Item = Partition>,
        timeout: Duration,
        first_session: u64,
    ) -> Self {
        Self {
            partitions: partitions.into_iter().map(|p| (p.id(), p)).collect(),
            writes: Waits::new(timeout, WAITING_MAX),
            reads: Waits::new(timeout, WAITING_MAX),
            unsynced: Vec::new(),
            sources: BTreeMap::new(),
            fetches: BTreeMap::new(),
            ended: BTreeMap::new(),
            next_session: first_session,
            losses: Losses::default(),
        }
    }

    pub(super) fn partition(&self, id: PartitionId) -> Option<&Partition> {
        self.partitions.get(&id)
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.partitions.values()
    }

    /// The view changed: nothing waits for more replicas than can be reached.
    pub(super) fn view_changed(&mut self, now: Now, view: &View, effects: &mut Vec<Effect<W>>) {
        let reachable = view.within_reach();
        let writes = self.writes.lower(now.mono, reachable);
        effects.extend(writes.into_iter().map(write_reply));
        let reads = self.reads.lower(now.mono, reachable);
        effects.extend(reads.into_iter().map(|read| read_reply(now, read)));
        self.sources
            .retain(|(peer, _), _| view.reachable.contains(peer));
        self.abandon(|fetch| !view.reachable.contains(&fetch.peer));
    }

    /// A peer is known to have everything that this node has of these partitions.
    pub(super) fn note_even(&mut self, peer: NodeId, ids: impl Iterator<Item = PartitionId>) {
        for id in ids {
            if let Some(partition) = self.partitions.get_mut(&id) {
                partition.note_even(peer);
            }
        }
    }

    /// Looks after what is in memory only: removes the dot-log rows that every replica has or
    /// that are too old, and full syncs that nobody asks for.
    pub(super) fn keep_house(&mut self, now: Now, view: &View) {
        self.sources
            .retain(|_, source| now.mono.since(source.used) < SOURCE_IDLE);
        for partition in self.partitions.values_mut() {
            partition.trim();
            partition.collect(&view.replicas);
            partition.forget(now.mono);
        }
    }

    /// Removes what has expired; if it is this node's turn, also rewrites rows that outgrew a
    /// message. Asks again for what it fetches and does not come.
    pub(super) fn tidy(
        &mut self,
        now: Now,
        view: &View,
        my_turn: bool,
        effects: &mut Vec<Effect<W>>,
    ) {
        self.ask_again(now, effects);
        for (id, partition) in &mut self.partitions {
            let kept = partition.expire(now.wall_ms).and_then(|_| {
                let keys_max = if my_turn { COLLAPSED_MAX } else { 0 };
                partition.collapse(keys_max)
            });
            match kept {
                Ok(pushes) => {
                    for push in pushes.into_iter().map(Arc::new) {
                        let id = self.writes.next_id();
                        effects.extend(push_to(view, id, &push, Durability::Interval));
                    }
                }
                Err(error) => effects.push(Effect::storage(*id, &error)),
            }
        }
    }

    /// Ends the waits whose time is over.
    pub(super) fn expire_waits(&mut self, now: Now, effects: &mut Vec<Effect<W>>) {
        let writes = self.writes.expire(now.mono);
        effects.extend(writes.into_iter().map(write_reply));
        let reads = self.reads.expire(now.mono);
        effects.extend(reads.into_iter().map(|read| read_reply(now, read)));
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let reads = self.reads.deadline();
        reads.into_iter().chain(self.writes.deadline()).min()
    }

    pub(super) fn waiting(&self) -> usize {
        self.writes.len() + self.reads.len()
    }

    pub(super) fn stats(&self) -> impl Iterator<Item = PartitionStats> {
        self.partitions.values().map(Partition::stats)
    }
}

/// One push to every replica that can be reached.
pub(super) fn push_to<W>(
    view: &View,
    id: u64,
    push: &Arc<Push>,
    durability: Durability,
) -> impl Iterator<Item = Effect<W>> {
    view.reachable.iter().map(move |peer| Effect::Send {
        to: *peer,
        message: Message::Push {
            id,
            push: push.clone(),
            durability,
        },
    })
}
