//! The server over a real loopback socket, in front of a store that is a map.

mod abuse;
mod commands;
mod dump;
mod flow;
mod hostile;
mod idle;
mod placement;
mod pubsub;
mod transactions;
mod transfer;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::shared::Shared;
use super::store::{Store, Streak};
use super::{ServerLimits, serve_store};
use crate::clock::{ActorId, Dot, Hlc, NodeId, VersionVector};
use crate::node::change::{Change, Changed};
use crate::node::request::{Consistency, Held, Reply, Request, RequestError};
use crate::node::transfer::{Layout, Origin, TransferError, TransferReply, TransferRequest};
use crate::node::{LeaveError, RemoveError};
use crate::object::{Object, Version};
use crate::resp::{Protocol, ReplyDecoder, ReplyLimits, Value, encode_request};
use crate::runtime::{
    AfterError, DiskView, Goal, MemberView, NoContext, OwnersView, Past, PlacementView, PlanView,
    PlannedJoin, ProgressError, Reached, RebalanceView, ScanPage, Status, Submitted, TokenError,
};

/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// A store in a map. Writes to keys that begin with `late` take effect at once and are
/// answered when the test says so, and so is what is known of keys that begin with `far`.
/// Changes of keys that begin with `decided` take effect when they are answered. The key `slow`
/// takes a thread's time to read.
struct Fake {
    map: Mutex<BTreeMap<Bytes, Bytes>>,
    late: Mutex<Vec<(oneshot::Sender<Reply>, Late)>>,
    late_count: watch::Sender<usize>,
    gets: AtomicUsize,
    /// Steps of backups and restores, and clients that were forgotten.
    transfers: Mutex<Vec<TransferRequest>>,
    forgotten: watch::Sender<Vec<u64>>,
    /// The server, whose subscribers are all there are.
    shared: Arc<Shared>,
}

/// What is answered when the test says so.
enum Late {
    Reply(Reply),
    /// What becomes of this then.
    Request(Request),
}

impl Fake {
    fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            map: Mutex::default(),
            late: Mutex::default(),
            late_count: watch::Sender::new(0),
            gets: AtomicUsize::new(0),
            transfers: Mutex::default(),
            forgotten: watch::Sender::new(Vec::new()),
        }
    }

    fn apply(&self, request: &Request) -> Reply {
        let mut map = self.map.lock();
        match request {
            Request::Get { key } | Request::Find { key } => {
                self.gets.fetch_add(1, Ordering::Relaxed);
                let value = map.get(key).cloned();
                if key == "slow" {
                    drop(map);
                    std::thread::sleep(Duration::from_millis(60));
                }
                Reply::Value(value)
            }
            Request::Exists { key } => Reply::Exists(map.contains_key(key)),
            Request::Inspect { key } => Reply::Object(object(map.get(key))),
            Request::Fingerprint { key } => {
                let mut hasher = DefaultHasher::new();
                map.get(key).hash(&mut hasher);
                Reply::Number(hasher.finish())
            }
            Request::Update {
                key,
                change: Change::Set { value, .. },
            } => {
                map.insert(key.clone(), value.clone());
                // Somebody else writes the key that is renamed.
                if let Some(old) = map.get_mut(&b"raced"[..]) {
                    *old = Bytes::from_static(b"newer");
                }
                Reply::Changed(Changed {
                    done: true,
                    ..Changed::default()
                })
            }
            // What values are and become is the subject of tests on whole nodes.
            Request::Describe { key } => Reply::Held(map.get(key).map(|value| Held {
                kind: None,
                size: value.len() as u64,
                ends_at_ms: None,
            })),
            Request::Lookup { .. }
            | Request::Ask { .. }
            | Request::Alter { .. }
            | Request::Clear { .. }
            | Request::Update { .. }
            | Request::Count { .. }
            | Request::Progress { .. }
            | Request::Scan { .. }
            | Request::Names { .. } => {
                Reply::Failed(RequestError::Storage("not in a map".to_owned()))
            }
            Request::Put { key, value, .. } => {
                map.insert(key.clone(), value.clone());
                Reply::Stored(Dot::default())
            }
            Request::Delete { key, context } => {
                let seen = context.as_ref();
                let is_seen = seen.is_none_or(|seen| **seen == object(map.get(key)).context);
                let is_deleted = is_seen && map.remove(key).is_some();
                Reply::Deleted(is_deleted.then(Dot::default))
            }
        }
    }

    /// Answers when the test says so.
    fn delay(&self, late: Late) -> oneshot::Receiver<Reply> {
        let (sender, receiver) = oneshot::channel();
        self.late.lock().push((sender, late));
        self.late_count.send_modify(|count| *count += 1);
        receiver
    }

    /// Waits until `count` answers are late, then gives them, the last one first.
    async fn answer_late(&self, count: usize) {
        let mut counts = self.late_count.subscribe();
        counts.wait_for(|late| *late >= count).await.unwrap();
        let mut late = std::mem::take(&mut *self.late.lock());
        while let Some((sender, late)) = late.pop() {
            sender.send(self.answer(late)).unwrap();
        }
    }

    fn answer(&self, late: Late) -> Reply {
        match late {
            Late::Reply(reply) => reply,
            Late::Request(request) => self.apply(&request),
        }
    }
}

/// Takes nothing.
struct Plain<'a>(&'a Fake);

impl Streak for Plain<'_> {
    fn submit(&self, past: &Arc<Past>, consistency: Consistency, request: Request) -> Submitted {
        self.0.submit_noting(past, consistency, request)
    }

    fn release(&self) {}
}

#[async_trait]
impl Store for Fake {
    fn consistency(&self) -> Consistency {
        Consistency::default()
    }

    fn submit(&self, _: Consistency, request: Request) -> Submitted {
        if matches!(&request, Request::Update { key, .. } if key.starts_with(b"decided")) {
            return Submitted::Deferred(self.delay(Late::Request(request)));
        }
        let reply = self.apply(&request);
        match request {
            Request::Put { key, .. } | Request::Delete { key, .. } if key.starts_with(b"late") => {
                Submitted::Waiting(self.delay(Late::Reply(reply)))
            }
            Request::Inspect { key } if key.starts_with(b"far") => {
                Submitted::Waiting(self.delay(Late::Reply(reply)))
            }
            Request::Fingerprint { key } if key.starts_with(b"far") => {
                Submitted::Waiting(self.delay(Late::Reply(reply)))
            }
            _ => Submitted::Ready(reply),
        }
    }

    fn submit_noting(
        &self,
        _: &Arc<Past>,
        consistency: Consistency,
        request: Request,
    ) -> Submitted {
        self.submit(consistency, request)
    }

    fn streak(&self) -> Box<dyn Streak + '_> {
        Box::new(Plain(self))
    }

    async fn replicated(
        &self,
        _: &Past,
        goal: Goal,
        deadline: Option<tokio::time::Instant>,
    ) -> Result<Reached, ProgressError> {
        let reached = Reached {
            accepted: true,
            others: 2,
        };
        // Without a runtime no time passes: who would wait has waited.
        let time_passes = tokio::runtime::Handle::try_current().is_ok();
        if goal.others > reached.others && time_passes {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        }
        Ok(reached)
    }

    async fn token(&self, _: &Past) -> Result<String, TokenError> {
        Ok("token".to_owned())
    }

    async fn after(
        &self,
        _: &Past,
        text: &[u8],
        _: Option<tokio::time::Instant>,
    ) -> Result<(), AfterError> {
        (text == b"token").then_some(()).ok_or(AfterError::NoToken)
    }

    fn seal_context(&self, key: &[u8], context: &VersionVector) -> String {
        format!("{} {context:?}", key.escape_ascii())
    }

    fn open_context(&self, _: &[u8], _: &[u8]) -> Result<VersionVector, NoContext> {
        Err(NoContext)
    }

    async fn scan(&self, cursor: u64, count: usize) -> Result<ScanPage, RequestError> {
        let map = self.map.lock();
        let from = cursor as usize;
        let keys: Vec<Bytes> = map.keys().skip(from).take(count).cloned().collect();
        let next = from + keys.len();
        Ok(ScanPage {
            cursor: if next < map.len() { next as u64 } else { 0 },
            keys,
        })
    }

    async fn list(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        count: usize,
    ) -> Result<Vec<Bytes>, RequestError> {
        let map = self.map.lock();
        let mut keys: Vec<Bytes> = map.keys().cloned().collect();
        keys.sort();
        keys.retain(|key| key.starts_with(prefix) && after.is_none_or(|after| key > after));
        keys.truncate(count);
        Ok(keys)
    }

    fn publish(&self, channel: &Bytes, payload: &Bytes) -> usize {
        self.shared.subscribers.deliver(channel, payload)
    }

    fn wall_ms(&self) -> u64 {
        1_000_000
    }

    async fn key_count(&self) -> Result<u64, RequestError> {
        Ok(self.map.lock().len() as u64)
    }

    fn members(&self) -> Vec<MemberView> {
        let member = |name: &str, client_addr, me| MemberView {
            name: name.to_owned(),
            id: NodeId(7),
            cluster_addr: "127.0.0.1:7979".parse().unwrap(),
            client_addr,
            state: "alive",
            incarnation: 1,
            generation: 2,
            since_ms: 3,
            me,
        };
        let addr = "127.0.0.1:7379".parse().ok();
        vec![member("one", addr, true), member("two", None, false)]
    }

    fn status(&self) -> Status {
        Status {
            name: "one".to_owned(),
            id: NodeId(7),
            cluster: "test".to_owned(),
            version: "0.0.0",
            cluster_addr: "127.0.0.1:7979".parse().unwrap(),
            client_addr: "127.0.0.1:7379".parse().unwrap(),
            uptime_ms: 61_000,
            members_alive: 1,
            members_total: 2,
            partitions: 64,
            keys: self.map.lock().len() as u64,
            ending: 0,
            data: "memory".to_owned(),
            disk: DiskView::default(),
            quarantine: String::new(),
            counters: vec![("pushes_sent", 5)],
        }
    }

    fn placement(&self) -> PlacementView {
        placement::placed()
    }

    fn owners(&self, key: &[u8]) -> OwnersView {
        placement::owners(key)
    }

    fn ask_owner(&self, owner: NodeId, request: Request) -> Submitted {
        match owner {
            NodeId(7) => Submitted::Ready(self.apply(&request)),
            _ => Submitted::Ready(Reply::Failed(RequestError::Rebuilding(3))),
        }
    }

    fn rebalance(&self) -> RebalanceView {
        placement::rebalance()
    }

    fn plan(&self, joins: &[PlannedJoin], leaves: &[String]) -> Result<PlanView, String> {
        placement::plan(joins, leaves)
    }

    fn leave(&self, force: bool) -> Result<(), LeaveError> {
        match force {
            true => Ok(()),
            false => Err(LeaveError::LastMember),
        }
    }

    fn remove(&self, name: &str) -> Result<(), RemoveError> {
        match name {
            "two" => Ok(()),
            "one" => Err(RemoveError::Myself),
            _ => Err(RemoveError::NotMember),
        }
    }

    fn transfer(&self, _: u64, request: TransferRequest) -> Result<TransferReply, TransferError> {
        let reply = match &request {
            TransferRequest::BeginBackup => TransferReply::Begun(Origin {
                partitions: 64,
                hash_seed: u64::MAX,
                taken_ms: 5,
                keys: 6,
            }),
            TransferRequest::NextPiece { partition } => TransferReply::End {
                partition: *partition,
                payload: b"tail".to_vec(),
                unheard: vec![NodeId(7), NodeId(8)],
            },
            TransferRequest::LayoutOfBackup => TransferReply::CatchingUp(vec![NodeId(8)]),
            TransferRequest::LayoutOfRestore => TransferReply::Layout(Layout {
                here: (0..64).collect(),
                owned: [NodeId(7), NodeId(8)]
                    .map(|id| (id, [3, 4, 7].into_iter().collect()))
                    .into(),
            }),
            TransferRequest::RestoreStatus => return Err(TransferError::NotCaughtUp),
            _ => TransferReply::Ready,
        };
        self.transfers.lock().push(request);
        Ok(reply)
    }

    fn forget_transfers(&self, client: u64) {
        self.forgotten.send_modify(|gone| gone.push(client));
    }
}

/// A value as the one that its first byte numbers.
fn object(value: Option<&Bytes>) -> Object {
    let mut object = Object::default();
    if let Some(value) = value {
        let actor = ActorId {
            node: NodeId(7),
            incarnation: 1,
        };
        let dot = Dot {
            actor,
            n: value.first().map_or(1, |byte| u64::from(*byte)),
        };
        let version = Version {
            hlc: Hlc(1),
            expire_at_ms: None,
            value: value.clone(),
            part: None,
        };
        object.versions.insert(dot, version);
        object.context.add(dot);
    }
    object
}

struct Server {
    addr: SocketAddr,
    fake: Arc<Fake>,
    stopping: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(limits: ServerLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::new(limits));
        let fake = Arc::new(Fake::new(Arc::clone(&shared)));
        let stopping = CancellationToken::new();
        let store = Arc::clone(&fake);
        let task = tokio::spawn(serve_store(listener, store, stopping.clone(), shared));
        Self {
            addr,
            fake,
            stopping,
            task,
        }
    }

    async fn with_defaults() -> Self {
        Self::start(ServerLimits::default()).await
    }

    async fn connect(&self) -> Peer {
        let stream = TcpStream::connect(self.addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Peer {
            stream,
            decoder: ReplyDecoder::new(ReplyLimits::default()),
            input: BytesMut::new(),
        }
    }
}

/// A client that sends whatever bytes it is told to.
struct Peer {
    stream: TcpStream,
    decoder: ReplyDecoder,
    input: BytesMut,
}

impl Peer {
    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next reply; `None` when the server has closed.
    async fn receive(&mut self) -> Option<Value> {
        loop {
            if let Some(reply) = self.decoder.decode(&mut self.input).unwrap() {
                return Some(reply);
            }
            let read = self.stream.read_buf(&mut self.input);
            match tokio::time::timeout(PATIENCE, read).await.expect("a reply") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    async fn call(&mut self, line: &str) -> Value {
        let args: Vec<&str> = line.split(' ').collect();
        self.send(&request(&args)).await;
        self.receive().await.expect("a reply")
    }

    /// The reply as it is on the wire, up to its first line end.
    async fn call_line(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes()).await;
        while !self.input.contains(&b'\n') {
            assert_ne!(self.stream.read_buf(&mut self.input).await.unwrap(), 0);
        }
        String::from_utf8(self.input.split().to_vec()).unwrap()
    }

    /// Sends lines and expects exactly these bytes.
    async fn expect(&mut self, lines: &str, bytes: &str) {
        self.send(lines.replace('\n', "\r\n").as_bytes()).await;
        while self.input.len() < bytes.len() {
            let read = self.stream.read_buf(&mut self.input);
            let read = tokio::time::timeout(PATIENCE, read).await;
            match read {
                Ok(Ok(1..)) => {}
                _ => break,
            }
        }
        let answer = self.input.split().escape_ascii().to_string();
        assert_eq!(answer, bytes.escape_default().to_string(), "{lines}");
    }

    async fn error(&mut self, line: &str) -> String {
        match self.call(line).await {
            Value::Error(text) => text,
            other => panic!("{line}: {other:?}"),
        }
    }
}

fn request(args: &[&str]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    encode_request(args, &mut bytes);
    bytes.to_vec()
}

fn bulks(items: &[&str]) -> Value {
    let bulk = |item: &&str| Value::bulk((*item).to_owned());
    Value::Array(items.iter().map(bulk).collect())
}

fn field<'a>(pairs: &'a [(Value, Value)], name: &str) -> &'a Value {
    let found = pairs
        .iter()
        .find(|(key, _)| key.as_bytes() == Some(name.as_bytes()));
    &found.unwrap_or_else(|| panic!("{name} in {pairs:?}")).1
}
