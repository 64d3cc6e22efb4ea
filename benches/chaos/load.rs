//! What clients do: a session sticks to one node and goes on whatever happens to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use netdb::resp::Value;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::caller::{Called, Caller, status_of};
use crate::checker::{Kind, Operation, Status};
use crate::counters::Counters;
use crate::elements::Elements;

/// Keys that are put and deleted by everybody.
const CONTESTED_KEYS: u32 = 6;

/// Keys that are put by everybody and never deleted: what they hold can only be lost.
const KEPT_KEYS: u32 = 6;

/// Longest pause of a client between two operations.
const THINK_MAX: Duration = Duration::from_millis(12);

/// Longest padding of a value, so that what a cut keeps back fills several deltas.
const PADDING_BYTES_MAX: usize = 6 * 1024;

/// How often the way of a value to another node is timed.
const ARRIVALS_INTERVAL: Duration = Duration::from_millis(100);

/// Pause between two looks for a value that has not arrived yet; it doubles.
const LOOK_AGAIN_MIN: Duration = Duration::from_millis(1);

/// The longest such pause: an error of a few per cent of what then has passed.
const LOOK_AGAIN_MAX: Duration = Duration::from_millis(32);

/// What all sessions share.
pub struct Stage {
    /// All times are counted from here.
    pub began: Instant,
    pub stop: AtomicBool,
    /// Names and client addresses.
    pub nodes: Vec<(String, SocketAddr)>,
    pub counters: Counters,
    pub elements: Elements,
}

impl Stage {
    fn now_us(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// The bytes of a value: its name, and for some a padding that follows from it.
pub fn encode(name: &str) -> Vec<u8> {
    let hash = xxhash_rust::xxh3::xxh3_64(name.as_bytes()) as usize;
    let padding = match hash % 4 {
        0 => hash / 4 % PADDING_BYTES_MAX,
        _ => 0,
    };
    let mut bytes = format!("{name}:").into_bytes();
    bytes.resize(bytes.len() + padding, b'.');
    bytes
}

/// The name of a value; bytes that nobody can have written come out as they are.
pub fn decode(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let (name, _) = text.split_once(':').unwrap_or((&text, ""));
    if encode(name) == bytes {
        name.to_owned()
    } else {
        format!("mangled {text}")
    }
}

/// One client.
pub struct Session {
    stage: Arc<Stage>,
    id: u32,
    node: usize,
    caller: Caller,
    rng: SmallRng,
    values: u64,
    own_keys: u64,
    members: u64,
    operations: Vec<Operation>,
}

impl Session {
    pub fn new(stage: &Arc<Stage>, id: u32, node: usize, seed: u64) -> Self {
        Self {
            stage: stage.clone(),
            id,
            node,
            caller: Caller::new(stage.nodes[node].1),
            rng: SmallRng::seed_from_u64(seed ^ u64::from(id) << 32),
            values: 0,
            own_keys: 0,
            members: 0,
            operations: Vec::new(),
        }
    }

    /// Does this and that until the stage is over. Returns all it did.
    pub async fn run(mut self) -> Vec<Operation> {
        while !self.stage.is_over() {
            if !self.caller.connect().await {
                continue;
            }
            let contested = format!("contested:{}", self.rng.random_range(0..CONTESTED_KEYS));
            let kept = format!("kept:{}", self.rng.random_range(0..KEPT_KEYS));
            match self.rng.random_range(0..100) {
                0..20 => self.get(contested).await,
                20..35 => self.get(kept).await,
                35..50 => self.put(contested).await,
                50..60 => self.delete(contested).await,
                60..72 => self.put(kept).await,
                72..77 => self.add().await,
                77..84 => self.change_elements().await,
                84..92 => self.put_own().await,
                _ => self.get_own().await,
            };
            let think = self.rng.random_range(0..=THINK_MAX.as_micros() as u64);
            tokio::time::sleep(Duration::from_micros(think)).await;
        }
        self.operations
    }

    /// Adds to a number.
    async fn add(&mut self) {
        let (number, amount) = (
            self.rng.random_range(0..usize::MAX),
            self.rng.random_range(1..10),
        );
        let stage = self.stage.clone();
        stage.counters.add(&mut self.caller, number, amount).await;
    }

    /// Changes the set or the hash.
    async fn change_elements(&mut self) {
        let (stage, id) = (self.stage.clone(), self.id);
        let (elements, caller) = (&stage.elements, &mut self.caller);
        match self.rng.random_range(0..10) {
            0..4 => {
                self.members += 1;
                let member = format!("{id}-{}", self.members);
                elements.add(caller, &member).await;
            }
            4..6 if self.members > 0 => {
                let number = self.rng.random_range(1..=self.members);
                elements.remove(caller, &format!("{id}-{number}")).await;
            }
            6..8 => {
                self.values += 1;
                let field = format!("own:{id}:{}", self.values % 3);
                elements.set(caller, &field, &self.values.to_string()).await;
            }
            _ => {
                let number = self.rng.random_range(0..usize::MAX);
                let amount = self.rng.random_range(1..10);
                elements.count(caller, number, amount).await;
            }
        }
    }

    /// A key that is written once.
    async fn put_own(&mut self) {
        let key = format!("own:{}:{}", self.id, self.own_keys);
        self.own_keys += 1;
        self.put(key).await;
    }

    async fn get_own(&mut self) {
        if self.own_keys > 0 {
            let number = self.rng.random_range(0..self.own_keys);
            self.get(format!("own:{}:{number}", self.id)).await;
        }
    }

    async fn put(&mut self, key: String) {
        let name = format!("{}-{}", self.id, self.values);
        self.values += 1;
        let value = encode(&name);
        let command: [&[u8]; 3] = [b"SET", key.as_bytes(), &value];
        if let Some((operation, _)) = self.call(Kind::Put, &key, &command).await {
            self.operations.push(Operation {
                value: Some(name),
                ..operation
            });
        }
    }

    async fn get(&mut self, key: String) {
        let called = self.call(Kind::Get, &key, &[b"GET", key.as_bytes()]).await;
        let Some((operation, answer)) = called else {
            return;
        };
        let read = match &answer {
            Some(Value::Bulk(bytes)) => vec![decode(bytes)],
            _ => Vec::new(),
        };
        self.operations.push(Operation { read, ..operation });
    }

    async fn delete(&mut self, key: String) {
        let command: [&[u8]; 2] = [b"DEL", key.as_bytes()];
        let called = self.call(Kind::Delete, &key, &command).await;
        let Some((mut operation, answer)) = called else {
            return;
        };
        if answer == Some(Value::Integer(0)) {
            // It changed nothing: it was a look at what is not there.
            operation.kind = Kind::Get;
        }
        self.operations.push(operation);
    }

    /// Sends a command and says when, and how it ended.
    async fn call(
        &mut self,
        kind: Kind,
        key: &str,
        command: &[&[u8]],
    ) -> Option<(Operation, Option<Value>)> {
        let start_us = self.stage.now_us();
        let called = self.caller.call(command).await;
        let end_us = self.stage.now_us();
        let answer = match called {
            Called::NotSent => return None,
            Called::Unknown => None,
            Called::Answered(value) => Some(value),
        };
        let operation = Operation {
            session: self.id,
            node: self.stage.nodes[self.node].0.clone(),
            key: key.to_owned(),
            kind,
            value: None,
            replaced: None,
            read: Vec::new(),
            status: answer.as_ref().map_or(Status::Indeterminate, status_of),
            start_us,
            end_us,
        };
        Some((operation, answer))
    }
}

/// Now and then puts a key on one node and looks for it on another, to see how long it takes
/// to get there. Each look goes on beside the next ones, so that those that take long are
/// not underrepresented. Returns what was done, and how long each took from its
/// acknowledgement on; none for those that had not arrived when the looking ended.
pub async fn measure_arrivals(
    stage: Arc<Stage>,
    first_id: u32,
    seed: u64,
) -> (Vec<Operation>, Vec<Option<Duration>>) {
    let mut rng = SmallRng::seed_from_u64(seed ^ u64::from(first_id));
    let mut looks = Vec::new();
    let mut ids = (first_id..).step_by(2);
    while let Some(id) = ids.next().filter(|_| !stage.is_over()) {
        let from = rng.random_range(0..stage.nodes.len());
        let offset = rng.random_range(1..stage.nodes.len());
        let to = (from + offset) % stage.nodes.len();
        let writer = Session::new(&stage, id, from, seed);
        let reader = Session::new(&stage, id + 1, to, seed);
        looks.push(tokio::spawn(measure_one(stage.clone(), writer, reader)));
        tokio::time::sleep(ARRIVALS_INTERVAL).await;
    }
    let mut operations = Vec::new();
    let mut arrivals = Vec::new();
    for look in looks {
        let (done, arrival) = look.await.expect("a look does not panic");
        operations.extend(done);
        arrivals.extend(arrival);
    }
    (operations, arrivals)
}

/// One key on its way: what was done, and if it was acknowledged, how long it took.
async fn measure_one(
    stage: Arc<Stage>,
    mut writer: Session,
    mut reader: Session,
) -> (Vec<Operation>, Option<Option<Duration>>) {
    if writer.caller.connect().await {
        writer.put_own().await;
    }
    let mut operations = writer.operations;
    let Some(put) = operations.first().filter(|put| put.status == Status::Ok) else {
        return (operations, None);
    };
    let key = put.key.clone();
    let since = Instant::now();
    let mut pause = LOOK_AGAIN_MIN;
    while !stage.is_over() {
        if reader.caller.connect().await {
            reader.get(key.clone()).await;
            // Looks in vain say nothing.
            reader.operations.retain(|look| !look.read.is_empty());
        }
        if let Some(found) = reader.operations.pop() {
            operations.push(found);
            return (operations, Some(Some(since.elapsed())));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LOOK_AGAIN_MAX);
    }
    (operations, Some(None))
}
