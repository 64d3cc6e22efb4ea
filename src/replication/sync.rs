//! When to compare with whom, and what to fetch from whom next.
//!
//! Idea: a node compares itself once per interval with one random reachable peer, at once
//! with a peer that has just become reachable, and at once with a peer for which a push was
//! dropped. Partitions that turn out to differ are *pulled*: the pull of a partition goes on
//! with one peer at a time until that peer has nothing more, and only a few pulls run at
//! once, so that a large difference costs bounded memory on both sides.
//!
//! A pull without progress is given up after a while; the next comparison finds the
//! difference again. Nothing here must succeed for data to be safe.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, RngExt};

use crate::clock::NodeId;
use crate::machine::{Instant, Machine, Now};
use crate::placement::PartitionId;

/// Knobs of the synchroniser.
#[derive(Clone, Debug)]
pub struct SyncParams {
    /// Time between two comparisons with a random peer. Shorter mends sooner and costs a
    /// few dozen bytes each time.
    pub interval: Duration,
    /// A pull that made no progress for this long is given up.
    pub pull_timeout: Duration,
    /// Partitions pulled at the same time. Each may have one delta or chunk in flight.
    pub pulls_max: usize,
}

impl Default for SyncParams {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            pull_timeout: Duration::from_secs(5),
            pulls_max: 8,
        }
    }
}

/// One partition to fetch from one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pull {
    /// The partition.
    pub partition: PartitionId,
    /// The peer.
    pub peer: NodeId,
    /// Whether the peer should fetch from us in return.
    pub mutual: bool,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// These peers, and no others, can be reached now.
    Reachable(BTreeSet<NodeId>),
    /// A push to this peer was dropped; compare soon.
    PushDropped(NodeId),
    /// Nothing differs from this peer.
    Same(NodeId),
    /// These partitions differ from this peer's.
    Differ {
        /// The peer.
        peer: NodeId,
        /// The partitions.
        partitions: Vec<PartitionId>,
        /// Whether the peer should fetch from us in return.
        mutual: bool,
    },
    /// Something of a pull arrived.
    Progress {
        /// Whom it came from.
        peer: NodeId,
        /// The partition.
        partition: PartitionId,
        /// Keys that it brought.
        keys: u64,
        /// When the peer will be asked for more.
        next: Instant,
    },
    /// A pull is over: the peer has nothing more, or cannot go on.
    Done {
        /// The peer.
        peer: NodeId,
        /// The partition.
        partition: PartitionId,
    },
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this peer our root hash.
    Compare(NodeId),
    /// Send this peer our digest of the partition.
    Pull(Pull),
    /// Everything that differed from this peer has been fetched.
    Finished(NodeId, Tally),
}

/// What was fetched from one peer since it was last even.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Partitions fetched.
    pub partitions: u64,
    /// Keys fetched.
    pub keys: u64,
}

#[derive(Debug)]
struct Active {
    peer: NodeId,
    deadline: Instant,
}

/// Decides when to compare with whom and what to fetch next.
#[derive(Debug)]
pub struct Synchronizer {
    params: SyncParams,
    rng: SmallRng,
    reachable: BTreeSet<NodeId>,
    /// Peers to compare with at the next opportunity.
    soon: BTreeSet<NodeId>,
    next_round: Instant,
    /// In the order in which they will run. Bounded: one per partition and peer.
    queue: VecDeque<Pull>,
    queued: BTreeSet<(PartitionId, NodeId)>,
    active: BTreeMap<PartitionId, Active>,
    tallies: BTreeMap<NodeId, Tally>,
    /// The peers with which this node has been even since it started. Bounded by the members
    /// that there have been since then.
    even: BTreeSet<NodeId>,
    outputs: VecDeque<Output>,
}

impl Synchronizer {
    /// A synchroniser that knows no peer yet.
    pub fn new(params: SyncParams, rng: SmallRng, now: Now) -> Self {
        Self {
            next_round: now.mono + params.interval,
            params,
            rng,
            reachable: BTreeSet::new(),
            soon: BTreeSet::new(),
            queue: VecDeque::new(),
            queued: BTreeSet::new(),
            active: BTreeMap::new(),
            tallies: BTreeMap::new(),
            even: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Whether this node has, since it started, once had everything that some peer had.
    pub fn is_caught_up(&self) -> bool {
        !self.even.is_empty()
    }

    /// Whether this node has, since it started, once had everything that this peer had.
    pub fn has_been_even_with(&self, peer: NodeId) -> bool {
        self.even.contains(&peer)
    }

    /// This node has lost something that it had: it is even with nobody, and compares with
    /// every peer soon.
    pub fn fall_back(&mut self) {
        self.even.clear();
        self.soon.clone_from(&self.reachable);
    }

    /// Pulls running and waiting.
    pub fn backlog(&self) -> usize {
        self.active.len() + self.queue.len()
    }

    fn reachable_changed(&mut self, reachable: BTreeSet<NodeId>) {
        self.soon.retain(|peer| reachable.contains(peer));
        self.soon.extend(reachable.difference(&self.reachable));
        self.queue.retain(|pull| reachable.contains(&pull.peer));
        self.queued.retain(|(_, peer)| reachable.contains(peer));
        self.active
            .retain(|_, active| reachable.contains(&active.peer));
        self.tallies.retain(|peer, _| reachable.contains(peer));
        self.reachable = reachable;
    }

    fn enqueue(&mut self, pull: Pull) {
        let running = self.active.get(&pull.partition);
        if !self.reachable.contains(&pull.peer) || running.is_some_and(|a| a.peer == pull.peer) {
            return;
        }
        if self.queued.insert((pull.partition, pull.peer)) {
            self.queue.push_back(pull);
        }
    }

    /// Starts as many waiting pulls as may run. A partition is pulled from one peer at a
    /// time: the next one is then asked only for what the first did not have.
    fn start_pulls(&mut self, now: Instant) {
        let mut candidates = self.queue.len();
        while self.active.len() < self.params.pulls_max && candidates > 0 {
            candidates -= 1;
            let Some(pull) = self.queue.pop_front() else {
                return;
            };
            if self.active.contains_key(&pull.partition) {
                self.queue.push_back(pull);
                continue;
            }
            self.queued.remove(&(pull.partition, pull.peer));
            let deadline = now + self.params.pull_timeout;
            let peer = pull.peer;
            self.active
                .insert(pull.partition, Active { peer, deadline });
            self.tallies.entry(peer).or_default().partitions += 1;
            self.outputs.push_back(Output::Pull(pull));
        }
    }

    fn progress(&mut self, next: Instant, peer: NodeId, partition: PartitionId, keys: u64) {
        if let Some(active) = self.active.get_mut(&partition)
            && active.peer == peer
        {
            active.deadline = next + self.params.pull_timeout;
            self.tallies.entry(peer).or_default().keys += keys;
        }
    }

    fn done(&mut self, peer: NodeId, partition: PartitionId) {
        if self.active.get(&partition).is_some_and(|a| a.peer == peer) {
            self.active.remove(&partition);
            self.finish_if_even(peer);
        }
    }

    fn finish_if_even(&mut self, peer: NodeId) {
        let busy = self.active.values().any(|active| active.peer == peer)
            || self.queue.iter().any(|pull| pull.peer == peer);
        if !busy && let Some(tally) = self.tallies.remove(&peer) {
            self.even.insert(peer);
            self.outputs.push_back(Output::Finished(peer, tally));
        }
    }

    fn give_up_stalled(&mut self, now: Instant) {
        let stalled: Vec<(PartitionId, NodeId)> = self
            .active
            .iter()
            .filter(|(_, active)| active.deadline <= now)
            .map(|(partition, active)| (*partition, active.peer))
            .collect();
        for (partition, peer) in stalled {
            self.active.remove(&partition);
            // Not even with it: forget the tally, the next comparison starts over.
            self.tallies.remove(&peer);
        }
    }

    fn compare_when_due(&mut self, now: Instant) {
        while let Some(peer) = self.soon.pop_first() {
            self.outputs.push_back(Output::Compare(peer));
        }
        if self.next_round > now {
            return;
        }
        // Jitter keeps nodes that started together from comparing in step.
        let jitter = self.rng.random_range(0.9..1.1);
        self.next_round = now + self.params.interval.mul_f64(jitter);
        if let Some(peer) = self.random_peer() {
            self.outputs.push_back(Output::Compare(peer));
        }
    }

    fn random_peer(&mut self) -> Option<NodeId> {
        if self.reachable.is_empty() {
            return None;
        }
        let index = (self.rng.next_u64() % self.reachable.len() as u64) as usize;
        self.reachable.iter().nth(index).copied()
    }
}

impl Machine for Synchronizer {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Reachable(reachable) => self.reachable_changed(reachable),
            Input::PushDropped(peer) => {
                if self.reachable.contains(&peer) {
                    self.soon.insert(peer);
                }
                // Left to the next timeout: a burst of drops is one comparison.
                return;
            }
            Input::Same(peer) => {
                if self.reachable.contains(&peer) {
                    self.even.insert(peer);
                }
            }
            Input::Differ {
                peer,
                partitions,
                mutual,
            } => {
                for partition in partitions {
                    self.enqueue(Pull {
                        partition,
                        peer,
                        mutual,
                    });
                }
            }
            Input::Progress {
                peer,
                partition,
                keys,
                next,
            } => self.progress(next, peer, partition, keys),
            Input::Done { peer, partition } => self.done(peer, partition),
        }
        self.handle_timeout(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.give_up_stalled(now.mono);
        self.compare_when_due(now.mono);
        self.start_pulls(now.mono);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let stalled = self.active.values().map(|active| active.deadline).min();
        Some(stalled.map_or(self.next_round, |at| at.min(self.next_round)))
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}
