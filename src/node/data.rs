//! Everything that a node does about data.
//!
//! Calls may come from many threads; each takes the lock of one shard, or the
//! synchroniser's, never two at once.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::request::{Consistency, Reply, Request};
use super::shard::{Pulled, Shard, Task};
use super::view::View;
use crate::clock::{ActorId, NodeId};
use crate::machine::{Instant, Machine, Now};
use crate::placement::{Keyspace, PartitionId};
use crate::replication::{Input, Message, Output, SyncParams, Synchronizer, Tally};
use crate::store::engine::Engine;
use crate::store::{Options, Partition, Refusal, StoreError};

/// Locks that the partitions are divided over. More than cores, so that two threads seldom
/// meet; few enough to visit all of them for a housekeeping turn.
const SHARDS: usize = 32;

/// How often expiry and the dot logs are looked after.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(1);

/// Knobs of [`Data`].
#[derive(Clone, Debug)]
pub struct DataParams {
    /// Who this node is.
    pub me: NodeId,
    /// How the cluster cuts its keyspace.
    pub keyspace: Keyspace,
    /// How long a request waits for its replicas.
    pub timeout: Duration,
    /// When to compare with whom.
    pub sync: SyncParams,
    /// Limits of each partition; its keyspace is replaced by this one's.
    pub options: Options,
}

/// Something to do after a call, in order.
#[derive(Debug, PartialEq)]
pub enum Effect<W> {
    /// Send this to a peer. May be dropped; then say [`Data::push_dropped`] if it was a push.
    Send {
        /// The peer.
        to: NodeId,
        /// What to send.
        message: Message,
    },
    /// Answer a client that waited.
    Reply {
        /// Who waited.
        waiter: W,
        /// The answer.
        reply: Reply,
    },
    /// Something that an operator may want to know.
    Note(Note),
}

/// Something that an operator may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Everything that differed from this peer has been fetched.
    Synced {
        /// The peer.
        peer: NodeId,
        /// How much there was.
        tally: Tally,
    },
    /// A partition was fetched as a whole, because the peer's dot log no longer reached back.
    FullSynced {
        /// The peer.
        peer: NodeId,
        /// The partition.
        partition: PartitionId,
    },
    /// A peer's request for a full sync waits until others are done.
    FullSyncDeferred {
        /// The peer.
        peer: NodeId,
        /// The partition.
        partition: PartitionId,
    },
    /// A peer sent something that cannot be; it was dropped.
    Refused {
        /// The peer.
        peer: NodeId,
        /// The partition it was about.
        partition: PartitionId,
        /// Why it cannot be.
        refusal: Refusal,
    },
    /// Two replicas with equal clocks hold different data: a bug or corruption.
    Diverged {
        /// The other replica.
        peer: NodeId,
        /// The partition.
        partition: PartitionId,
    },
    /// The engine failed; what it should have kept was not applied either.
    Storage {
        /// The partition.
        partition: PartitionId,
        /// The engine's words.
        error: String,
    },
}

/// Sums over all partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataStats {
    /// Keys that have a value.
    pub keys: u64,
    /// Live versions; more than `keys` means siblings.
    pub dots_live: u64,
    /// Rows kept only for their causal context.
    pub rows_residual: u64,
    /// Rows of the dot logs.
    pub log_rows: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Writes that wait for replicas.
    pub waiting: u64,
    /// Partitions being fetched or waiting to be.
    pub sync_backlog: u64,
}

/// A node's data: shards and synchroniser. `W` is whoever waits for a reply.
pub struct Data<W> {
    keyspace: Keyspace,
    shards: Vec<Mutex<Shard<W>>>,
    sync: Mutex<Synchronizer>,
    view: RwLock<Arc<View>>,
    housekeeping_due: Mutex<Instant>,
}

impl<W> Data<W> {
    /// Opens every partition of `engine`, each under a fresh actor (PROTOCOL R1).
    ///
    /// # Errors
    /// Whatever the engine says when a partition cannot be read whole.
    pub fn open(
        params: &DataParams,
        engine: &Arc<dyn Engine>,
        mut rng: SmallRng,
        now: Now,
    ) -> Result<Self, StoreError> {
        let options = Options {
            keyspace: params.keyspace,
            ..params.options
        };
        let mut shards: Vec<Vec<Partition>> = (0..SHARDS).map(|_| Vec::new()).collect();
        for id in params.keyspace.all() {
            let actor = ActorId {
                node: params.me,
                incarnation: rng.next_u64(),
            };
            let partition = Partition::open(id, actor, engine.clone(), options)?;
            if let Some(shard) = shards.get_mut(shard_of(id)) {
                shard.push(partition);
            }
        }
        Ok(Self {
            keyspace: params.keyspace,
            shards: shards
                .into_iter()
                .map(|partitions| {
                    let session = rng.next_u64();
                    Shard::new(partitions, params.timeout, session)
                })
                .map(Mutex::new)
                .collect(),
            sync: Mutex::new(Synchronizer::new(
                params.sync.clone(),
                SmallRng::seed_from_u64(rng.next_u64()),
                now,
            )),
            view: RwLock::default(),
            housekeeping_due: Mutex::new(now.mono + HOUSEKEEPING_INTERVAL),
        })
    }

    /// Runs a client's request as far as this node can. `None`: the reply comes later, as
    /// an effect for the waiter that `waiter` makes.
    pub fn submit(
        &self,
        now: Now,
        request: Request,
        consistency: Consistency,
        waiter: impl FnOnce() -> W,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Reply> {
        let id = self.keyspace.partition_of(request.key());
        let view = self.view.read().clone();
        let task = Task {
            now,
            partition: id,
            consistency,
            view: &view,
        };
        self.shard(id).lock().submit(task, request, waiter, effects)
    }

    /// Takes in what a peer sent.
    pub fn receive(&self, now: Now, from: NodeId, message: Message, effects: &mut Vec<Effect<W>>) {
        match message {
            Message::Push { id, push } => {
                let push = Arc::unwrap_or_clone(push);
                if let Some(shard) = self.known_shard(push.partition) {
                    shard.lock().push(now, from, id, push, effects);
                }
            }
            Message::Pushed { partition, id } => {
                if let Some(shard) = self.known_shard(partition) {
                    shard.lock().pushed(now, from, id, effects);
                }
            }
            Message::Read { partition, id, key } => {
                if let Some(shard) = self.known_shard(partition) {
                    shard.lock().answer_read(from, partition, id, &key, effects);
                }
            }
            Message::Known {
                partition,
                id,
                object,
            } => {
                let Some(shard) = self.known_shard(partition) else {
                    return;
                };
                let differs = shard.lock().known(now, from, id, &object, effects);
                if differs {
                    self.differ(now, from, vec![partition], true, effects);
                }
            }
            Message::Root(root) => self.answer_root(now, from, root, effects),
            Message::Same(root) => self.same(now, from, root, effects),
            Message::Hashes(hashes) => self.compare_hashes(now, from, &hashes, effects),
            Message::Digest {
                digest,
                fingerprint,
                mutual,
            } => {
                let Some(shard) = self.known_shard(digest.partition) else {
                    return;
                };
                let behind = shard
                    .lock()
                    .answer_digest(from, &digest, fingerprint, effects);
                if behind && mutual {
                    let partitions = vec![digest.partition];
                    self.differ(now, from, partitions, false, effects);
                }
            }
            Message::Delta(delta) => {
                let partition = delta.partition;
                if let Some(shard) = self.known_shard(partition) {
                    let pulled = shard.lock().delta(now, from, delta, effects);
                    self.pulled(now, from, partition, pulled, effects);
                }
            }
            Message::CaughtUp { partition, asker } => {
                if self.is_mine(partition, asker) {
                    self.pulled(now, from, partition, Pulled::All { keys: 0 }, effects);
                }
            }
            Message::TooFarBehind { partition, asker } => {
                if self.is_mine(partition, asker) {
                    let request = self.shard(partition).lock().ask_full(partition);
                    effects.extend(request.map(|message| Effect::Send { to: from, message }));
                    self.pulled(now, from, partition, Pulled::More { keys: 0 }, effects);
                }
            }
            Message::FullRequest(request) => {
                if let Some(shard) = self.known_shard(request.partition) {
                    shard.lock().serve_full(now, from, &request, effects);
                }
            }
            Message::FullNext(next) => {
                if let Some(shard) = self.known_shard(next.partition) {
                    shard.lock().serve_next(now, from, &next, effects);
                }
            }
            Message::FullRows(rows) => {
                let partition = rows.partition;
                if let Some(shard) = self.known_shard(partition) {
                    let pulled = shard.lock().full_rows(from, rows, effects);
                    self.pulled(now, from, partition, pulled, effects);
                }
            }
            Message::FullEnd(end) => {
                let partition = end.partition;
                if let Some(shard) = self.known_shard(partition) {
                    let pulled = shard.lock().full_end(now, from, end, effects);
                    self.pulled(now, from, partition, pulled, effects);
                }
            }
        }
    }

    /// Membership or the links changed.
    pub fn view_changed(&self, now: Now, view: View, effects: &mut Vec<Effect<W>>) {
        let view = Arc::new(view);
        *self.view.write() = view.clone();
        for shard in &self.shards {
            shard.lock().view_changed(now, &view, effects);
        }
        self.tell_sync(now, Input::Reachable(view.reachable.clone()), effects);
    }

    /// What membership and the links last said.
    pub fn view(&self) -> Arc<View> {
        self.view.read().clone()
    }

    /// A push to `peer` was dropped: its queue was full or its link went down.
    pub fn push_dropped(&self, now: Now, peer: NodeId, effects: &mut Vec<Effect<W>>) {
        self.tell_sync(now, Input::PushDropped(peer), effects);
    }

    /// Does what is due.
    pub fn handle_timeout(&self, now: Now, effects: &mut Vec<Effect<W>>) {
        for shard in &self.shards {
            shard.lock().expire_waits(now, effects);
        }
        if self.housekeeping_is_due(now) {
            let view = self.view();
            for shard in &self.shards {
                shard.lock().keep_house(now, &view.replicas, effects);
            }
        }
        let mut sync = self.sync.lock();
        sync.handle_timeout(now);
        self.drain_sync(sync, effects);
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let waits = self
            .shards
            .iter()
            .filter_map(|shard| shard.lock().deadline());
        let own = [*self.housekeeping_due.lock()];
        let sync = self.sync.lock().poll_timeout();
        waits.chain(own).chain(sync).min()
    }

    /// Whether this node has, since it started, once had everything that some peer had.
    pub fn is_caught_up(&self) -> bool {
        self.sync.lock().is_caught_up()
    }

    /// Up to about `count` live keys whose hash is at least `from`, in hash order, and the
    /// hash to go on from; `None` when there are no more. Keys of equal hash come together.
    pub fn scan(&self, now: Now, from: u64, count: usize) -> (Vec<Bytes>, Option<u64>) {
        let mut keys = Vec::new();
        let first = self.keyspace.partition_at(from);
        for id in self.keyspace.all().skip(usize::from(first.0)) {
            let shard = self.shard(id).lock();
            let Some(partition) = shard.partition(id) else {
                continue;
            };
            let mut last_hash = None;
            for (hash, key) in partition.keys_from(from) {
                if keys.len() >= count && last_hash != Some(hash) {
                    return (keys, Some(hash));
                }
                if partition.read(key, now.wall_ms).is_some() {
                    keys.push(key.clone());
                    last_hash = Some(hash);
                }
            }
        }
        (keys, None)
    }

    /// Sums over all partitions.
    pub fn stats(&self) -> DataStats {
        let mut sums = DataStats {
            sync_backlog: self.sync.lock().backlog() as u64,
            ..DataStats::default()
        };
        for shard in &self.shards {
            let shard = shard.lock();
            sums.waiting += shard.waiting() as u64;
            for stats in shard.stats() {
                sums.keys += stats.keys as u64;
                sums.dots_live += stats.dots_live as u64;
                sums.rows_residual += stats.residual_rows as u64;
                sums.log_rows += stats.log_rows as u64;
                sums.bytes += stats.bytes as u64;
            }
        }
        sums
    }

    /// Number of keys that have a value.
    pub fn key_count(&self) -> u64 {
        self.stats().keys
    }

    /// Calls `inspect` with every partition, in order of shards. For tests and the simulator.
    pub fn inspect(&self, mut inspect: impl FnMut(&Partition)) {
        for shard in &self.shards {
            shard.lock().partitions().for_each(&mut inspect);
        }
    }

    fn shard(&self, id: PartitionId) -> &Mutex<Shard<W>> {
        // `shard_of` is below SHARDS, and there are SHARDS shards.
        &self.shards[shard_of(id)]
    }

    /// The shard of a partition that a peer named; `None` if there is no such partition.
    fn known_shard(&self, id: PartitionId) -> Option<&Mutex<Shard<W>>> {
        (id.0 < self.keyspace.partitions).then(|| self.shard(id))
    }

    fn is_mine(&self, partition: PartitionId, asker: ActorId) -> bool {
        self.known_shard(partition).is_some_and(|shard| {
            let shard = shard.lock();
            shard
                .partition(partition)
                .is_some_and(|p| p.actor() == asker)
        })
    }

    /// The hash of every partition, in order.
    fn hashes(&self) -> Vec<u64> {
        let mut hashes = vec![0; usize::from(self.keyspace.partitions)];
        for shard in &self.shards {
            for partition in shard.lock().partitions() {
                if let Some(hash) = hashes.get_mut(usize::from(partition.id().0)) {
                    // Equal clocks with unequal data must show as a difference.
                    *hash = partition.hash() ^ partition.fingerprint().rotate_left(32);
                }
            }
        }
        hashes
    }

    fn answer_root(&self, now: Now, from: NodeId, root: u64, effects: &mut Vec<Effect<W>>) {
        let hashes = self.hashes();
        let message = if root_of(&hashes) == root {
            self.note_even(from, self.keyspace.all());
            self.tell_sync(now, Input::Same(from), effects);
            Message::Same(root)
        } else {
            Message::Hashes(hashes)
        };
        effects.push(Effect::Send { to: from, message });
    }

    fn same(&self, now: Now, from: NodeId, root: u64, effects: &mut Vec<Effect<W>>) {
        if root_of(&self.hashes()) == root {
            self.note_even(from, self.keyspace.all());
        }
        self.tell_sync(now, Input::Same(from), effects);
    }

    fn compare_hashes(&self, now: Now, from: NodeId, theirs: &[u64], effects: &mut Vec<Effect<W>>) {
        let ours = self.hashes();
        if ours.len() != theirs.len() {
            return;
        }
        let (even, differ): (Vec<_>, Vec<_>) = self
            .keyspace
            .all()
            .zip(ours.iter().zip(theirs))
            .partition(|(_, (our, their))| our == their);
        self.note_even(from, even.into_iter().map(|(id, _)| id));
        if differ.is_empty() {
            self.tell_sync(now, Input::Same(from), effects);
        } else {
            let partitions = differ.into_iter().map(|(id, _)| id).collect();
            self.differ(now, from, partitions, true, effects);
        }
    }

    fn note_even(&self, peer: NodeId, ids: impl Iterator<Item = PartitionId>) {
        for id in ids {
            self.shard(id).lock().note_even(peer, std::iter::once(id));
        }
    }

    fn differ(
        &self,
        now: Now,
        peer: NodeId,
        partitions: Vec<PartitionId>,
        mutual: bool,
        effects: &mut Vec<Effect<W>>,
    ) {
        let input = Input::Differ {
            peer,
            partitions,
            mutual,
        };
        self.tell_sync(now, input, effects);
    }

    fn pulled(
        &self,
        now: Now,
        peer: NodeId,
        partition: PartitionId,
        pulled: Pulled,
        effects: &mut Vec<Effect<W>>,
    ) {
        let (keys, done) = match pulled {
            Pulled::Stale => return,
            Pulled::More { keys } => (keys, false),
            Pulled::All { keys } => (keys, true),
        };
        self.tell_sync(
            now,
            Input::Progress {
                peer,
                partition,
                keys,
            },
            effects,
        );
        if done {
            self.tell_sync(now, Input::Done { peer, partition }, effects);
        }
    }

    fn tell_sync(&self, now: Now, input: Input, effects: &mut Vec<Effect<W>>) {
        let mut sync = self.sync.lock();
        sync.handle(now, input);
        self.drain_sync(sync, effects);
    }

    /// Turns what the synchroniser wants into messages, after releasing its lock.
    fn drain_sync(
        &self,
        mut sync: parking_lot::MutexGuard<'_, Synchronizer>,
        effects: &mut Vec<Effect<W>>,
    ) {
        let outputs: Vec<Output> = std::iter::from_fn(|| sync.poll_output()).collect();
        drop(sync);
        for output in outputs {
            match output {
                Output::Compare(to) => effects.push(Effect::Send {
                    to,
                    message: Message::Root(root_of(&self.hashes())),
                }),
                Output::Pull(pull) => {
                    let shard = self.shard(pull.partition).lock();
                    let question = shard.ask(pull.partition, pull.mutual);
                    effects.extend(question.map(|message| Effect::Send {
                        to: pull.peer,
                        message,
                    }));
                }
                Output::Finished(peer, tally) => {
                    effects.push(Effect::Note(Note::Synced { peer, tally }));
                }
            }
        }
    }

    fn housekeeping_is_due(&self, now: Now) -> bool {
        let mut due = self.housekeeping_due.lock();
        let is_due = *due <= now.mono;
        if is_due {
            *due = now.mono + HOUSEKEEPING_INTERVAL;
        }
        is_due
    }
}

fn shard_of(id: PartitionId) -> usize {
    usize::from(id.0) % SHARDS
}

/// One hash over all partitions. Order matters: two partitions that swapped must differ.
fn root_of(hashes: &[u64]) -> u64 {
    let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect();
    xxhash_rust::xxh3::xxh3_64(&bytes)
}
