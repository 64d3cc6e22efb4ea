//! Every replica state that was met, each once, and where each input leads from it.
//!
//! A cluster has many more states than its replicas have, so the real partition runs once for
//! each pair of a replica state and an input, and the exploration of the cluster is a walk
//! over numbers. A partition is not copied: it is built again from the inputs that first led
//! to its state, which asks nothing of the product's code.
//!
//! That is sound if [`View`] holds all that a replica's future depends on.
//! `a_catalogued_replica_is_the_real_one` checks that against replicas that are never rebuilt.

use std::collections::HashMap;

use super::ghost::{
    Body, Books, MessageId, Node, Numbered, dot_name, dot_names, dots, letter, runs,
};
use super::replica::{Input, Replica, Sent, View};
use super::scenario::Scenario;

/// The number of a [`View`].
pub type ReplicaId = u32;

/// After so many rounds of everybody asking everybody, what has not healed never will.
const ROUNDS_MAX: usize = 16;

/// See the module.
#[derive(Debug)]
pub struct Catalog {
    scenario: Scenario,
    pub books: Books,
    pub replicas: Numbered<View>,
    /// By replica state, the state and input that first led to it; none for the first states.
    origins: Vec<Option<(ReplicaId, Input)>>,
    steps: HashMap<(ReplicaId, Input), (ReplicaId, Sent)>,
    digests: HashMap<(ReplicaId, Node), MessageId>,
    healed: HashMap<Vec<ReplicaId>, Option<String>>,
    /// How often an answer to an earlier opening was refused.
    pub stale: usize,
    /// Every step taken since it was set, for who wants to take them too.
    pub journal: Option<Vec<(ReplicaId, Input, ReplicaId)>>,
}

impl Catalog {
    pub fn new(scenario: Scenario) -> Self {
        Self {
            scenario,
            books: Books::new(),
            replicas: Numbered::new(),
            origins: Vec::new(),
            steps: HashMap::new(),
            digests: HashMap::new(),
            healed: HashMap::new(),
            stale: 0,
            journal: None,
        }
    }

    /// The state of a replica on an empty disk.
    pub fn first(&mut self, node: Node) -> ReplicaId {
        let view = Replica::new(node, self.scenario).observe(&self.books);
        self.enter(view, None)
    }

    /// Where `input` leads from the state `id`, and what is sent.
    pub fn step(&mut self, id: ReplicaId, input: Input) -> (ReplicaId, Sent) {
        let (next, sent) = self.look_up(id, input);
        if let Some(journal) = &mut self.journal {
            journal.push((id, input, next));
        }
        (next, sent)
    }

    fn look_up(&mut self, id: ReplicaId, input: Input) -> (ReplicaId, Sent) {
        if let Some(known) = self.steps.get(&(id, input)) {
            return known.clone();
        }
        let mut replica = self.rebuild(id);
        let sent = replica.apply(input, &mut self.books);
        self.stale += usize::from(sent.stale);
        let view = replica.observe(&self.books);
        let next = self.enter(view, Some((id, input)));
        self.steps.insert((id, input), (next, sent.clone()));
        (next, sent)
    }

    /// How many times the real partition took a step.
    pub fn steps(&self) -> usize {
        self.steps.len()
    }

    pub fn view(&self, id: ReplicaId) -> &View {
        self.replicas.get(id)
    }

    /// The digest that the replica in this state sends to `to`.
    pub fn digest(&mut self, id: ReplicaId, to: Node) -> MessageId {
        if let Some(&message) = self.digests.get(&(id, to)) {
            return message;
        }
        let digest = Replica::digest(self.view(id), to);
        let message = self.books.messages.number(digest);
        self.digests.insert((id, to), message);
        message
    }

    /// One round of anti-entropy at once: `asker` sends its digest to `source` and takes in
    /// the answer.
    pub fn sync(&mut self, replicas: &mut [ReplicaId], source: Node, asker: Node, collect: bool) {
        let (source, asker_at) = (usize::from(source), usize::from(asker));
        let digest = self.digest(replicas[asker_at], self.view(replicas[source]).node);
        let (next, sent) = self.step(replicas[source], Input::Answer { digest, collect });
        replicas[source] = next;
        for message in sent.messages {
            replicas[asker_at] = self.step(replicas[asker_at], Input::Deliver(message)).0;
        }
    }

    /// Why anti-entropy alone does not heal these replicas, all messages in flight being lost
    /// (L1 to L6).
    pub fn unhealed(&mut self, replicas: &[ReplicaId]) -> Option<String> {
        if let Some(known) = self.healed.get(replicas) {
            return known.clone();
        }
        let found = self.heal(replicas);
        self.healed.insert(replicas.to_vec(), found.clone());
        found
    }

    fn heal(&mut self, before: &[ReplicaId]) -> Option<String> {
        let mut after = before.to_vec();
        for _ in 0..ROUNDS_MAX {
            let round = after.clone();
            for source in 0..self.scenario.nodes {
                for asker in (0..self.scenario.nodes).filter(|asker| *asker != source) {
                    self.sync(&mut after, source, asker, true);
                }
            }
            if round == after {
                return self.check_healed(before, &after);
            }
        }
        Some(format!("still changing after {ROUNDS_MAX} rounds"))
    }

    fn check_healed(&self, before: &[ReplicaId], after: &[ReplicaId]) -> Option<String> {
        let first = self.view(after[0]);
        for id in after {
            let view = self.view(*id);
            let name = letter(view.node);
            if let Some((rule, what)) = view.faults.first() {
                return Some(format!("on the way at {name}: {rule:?}: {what}"));
            }
            if view.clock != first.clock {
                return Some(format!("clocks of A and {name} stay different"));
            }
            let live =
                |view: &View| -> Vec<_> { view.keys.iter().map(|k| k.live.clone()).collect() };
            if live(view) != live(first) || view.fingerprint != first.fingerprint {
                return Some(format!("rows of A and {name} stay different"));
            }
        }
        for (key, of_key) in first.keys.iter().enumerate() {
            let histories = before.iter().map(|id| &self.view(*id).history[key]);
            let known = histories.flatten().copied().collect();
            let maximal = self.books.maximal(&known);
            if of_key.live != maximal {
                let (live, want) = (dot_names(&of_key.live), dot_names(&maximal));
                return Some(format!("k{key} ends as {live}, should be {want}"));
            }
        }
        // A crashed actor may leave holes and contexts until it can be sealed (PROTOCOL 3.9).
        let crashed = after.iter().any(|id| self.view(*id).incarnation > 1);
        let residue = |view: &View| {
            let holes = view.clock.iter().any(|(_, first, _)| *first > 1);
            view.residual_rows > 0 || !view.log.is_empty() || holes
        };
        let left = after.iter().any(|id| residue(self.view(*id)));
        (left && !crashed).then(|| "contexts, log rows or holes stay".to_owned())
    }

    fn enter(&mut self, view: View, origin: Option<(ReplicaId, Input)>) -> ReplicaId {
        let id = self.replicas.number(view);
        if self.origins.len() < self.replicas.len() {
            self.origins.push(origin);
        }
        id
    }

    /// A replica that took the inputs which first led to the state `id`.
    fn rebuild(&mut self, id: ReplicaId) -> Replica {
        let mut inputs = Vec::new();
        let mut at = id;
        while let Some((from, input)) = self.origins[at as usize] {
            inputs.push(input);
            at = from;
        }
        let mut replica = Replica::new(self.view(at).node, self.scenario);
        for input in inputs.into_iter().rev() {
            replica.apply(input, &mut self.books);
        }
        replica
    }

    /// What a message says, in the words of PROTOCOL section 13.
    pub fn describe(&self, id: MessageId) -> String {
        let message = self.books.messages.get(id);
        let (from, to) = (letter(message.from), letter(message.to));
        let covered = |dots: Vec<_>| dot_names(&dots);
        match &message.body {
            Body::Push(write, push) => {
                let write = self.books.writes.get(*write);
                let name = dot_name(push.dot);
                format!("push of {name} (k{}) to {to}", write.key)
            }
            Body::Digest(digest) => {
                let clock = runs(&digest.clock);
                let held = dots(&clock).collect();
                format!("digest {} of {from} to {to}", covered(held))
            }
            Body::Delta(delta) => {
                let dots = delta.covers.iter().flat_map(|cover| cover.dots.dots());
                format!("delta of {} from {from} to {to}", covered(dots.collect()))
            }
            Body::Rows(rows) => {
                let dots = rows.rows.iter().flat_map(|(_, row)| row.versions.dots());
                let dots = covered(dots.collect());
                let sequence = rows.sequence;
                format!("piece {sequence} {dots} of full sync from {from} to {to}")
            }
            Body::End(end) => {
                let clock = runs(&end.clock);
                let held = dots(&clock).collect();
                format!("end {} of full sync from {from} to {to}", covered(held))
            }
        }
    }
}
