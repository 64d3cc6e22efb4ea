//! What is true, beside what the replicas say (PROTOCOL section 2).
//!
//! The model knows of every write what it replaced and what it included, and of every replica
//! which writes took effect there. The replicas never see any of it.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use bytes::Bytes;
use netdb::clock::{ActorId, Clock, Dot, NodeId, VersionVector};
use netdb::store::codec;
use netdb::store::exchange::{Delta, Digest, FullEnd, FullRows, Push};

/// A replica's place in the model.
pub type Node = u8;
/// A key's place in the model.
pub type Key = u8;
/// The number of a [`Write`].
pub type WriteId = u32;
/// The number of a [`Message`].
pub type MessageId = u32;
/// The number of a [`Token`].
pub type TokenId = u32;
/// Writes of one key whose effect is somewhere: `hist`, `past` and `whole` of PROTOCOL 2.
pub type Writes = BTreeSet<WriteId>;

/// Everything that is true of one write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Write {
    /// Its dot.
    pub dot: Dot,
    /// The key.
    pub key: Key,
    /// Whether it gave the key a value.
    pub put: bool,
    /// One more than the largest depth that its coordinator knew. Its time is a function of
    /// it, so that equal schedules give equal timestamps.
    pub depth: u64,
    /// What it replaced.
    pub past: Writes,
    /// Everything of the key that its coordinator's object included, without itself.
    pub whole: Writes,
}

/// What a client read, and may pass back at any time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// The key.
    pub key: Key,
    /// What the replica handed out.
    pub context: Entries,
    /// What was really there.
    pub seen: Writes,
}

/// A version vector that can be hashed.
pub type Entries = Vec<(ActorId, u64)>;

/// A clock that can be hashed: its runs.
pub type Runs = Vec<(ActorId, u64, u64)>;

/// The canonical form of a clock.
pub fn runs(clock: &Clock) -> Runs {
    clock.minus(&Clock::new()).runs().collect()
}

/// The canonical form of a context.
pub fn entries(context: &VersionVector) -> Entries {
    context.iter().collect()
}

/// The dots of a clock, one by one.
pub fn dots(runs: &Runs) -> impl Iterator<Item = Dot> + '_ {
    runs.iter()
        .flat_map(|&(actor, first, last)| (first..=last).map(move |n| Dot { actor, n }))
}

/// Something on its way. Once sent it stays, so it comes late, twice, out of order or never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who sent it.
    pub from: Node,
    /// Whom it is for.
    pub to: Node,
    /// What it says.
    pub body: Body,
    /// What it carries in truth: by key, what took effect at the sender.
    pub carries: Vec<(Key, Writes)>,
}

/// What a [`Message`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// One write.
    Push(WriteId, Push),
    /// "This is what I have."
    Digest(Digest),
    /// The answer.
    Delta(Delta),
    /// A piece of a full sync.
    Rows(FullRows),
    /// Its end.
    End(FullEnd),
}

impl Hash for Message {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.from, self.to, &self.carries).hash(state);
        match &self.body {
            Body::Push(write, push) => (write, encoded(push)).hash(state),
            Body::Digest(digest) => encoded(digest).hash(state),
            Body::Delta(delta) => encoded(delta).hash(state),
            Body::Rows(rows) => encoded(rows).hash(state),
            Body::End(end) => encoded(end).hash(state),
        }
    }
}

/// The bytes of a message: equal for equal ones.
pub fn encoded<T: serde::Serialize>(value: &T) -> Vec<u8> {
    codec::encode(value).expect("a message has an encoding")
}

/// Numbers equal values equally.
#[derive(Debug)]
pub struct Numbered<T> {
    numbers: HashMap<Arc<T>, u32>,
    values: Vec<Arc<T>>,
}

impl<T: Eq + Hash> Numbered<T> {
    pub fn new() -> Self {
        Self {
            numbers: HashMap::new(),
            values: Vec::new(),
        }
    }

    /// The number of `value`, a new one if it was never seen.
    pub fn number(&mut self, value: T) -> u32 {
        if let Some(&number) = self.numbers.get(&value) {
            return number;
        }
        let number = u32::try_from(self.values.len()).expect("fewer values than u32 counts");
        let value = Arc::new(value);
        self.values.push(value.clone());
        self.numbers.insert(value, number);
        number
    }

    /// The value with this number.
    pub fn get(&self, number: u32) -> &Arc<T> {
        &self.values[number as usize]
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }
}

/// All writes, messages and tokens of an exploration, each once.
#[derive(Debug)]
pub struct Books {
    pub writes: Numbered<Write>,
    pub messages: Numbered<Message>,
    pub tokens: Numbered<Token>,
}

impl Books {
    pub fn new() -> Self {
        Self {
            writes: Numbered::new(),
            messages: Numbered::new(),
            tokens: Numbered::new(),
        }
    }

    /// What a key must hold when `known` took effect: S3, the puts that nothing replaced.
    pub fn maximal(&self, known: &Writes) -> BTreeSet<Dot> {
        let replaced = |id: &WriteId| {
            known
                .iter()
                .any(|by| self.writes.get(*by).past.contains(id))
        };
        known
            .iter()
            .filter(|id| self.writes.get(**id).put && !replaced(id))
            .map(|id| self.writes.get(*id).dot)
            .collect()
    }

    /// The dots of writes.
    pub fn dots_of(&self, writes: &Writes) -> BTreeSet<Dot> {
        writes.iter().map(|id| self.writes.get(*id).dot).collect()
    }
}

/// The name of a key.
pub fn key_bytes(key: Key) -> Bytes {
    Bytes::from(format!("k{key}"))
}

/// The key of a name.
pub fn key_of(name: &Bytes, keys: Key) -> Option<Key> {
    (0..keys).find(|key| key_bytes(*key) == *name)
}

/// The identity of a node.
pub fn node_id(node: Node) -> NodeId {
    NodeId(u64::from(node) + 1)
}

/// The letter of a node.
pub fn letter(node: Node) -> char {
    char::from(b'A' + node)
}

/// A dot as PROTOCOL section 13 writes it: `A1`, and `A'1` after one restart.
pub fn dot_name(dot: Dot) -> String {
    let node = u8::try_from(dot.actor.node.0 - 1).expect("a node of the model");
    let restarts = usize::try_from(dot.actor.incarnation - 1).expect("few restarts");
    format!("{}{}{}", letter(node), "'".repeat(restarts), dot.n)
}

/// Several of them.
pub fn dot_names<'a>(dots: impl IntoIterator<Item = &'a Dot>) -> String {
    let names: Vec<_> = dots.into_iter().map(|dot| dot_name(*dot)).collect();
    format!("{{{}}}", names.join(" "))
}
