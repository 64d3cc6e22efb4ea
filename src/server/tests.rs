//! The server over a real loopback socket, in front of a store that is a map.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::store::Store;
use super::{ServerLimits, serve_store};
use crate::clock::NodeId;
use crate::node::request::{Reply, Request};
use crate::resp::{Protocol, ReplyDecoder, ReplyLimits, Value, encode_request};
use crate::runtime::{MemberView, ScanPage, Status, Submitted};

/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// A store in a map. Writes to keys that begin with `late` take effect at once and are
/// answered when the test says so.
struct Fake {
    map: Mutex<BTreeMap<Bytes, Bytes>>,
    late: Mutex<Vec<(oneshot::Sender<Reply>, Reply)>>,
    late_count: watch::Sender<usize>,
    gets: AtomicUsize,
}

impl Fake {
    fn new() -> Self {
        Self {
            map: Mutex::default(),
            late: Mutex::default(),
            late_count: watch::Sender::new(0),
            gets: AtomicUsize::new(0),
        }
    }

    fn apply(&self, request: &Request) -> Reply {
        let mut map = self.map.lock();
        match request {
            Request::Get { key } => {
                self.gets.fetch_add(1, Ordering::Relaxed);
                Reply::Value(map.get(key).cloned())
            }
            Request::Exists { key } => Reply::Exists(map.contains_key(key)),
            Request::Inspect { .. } => unreachable!("no command asks for it yet"),
            Request::Put { key, value, .. } => {
                map.insert(key.clone(), value.clone());
                Reply::Stored
            }
            Request::Delete { key, .. } => Reply::Deleted(map.remove(key).is_some()),
        }
    }

    /// Waits until `count` answers are late, then gives them, the last one first.
    async fn answer_late(&self, count: usize) {
        let mut counts = self.late_count.subscribe();
        counts.wait_for(|late| *late >= count).await.unwrap();
        let mut late = std::mem::take(&mut *self.late.lock());
        while let Some((sender, reply)) = late.pop() {
            sender.send(reply).unwrap();
        }
    }
}

impl Store for Fake {
    fn submit(&self, request: Request) -> Submitted {
        let reply = self.apply(&request);
        match request {
            Request::Put { key, .. } | Request::Delete { key, .. } if key.starts_with(b"late") => {
                let (sender, receiver) = oneshot::channel();
                self.late.lock().push((sender, reply));
                self.late_count.send_modify(|count| *count += 1);
                Submitted::Waiting(receiver)
            }
            _ => Submitted::Ready(reply),
        }
    }

    fn scan(&self, cursor: u64, count: usize) -> ScanPage {
        let map = self.map.lock();
        let from = cursor as usize;
        let keys: Vec<Bytes> = map.keys().skip(from).take(count).cloned().collect();
        let next = from + keys.len();
        ScanPage {
            cursor: if next < map.len() { next as u64 } else { 0 },
            keys,
        }
    }

    fn key_count(&self) -> u64 {
        self.map.lock().len() as u64
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
            keys: self.key_count(),
            data: "memory".to_owned(),
            counters: vec![("pushes_sent", 5)],
        }
    }
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
        let fake = Arc::new(Fake::new());
        let stopping = CancellationToken::new();
        let store = Arc::clone(&fake);
        let task = tokio::spawn(serve_store(listener, store, stopping.clone(), limits));
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

#[tokio::test]
async fn put_get_delete() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    assert_eq!(peer.call("SET a 1").await, Value::ok());
    assert_eq!(peer.call("get a").await, Value::bulk("1"));
    assert_eq!(peer.call("SET b 2").await, Value::ok());
    assert_eq!(peer.call("EXISTS a b a c").await, Value::Integer(3));
    assert_eq!(peer.call("DBSIZE").await, Value::Integer(2));
    assert_eq!(peer.call("DEL a b c").await, Value::Integer(2));
    assert_eq!(peer.call("GET a").await, Value::Null);
    assert_eq!(peer.call("PING").await, Value::simple("PONG"));
    assert_eq!(peer.call("PING x").await, Value::bulk("x"));
    assert_eq!(peer.call("ECHO x").await, Value::bulk("x"));
}

#[tokio::test]
async fn errors_have_the_words_that_clients_know() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    for (line, text) in [
        ("GET", "ERR wrong number of arguments for 'get' command"),
        ("get a b", "ERR wrong number of arguments for 'get' command"),
        (
            "PING a b",
            "ERR wrong number of arguments for 'ping' command",
        ),
        (
            "CLIENT",
            "ERR wrong number of arguments for 'client' command",
        ),
        (
            "CLIENT SETNAME",
            "ERR wrong number of arguments for 'client|setname' command",
        ),
        (
            "CLIENT FOO",
            "ERR unknown subcommand 'FOO'. Try CLIENT HELP.",
        ),
        (
            "foo a b",
            "ERR unknown command 'foo', with args beginning with: 'a' 'b' ",
        ),
        ("SET a 1 EX 10", "ERR syntax error"),
        ("SELECT 1", "ERR DB index is out of range"),
        ("SELECT x", "ERR value is not an integer or out of range"),
        ("HELLO 4", "NOPROTO unsupported protocol version"),
        (
            "HELLO x",
            "ERR Protocol version is not an integer or out of range",
        ),
        ("HELLO 3 FOO", "ERR Syntax error in HELLO option 'FOO'"),
        (
            "AUTH nobody x",
            "WRONGPASS invalid username-password pair or user is disabled.",
        ),
        ("SCAN x", "ERR invalid cursor"),
        ("SCAN 0 COUNT 0", "ERR syntax error"),
        (
            "SCAN 0 COUNT x",
            "ERR value is not an integer or out of range",
        ),
        ("SCAN 0 MATCH", "ERR syntax error"),
        (
            "COMMAND GETKEYS PING x",
            "ERR The command has no key arguments",
        ),
        ("COMMAND GETKEYS NOPE x", "ERR Invalid command specified"),
    ] {
        assert_eq!(peer.error(line).await, text, "{line}");
    }
    assert_eq!(peer.call("PING").await, Value::simple("PONG"));
}

#[tokio::test]
async fn ten_thousand_commands_in_one_pipeline() {
    let server = Server::with_defaults().await;
    let peer = server.connect().await;
    let (mut read, mut write) = peer.stream.into_split();
    let count = 10_000;
    let writer = tokio::spawn(async move {
        let mut bytes = Vec::new();
        for n in 0..count / 2 {
            let value = n.to_string();
            bytes.extend(request(&["SET", "key", &value]));
            bytes.extend(request(&["GET", "key"]));
        }
        write.write_all(&bytes).await.unwrap();
        write
    });
    let mut decoder = ReplyDecoder::new(ReplyLimits::default());
    let mut input = BytesMut::new();
    for n in 0..count / 2 {
        for expected in [Value::ok(), Value::bulk(n.to_string())] {
            let reply = loop {
                match decoder.decode(&mut input).unwrap() {
                    Some(reply) => break reply,
                    None => assert_ne!(read.read_buf(&mut input).await.unwrap(), 0),
                }
            };
            assert_eq!(reply, expected);
        }
    }
    writer.await.unwrap();
}

#[tokio::test]
async fn replies_keep_their_order_though_some_are_late() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let mut bytes = Vec::new();
    for n in 0..100 {
        let (key, value) = (format!("late{n}"), n.to_string());
        bytes.extend(request(&["SET", &key, &value]));
        bytes.extend(request(&["GET", &key]));
        bytes.extend(request(&["DEL", &key, "late-none", "other"]));
        bytes.extend(request(&["GET", &key]));
    }
    peer.send(&bytes).await;
    let fake = Arc::clone(&server.fake);
    // The burst is cut as the bytes arrive, so answers are given as often as it takes.
    let answers = tokio::spawn(async move {
        let mut given = 0;
        loop {
            given += 1;
            fake.answer_late(given).await;
            given = *fake.late_count.borrow();
        }
    });
    for n in 0..100 {
        assert_eq!(peer.receive().await, Some(Value::ok()));
        assert_eq!(peer.receive().await, Some(Value::bulk(n.to_string())));
        assert_eq!(peer.receive().await, Some(Value::Integer(1)));
        assert_eq!(peer.receive().await, Some(Value::Null));
    }
    answers.abort();
}

#[tokio::test]
async fn a_command_in_single_bytes() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    for byte in request(&["SET", "key", "a\r\nb"]) {
        peer.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(peer.receive().await, Some(Value::ok()));
    // A command that never ends disturbs nobody and ends with its connection.
    peer.send(b"*2\r\n$3\r\nGET\r\n$3\r\nke").await;
    let mut other = server.connect().await;
    assert_eq!(other.call("GET key").await, Value::bulk("a\r\nb"));
    peer.send(b"y\r\n").await;
    assert_eq!(peer.receive().await, Some(Value::bulk("a\r\nb")));
}

#[tokio::test]
async fn a_client_that_closes_its_half_still_gets_its_replies() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    peer.send(&request(&["PING"]).repeat(1_000)).await;
    peer.stream.shutdown().await.unwrap();
    for _ in 0..1_000 {
        assert_eq!(peer.receive().await, Some(Value::simple("PONG")));
    }
    assert_eq!(peer.receive().await, None);
}

#[tokio::test]
async fn large_values_pass_in_both_directions() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let value = "x".repeat(3 * 1024 * 1024);
    peer.send(&request(&["SET", "key", &value])).await;
    assert_eq!(peer.receive().await, Some(Value::ok()));
    assert_eq!(peer.call("GET key").await, Value::bulk(value));
}

#[tokio::test]
async fn inline_commands() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    peer.send(b"\r\nset k \"hello world\"\r\nGET k\nPING\r\n")
        .await;
    assert_eq!(peer.receive().await, Some(Value::ok()));
    assert_eq!(peer.receive().await, Some(Value::bulk("hello world")));
    assert_eq!(peer.receive().await, Some(Value::simple("PONG")));
}

#[tokio::test]
async fn hello_chooses_the_dialect() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    assert_eq!(peer.call_line("GET none").await, "$-1\r\n");
    let hello = peer.call("HELLO 3 AUTH default any SETNAME me").await;
    let Value::Map(pairs) = hello else {
        panic!("{hello:?}");
    };
    assert_eq!(field(&pairs, "proto"), &Value::Integer(3));
    assert_eq!(field(&pairs, "server"), &Value::bulk("netdb"));
    assert_eq!(peer.call("CLIENT GETNAME").await, Value::bulk("me"));
    assert_eq!(peer.call_line("GET none").await, "_\r\n");
    assert!(matches!(peer.call("HELLO").await, Value::Map(_)));
    assert!(matches!(peer.call("HELLO 2").await, Value::Array(_)));
    assert_eq!(peer.call_line("GET none").await, "$-1\r\n");
    assert!(matches!(peer.call("HELLO 3").await, Value::Map(_)));
    assert_eq!(peer.call("RESET").await, Value::simple("RESET"));
    assert_eq!(peer.call_line("CLIENT GETNAME").await, "$-1\r\n");
}

#[tokio::test]
async fn a_refused_hello_changes_nothing() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    for line in [
        "HELLO 3 AUTH nobody x",
        "HELLO 3 SETNAME a\u{7f}",
        "HELLO 3 SETNAME",
    ] {
        peer.error(line).await;
        assert_eq!(peer.call_line("GET none").await, "$-1\r\n");
    }
}

#[tokio::test]
async fn quit_answers_and_closes() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    peer.send(b"PING\r\nQUIT\r\nPING\r\n").await;
    assert_eq!(peer.receive().await, Some(Value::simple("PONG")));
    assert_eq!(peer.receive().await, Some(Value::ok()));
    assert_eq!(peer.receive().await, None);
}

#[tokio::test]
async fn client_commands() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let mut other = server.connect().await;
    assert_eq!(other.call("PING").await, Value::simple("PONG"));
    assert_eq!(peer.call("CLIENT SETNAME first").await, Value::ok());
    assert_eq!(peer.call("CLIENT SETINFO LIB-NAME lib").await, Value::ok());
    assert_eq!(peer.call("CLIENT SETINFO LIB-VER 1.2").await, Value::ok());
    peer.error("CLIENT SETINFO COLOUR red").await;
    peer.send(&request(&["CLIENT", "SETNAME", "a b"])).await;
    assert!(matches!(peer.receive().await, Some(Value::Error(_))));
    assert_eq!(peer.call("CLIENT NO-EVICT on").await, Value::ok());
    let Value::Integer(id) = peer.call("CLIENT ID").await else {
        panic!("an id");
    };
    let list = peer.call("CLIENT LIST").await;
    let list = String::from_utf8(list.as_bytes().unwrap().to_vec()).unwrap();
    assert_eq!(list.lines().count(), 2, "{list}");
    let mine = format!("id={id} addr=");
    let line = list.lines().find(|line| line.starts_with(&mine)).unwrap();
    assert!(
        line.contains(" name=first ") && line.contains(" lib-name=lib "),
        "{line}"
    );
    let one = peer.call(&format!("CLIENT LIST ID {id}")).await;
    let one = String::from_utf8(one.as_bytes().unwrap().to_vec()).unwrap();
    assert_eq!(one.lines().count(), 1, "{one}");
}

#[tokio::test]
async fn client_reply_silences() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    peer.send(b"CLIENT REPLY SKIP\r\nPING skipped\r\nPING a\r\n")
        .await;
    assert_eq!(peer.receive().await, Some(Value::bulk("a")));
    peer.send(
        b"CLIENT REPLY OFF\r\nPING off\r\nnonsense\r\nSET late v\r\nCLIENT REPLY ON\r\nPING b\r\n",
    )
    .await;
    assert_eq!(peer.receive().await, Some(Value::ok()));
    assert_eq!(peer.receive().await, Some(Value::bulk("b")));
    assert_eq!(peer.call("GET late").await, Value::bulk("v"));
}

#[tokio::test]
async fn keys_and_scan() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    for n in 0..25 {
        peer.call(&format!("SET key:{n:02} v")).await;
    }
    peer.call("SET other v").await;
    assert_eq!(
        peer.call("KEYS key:0[1-3]").await,
        bulks(&["key:01", "key:02", "key:03"])
    );
    let mut cursor = "0".to_owned();
    let mut seen = 0;
    loop {
        let page = peer
            .call(&format!("SCAN {cursor} MATCH key:* COUNT 7 TYPE string"))
            .await;
        let Value::Array(parts) = page else {
            panic!("{page:?}");
        };
        let [Value::Bulk(next), Value::Array(keys)] = &parts[..] else {
            panic!("{parts:?}");
        };
        seen += keys.len();
        cursor = String::from_utf8(next.to_vec()).unwrap();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen, 25);
    let none = peer.call("SCAN 0 TYPE hash COUNT 100").await;
    assert_eq!(none, Value::Array(vec![Value::bulk("0"), bulks(&[])]));
    let long = "x".repeat(2_000);
    assert!(
        peer.error(&format!("KEYS {long}"))
            .await
            .contains("too long")
    );
}

#[tokio::test]
async fn command_describes_the_table() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let Value::Integer(count) = peer.call("COMMAND COUNT").await else {
        panic!("a count");
    };
    for line in ["COMMAND", "COMMAND INFO", "COMMAND LIST"] {
        let Value::Array(rows) = peer.call(line).await else {
            panic!("{line}");
        };
        assert_eq!(rows.len(), count as usize, "{line}");
    }
    let docs = peer.call("COMMAND DOCS").await.into_pairs().unwrap();
    assert_eq!(docs.len(), count as usize);
    let get = field(&docs, "get").clone().into_pairs().unwrap();
    assert_eq!(field(&get, "group"), &Value::bulk("string"));
    let Value::Array(rows) = peer.call("COMMAND INFO get nope client|id").await else {
        panic!("rows");
    };
    assert!(matches!(
        &rows[..],
        [Value::Array(_), Value::Null, Value::Array(_)]
    ));
    assert_eq!(
        peer.call("COMMAND GETKEYS DEL a b c").await,
        bulks(&["a", "b", "c"])
    );
    assert_eq!(peer.call("COMMAND GETKEYS SET a b").await, bulks(&["a"]));
    assert_eq!(
        peer.call("COMMAND LIST FILTERBY PATTERN ge*").await,
        bulks(&["get"])
    );
    assert_eq!(
        peer.call("COMMAND LIST FILTERBY ACLCAT string").await,
        bulks(&["get", "set"])
    );
    for container in ["COMMAND", "CLIENT", "NETDB"] {
        let Value::Array(lines) = peer.call(&format!("{container} HELP")).await else {
            panic!("{container}");
        };
        assert!(lines.len() > 4);
    }
}

#[tokio::test]
async fn info_has_its_sections() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    peer.call("SET a 1").await;
    let text = |value: Value| String::from_utf8(value.as_bytes().unwrap().to_vec()).unwrap();
    let all = text(peer.call("INFO").await);
    for line in [
        "# Server\r\n",
        "redis_version:",
        "connected_clients:1\r\n",
        "role:master\r\n",
        "cluster_enabled:0\r\n",
        "db0:keys=1,expires=0,avg_ttl=0\r\n",
        "members_alive:1\r\n",
        "pushes_sent:5\r\n",
        "loading:0\r\n",
    ] {
        assert!(all.contains(line), "{line} in {all}");
    }
    let some = text(peer.call("INFO keyspace CLIENTS").await);
    assert!(some.starts_with("# Clients\r\n") && some.contains("# Keyspace"));
    assert!(!some.contains("# Server"), "{some}");
    assert_eq!(text(peer.call("INFO nothing").await), "");
}

#[tokio::test]
async fn netdb_members_and_status_in_both_dialects() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        peer.call(&format!("HELLO {}", protocol.number())).await;
        let Value::Array(members) = peer.call("NETDB MEMBERS").await else {
            panic!("members");
        };
        let first = members[0].clone().into_pairs().unwrap();
        assert_eq!(field(&first, "name"), &Value::bulk("one"));
        assert_eq!(field(&first, "client"), &Value::bulk("127.0.0.1:7379"));
        let me = match protocol {
            Protocol::Resp2 => Value::Integer(1),
            Protocol::Resp3 => Value::Boolean(true),
        };
        assert_eq!(field(&first, "me"), &me);
        let second = members[1].clone().into_pairs().unwrap();
        assert_eq!(field(&second, "client"), &Value::Null);
        let status = peer.call("NETDB STATUS").await.into_pairs().unwrap();
        assert_eq!(field(&status, "cluster"), &Value::bulk("test"));
        assert_eq!(field(&status, "pushes_sent"), &Value::Integer(5));
    }
}

#[tokio::test]
async fn one_client_too_many_is_told_so() {
    let server = Server::start(ServerLimits {
        clients_max: 2,
        ..ServerLimits::default()
    })
    .await;
    let mut first = server.connect().await;
    let mut second = server.connect().await;
    assert_eq!(first.call("PING").await, Value::simple("PONG"));
    assert_eq!(second.call("PING").await, Value::simple("PONG"));
    let mut third = server.connect().await;
    assert_eq!(
        third.receive().await,
        Some(Value::error("ERR max number of clients reached"))
    );
    assert_eq!(third.receive().await, None);
    first.send(b"QUIT\r\n").await;
    assert_eq!(first.receive().await, Some(Value::ok()));
    assert_eq!(first.receive().await, None);
    // The place is free once the server has taken note of the end.
    let admitted = async {
        loop {
            let mut peer = server.connect().await;
            peer.stream.write_all(b"PING\r\n").await.ok();
            if peer.receive().await == Some(Value::simple("PONG")) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, admitted).await.unwrap();
}

#[tokio::test]
async fn a_reader_that_never_reads_is_bounded_then_dropped() {
    let server = Server::start(ServerLimits {
        stall: Duration::from_millis(200),
        ..ServerLimits::default()
    })
    .await;
    let value_bytes = 100 * 1024;
    let mut peer = server.connect().await;
    peer.send(&request(&["SET", "big", &"x".repeat(value_bytes)]))
        .await;
    assert_eq!(peer.receive().await, Some(Value::ok()));
    let ask = request(&["GET", "big"]).repeat(1_000);
    let greedy = async {
        // Ends when the server has dropped us: writes fail then.
        while peer.stream.write_all(&ask).await.is_ok() {}
    };
    tokio::time::timeout(PATIENCE, greedy).await.unwrap();
    // What was answered fits the socket's buffers and the pause.
    let answered = server.fake.gets.load(Ordering::Relaxed) * value_bytes;
    assert!(answered < 64 * 1024 * 1024, "{answered} bytes answered");
    let mut other = server.connect().await;
    assert_eq!(other.call("PING").await, Value::simple("PONG"));
}

#[tokio::test]
async fn a_client_that_was_idle_for_long_is_not_taken_for_a_stalled_one() {
    let server = Server::start(ServerLimits {
        stall: Duration::from_millis(500),
        ..ServerLimits::default()
    })
    .await;
    let mut peer = server.connect().await;
    peer.send(&request(&["SET", "big", &"x".repeat(3 << 20)]))
        .await;
    assert_eq!(peer.receive().await, Some(Value::ok()));
    tokio::time::sleep(Duration::from_millis(700)).await;
    let ask = request(&["GET", "big"]).repeat(4);
    peer.send(&ask).await;
    for _ in 0..4 {
        assert!(matches!(peer.receive().await, Some(Value::Bulk(_))));
    }
}

/// One thread for everything: the other client gets its turn between two bursts.
#[tokio::test(flavor = "current_thread")]
async fn a_big_pipeline_does_not_starve_others() {
    let server = Server::with_defaults().await;
    let mut other = server.connect().await;
    let greedy = server.connect().await;
    let (mut read, mut write) = greedy.stream.into_split();
    let commands = 200_000;
    tokio::spawn(async move {
        let bytes = request(&["GET", "k"]).repeat(commands);
        write.write_all(&bytes).await.unwrap();
    });
    let reader = tokio::spawn(async move {
        let mut sink = vec![0; 1 << 16];
        let mut left = commands * 5;
        while left > 0 {
            left -= read.read(&mut sink).await.unwrap();
        }
    });
    // Wait until the pipeline runs.
    while server.fake.gets.load(Ordering::Relaxed) < 1_000 {
        tokio::task::yield_now().await;
    }
    let before = server.fake.gets.load(Ordering::Relaxed);
    assert_eq!(other.call("PING").await, Value::simple("PONG"));
    let between = server.fake.gets.load(Ordering::Relaxed) - before;
    assert!(between < commands / 4, "{between} commands went before");
    reader.await.unwrap();
}

#[tokio::test]
async fn http_is_not_spoken_to() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    peer.send(b"POST / HTTP/1.1\r\nSET evil 1\r\n").await;
    assert_eq!(peer.receive().await, None);
    let mut peer = server.connect().await;
    peer.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nSET evil 1\r\n")
        .await;
    assert!(matches!(peer.receive().await, Some(Value::Error(_))));
    assert_eq!(peer.receive().await, None);
    assert_eq!(server.fake.key_count(), 0);
}

#[tokio::test]
async fn protocol_errors_are_told_and_end_the_connection() {
    let server = Server::with_defaults().await;
    let long = "x".repeat(70 * 1024);
    let deep = "*1\r\n".repeat(10_000);
    for (bytes, text) in [
        (
            "*3000000000\r\n",
            "ERR Protocol error: invalid multibulk length",
        ),
        (
            "*1\r\n$1073741824\r\n",
            "ERR Protocol error: invalid bulk length",
        ),
        ("*1\r\n$-10\r\n", "ERR Protocol error: invalid bulk length"),
        (&deep, "ERR Protocol error: expected '$', got '*'"),
        (&long, "ERR Protocol error: too big inline request"),
        (
            "set a \"b\r\n",
            "ERR Protocol error: unbalanced quotes in request",
        ),
    ] {
        let mut peer = server.connect().await;
        peer.send(b"*-10\r\nPING\r\n").await;
        peer.send(bytes.as_bytes()).await;
        assert_eq!(peer.receive().await, Some(Value::simple("PONG")));
        assert_eq!(peer.receive().await, Some(Value::error(text)));
        assert_eq!(peer.receive().await, None);
    }
}

/// Bytes from a fixed seed, close enough to the protocol to get somewhere.
fn garbage(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let pieces: [&[u8]; 8] = [
        b"*2\r\n",
        b"$3\r\n",
        b"GET\r\n",
        b"\r\n",
        b"*1\r\n",
        b"\"",
        b"$4\r\nKEYS\r\n",
        b"* ",
    ];
    let mut bytes = Vec::new();
    for _ in 0..next() % 200 {
        match next() % 3 {
            0 => bytes.push(next() as u8),
            _ => bytes.extend_from_slice(pieces[(next() % 8) as usize]),
        }
    }
    bytes
}

#[tokio::test]
async fn garbage_from_many_clients_leaves_the_server_serving() {
    let server = Server::with_defaults().await;
    for seed in 0..300 {
        let mut peer = server.connect().await;
        let _ = peer.stream.write_all(&garbage(seed)).await;
    }
    let mut peer = server.connect().await;
    assert_eq!(peer.call("SET a 1").await, Value::ok());
    assert_eq!(peer.call("GET a").await, Value::bulk("1"));
}

#[tokio::test]
async fn stopping_ends_connections_and_the_server() {
    let server = Server::with_defaults().await;
    let mut idle = server.connect().await;
    assert_eq!(idle.call("PING").await, Value::simple("PONG"));
    server.stopping.cancel();
    assert_eq!(idle.receive().await, None);
    tokio::time::timeout(PATIENCE, server.task)
        .await
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(server.addr).await.is_err());
}
