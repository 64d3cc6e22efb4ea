//! All replicas of one partition and everything that is in flight between them, as a
//! `stateright` model.

use std::sync::{Mutex, MutexGuard, OnceLock};

use netdb::clock::ActorId;
use stateright::{Model, Property};

use super::catalog::{Catalog, ReplicaId};
use super::ghost::{
    Body, Key, MessageId, Node, TokenId, WriteId, dot_name, dot_names, dots, letter,
};
use super::replica::{Input, Replica, Rule, Sent, View};
use super::scenario::{Budget, Scenario, Witness};

/// A state of the cluster: numbers of what the [`Catalog`] holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cluster {
    pub replicas: Vec<ReplicaId>,
    /// Ascending. What was sent stays: late, doubled, reordered and lost are one thing.
    flying: Vec<MessageId>,
    /// What clients have read and kept, ascending.
    tokens: Vec<TokenId>,
    /// Every write that was ever made, ascending.
    issued: Vec<WriteId>,
    left: Budget,
    /// A dot was issued a second time.
    twice: bool,
}

/// With what context a client writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// None: it replaces what the coordinator has.
    Nothing,
    /// What it has just read there.
    JustNow(Node),
    /// What it read at some time.
    Earlier(TokenId),
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Put(Node, Key, Seen),
    Delete(Node, Key, Seen),
    /// A client reads and keeps the context.
    Read(Node, Key),
    Deliver(MessageId),
    /// Digest, answer and delivery at once.
    Sync {
        source: Node,
        asker: Node,
    },
    /// A digest is sent.
    Ask {
        source: Node,
        asker: Node,
    },
    /// A digest is answered at once; the answer is sent.
    Pull {
        source: Node,
        asker: Node,
    },
    /// A full sync is sent.
    Full {
        source: Node,
        asker: Node,
    },
    Fsync(Node),
    Crash(Node),
    Restart(Node),
    Wipe(Node),
    Truncate(Node),
}

/// The model of one [`Scenario`].
#[derive(Debug)]
pub struct ClusterModel {
    pub scenario: Scenario,
    catalog: Mutex<Catalog>,
    /// The first state that broke a rule. Breadth first it is one of the nearest; the checker
    /// would go on for a while and report the last that it saw.
    first_broken: OnceLock<Cluster>,
}

impl ClusterModel {
    pub fn new(scenario: Scenario) -> Self {
        Self {
            scenario,
            catalog: Mutex::new(Catalog::new(scenario)),
            first_broken: OnceLock::new(),
        }
    }

    pub fn catalog(&self) -> MutexGuard<'_, Catalog> {
        self.catalog.lock().expect("no exploration has failed")
    }

    fn pairs(&self) -> impl Iterator<Item = (Node, Node)> + use<> {
        let nodes = self.scenario.nodes;
        (0..nodes).flat_map(move |source| {
            let askers = (0..nodes).filter(move |asker| *asker != source);
            askers.map(move |asker| (source, asker))
        })
    }

    /// Writes. The names of replicas and keys mean nothing until they are used, so the first
    /// to be used are the first by name.
    fn offer_writes(&self, state: &Cluster, catalog: &Catalog, actions: &mut Vec<Action>) {
        let writes = state.issued.iter().map(|id| catalog.books.writes.get(*id));
        let used = writes.map(|write| (write.dot.actor.node.0 as Node, write.key + 1));
        let (nodes, keys) = used.fold((0, 0), |most, one| (most.0.max(one.0), most.1.max(one.1)));
        for node in 0..self.scenario.nodes.min(nodes + 1) {
            for key in 0..self.scenario.keys.min(keys + 1) {
                let mut seen = vec![Seen::Nothing];
                if self.scenario.fresh_contexts {
                    let others = (0..self.scenario.nodes).filter(|other| *other != node);
                    seen.extend(others.map(Seen::JustNow));
                }
                let tokens = state.tokens.iter().copied();
                let of_key = tokens.filter(|id| catalog.books.tokens.get(*id).key == key);
                seen.extend(of_key.map(Seen::Earlier));
                for seen in seen {
                    actions.push(Action::Put(node, key, seen));
                    actions.push(Action::Delete(node, key, seen));
                }
            }
        }
    }

    fn offer_faults(&self, state: &Cluster, catalog: &Catalog, actions: &mut Vec<Action>) {
        for (node, id) in (0..).zip(&state.replicas) {
            let view = catalog.view(*id);
            if view.clock.is_empty() {
                continue;
            }
            let durable = view.durable.as_ref();
            if state.left.fsyncs > 0 && durable.is_some_and(|disk| disk.clock != view.clock) {
                actions.push(Action::Fsync(node));
            }
            if state.left.crashes > 0 {
                actions.push(Action::Crash(node));
            }
            if state.left.restarts > 0 {
                actions.push(Action::Restart(node));
            }
            if state.left.wipes > 0 {
                actions.push(Action::Wipe(node));
            }
            if state.left.truncations > 0 && !view.log.is_empty() {
                actions.push(Action::Truncate(node));
            }
        }
    }

    fn write(
        &self,
        state: &mut Cluster,
        catalog: &mut Catalog,
        (node, key, seen): (Node, Key, Seen),
        put: bool,
    ) -> Option<()> {
        let seen = match seen {
            Seen::Nothing => None,
            Seen::JustNow(other) => {
                let token = Replica::token(catalog.view(state.at(other)), key);
                Some(catalog.books.tokens.number(token))
            }
            Seen::Earlier(token) => Some(token),
        };
        let sent = state.step(catalog, node, Input::Write { key, put, seen });
        state.left.writes -= 1;
        if let Some(write) = sent.wrote {
            let dot = catalog.books.writes.get(write).dot;
            let mut issued = state.issued.iter();
            state.twice |= issued.any(|id| catalog.books.writes.get(*id).dot == dot);
            insert(&mut state.issued, write);
        } else if catalog.view(state.at(node)).faults.is_empty() {
            // A delete of nothing.
            return None;
        }
        state.send(&sent);
        Some(())
    }

    /// What a message that comes does.
    fn deliver(&self, state: &mut Cluster, catalog: &mut Catalog, message: MessageId) {
        let (to, digest) = {
            let message = catalog.books.messages.get(message);
            (message.to, matches!(message.body, Body::Digest(_)))
        };
        let input = match digest {
            true => Input::Answer {
                digest: message,
                collect: self.scenario.collect,
            },
            false => Input::Deliver(message),
        };
        let sent = state.step(catalog, to, input);
        state.send(&sent);
    }

    /// A replica loses power, and with the last crash the disks cease to matter.
    fn crash(&self, state: &mut Cluster, catalog: &mut Catalog, node: Node) {
        state.step(catalog, node, Input::Crash);
        state.left.crashes -= 1;
        if state.left.crashes == 0 {
            state.left.fsyncs = 0;
            for node in 0..self.scenario.nodes {
                state.step(catalog, node, Input::ForgetDisk);
            }
        }
    }

    fn act(&self, state: &mut Cluster, catalog: &mut Catalog, action: Action) -> Option<()> {
        let collect = self.scenario.collect;
        match action {
            Action::Put(node, key, seen) => {
                self.write(state, catalog, (node, key, seen), true)?;
            }
            Action::Delete(node, key, seen) => {
                self.write(state, catalog, (node, key, seen), false)?;
            }
            Action::Read(node, key) => {
                let token = Replica::token(catalog.view(state.at(node)), key);
                insert(&mut state.tokens, catalog.books.tokens.number(token));
                state.left.reads -= 1;
            }
            Action::Deliver(message) => self.deliver(state, catalog, message),
            Action::Sync { source, asker } => {
                catalog.sync(&mut state.replicas, source, asker, collect);
            }
            Action::Ask { source, asker } => {
                let digest = catalog.digest(state.at(asker), source);
                insert(&mut state.flying, digest);
                state.left.asks -= 1;
            }
            Action::Pull { source, asker } => {
                let digest = catalog.digest(state.at(asker), source);
                let before = state.at(source);
                let sent = state.step(catalog, source, Input::Answer { digest, collect });
                if sent.messages.is_empty() && state.at(source) == before {
                    return None;
                }
                state.send(&sent);
                state.left.pulls -= 1;
            }
            Action::Full { source, asker } => {
                let digest = catalog.digest(state.at(asker), source);
                let sent = state.step(catalog, source, Input::AnswerInFull(digest));
                state.send(&sent);
                state.left.fulls -= 1;
            }
            Action::Fsync(node) => {
                state.step(catalog, node, Input::Fsync);
                state.left.fsyncs -= 1;
            }
            Action::Crash(node) => self.crash(state, catalog, node),
            Action::Restart(node) => {
                state.step(catalog, node, Input::Restart);
                state.left.restarts -= 1;
            }
            Action::Wipe(node) => {
                state.step(catalog, node, Input::Wipe);
                state.left.wipes -= 1;
            }
            Action::Truncate(node) => {
                state.step(catalog, node, Input::Truncate);
                state.left.truncations -= 1;
            }
        }
        Some(())
    }

    /// Why `rule` does not hold in `state`.
    pub fn broken(&self, state: &Cluster, rule: Rule) -> Option<String> {
        let catalog = &mut *self.catalog();
        let by_itself = state.replicas.iter().find_map(|id| {
            let view = catalog.view(*id);
            let fault = view.faults.iter().find(|(broken, _)| *broken == rule)?;
            Some(format!("{}: {}", letter(view.node), fault.1))
        });
        if by_itself.is_some() {
            return by_itself;
        }
        match rule {
            Rule::S4 => state.contexts_lie(catalog),
            Rule::S5 => state.twice.then(|| "a dot was issued twice".to_owned()),
            Rule::S7 => state.session_lies(catalog),
            Rule::S9 => state.equal_clocks_lie(catalog),
            Rule::L => catalog.unhealed(&state.replicas),
            _ => None,
        }
    }

    fn holds(&self, state: &Cluster, rule: Rule) -> bool {
        match self.first_broken.get() {
            Some(first) => first != state || self.broken(state, rule).is_none(),
            None if self.broken(state, rule).is_none() => true,
            None => {
                // Checking is on one thread, so nobody else has set it.
                let _ = self.first_broken.set(state.clone());
                false
            }
        }
    }

    fn met(&self, state: &Cluster, witness: Witness) -> bool {
        let catalog = self.catalog();
        let mut views = state.replicas.iter().map(|id| catalog.view(*id));
        views.any(|view| match witness {
            Witness::Siblings => view.keys.iter().any(|key| key.live.len() > 1),
            Witness::Hole => view.clock.iter().any(|(_, first, _)| *first > 1),
            Witness::Residual => view.residual_rows > 0,
            Witness::BelowFloor => dots(&view.clock).count() > view.log.len(),
            Witness::Staged => view.stage.is_some(),
            Witness::Stale => unreachable!("counted by the catalog"),
        })
    }

    /// An action in the words of PROTOCOL section 13.
    pub fn describe(&self, action: Action) -> String {
        let with = |seen| match seen {
            Seen::Nothing => String::new(),
            Seen::JustNow(node) => format!(" with what {} has", letter(node)),
            Seen::Earlier(token) => {
                let catalog = self.catalog();
                let seen = &catalog.books.tokens.get(token).seen;
                format!(
                    " with a token of {}",
                    dot_names(&catalog.books.dots_of(seen))
                )
            }
        };
        let pair = |what: &str, source, asker| {
            format!("{what} from {} to {}", letter(source), letter(asker))
        };
        match action {
            Action::Put(node, key, seen) => format!("put k{key} at {}{}", letter(node), with(seen)),
            Action::Delete(node, key, seen) => {
                format!("delete k{key} at {}{}", letter(node), with(seen))
            }
            Action::Read(node, key) => format!("read k{key} at {}", letter(node)),
            Action::Deliver(message) => format!("deliver {}", self.catalog().describe(message)),
            Action::Sync { source, asker } => pair("sync", source, asker),
            Action::Ask { source, asker } => {
                format!("{} sends its digest to {}", letter(asker), letter(source))
            }
            Action::Pull { source, asker } => pair("send delta", source, asker),
            Action::Full { source, asker } => pair("send full sync", source, asker),
            Action::Fsync(node) => format!("{} syncs its disk", letter(node)),
            Action::Crash(node) => {
                format!("{} loses power and what it had not synced", letter(node))
            }
            Action::Restart(node) => format!("{} restarts", letter(node)),
            Action::Wipe(node) => format!("{} loses its disk", letter(node)),
            Action::Truncate(node) => format!("{} drops its log", letter(node)),
        }
    }
}

impl Cluster {
    fn at(&self, node: Node) -> ReplicaId {
        self.replicas[usize::from(node)]
    }

    fn step(&mut self, catalog: &mut Catalog, node: Node, input: Input) -> Sent {
        let (next, sent) = catalog.step(self.at(node), input);
        self.replicas[usize::from(node)] = next;
        sent
    }

    fn send(&mut self, sent: &Sent) {
        for message in &sent.messages {
            insert(&mut self.flying, *message);
        }
    }

    /// S4: the context of a key claims exactly what took effect, of everything ever written.
    fn contexts_lie(&self, catalog: &Catalog) -> Option<String> {
        for id in &self.replicas {
            let view = catalog.view(*id);
            for write in &self.issued {
                let issued = catalog.books.writes.get(*write);
                let key = usize::from(issued.key);
                let mut context = view.keys[key].context.iter();
                let claimed =
                    context.any(|(actor, n)| *actor == issued.dot.actor && issued.dot.n <= *n);
                if claimed != view.history[key].contains(write) {
                    let (name, dot) = (letter(view.node), dot_name(issued.dot));
                    let verb = if claimed { "claims" } else { "forgets" };
                    return Some(format!("{name}: context of k{key} {verb} {dot}"));
                }
            }
        }
        None
    }

    /// S7: a replica that has what a token names has what the token's reader saw.
    fn session_lies(&self, catalog: &Catalog) -> Option<String> {
        let reaches = |view: &View, key: usize, (actor, n): (ActorId, u64)| {
            let mut context = view.keys[key].context.iter();
            context.any(|(own, has)| *own == actor && n <= *has)
        };
        for token in self.tokens.iter().map(|id| catalog.books.tokens.get(*id)) {
            let key = usize::from(token.key);
            for view in self.replicas.iter().map(|id| catalog.view(*id)) {
                let has = token.context.iter().all(|entry| reaches(view, key, *entry));
                if has && !token.seen.is_subset(&view.history[key]) {
                    return Some(format!(
                        "{}: a token of k{key} is not there",
                        letter(view.node)
                    ));
                }
            }
        }
        None
    }

    /// S9: equal clocks have equal live versions, and equal fingerprints.
    fn equal_clocks_lie(&self, catalog: &Catalog) -> Option<String> {
        for (at, left) in self.replicas.iter().enumerate() {
            for right in &self.replicas[at + 1..] {
                let (left, right) = (catalog.view(*left), catalog.view(*right));
                let same = || {
                    let live = |view: &View| view.keys.iter().map(|key| key.live.clone()).collect();
                    let (ours, theirs): (Vec<_>, Vec<_>) = (live(left), live(right));
                    ours == theirs && left.fingerprint == right.fingerprint
                };
                if left.clock == right.clock && !same() {
                    let names = (letter(left.node), letter(right.node));
                    return Some(format!(
                        "{} and {} differ at equal clocks",
                        names.0, names.1
                    ));
                }
            }
        }
        None
    }
}

impl Model for ClusterModel {
    type State = Cluster;
    type Action = Action;

    fn init_states(&self) -> Vec<Cluster> {
        let mut catalog = self.catalog();
        vec![Cluster {
            replicas: (0..self.scenario.nodes)
                .map(|node| catalog.first(node))
                .collect(),
            flying: Vec::new(),
            tokens: Vec::new(),
            issued: Vec::new(),
            left: self.scenario.budget,
            twice: false,
        }]
    }

    fn actions(&self, state: &Cluster, actions: &mut Vec<Action>) {
        let catalog = self.catalog();
        if state.left.writes > 0 {
            self.offer_writes(state, &catalog, actions);
        }
        if state.issued.is_empty() {
            return;
        }
        if state.left.reads > 0 {
            for node in 0..self.scenario.nodes {
                actions.extend((0..self.scenario.keys).map(|key| Action::Read(node, key)));
            }
        }
        actions.extend(state.flying.iter().copied().map(Action::Deliver));
        for (source, asker) in self.pairs() {
            if self.scenario.direct_sync {
                actions.push(Action::Sync { source, asker });
            }
            if state.left.asks > 0 {
                actions.push(Action::Ask { source, asker });
            }
            if state.left.pulls > 0 {
                actions.push(Action::Pull { source, asker });
            }
            if state.left.fulls > 0 {
                actions.push(Action::Full { source, asker });
            }
        }
        self.offer_faults(state, &catalog, actions);
    }

    fn next_state(&self, state: &Cluster, action: Action) -> Option<Cluster> {
        let mut next = state.clone();
        self.act(&mut next, &mut self.catalog(), action)?;
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = rules();
        if self.scenario.mutation.is_some() {
            // What follows from a mistake is not needed to see it: S1 to S9 must tell.
            all.retain(|rule| rule.name != Rule::Form.name() && rule.name != Rule::L.name());
        }
        all.extend(
            self.scenario
                .witnesses
                .iter()
                .filter_map(|met| witness(*met)),
        );
        all
    }
}

/// What must hold in every state.
fn rules() -> Vec<Property<ClusterModel>> {
    type M = ClusterModel;
    vec![
        Property::always(Rule::S1.name(), |m: &M, s| m.holds(s, Rule::S1)),
        Property::always(Rule::S2.name(), |m: &M, s| m.holds(s, Rule::S2)),
        Property::always(Rule::S3.name(), |m: &M, s| m.holds(s, Rule::S3)),
        Property::always(Rule::S4.name(), |m: &M, s| m.holds(s, Rule::S4)),
        Property::always(Rule::S5.name(), |m: &M, s| m.holds(s, Rule::S5)),
        Property::always(Rule::S7.name(), |m: &M, s| m.holds(s, Rule::S7)),
        Property::always(Rule::S8.name(), |m: &M, s| m.holds(s, Rule::S8)),
        Property::always(Rule::S9.name(), |m: &M, s| m.holds(s, Rule::S9)),
        Property::always(Rule::Accepted.name(), |m: &M, s| m.holds(s, Rule::Accepted)),
        Property::always(Rule::Form.name(), |m: &M, s| m.holds(s, Rule::Form)),
        Property::always(Rule::L.name(), |m: &M, s| m.holds(s, Rule::L)),
    ]
}

/// What must hold in some state; none for what the catalog counts.
fn witness(witness: Witness) -> Option<Property<ClusterModel>> {
    type M = ClusterModel;
    let found: fn(&M, &Cluster) -> bool = match witness {
        Witness::Siblings => |m, s| m.met(s, Witness::Siblings),
        Witness::Hole => |m, s| m.met(s, Witness::Hole),
        Witness::Residual => |m, s| m.met(s, Witness::Residual),
        Witness::BelowFloor => |m, s| m.met(s, Witness::BelowFloor),
        Witness::Staged => |m, s| m.met(s, Witness::Staged),
        Witness::Stale => return None,
    };
    Some(Property::sometimes(witness.name(), found))
}

/// Puts `number` into an ascending set.
fn insert(set: &mut Vec<u32>, number: u32) {
    if let Err(at) = set.binary_search(&number) {
        set.insert(at, number);
    }
}
