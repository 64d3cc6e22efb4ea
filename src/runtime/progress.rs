//! How far replicas have come with what a caller has written: asked until it is enough.
//!
//! Each owner of each partition is asked for the clock of its copy, again and again, and what it
//! said last is what counts. It has a caller's writes when it has everything that their actors
//! wrote up to them: a hole before them, of a push that was lost, counts as not there until sync
//! has filled it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Handle;
use super::past::{Noted, PAST_WRITERS_MAX, Past};
use super::views::Submitted;
use crate::clock::{Clock, NodeId, VersionVector};
use crate::node::View;
use crate::node::request::{Reply, Request, RequestError};
use crate::placement::PartitionId;

/// The first pause before it is asked again, which doubles up to the last: within a round trip
/// nearly everything is there, and what is not waits for sync or for a node.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(1);
pub(super) const PAUSE_MAX: Duration = Duration::from_millis(50);

/// How many replicas must have what a caller wrote.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// Whether the owners that accepted the writes must have them on their disks.
    pub accepted: bool,
    /// How many other owners.
    pub others: usize,
    /// Whether only what is on a disk counts.
    pub on_disk: bool,
}

/// Who has what a caller wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Whether all owners that accepted a write have it.
    pub accepted: bool,
    /// The fewest other owners that have a write.
    pub others: usize,
}

/// Why it cannot be said how far replicas have come.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProgressError {
    /// There was no room to note all.
    #[error(
        "this connection's writes were accepted by more than {PAST_WRITERS_MAX} copies of \
         partitions, which is not kept: use a new connection"
    )]
    Cut,
    /// The node says no.
    #[error("{0}")]
    Node(#[from] RequestError),
}

/// A clock of one copy, or its being on its way.
#[derive(Default)]
struct Copy {
    known: Option<Clock>,
    asked: Option<oneshot::Receiver<Reply>>,
}

impl Handle {
    /// Waits until as many owners as the goal says have what a caller wrote, or until the
    /// deadline, if there is one; who has it then. A caller that has written nothing has it
    /// everywhere.
    ///
    /// # Errors
    /// [`ProgressError`]: it cannot be said.
    pub async fn replicated(
        &self,
        past: &Past,
        goal: Goal,
        deadline: Option<Instant>,
    ) -> Result<Reached, ProgressError> {
        let noted = past.noted();
        if noted.is_cut {
            return Err(ProgressError::Cut);
        }
        let mut copies = BTreeMap::new();
        let mut pause = PAUSE_MIN;
        loop {
            let view = self.core().data.view();
            self.ask_copies(&view, &noted, goal.on_disk, &mut copies)?;
            let reached = reached(&view, &noted, &copies);
            let is_met = reached.others >= goal.others && (reached.accepted || !goal.accepted);
            let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if is_met || is_over || self.core().stopping.is_cancelled() {
                return Ok(reached);
            }
            let wake = Instant::now() + pause;
            tokio::time::sleep_until(deadline.map_or(wake, |deadline| deadline.min(wake))).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Takes in what copies have said, and asks those that do not have everything.
    fn ask_copies(
        &self,
        view: &View,
        noted: &Noted,
        on_disk: bool,
        copies: &mut BTreeMap<(PartitionId, NodeId), Copy>,
    ) -> Result<(), ProgressError> {
        for (partition, vector) in &noted.written {
            for owner in owners(view, *partition) {
                let copy = copies.entry((*partition, owner)).or_default();
                if copy.known.as_ref().is_some_and(|clock| has(clock, vector)) {
                    continue;
                }
                if let Some(asked) = &mut copy.asked {
                    match asked.try_recv() {
                        Ok(reply) => copy.take(reply),
                        Err(oneshot::error::TryRecvError::Empty) => continue,
                        Err(oneshot::error::TryRecvError::Closed) => copy.asked = None,
                    }
                    continue;
                }
                let question = Request::Progress {
                    partition: *partition,
                    on_disk,
                };
                match self.ask_owner(owner, question) {
                    Submitted::Ready(Reply::Failed(error @ RequestError::InMemory)) => {
                        return Err(error.into());
                    }
                    Submitted::Ready(reply) => copy.take(reply),
                    Submitted::Waiting(asked) | Submitted::Deferred(asked) => {
                        copy.asked = Some(asked);
                    }
                }
            }
        }
        Ok(())
    }

    /// Puts a request that changes nothing to one owner, which may be this node, and to no
    /// other: it says what its own copy has.
    pub fn ask_owner(&self, owner: NodeId, request: Request) -> Submitted {
        let core = self.core();
        let mut receiver = None;
        let mut effects = Vec::new();
        let waiter = || {
            let (sender, waiting) = oneshot::channel();
            receiver = Some(waiting);
            core.waiters.waiter(sender, None)
        };
        let now = core.clock.now();
        let reply = (core.data).ask_owner(now, owner, request, waiter, &mut effects);
        core.execute(effects);
        Submitted::of(reply, receiver)
    }
}

impl Copy {
    fn take(&mut self, reply: Reply) {
        self.asked = None;
        // Who does not say has what it was last known to have.
        if let Reply::Progress(clock) = reply {
            self.known = Some(clock);
        }
    }
}

/// The owners of a partition that can be asked.
fn owners(view: &View, partition: PartitionId) -> BTreeSet<NodeId> {
    let group = view.group(partition);
    let me = group.is_owner.then_some(view.me);
    group.voters.iter().copied().chain(me).collect()
}

fn has(clock: &Clock, vector: &VersionVector) -> bool {
    vector.iter().all(|(actor, n)| clock.base(actor) >= n)
}

fn reached(view: &View, noted: &Noted, copies: &BTreeMap<(PartitionId, NodeId), Copy>) -> Reached {
    if noted.written.is_empty() {
        let others = |id| owners(view, id).len().saturating_sub(1);
        let all = view.placement.keyspace().all();
        return Reached {
            accepted: true,
            others: all.map(others).min().unwrap_or_default(),
        };
    }
    let mut reached = Reached {
        accepted: true,
        others: usize::MAX,
    };
    for (partition, vector) in &noted.written {
        for (actor, n) in vector.iter() {
            let has_it = |owner: &NodeId| {
                let copy = copies.get(&(*partition, *owner));
                let clock = copy.and_then(|copy| copy.known.as_ref());
                clock.is_some_and(|clock| clock.base(actor) >= n)
            };
            let mut holders = owners(view, *partition);
            holders.retain(has_it);
            reached.accepted &= holders.remove(&actor.node);
            reached.others = reached.others.min(holders.len());
        }
    }
    reached
}
