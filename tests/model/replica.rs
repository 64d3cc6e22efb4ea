//! One replica of the model: the real partition on a disk that can crash, and what is true of
//! it.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use netdb::clock::{ActorId, Dot, Hlc, VersionVector};
use netdb::object::Object;
use netdb::placement::PartitionId;
use netdb::store::engine::{Engine, Simulated};
use netdb::store::exchange::{Delta, Digest, FullEnd, FullRequest, FullRows, Push};
use netdb::store::{
    Applied, DeltaAnswer, FullChunk, Partition, Refusal, StoreError, Write as Operation,
};

use super::ghost::{
    Body, Books, Entries, Key, Message, MessageId, Node, Runs, Token, TokenId, Write, WriteId,
    Writes, dot_name, dot_names, dots, encoded, entries, key_bytes, key_of, node_id, runs,
};
use super::mutation::{Mutation, as_void};
use super::scenario::Scenario;

const PARTITION: PartitionId = PartitionId(0);

/// Milliseconds between two depths of writes: far more than the drift that is allowed.
const STEP_MS: u64 = 10_000;

/// When messages come: later than all writes.
const DELIVERY_MS: u64 = 1_000_000_000;

/// What can happen to one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// A client writes; without a token, whatever is there is replaced.
    Write {
        key: Key,
        put: bool,
        seen: Option<TokenId>,
    },
    /// A message other than a digest comes.
    Deliver(MessageId),
    /// A digest comes: it is answered.
    Answer { digest: MessageId, collect: bool },
    /// A digest is answered with a full sync, needed or not.
    AnswerInFull(MessageId),
    /// The disk is synced.
    Fsync,
    /// Power is lost.
    Crash,
    /// The process restarts.
    Restart,
    /// The disk is replaced by an empty one.
    Wipe,
    /// The dot log is dropped.
    Truncate,
    /// Nothing happens, but no crash can happen any more: what is on disk is forgotten.
    ForgetDisk,
}

/// What came out of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    pub messages: Vec<MessageId>,
    pub wrote: Option<WriteId>,
    /// What came was for an earlier opening.
    pub stale: bool,
}

/// What PROTOCOL section 2 says that must hold, and what the model expects besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    S1,
    S2,
    S3,
    S4,
    S5,
    S7,
    S8,
    S9,
    /// From here, anti-entropy alone heals everything.
    L,
    /// Honest messages and writes are refused for age or order only.
    Accepted,
    /// Row, log and disk are what the clock says that they are: contexts are stripped, each
    /// dot in the log has its key, timestamps are causal, an opening finds what was synced.
    Form,
}

impl Rule {
    /// In the order in which broken ones are told: causes before their consequences.
    pub const ALL: [Self; 11] = [
        Self::S5,
        Self::S1,
        Self::S2,
        Self::S3,
        Self::S4,
        Self::S8,
        Self::S9,
        Self::S7,
        Self::Accepted,
        Self::Form,
        Self::L,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::S1 => "S1",
            Self::S2 => "S2",
            Self::S3 => "S3",
            Self::S4 => "S4",
            Self::S5 => "S5",
            Self::S7 => "S7",
            Self::S8 => "S8",
            Self::S9 => "S9",
            Self::L => "L",
            Self::Accepted => "accepted",
            Self::Form => "form",
        }
    }
}

/// A rule that does not hold, and why.
pub type Fault = (Rule, String);

/// What a replica says of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyView {
    pub live: BTreeSet<Dot>,
    pub context: Entries,
}

/// Everything about a replica that its future depends on, and what is true of it.
///
/// Values and timestamps are functions of the write, which is checked, so dots stand for
/// them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    pub node: Node,
    pub incarnation: u64,
    pub clock: Runs,
    pub keys: Vec<KeyView>,
    pub residual_rows: usize,
    /// The dots that have a row in the log.
    pub log: Vec<Dot>,
    /// Those of them that no other write is known to include: with them a delta carries a row.
    pub frontier: Vec<Dot>,
    pub fingerprint: u64,
    /// The last clock that each peer said it had.
    pub known: BTreeMap<Node, Runs>,
    /// The full sync that is half there: its session and next piece.
    pub stage: Option<(u64, u32)>,
    /// What a crash would leave; none if there will be no crash.
    pub durable: Option<Durable>,
    /// By key, the writes whose effect is here.
    pub history: Vec<Writes>,
    pub faults: BTreeSet<Fault>,
}

/// What is on disk for certain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Durable {
    pub clock: Runs,
    pub keys: Vec<KeyView>,
    pub history: Vec<Writes>,
}

/// A replica.
pub struct Replica {
    scenario: Scenario,
    node: Node,
    incarnation: u64,
    disk: Arc<Simulated>,
    partition: Partition,
    known: BTreeMap<Node, Runs>,
    stage: Option<(u64, u32)>,
    durable: Option<Durable>,
    history: Vec<Writes>,
    /// The last message was for an earlier opening.
    stale: bool,
    faults: BTreeSet<Fault>,
}

impl Replica {
    /// A replica on an empty disk.
    pub fn new(node: Node, scenario: Scenario) -> Self {
        let disk = Arc::new(Simulated::new());
        let mut replica = Self {
            scenario,
            node,
            incarnation: 1,
            partition: open(node, 1, &disk, &scenario).expect("an empty disk opens"),
            disk,
            known: BTreeMap::new(),
            stage: None,
            durable: None,
            history: vec![Writes::new(); usize::from(scenario.keys)],
            stale: false,
            faults: BTreeSet::new(),
        };
        if scenario.budget.crashes > 0 {
            replica.durable = Some(replica.durable_now());
        }
        replica
    }

    /// One thing happens.
    pub fn apply(&mut self, input: Input, books: &mut Books) -> Sent {
        match input {
            Input::Write { key, put, seen } => return self.write(key, put, seen, books),
            Input::Deliver(message) => return self.receive(&books.messages.get(message).clone()),
            Input::Answer { digest, collect } => {
                let message = books.messages.get(digest).clone();
                return self.answer(&message, collect, books);
            }
            Input::AnswerInFull(digest) => {
                let message = books.messages.get(digest).clone();
                return self.answer_in_full(&message, books);
            }
            Input::Fsync => {
                self.disk.sync().expect("a healthy disk");
                self.durable = self.durable.is_some().then(|| self.durable_now());
            }
            Input::Crash => {
                self.disk.crash_losing_tail();
                let durable = self.durable.clone().expect("crashes are explored");
                self.history = durable.history;
                self.open_again();
                if (runs(self.partition.clock()), self.keys()) != (durable.clock, durable.keys) {
                    self.fault(Rule::Form, "an opening does not find what was synced");
                }
            }
            Input::Restart => {
                self.disk.crash_keeping_tail();
                let before = (runs(self.partition.clock()), self.keys());
                self.open_again();
                if (runs(self.partition.clock()), self.keys()) != before {
                    self.fault(Rule::Form, "a restart does not find what was committed");
                }
            }
            Input::Wipe => {
                self.disk.wipe();
                self.history.iter_mut().for_each(Writes::clear);
                self.open_again();
                self.durable = self.durable.is_some().then(|| self.durable_now());
            }
            Input::Truncate => {
                self.partition.collect(&BTreeSet::new());
                self.known.clear();
            }
            Input::ForgetDisk => self.durable = None,
        }
        Sent::default()
    }

    /// A new opening of what the disk holds, under a fresh actor.
    fn open_again(&mut self) {
        if self.scenario.mutation != Some(Mutation::ReusedActor) {
            self.incarnation += 1;
        }
        let opened = open(self.node, self.incarnation, &self.disk, &self.scenario);
        let Ok(partition) = opened else {
            // Only a reused actor can be found on disk; then it is as if it were fresh.
            self.incarnation += 1;
            self.partition = open(self.node, self.incarnation, &self.disk, &self.scenario)
                .expect("what was committed opens");
            return;
        };
        self.partition = partition;
        self.known.clear();
        self.stage = None;
    }

    fn write(&mut self, key: Key, put: bool, seen: Option<TokenId>, books: &mut Books) -> Sent {
        let token = seen.map(|id| books.tokens.get(id).clone());
        let here = self.history[usize::from(key)].clone();
        let deepest = self.history.iter().flatten();
        let depth = 1 + deepest
            .map(|id| books.writes.get(*id).depth)
            .max()
            .unwrap_or(0);
        let dot = Dot {
            actor: self.partition.actor(),
            n: self.partition.clock().base(self.partition.actor()) + 1,
        };
        let operation = match put {
            true => Operation::Put {
                value: value_of(dot, key),
                expire_at_ms: None,
            },
            false => Operation::Delete,
        };
        let context = token
            .as_ref()
            .map(|token| token.context.iter().copied().collect::<VersionVector>());
        let wall_ms = depth * STEP_MS;
        let written = self
            .partition
            .write(key_bytes(key), operation, context.as_ref(), wall_ms);
        let mut push = match written {
            Ok(Some(push)) => push,
            Ok(None) => {
                self.check_nothing_to_delete(&here, token.as_deref(), put, books);
                return Sent::default();
            }
            Err(error) => {
                self.fault(Rule::Accepted, format!("write refused: {error}"));
                return Sent::default();
            }
        };
        if push.dot != dot {
            self.fault(Rule::S5, "a write did not take the next counter");
        }
        let past = token.map_or_else(|| here.clone(), |token| token.seen.clone());
        let whole: Writes = here.union(&past).copied().collect();
        let id = books.writes.number(Write {
            dot: push.dot,
            key,
            put,
            depth,
            past,
            whole: whole.clone(),
        });
        let now = &mut self.history[usize::from(key)];
        *now = whole;
        now.insert(id);
        let carries = vec![(key, now.clone())];
        if let Some(mutation) = self.scenario.mutation {
            mutation.of_push(&mut push);
        }
        let messages = self.others().map(|to| {
            books.messages.number(Message {
                from: self.node,
                to,
                body: Body::Push(id, push.clone()),
                carries: carries.clone(),
            })
        });
        Sent {
            messages: messages.collect(),
            wrote: Some(id),
            stale: false,
        }
    }

    /// A delete may do nothing only where there is nothing for it to do.
    fn check_nothing_to_delete(
        &mut self,
        here: &Writes,
        token: Option<&Token>,
        put: bool,
        books: &Books,
    ) {
        let live = books.maximal(here);
        let idle = match token {
            None => live.is_empty(),
            Some(token) => {
                token.seen.is_subset(here) && live.is_disjoint(&books.dots_of(&token.seen))
            }
        };
        if put || !idle {
            self.fault(Rule::Accepted, "a write that changes something did nothing");
        }
    }

    fn receive(&mut self, message: &Message) -> Sent {
        self.stale = false;
        match &message.body {
            Body::Push(_, push) => self.receive_push(push.clone(), message),
            Body::Delta(delta) => {
                let mut delta = delta.clone();
                self.readdress(&mut delta.to);
                let applied = self.partition.apply_delta(delta, DELIVERY_MS);
                self.learn(applied, message);
            }
            Body::Rows(rows) => self.receive_rows(rows.clone()),
            Body::End(end) => self.receive_end(end.clone(), message),
            Body::Digest(_) => unreachable!("digests are answered"),
        }
        Sent {
            stale: self.stale,
            ..Sent::default()
        }
    }

    fn receive_push(&mut self, push: Push, message: &Message) {
        let applied = self.partition.apply_push(push.clone(), DELIVERY_MS);
        let new = matches!(applied, Ok(Applied::New));
        self.learn(applied, message);
        let clock = self.partition.clock();
        if let Some(mutation) = self.scenario.mutation
            && let Some(dots) = mutation.after_push(&push, clock)
            && new
            && !dots.is_empty()
        {
            let forged = Delta {
                partition: PARTITION,
                to: self.partition.actor(),
                base: VersionVector::new(),
                rows: Vec::new(),
                covers: vec![as_void(dots)],
                more: false,
            };
            let _ = self.partition.apply_delta(forged, DELIVERY_MS);
        }
    }

    fn receive_rows(&mut self, mut rows: FullRows) {
        self.readdress(&mut rows.to);
        match self.partition.stage(rows) {
            Ok(next) => self.stage = Some((next.session, next.sequence)),
            Err(Refusal::Stale) => self.stale = true,
            Err(Refusal::UnknownSession) => {}
            Err(refusal) => self.fault(Rule::Accepted, format!("piece refused: {refusal}")),
        }
    }

    fn receive_end(&mut self, mut end: FullEnd, message: &Message) {
        self.readdress(&mut end.to);
        let applied = self.partition.apply_full(end, DELIVERY_MS);
        if let Ok(Applied::New | Applied::Duplicate | Applied::Refused(Refusal::Incomplete)) =
            &applied
        {
            self.stage = None;
        }
        self.learn(applied, message);
    }

    /// What took effect at the sender has taken effect here too.
    fn learn(&mut self, applied: Result<Applied, StoreError>, message: &Message) {
        match applied {
            Ok(Applied::New) => {
                for (key, writes) in &message.carries {
                    self.history[usize::from(*key)].extend(writes);
                }
            }
            Ok(Applied::Refused(Refusal::Stale)) => self.stale = true,
            Ok(
                Applied::Duplicate
                | Applied::Refused(Refusal::UnknownSession | Refusal::Incomplete),
            ) => {}
            Ok(Applied::Refused(refusal)) => {
                self.fault(Rule::Accepted, format!("message refused: {refusal}"));
            }
            Err(error) => self.fault(Rule::Accepted, format!("message failed: {error}")),
        }
    }

    fn readdress(&self, to: &mut ActorId) {
        if self.scenario.mutation == Some(Mutation::StaleAnswerTaken) {
            *to = self.partition.actor();
        }
    }

    fn answer(&mut self, message: &Message, collect: bool, books: &mut Books) -> Sent {
        let Body::Digest(digest) = &message.body else {
            unreachable!("only digests are answered");
        };
        if collect {
            self.partition
                .note_digest(node_id(message.from), &digest.clock);
            self.known.insert(message.from, runs(&digest.clock));
            let others = self.others().map(node_id).collect();
            self.partition.collect(&others);
        }
        let mutation = self.scenario.mutation;
        let clock = self.partition.clock();
        match self.partition.delta(digest) {
            DeltaAnswer::Nothing | DeltaAnswer::Unsure => Sent::default(),
            DeltaAnswer::Delta(mut delta) => {
                if let Some(mutation) = mutation {
                    mutation.of_delta(&mut delta, clock, digest);
                }
                self.send_delta(delta, message.from, books)
            }
            DeltaAnswer::Full => match mutation.and_then(|m| m.of_floor(clock, digest)) {
                Some(delta) => self.send_delta(delta, message.from, books),
                None => self.send_full(digest, message.from, books),
            },
        }
    }

    fn answer_in_full(&mut self, message: &Message, books: &mut Books) -> Sent {
        match &message.body {
            Body::Digest(digest) => self.send_full(digest, message.from, books),
            _ => unreachable!("only digests are answered"),
        }
    }

    fn send_delta(&mut self, delta: Delta, to: Node, books: &mut Books) -> Sent {
        let rows = delta.rows.iter();
        let carries = rows.filter_map(|(name, _)| key_of(name, self.scenario.keys));
        let message = Message {
            from: self.node,
            to,
            carries: carries
                .map(|key| (key, self.history[usize::from(key)].clone()))
                .collect(),
            body: Body::Delta(delta),
        };
        Sent {
            messages: vec![books.messages.number(message)],
            ..Sent::default()
        }
    }

    /// A full sync. Its session is a hash of what it says, so that equal states send equal
    /// messages; on a node it is random.
    fn send_full(&mut self, digest: &Digest, to: Node, books: &mut Books) -> Sent {
        let request = FullRequest {
            partition: digest.partition,
            asker: digest.asker,
            clock: digest.clock.clone(),
        };
        let mut hasher = DefaultHasher::new();
        for body in self.pieces(&request, 0) {
            match body {
                Body::Rows(rows) => encoded(&rows).hash(&mut hasher),
                Body::End(end) => encoded(&end).hash(&mut hasher),
                _ => unreachable!("a full sync has rows and an end"),
            }
        }
        (self.node, &self.history).hash(&mut hasher);
        let bodies = self.pieces(&request, hasher.finish());
        let messages = bodies.into_iter().map(|body| {
            let carries = match &body {
                Body::End(_) => self.carries_everything(),
                _ => Vec::new(),
            };
            books.messages.number(Message {
                from: self.node,
                to,
                body,
                carries,
            })
        });
        Sent {
            messages: messages.collect(),
            ..Sent::default()
        }
    }

    fn carries_everything(&self) -> Vec<(Key, Writes)> {
        (0..self.scenario.keys)
            .zip(self.history.iter().cloned())
            .collect()
    }

    fn pieces(&self, request: &FullRequest, session: u64) -> Vec<Body> {
        let source = self.partition.full_source(request, session);
        let mut source = source.expect("a partition that is well");
        let mut bodies = Vec::new();
        let mut first = None;
        for sequence in 0.. {
            match source.chunk(sequence).expect("a readable disk") {
                Some(FullChunk::Rows(rows)) => {
                    first.get_or_insert((rows.rows.len() as u64, rows.live.count()));
                    bodies.push(Body::Rows(rows));
                }
                Some(FullChunk::End(mut end)) => {
                    if self.scenario.mutation == Some(Mutation::EndCountsOnePiece) {
                        (end.rows_total, end.live_total) = first.unwrap_or_default();
                    }
                    bodies.push(Body::End(end));
                }
                None => return bodies,
            }
        }
        bodies
    }

    fn others(&self) -> impl Iterator<Item = Node> + use<> {
        let node = self.node;
        (0..self.scenario.nodes).filter(move |other| *other != node)
    }

    fn object(&self, key: Key) -> Object {
        let object = self.partition.object(&key_bytes(key));
        object.expect("a readable disk")
    }

    fn keys(&self) -> Vec<KeyView> {
        let view = |key| {
            let object = self.object(key);
            KeyView {
                live: object.versions.dots().collect(),
                context: entries(&object.context),
            }
        };
        (0..self.scenario.keys).map(view).collect()
    }

    fn durable_now(&self) -> Durable {
        Durable {
            clock: runs(self.partition.clock()),
            keys: self.keys(),
            history: self.history.clone(),
        }
    }

    fn fault(&mut self, rule: Rule, what: impl Into<String>) {
        self.faults.insert((rule, what.into()));
    }

    /// The token that a client reading `key` here gets.
    pub fn token(view: &View, key: Key) -> Token {
        Token {
            key,
            context: view.keys[usize::from(key)].context.clone(),
            seen: view.history[usize::from(key)].clone(),
        }
    }

    /// The digest that this replica sends to `to`.
    pub fn digest(view: &View, to: Node) -> Message {
        Message {
            from: view.node,
            to,
            body: Body::Digest(Digest {
                partition: PARTITION,
                asker: actor(view.node, view.incarnation),
                clock: dots(&view.clock).collect(),
            }),
            carries: Vec::new(),
        }
    }

    /// All that can be seen of it from outside, with every rule that it breaks by itself.
    pub fn observe(&self, books: &Books) -> View {
        let stats = self.partition.stats();
        let mut view = View {
            node: self.node,
            incarnation: self.incarnation,
            clock: runs(self.partition.clock()),
            keys: self.keys(),
            residual_rows: stats.residual_rows,
            log: Vec::new(),
            frontier: Vec::new(),
            fingerprint: self.partition.fingerprint(),
            known: self.known.clone(),
            stage: self.stage,
            durable: self.durable.clone(),
            history: self.history.clone(),
            faults: self.faults.clone(),
        };
        let mut faults = Vec::new();
        self.look_into_log(&mut view, books, &mut faults);
        self.check_form(&view, books, &mut faults);
        check_knowledge(&view, books, &mut faults);
        if self.partition.clock().runs() > 0 && !self.own_entry_is_whole() {
            faults.push((Rule::S5, "its own dots have a gap".to_owned()));
        }
        if stats.dot_conflicts > 0 {
            faults.push((Rule::S5, "one dot came with two values".to_owned()));
        }
        view.faults.extend(faults);
        view
    }

    fn own_entry_is_whole(&self) -> bool {
        let entry = self.partition.clock().entry(self.partition.actor());
        entry.is_none_or(|entry| entry.above().is_empty())
    }

    /// Finds out which dots have a log row, their keys, and whether they come with a row of the
    /// table, by asking for each alone (R9, R10).
    fn look_into_log(&self, view: &mut View, books: &Books, faults: &mut Vec<Fault>) {
        let all: Vec<Dot> = dots(&view.clock).collect();
        for dot in &all {
            let digest = Digest {
                partition: PARTITION,
                asker: ActorId::default(),
                clock: all.iter().copied().filter(|other| other != dot).collect(),
            };
            let DeltaAnswer::Delta(delta) = self.partition.delta(&digest) else {
                continue;
            };
            view.log.push(*dot);
            if !delta.rows.is_empty() {
                view.frontier.push(*dot);
            }
            let named = delta.covers.first().and_then(|cover| cover.key.clone());
            let key = named.and_then(|name| key_of(&name, self.scenario.keys));
            let true_key = self.write_of(*dot, books).map(|write| write.key);
            if key != true_key {
                faults.push((
                    Rule::Form,
                    format!("log has another key for {}", dot_name(*dot)),
                ));
            }
        }
        if self.partition.stats().log_rows != view.log.len() {
            faults.push((
                Rule::Form,
                "log has rows of dots that are not here".to_owned(),
            ));
        }
    }

    fn write_of<'a>(&self, dot: Dot, books: &'a Books) -> Option<&'a Write> {
        let mut writes = self.history.iter().flatten();
        let id = writes.find(|id| books.writes.get(**id).dot == dot)?;
        Some(books.writes.get(*id))
    }

    /// What is stored is what the clock, the live dots and the contexts determine.
    fn check_form(&self, view: &View, books: &Books, faults: &mut Vec<Fault>) {
        let clock = self.partition.clock();
        let (mut rows, mut residual_rows) = (0, 0);
        for (key, of_key) in (0..).zip(&view.keys) {
            let residual = of_key.context.iter().any(|&(actor, n)| {
                n > clock.base(actor) && !of_key.live.contains(&Dot { actor, n })
            });
            residual_rows += usize::from(residual);
            rows += usize::from(residual || !of_key.live.is_empty());
            let object = self.object(key);
            for (dot, version) in object.versions.iter() {
                let at = self.write_of(dot, books).map(|write| write.depth * STEP_MS);
                if version.value != value_of(dot, key) || at.map(Hlc::at) != Some(version.hlc) {
                    let name = dot_name(dot);
                    faults.push((Rule::Form, format!("k{key} has another value under {name}")));
                }
            }
        }
        let stats = self.partition.stats();
        if (stats.rows, stats.residual_rows) != (rows, residual_rows) {
            faults.push((Rule::Form, "rows are not stripped".to_owned()));
        }
    }
}

/// S1, S2, S3, S4 (forgetting) and S8.
fn check_knowledge(view: &View, books: &Books, faults: &mut Vec<Fault>) {
    let mut explained = vec![Writes::new(); view.history.len()];
    for dot in dots(&view.clock) {
        let mut all = view.history.iter().flatten();
        let Some(id) = all.find(|id| books.writes.get(**id).dot == dot) else {
            let what = format!("clock has {}, which never took effect here", dot_name(dot));
            faults.push((Rule::S1, what));
            continue;
        };
        let write = books.writes.get(*id);
        let of_key = &mut explained[usize::from(write.key)];
        of_key.extend(&write.whole);
        of_key.insert(*id);
    }
    let clock: BTreeSet<Dot> = dots(&view.clock).collect();
    for (key, of_key) in view.keys.iter().enumerate() {
        let history = &view.history[key];
        if !of_key.live.is_subset(&clock) {
            faults.push((
                Rule::S2,
                format!("k{key} has versions that the clock has not"),
            ));
        }
        let maximal = books.maximal(history);
        if of_key.live != maximal {
            let (live, want) = (dot_names(&of_key.live), dot_names(&maximal));
            faults.push((Rule::S3, format!("k{key} has {live}, should have {want}")));
        }
        if *history != explained[key] {
            let known = dot_names(&books.dots_of(history));
            let told = dot_names(&books.dots_of(&explained[key]));
            faults.push((
                Rule::S8,
                format!("k{key} knows {known}, its clock tells of {told}"),
            ));
        }
    }
}

fn actor(node: Node, incarnation: u64) -> ActorId {
    ActorId {
        node: node_id(node),
        incarnation,
    }
}

fn open(
    node: Node,
    incarnation: u64,
    disk: &Arc<Simulated>,
    scenario: &Scenario,
) -> Result<Partition, StoreError> {
    let actor = actor(node, incarnation);
    Partition::open(PARTITION, actor, disk.clone(), scenario.options())
}

/// Every write gives another value.
fn value_of(dot: Dot, key: Key) -> Bytes {
    Bytes::from(format!("{}=k{key}", dot_name(dot)))
}
