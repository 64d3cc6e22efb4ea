//! Some of a node's partitions, with the requests that wait on them.
//!
//! A shard is owned by one lock. Each call runs to its end without waiting: it reads or
//! commits, and leaves [`Effect`]s to be executed after the lock is released. What clients
//! ask is in `requests`, what replicas fetch from each other in `pull` and `full`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::clearing::remove_ended;
use super::confirmation::Confirmation;
use super::effect::Effect;
use super::forwards::Forwards;
use super::gathering::{Gathering, Writing, read_reply, write_reply};
use super::losses::Losses;
use super::view::{Group, View};
use crate::clock::NodeId;
use crate::machine::{Instant, Now};
use crate::object::{Row, shared_key_of};
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

/// Who has nothing that a copy lacks, and no whole one either, while the copy was that.
#[derive(Default)]
pub(super) struct Bereft {
    /// The hash of the copy.
    pub(super) hash: u64,
    pub(super) members: BTreeSet<NodeId>,
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
    pub(super) writes: Waits<Writing<W>>,
    pub(super) reads: Waits<Gathering<W>>,
    pub(super) forwards: Forwards<W>,
    /// Of copies that are not whole, who has nothing more and is not whole either.
    pub(super) bereft: BTreeMap<PartitionId, Bereft>,
    /// Whether copies here that are not whole hold all that this node ever had of them.
    pub(super) hides_nothing: bool,
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
    /// Of keys and values.
    pub(super) bytes: u64,
    /// About as many as the message took, with what says which writes they are.
    pub(super) message_bytes: u64,
}

impl Brought {
    pub(super) fn of(rows: &[(Bytes, Row)]) -> Self {
        let bytes = |(key, row): &(Bytes, Row)| key.len() + row.versions.value_bytes();
        let bytes = rows.iter().map(|row| bytes(row) as u64);
        let message_bytes = rows.iter().map(|(key, row)| row_bytes(key, row) as u64);
        Self {
            keys: rows.len() as u64,
            bytes: bytes.sum(),
            message_bytes: message_bytes.sum(),
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
            forwards: Forwards::new(timeout, first_session),
            bereft: BTreeMap::new(),
            hides_nothing: true,
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

    /// Whether a partition has elements of any key.
    pub(super) fn has_collections(&self, id: PartitionId) -> bool {
        self.partition(id).is_some_and(Partition::has_collections)
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.partitions.values()
    }

    /// The view changed: nothing waits for more replicas than can be reached.
    pub(super) fn view_changed(&mut self, now: Now, view: &View, effects: &mut Vec<Effect<W>>) {
        let reachable = |id| view.group(id).within_reach();
        let writes = self.writes.lower(now.mono, |w| reachable(w.partition));
        effects.extend(writes.into_iter().filter_map(write_reply));
        let reads = self.reads.lower(now.mono, |read| reachable(read.partition));
        effects.extend(reads.into_iter().map(|read| read_reply(now, read)));
        let is_there = |id| view.reachable.contains(&id);
        self.forwards
            .lost(now, |id| view.group(id), is_there, effects);
        self.bereft.clear();
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
            partition.collect(&view.group(partition.id()).replicas);
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
            let group = view.group(*id);
            partition.meet(&group.replicas);
            let (mut ended, mut told) = (Vec::new(), Vec::new());
            let kept = partition.expire(now.wall_ms, &mut ended).and_then(|_| {
                if !my_turn || !group.is_owner {
                    return Ok(Vec::new());
                }
                let mut pushes = partition.end_counters(now.wall_ms)?;
                told.extend(pushes.iter().map(|push| push.key.clone()));
                pushes.append(&mut remove_ended(partition, now.wall_ms, &mut told)?);
                pushes.append(&mut partition.collapse(COLLAPSED_MAX)?);
                Ok(pushes)
            });
            // What goes by itself goes on all replicas: one of them tells.
            if group.is_owner && group.rank == 0 {
                told.append(&mut ended);
            }
            let told = told.iter().map(shared_key_of);
            effects.extend(told.map(|key| Effect::Expired { key }));
            match kept {
                Ok(pushes) => {
                    for push in pushes.into_iter().map(Arc::new) {
                        let id = self.writes.next_id();
                        effects.extend(push_to(
                            view.group(push.partition),
                            id,
                            &push,
                            Durability::Interval,
                        ));
                    }
                }
                Err(error) => effects.push(Effect::storage(*id, &error)),
            }
        }
    }

    /// Ends the waits whose time is over.
    pub(super) fn expire_waits(&mut self, now: Now, effects: &mut Vec<Effect<W>>) {
        let writes = self.writes.expire(now.mono);
        effects.extend(writes.into_iter().filter_map(write_reply));
        let reads = self.reads.expire(now.mono);
        effects.extend(reads.into_iter().map(|read| read_reply(now, read)));
        self.forwards.expire(now, effects);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let waits = [
            self.reads.deadline(),
            self.writes.deadline(),
            self.forwards.deadline(),
        ];
        waits.into_iter().flatten().min()
    }

    pub(super) fn waiting(&self) -> usize {
        self.writes.len() + self.reads.len() + self.forwards.len()
    }

    pub(super) fn stats(&self) -> impl Iterator<Item = (PartitionId, PartitionStats)> {
        self.partitions.iter().map(|(id, p)| (*id, p.stats()))
    }

    /// Whether this node does what clients ask of a partition. It does not when others own it,
    /// or what is here is not whole and another owner can be asked.
    pub(super) fn serves(&self, view: &View, id: PartitionId) -> bool {
        let group = view.group(id);
        let is_whole = |partition: &Partition| !partition.is_rebuilding();
        let partition = self.partitions.get(&id);
        group.is_owner && partition.is_some_and(|p| is_whole(p) || group.voters.is_empty())
    }

    /// Whether a client waits for what replicas say of a partition that was served here.
    pub(super) fn is_awaited(&self, id: PartitionId) -> bool {
        let written = |writing: &Writing<W>| writing.partition == id;
        let read = |gathering: &Gathering<W>| gathering.partition == id;
        self.writes.payloads().any(written) || self.reads.payloads().any(read)
    }

    /// Goes on with another opening of one partition.
    pub(super) fn replace_one(&mut self, fresh: Partition) {
        let id = fresh.id();
        self.fetches.remove(&id);
        self.sources.retain(|(_, partition), _| *partition != id);
        self.partitions.insert(id, fresh);
    }
}

/// One push to everyone who keeps the writes and can be reached.
pub(super) fn push_to<W>(
    group: &Group,
    id: u64,
    push: &Arc<Push>,
    durability: Durability,
) -> impl Iterator<Item = Effect<W>> {
    group.pushed.iter().map(move |peer| Effect::Send {
        to: *peer,
        message: Message::Push {
            id,
            push: push.clone(),
            durability,
        },
    })
}
