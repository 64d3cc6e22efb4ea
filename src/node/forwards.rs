//! Requests that another owner of the key does: for keys that this node does not serve, and
//! those that are decided on one owner ([`Request::is_decided`]).
//!
//! The owner is the same one for as long as it lives and serves, so what a client of this node
//! has written it reads. A request travels once: whoever gets one that it does not serve says
//! so, and the next owner is asked. What was not begun anywhere is asked of the next owner too;
//! a write that may have been begun is not, since it might be done twice. What is decided on
//! one owner is asked of them in the order of preference, by everyone, and where this node is
//! one of them it does it itself when its turn comes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::effect::{Client, Effect};
use super::view::Group;
use crate::clock::NodeId;
use crate::machine::{Instant, Now};
use crate::placement::PartitionId;
use crate::replication::{Consistency, Message, Reply, Request, RequestError, patience};

/// Requests of one shard that may wait for owners at the same time. Each keeps its key and
/// value until it is answered.
const WAITING_MAX: usize = 16_384;

/// How much longer than the owner waits for its replicas this node waits for the owner.
const SLACK: Duration = Duration::from_millis(500);

/// A request that an owner was asked to do.
struct Waiting<W> {
    client: Client<W>,
    forward: Forward,
    to: NodeId,
    /// Owners that did not do it, `to` included.
    tried: Vec<NodeId>,
    /// It cannot be done in one step: the key's elements are deleted first.
    is_clearing: bool,
    /// Whether it is about that owner, and of use nowhere else.
    is_personal: bool,
    since: Instant,
}

impl<W> Waiting<W> {
    fn new(now: Now, to: NodeId, forward: Forward, client: Client<W>) -> Self {
        Self {
            client,
            forward,
            to,
            tried: vec![to],
            is_clearing: false,
            is_personal: false,
            since: now.mono,
        }
    }

    /// How much longer it may take, because of its length.
    fn patience(&self) -> Duration {
        patience(self.forward.request.bytes())
    }
}

/// A request for another owner.
pub(super) struct Forward {
    pub(super) partition: PartitionId,
    pub(super) request: Request,
    pub(super) consistency: Consistency,
}

/// What this node is to the partition of a request.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) group: &'a Group,
    /// Whether it does what clients ask.
    pub(super) serves: bool,
    /// Whether others may have decided what it has not heard of since it started.
    pub(super) is_behind: bool,
}

impl Place<'_> {
    /// Who is asked before this node does itself what one owner decides.
    pub(super) fn ahead(&self) -> &[NodeId] {
        self.group.ahead(self.serves && !self.is_behind)
    }
}

/// A request that the owners before this node did not do: its turn has come.
pub(super) struct Turn<W> {
    pub(super) client: Client<W>,
    pub(super) forward: Forward,
}

/// The requests of one shard that wait for owners.
pub(super) struct Forwards<W> {
    waiting: BTreeMap<u64, Waiting<W>>,
    /// The owner that is asked about each partition.
    chosen: BTreeMap<PartitionId, NodeId>,
    next_id: u64,
    timeout: Duration,
}

impl<W> Forwards<W> {
    /// None yet; each waits as long as an owner may wait for its replicas, `timeout`, and a
    /// little longer. `first_id` is random: an answer to an earlier life is none.
    pub(super) fn new(timeout: Duration, first_id: u64) -> Self {
        Self {
            waiting: BTreeMap::new(),
            chosen: BTreeMap::new(),
            next_id: first_id,
            timeout: timeout + SLACK,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Asks an owner that comes before this node; answers at once if none can be asked.
    pub(super) fn send(
        &mut self,
        now: Now,
        place: Place<'_>,
        forward: Forward,
        client: impl FnOnce() -> Option<Client<W>>,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Reply> {
        if let Some(busy) = self.busy() {
            return Some(Reply::Failed(busy));
        }
        let Some(to) = self.choose(place.ahead(), &forward, &[]) else {
            return Some(Reply::Failed(nobody(place.group, forward.partition)));
        };
        self.ask(Waiting::new(now, to, forward, client()?), effects);
        None
    }

    /// Asks that owner and no other.
    pub(super) fn send_to(
        &mut self,
        now: Now,
        to: NodeId,
        forward: Forward,
        client: impl FnOnce() -> Option<Client<W>>,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Reply> {
        if let Some(busy) = self.busy() {
            return Some(Reply::Failed(busy));
        }
        let waiting = Waiting {
            is_personal: true,
            ..Waiting::new(now, to, forward, client()?)
        };
        self.ask(waiting, effects);
        None
    }

    /// Why no further request may wait, if so.
    fn busy(&self) -> Option<RequestError> {
        let limit = WAITING_MAX;
        (self.waiting.len() >= limit).then_some(RequestError::Busy { limit })
    }

    fn ask(&mut self, waiting: Waiting<W>, effects: &mut Vec<Effect<W>>) {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        effects.push(question(id, &waiting));
        self.waiting.insert(id, waiting);
    }

    /// `from` answers; without a reply it does not serve the partition, or leaves it to others to
    /// decide. Returns the request if this node is to do it now.
    pub(super) fn answered(
        &mut self,
        now: Now,
        place: Place<'_>,
        (from, id): (NodeId, u64),
        reply: Option<Reply>,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Turn<W>> {
        let is_its_turn = |waiting: &Waiting<W>| waiting.to == from;
        if !self.waiting.get(&id).is_some_and(is_its_turn) {
            return None;
        }
        match reply {
            None => self.next_owner(place, id, None, effects),
            // It did nothing, and another owner may.
            Some(Reply::Failed(
                error @ (RequestError::WritesStopped(_)
                | RequestError::OutOfMemory { .. }
                | RequestError::Rebuilding(_)
                | RequestError::ShuttingDown),
            )) => self.next_owner(place, id, Some(error), effects),
            Some(Reply::Failed(RequestError::InSteps(_))) => {
                self.clear(now, id, true, effects);
                None
            }
            Some(Reply::Cleared(has_more)) if self.is_clearing(id) => {
                self.clear(now, id, has_more, effects);
                None
            }
            Some(reply) => {
                let waiting = self.waiting.remove(&id)?;
                effects.push(waiting.client.reply(reply));
                None
            }
        }
    }

    fn is_clearing(&self, id: u64) -> bool {
        let waiting = self.waiting.get(&id);
        waiting.is_some_and(|waiting| waiting.is_clearing)
    }

    /// Has the owner delete some elements of the key, or do what was asked for. Each step has its
    /// own time.
    fn clear(&mut self, now: Now, id: u64, has_more: bool, effects: &mut Vec<Effect<W>>) {
        if let Some(mut waiting) = self.waiting.remove(&id) {
            waiting.is_clearing = has_more;
            waiting.since = now.mono;
            self.ask(waiting, effects);
        }
    }

    /// The question to `to` was not sent. Returns what [`answered`](Self::answered) does.
    pub(super) fn dropped(
        &mut self,
        place: Place<'_>,
        to: NodeId,
        id: u64,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Turn<W>> {
        let is_to = |waiting: &Waiting<W>| waiting.to == to;
        if !self.waiting.get(&id).is_some_and(is_to) {
            return None;
        }
        let busy = RequestError::Busy { limit: WAITING_MAX };
        self.next_owner(place, id, Some(busy), effects)
    }

    /// Owners for which `is_there` says no do not answer any more: reads are asked of others,
    /// what became of writes is not known.
    pub(super) fn lost<'a>(
        &mut self,
        now: Now,
        group: impl Fn(PartitionId) -> &'a Group,
        is_there: impl Fn(NodeId) -> bool,
        effects: &mut Vec<Effect<W>>,
    ) {
        self.chosen.retain(|_, chosen| is_there(*chosen));
        let lost = self.waiting.iter().filter(|(_, w)| !is_there(w.to));
        let lost: Vec<u64> = lost.map(|(id, _)| *id).collect();
        for id in lost {
            let Some(waiting) = self.waiting.get(&id) else {
                continue;
            };
            // Nobody else can say what is asked of one owner.
            match waiting.is_personal || waiting.forward.request.is_write() {
                // What is decided is a write, so it is no turn of this node's.
                false => {
                    let place = Place {
                        group: group(waiting.forward.partition),
                        serves: false,
                        is_behind: false,
                    };
                    self.next_owner(place, id, None, effects);
                }
                true => self.give_up(now.mono, id, effects),
            }
        }
    }

    /// Ends the waits whose time is over.
    pub(super) fn expire(&mut self, now: Now, effects: &mut Vec<Effect<W>>) {
        let is_over = |waiting: &Waiting<W>| {
            now.mono.since(waiting.since) >= self.timeout + waiting.patience()
        };
        let over = self.waiting.iter().filter(|(_, waiting)| is_over(waiting));
        let over: Vec<u64> = over.map(|(id, _)| *id).collect();
        for id in over {
            self.give_up(now.mono, id, effects);
        }
    }

    /// When the oldest wait ends, as those of [`Waits`](crate::replication::Waits).
    pub(super) fn deadline(&self) -> Option<Instant> {
        let (_, oldest) = self.waiting.first_key_value()?;
        Some(oldest.since + self.timeout + oldest.patience())
    }

    fn give_up(&mut self, now: Instant, id: u64, effects: &mut Vec<Effect<W>>) {
        if let Some(waiting) = self.waiting.remove(&id) {
            if !waiting.is_personal {
                self.chosen.remove(&waiting.forward.partition);
            }
            let silent = RequestError::OwnerSilent {
                waited: now.since(waiting.since),
            };
            effects.push(waiting.client.reply(Reply::Failed(silent)));
        }
    }

    /// Asks the next owner. If there is none it is this node's turn, or the client is told what
    /// the last one said.
    fn next_owner(
        &mut self,
        place: Place<'_>,
        id: u64,
        said: Option<RequestError>,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Turn<W>> {
        let mut waiting = self.waiting.remove(&id)?;
        let partition = waiting.forward.partition;
        if waiting.is_personal {
            let error = said.unwrap_or(RequestError::Rebuilding(partition.0));
            effects.push(waiting.client.reply(Reply::Failed(error)));
            return None;
        }
        self.chosen.remove(&partition);
        match self.choose(place.ahead(), &waiting.forward, &waiting.tried) {
            Some(to) => {
                waiting.to = to;
                waiting.tried.push(to);
                effects.push(question(id, &waiting));
                self.waiting.insert(id, waiting);
            }
            None if place.serves => {
                let Waiting {
                    client, forward, ..
                } = waiting;
                return Some(Turn { client, forward });
            }
            None => {
                let error = said.unwrap_or_else(|| nobody(place.group, partition));
                effects.push(waiting.client.reply(Reply::Failed(error)));
            }
        }
        None
    }

    /// The owner to ask: the one that was asked before, or the first of these that was not
    /// tried. What is decided begins with the first for everyone, and what is asked of the
    /// partition after that goes where it went, as it is to see what it did.
    fn choose(&mut self, owners: &[NodeId], forward: &Forward, tried: &[NodeId]) -> Option<NodeId> {
        let chosen = self.chosen.get(&forward.partition).copied();
        let chosen = chosen.filter(|_| !forward.request.is_decided());
        let may_be = |id: &NodeId| owners.contains(id) && !tried.contains(id);
        let next = || owners.iter().copied().find(|id| !tried.contains(id));
        let owner = chosen.filter(may_be).or_else(next)?;
        self.chosen.insert(forward.partition, owner);
        Some(owner)
    }
}

fn question<W>(id: u64, waiting: &Waiting<W>) -> Effect<W> {
    Effect::Send {
        to: waiting.to,
        message: Message::Forward {
            partition: waiting.forward.partition,
            id,
            consistency: waiting.forward.consistency,
            request: match waiting.is_clearing {
                true => waiting.forward.request.clearing(),
                false => waiting.forward.request.clone(),
            },
        },
    }
}

/// Why nobody is asked.
fn nobody(group: &Group, partition: PartitionId) -> RequestError {
    match group.size() {
        0 => RequestError::NotJoined,
        _ if group.is_owner => RequestError::Rebuilding(partition.0),
        owners => RequestError::NoOwner {
            partition: partition.0,
            owners,
        },
    }
}
