//! Everything that a node does about data.
//!
//! Calls may come from many threads; each takes the lock of one shard, or the
//! synchroniser's, never two at once.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::control::Control;
use super::effect::Effect;
use super::gate::Gate;
use super::holdings::Holdings;
use super::losses::Losses;
use super::member::MemberParams;
use super::memory::Memory;
use super::progress::Tracker;
use super::shard::Shard;
use super::sync_count::SyncCount;
use super::transfers::Transfers;
use super::view::View;
use crate::clock::{ActorId, NodeId};
use crate::machine::{Instant, Machine, Now};
use crate::placement::{Keyspace, PartitionId};
use crate::replication::{Durability, Input, Pacer, SyncParams, Synchronizer};
use crate::store::engine::Engine;
use crate::store::{MemoryRoom, Options, Partition, StoreError};

/// Locks that the partitions are divided over. More than cores, so that two threads seldom
/// meet; few enough to visit all of them for a housekeeping turn.
const SHARDS: usize = 32;

/// How often expiry and the dot logs are looked after.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(1);

/// How long the view must have been the same, with every replica within reach, before dead
/// actors are closed, or what is left of a partition without owners is taken for whole. Longer
/// than any message is on its way and than news of a member take.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// Knobs of [`Data`].
#[derive(Clone, Debug)]
pub struct DataParams {
    /// Who this node is.
    pub me: NodeId,
    /// How it describes itself to the cluster.
    pub member: MemberParams,
    /// How the cluster cuts its keyspace.
    pub keyspace: Keyspace,
    /// How many replicas each partition has, where there are as many members.
    pub replicas: u8,
    /// How long a request waits for its replicas.
    pub timeout: Duration,
    /// When to compare with whom.
    pub sync: SyncParams,
    /// Most bytes per second that are fetched to catch up.
    pub sync_rate: NonZeroU64,
    /// How safe what comes from replicas must be; clients say for themselves.
    pub durability: Durability,
    /// Limits of each partition; its keyspace is replaced by this one's.
    pub options: Options,
}

/// A node's data: shards and synchroniser. `W` is whoever waits for a reply.
pub struct Data<W> {
    pub(super) me: NodeId,
    pub(super) durability: Durability,
    /// Whether something was committed that should be on the disk soon.
    pub(super) dirty: AtomicBool,
    pub(super) syncs: SyncCount,
    /// Of keys and values that came by syncs, since the start.
    pub(super) fetched_bytes: AtomicU64,
    pub(super) keyspace: Keyspace,
    pub(super) shards: Vec<Mutex<Shard<W>>>,
    pub(super) sync: Mutex<Synchronizer>,
    pub(super) pacer: Mutex<Pacer>,
    pub(super) transfers: Mutex<Transfers>,
    pub(super) losses: Mutex<Losses>,
    pub(super) engine: RwLock<Arc<dyn Engine>>,
    pub(super) gate: Arc<Gate>,
    /// For data that is in memory only.
    pub(super) room: Option<Arc<MemoryRoom>>,
    pub(super) control: Mutex<Control>,
    pub(super) holdings: Mutex<Holdings>,
    pub(super) progress: Mutex<Tracker>,
    /// When to look after this node's place in the cluster.
    pub(super) place_due: Mutex<Instant>,
    /// For fresh actors.
    pub(super) rng: Mutex<SmallRng>,
    view: RwLock<Arc<View>>,
    /// Since when the view is what it is.
    view_since: Mutex<Instant>,
    housekeeping_due: Mutex<Instant>,
}

impl<W> Data<W> {
    /// Opens every partition of `engine`, each under a fresh actor (PROTOCOL R1). What a node
    /// that remembers no cluster holds is not taken for whole.
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
        let memory = engine.note()?.and_then(|note| Memory::decode(&note));
        let mut shards: Vec<Vec<Partition>> = (0..SHARDS).map(|_| Vec::new()).collect();
        for id in params.keyspace.all() {
            let actor = ActorId {
                node: params.me,
                incarnation: rng.next_u64(),
            };
            let mut partition = Partition::open(id, actor, engine.clone(), options)?;
            if memory.is_none() {
                partition.presume_rebuilding();
            }
            if let Some(shard) = shards.get_mut(shard_of(id)) {
                shard.push(partition);
            }
        }
        let control = Control::new(
            params.me,
            params.keyspace,
            params.replicas,
            params.member.clone(),
            memory.unwrap_or_default(),
        );
        let view = control.view();
        // What a repair has taken for whole there, though it was only not there.
        for partition in shards.iter_mut().flatten() {
            if partition.clock().is_empty() && !view.group(partition.id()).is_wanted {
                partition.presume_rebuilding();
            }
        }
        Ok(Self {
            me: params.me,
            durability: params.durability,
            dirty: AtomicBool::new(false),
            syncs: SyncCount::default(),
            fetched_bytes: AtomicU64::new(0),
            keyspace: params.keyspace,
            shards: shards
                .into_iter()
                .map(|partitions| {
                    let session = rng.next_u64();
                    Shard::new(partitions, params.timeout, session)
                })
                .map(Mutex::new)
                .collect(),
            pacer: Mutex::new(Pacer::new(params.sync_rate)),
            sync: Mutex::new(Synchronizer::new(
                params.sync.clone(),
                SmallRng::seed_from_u64(rng.next_u64()),
                now,
            )),
            transfers: Mutex::default(),
            losses: Mutex::default(),
            engine: RwLock::new(engine.clone()),
            gate: Arc::default(),
            room: engine.room(),
            view: RwLock::new(Arc::new(view)),
            control: Mutex::new(control),
            holdings: Mutex::new(Holdings::new(rng.next_u64())),
            progress: Mutex::default(),
            place_due: Mutex::new(now.mono),
            view_since: Mutex::new(now.mono),
            housekeeping_due: Mutex::new(now.mono + HOUSEKEEPING_INTERVAL),
            rng: Mutex::new(rng),
        })
    }

    /// The same, where data that was damaged lies aside: copies that are not whole had more
    /// once than what is in them.
    pub fn beside_a_quarantine(self) -> Self {
        for shard in &self.shards {
            shard.lock().hides_nothing = false;
        }
        self
    }

    /// The same, taking in changes only while `gate` is open.
    pub fn behind(mut self, gate: Arc<Gate>) -> Self {
        self.gate = gate;
        self
    }

    /// What this node sees of the cluster changed.
    pub(super) fn view_changed(&self, now: Now, view: View, effects: &mut Vec<Effect<W>>) {
        let view = Arc::new(view);
        let before = std::mem::replace(&mut *self.view.write(), view.clone());
        if before == view {
            return;
        }
        *self.view_since.lock() = now.mono;
        for shard in &self.shards {
            shard.lock().view_changed(now, &view, effects);
        }
        self.pacer
            .lock()
            .retain(|peer| view.reachable.contains(&peer));
        self.tell_sync(now, Input::Reachable(view.reachable.clone()), effects);
    }

    /// How the cluster cuts its keyspace.
    pub fn keyspace(&self) -> Keyspace {
        self.keyspace
    }

    /// What membership and the links last said.
    pub fn view(&self) -> Arc<View> {
        self.view.read().clone()
    }

    /// Does what is due.
    pub fn handle_timeout(&self, now: Now, effects: &mut Vec<Effect<W>>) {
        for shard in &self.shards {
            shard.lock().expire_waits(now, effects);
        }
        if self.housekeeping_is_due(now) {
            self.transfers.lock().forget_idle(now.mono);
            let view = self.view();
            let my_turn = self.is_my_turn(now, &view);
            for shard in &self.shards {
                shard.lock().keep_house(now, &view);
            }
            if !self.gate.is_closed() {
                for shard in &self.shards {
                    shard.lock().tidy(now, &view, my_turn, effects);
                }
                let may_close = self.is_settled(now) && view.is_whole();
                self.close_dead_actors(&view, may_close, effects);
                self.note_commit(self.durability);
            }
            self.tell_of_losses(effects);
            self.tend_place_soon(now.mono);
        }
        if self.place_is_due(now) {
            self.tend_place(now, effects);
        }
        let due = self.pacer.lock().take_due(now.mono);
        for (partition, peer) in due {
            self.ask_on(now, peer, partition, effects);
        }
        let mut sync = self.sync.lock();
        sync.handle_timeout(now);
        self.drain_sync(now, sync, effects);
    }

    /// Whether the view has been what it is for long enough that no news of a member are on
    /// their way.
    pub(super) fn is_settled(&self, now: Now) -> bool {
        now.mono.since(*self.view_since.lock()) >= SETTLED_AFTER
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let waits = self
            .shards
            .iter()
            .filter_map(|shard| shard.lock().deadline());
        let own = [*self.housekeeping_due.lock(), *self.place_due.lock()];
        let sync = self.sync.lock().poll_timeout();
        let paced = self.pacer.lock().deadline();
        waits.chain(own).chain(sync).chain(paced).min()
    }

    /// Whether this node has, since it started, once had everything that some peer had.
    pub fn is_caught_up(&self) -> bool {
        self.sync.lock().is_caught_up()
    }

    /// Calls `inspect` with every partition, in order of shards. For tests and the simulator.
    pub fn inspect(&self, mut inspect: impl FnMut(&Partition)) {
        for shard in &self.shards {
            shard.lock().partitions().for_each(&mut inspect);
        }
    }

    pub(super) fn shard(&self, id: PartitionId) -> &Mutex<Shard<W>> {
        // `shard_of` is below SHARDS, and there are SHARDS shards.
        &self.shards[shard_of(id)]
    }

    /// Whether two partitions lie under one lock.
    pub(super) fn is_same_shard(&self, one: PartitionId, other: PartitionId) -> bool {
        shard_of(one) == shard_of(other)
    }

    /// The shard of a partition that a peer named; `None` if there is no such partition.
    pub(super) fn known_shard(&self, id: PartitionId) -> Option<&Mutex<Shard<W>>> {
        (id.0 < self.keyspace.partitions).then(|| self.shard(id))
    }

    /// Replicas take turns at what all of them could do, so that they seldom do it at once.
    fn is_my_turn(&self, now: Now, view: &View) -> bool {
        let turn = now.wall_ms / HOUSEKEEPING_INTERVAL.as_millis() as u64;
        let turns = view.members.len() as u64 + 1;
        turn.wrapping_add(self.me.0).is_multiple_of(turns)
    }

    /// Whether `holds` of some partition.
    pub(super) fn any(&self, holds: impl Fn(&Partition) -> bool) -> bool {
        let any_of = |shard: &Mutex<Shard<W>>| shard.lock().partitions().any(&holds);
        self.shards.iter().any(any_of)
    }

    fn place_is_due(&self, now: Now) -> bool {
        let mut due = self.place_due.lock();
        let is_due = *due <= now.mono;
        if is_due {
            *due = now.mono + HOUSEKEEPING_INTERVAL;
        }
        is_due
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
