//! Requests for keys that this node does not serve: an owner of the key does what is asked.
//!
//! The owner is the same one for as long as it lives and serves, so what a client of this node
//! has written it reads. A request travels once: whoever gets one that it does not serve says
//! so, and the next owner is asked. What was not begun anywhere is asked of the next owner too;
//! a write that may have been begun is not, since it might be done twice.

use std::collections::BTreeMap;
use std::time::Duration;

use super::effect::{Client, Effect};
use super::view::Group;
use crate::clock::NodeId;
use crate::machine::{Instant, Now};
use crate::placement::PartitionId;
use crate::replication::{Consistency, Message, Reply, Request, RequestError};

/// Requests of one shard that may wait for owners at the same time. Each keeps its key and
/// value until it is answered.
const WAITING_MAX: usize = 16_384;

/// How much longer than the owner waits for its replicas this node waits for the owner.
const SLACK: Duration = Duration::from_millis(500);

/// A request that an owner was asked to do.
struct Waiting<W> {
    client: Client<W>,
    partition: PartitionId,
    request: Request,
    consistency: Consistency,
    to: NodeId,
    /// Owners that did not do it, `to` included.
    tried: Vec<NodeId>,
    since: Instant,
}

/// A request for a partition that this node does not serve.
pub(super) struct Forward {
    pub(super) partition: PartitionId,
    pub(super) request: Request,
    pub(super) consistency: Consistency,
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

    /// Asks an owner; answers at once if none can be asked.
    pub(super) fn send(
        &mut self,
        now: Now,
        group: &Group,
        forward: Forward,
        client: impl FnOnce() -> Client<W>,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Reply> {
        if self.waiting.len() >= WAITING_MAX {
            let limit = WAITING_MAX;
            return Some(Reply::Failed(RequestError::Busy { limit }));
        }
        let Some(to) = self.choose(group, forward.partition, &[]) else {
            return Some(Reply::Failed(nobody(group, forward.partition)));
        };
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        let waiting = Waiting {
            client: client(),
            partition: forward.partition,
            request: forward.request,
            consistency: forward.consistency,
            to,
            tried: vec![to],
            since: now.mono,
        };
        effects.push(question(id, &waiting));
        self.waiting.insert(id, waiting);
        None
    }

    /// `from` answers; without a reply it does not serve the partition.
    pub(super) fn answered(
        &mut self,
        group: &Group,
        from: NodeId,
        id: u64,
        reply: Option<Reply>,
        effects: &mut Vec<Effect<W>>,
    ) {
        let is_its_turn = |waiting: &Waiting<W>| waiting.to == from;
        if !self.waiting.get(&id).is_some_and(is_its_turn) {
            return;
        }
        match reply {
            None => self.next_owner(group, id, None, effects),
            // It did nothing, and another owner may.
            Some(Reply::Failed(
                error @ (RequestError::WritesStopped(_)
                | RequestError::Rebuilding(_)
                | RequestError::ShuttingDown),
            )) => self.next_owner(group, id, Some(error), effects),
            Some(reply) => {
                if let Some(waiting) = self.waiting.remove(&id) {
                    effects.push(waiting.client.reply(reply));
                }
            }
        }
    }

    /// The question to `to` was not sent.
    pub(super) fn dropped(
        &mut self,
        group: &Group,
        to: NodeId,
        id: u64,
        effects: &mut Vec<Effect<W>>,
    ) {
        if self
            .waiting
            .get(&id)
            .is_some_and(|waiting| waiting.to == to)
        {
            let busy = RequestError::Busy { limit: WAITING_MAX };
            self.next_owner(group, id, Some(busy), effects);
        }
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
            match waiting.request.is_write() {
                false => self.next_owner(group(waiting.partition), id, None, effects),
                true => self.give_up(now.mono, id, effects),
            }
        }
    }

    /// Ends the waits whose time is over.
    pub(super) fn expire(&mut self, now: Now, effects: &mut Vec<Effect<W>>) {
        while let Some((&id, oldest)) = self.waiting.first_key_value()
            && now.mono.since(oldest.since) >= self.timeout
        {
            self.give_up(now.mono, id, effects);
        }
    }

    /// When the first wait ends.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let (_, oldest) = self.waiting.first_key_value()?;
        Some(oldest.since + self.timeout)
    }

    fn give_up(&mut self, now: Instant, id: u64, effects: &mut Vec<Effect<W>>) {
        if let Some(waiting) = self.waiting.remove(&id) {
            self.chosen.remove(&waiting.partition);
            let silent = RequestError::OwnerSilent {
                waited: now.since(waiting.since),
            };
            effects.push(waiting.client.reply(Reply::Failed(silent)));
        }
    }

    /// Asks the next owner; if there is none the client is told what the last one said.
    fn next_owner(
        &mut self,
        group: &Group,
        id: u64,
        said: Option<RequestError>,
        effects: &mut Vec<Effect<W>>,
    ) {
        let Some(mut waiting) = self.waiting.remove(&id) else {
            return;
        };
        self.chosen.remove(&waiting.partition);
        match self.choose(group, waiting.partition, &waiting.tried) {
            Some(to) => {
                waiting.to = to;
                waiting.tried.push(to);
                effects.push(question(id, &waiting));
                self.waiting.insert(id, waiting);
            }
            None => {
                let error = said.unwrap_or_else(|| nobody(group, waiting.partition));
                effects.push(waiting.client.reply(Reply::Failed(error)));
            }
        }
    }

    /// The owner to ask: the one that was asked before, or the preferred of those who can be
    /// reached and were not tried.
    fn choose(
        &mut self,
        group: &Group,
        partition: PartitionId,
        tried: &[NodeId],
    ) -> Option<NodeId> {
        let chosen = self.chosen.get(&partition).copied();
        let may_be = |id: &NodeId| group.voters.contains(id) && !tried.contains(id);
        let next = || group.voters.iter().copied().find(|id| !tried.contains(id));
        let owner = chosen.filter(may_be).or_else(next)?;
        self.chosen.insert(partition, owner);
        Some(owner)
    }
}

fn question<W>(id: u64, waiting: &Waiting<W>) -> Effect<W> {
    Effect::Send {
        to: waiting.to,
        message: Message::Forward {
            partition: waiting.partition,
            id,
            consistency: waiting.consistency,
            request: waiting.request.clone(),
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
