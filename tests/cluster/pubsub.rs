//! What is published on one node reaches those who listen on others.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use netdb::resp::{ReplyDecoder, ReplyLimits, Value, encode_request};

use crate::support::{Cluster, LATER, Node, SOON, eventually};

/// How long a message may be on its way before another is published.
const A_MOMENT: Duration = Duration::from_millis(200);

/// A client that takes in what it is sent, whenever that comes.
struct Listener {
    stream: TcpStream,
    decoder: ReplyDecoder,
    input: BytesMut,
}

impl Listener {
    /// Subscribes at a node, to whatever the command says.
    fn new(node: &Node, command: &[&str]) -> Self {
        Self::connect(node.ports.client, command).expect("a subscription")
    }

    fn connect(addr: SocketAddr, command: &[&str]) -> Result<Self, String> {
        let stream = TcpStream::connect(addr).map_err(|error| error.to_string())?;
        let mut listener = Self {
            stream,
            decoder: ReplyDecoder::new(ReplyLimits::default()),
            input: BytesMut::new(),
        };
        let mut request = BytesMut::new();
        encode_request(command, &mut request);
        let sent = listener.stream.write_all(&request);
        sent.map_err(|error| error.to_string())?;
        for name in &command[1..] {
            let frame = listener.next(SOON).ok_or("no answer")?;
            if frame.get(1).map(String::as_str) != Some(*name) {
                return Err(format!("{frame:?}"));
            }
        }
        Ok(listener)
    }

    /// The words of the next frame; none if it does not come in time, or the node is gone.
    fn next(&mut self, within: Duration) -> Option<Vec<String>> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.input).expect("a frame") {
                return Some(words(&frame));
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            self.stream
                .set_read_timeout(Some(left.max(Duration::from_millis(1))))
                .expect("a time-out");
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(read) => self.input.extend_from_slice(&buffer[..read]),
                Err(_) => {}
            }
        }
    }

    /// What comes next is this.
    #[track_caller]
    fn expect(&mut self, frame: &[&str]) {
        assert_eq!(self.next(SOON).expect("a message"), frame);
    }

    /// Waits until something comes that was published again and again meanwhile: before the
    /// links are up nobody is told, and nothing is kept.
    #[track_caller]
    fn await_link(&mut self, publish: impl Fn()) {
        eventually("what is published arrives", LATER, || {
            publish();
            self.next(A_MOMENT).map(drop).ok_or("nothing".to_owned())
        });
        self.forget();
    }

    /// Takes in what is on its way.
    fn forget(&mut self) {
        while self.next(A_MOMENT).is_some() {}
    }
}

fn words(frame: &Value) -> Vec<String> {
    match frame {
        Value::Array(items) | Value::Push(items) => items
            .iter()
            .map(|item| match item {
                Value::Integer(n) => n.to_string(),
                item => String::from_utf8_lossy(item.as_bytes().unwrap_or_default()).into(),
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn publish(node: &Node, channel: &str, message: &str) -> Value {
    node.call(&["PUBLISH", channel, message])
}

#[test]
fn what_one_node_publishes_others_hear_in_order() {
    let cluster = Cluster::start(3);
    let [one, two, three] = &cluster.nodes[..] else {
        panic!("three nodes");
    };
    let mut by_name = Listener::new(one, &["SUBSCRIBE", "news", "other"]);
    let mut by_pattern = Listener::new(two, &["PSUBSCRIBE", "n[a-f]*"]);
    let mut here = Listener::new(three, &["SUBSCRIBE", "news"]);
    for listener in [&mut by_name, &mut by_pattern] {
        listener.await_link(|| drop(publish(three, "news", "are you there?")));
    }
    here.forget();
    by_name.forget();

    let mut connection = three.connect();
    for n in 0..500 {
        // Each node counts those who listen there.
        let told = connection.call(&["PUBLISH", "news", &n.to_string()]);
        assert_eq!(told, Ok(Value::Integer(1)));
        assert_eq!(publish(three, "nothing", "x"), Value::Integer(0));
    }
    for n in 0..500 {
        let n = n.to_string();
        by_name.expect(&["message", "news", &n]);
        here.expect(&["message", "news", &n]);
        by_pattern.expect(&["pmessage", "n[a-f]*", "news", &n]);
    }

    // In any direction, of any size that a value may have; and what is left is left.
    let large = "x".repeat(3 * 1024 * 1024);
    assert_eq!(publish(two, "other", &large), Value::Integer(0));
    by_name.expect(&["message", "other", &large]);
    assert_eq!(publish(one, "other", "y"), Value::Integer(1));
    by_name.expect(&["message", "other", "y"]);
    drop(by_name);
    eventually("nobody listens on n1", SOON, || {
        let channels = one.try_call(&["PUBSUB", "CHANNELS"])?;
        (channels == Value::Array(Vec::new()))
            .then_some(())
            .ok_or(format!("{channels:?}"))
    });
    assert_eq!(publish(one, "other", "z"), Value::Integer(0));
    assert_eq!(two.call(&["PUBSUB", "NUMPAT"]), Value::Integer(1));
    assert_eq!(by_pattern.next(A_MOMENT), None);
}

#[test]
fn who_listened_at_a_node_that_died_listens_again() {
    let mut cluster = Cluster::start(3);
    let mut lost = Listener::new(&cluster.nodes[0], &["SUBSCRIBE", "news"]);
    let mut kept = Listener::new(&cluster.nodes[1], &["SUBSCRIBE", "news"]);
    for listener in [&mut lost, &mut kept] {
        listener.await_link(|| drop(publish(&cluster.nodes[2], "news", "are you there?")));
    }
    lost.forget();

    cluster.nodes[0].kill();
    assert_eq!(lost.next(SOON), None, "the connection is gone");
    publish(&cluster.nodes[2], "news", "missed");
    kept.expect(&["message", "news", "missed"]);

    cluster.nodes[0].start();
    let mut again = Listener::new(&cluster.nodes[0], &["SUBSCRIBE", "news"]);
    again.await_link(|| drop(publish(&cluster.nodes[2], "news", "are you back?")));
    kept.forget();
    publish(&cluster.nodes[2], "news", "hello");
    for listener in [&mut again, &mut kept] {
        listener.expect(&["message", "news", "hello"]);
    }
    // And what is published at the node that came back.
    kept.await_link(|| drop(publish(&cluster.nodes[0], "news", "do you hear me?")));
}

/// What Redis 7.0.15 tells of each command, but for `expired`.
const EVENTS: &[(&str, &[(&str, &str)])] = &[
    ("SET k v", &[("set", "k")]),
    ("SET k v EX 100", &[("set", "k"), ("expire", "k")]),
    ("SET k v NX", &[]),
    ("SET k v KEEPTTL", &[("set", "k")]),
    ("GETSET k w", &[("set", "k")]),
    ("SETNX k x", &[]),
    ("SETEX k 10 v", &[("set", "k"), ("expire", "k")]),
    ("APPEND k x", &[("append", "k")]),
    ("SETRANGE k 1 zz", &[("setrange", "k")]),
    ("EXPIRE k 100", &[("expire", "k")]),
    ("EXPIRE k 100 NX", &[]),
    ("PERSIST k", &[("persist", "k")]),
    ("PERSIST k", &[]),
    ("GETEX k EX 10", &[("expire", "k")]),
    ("GETEX k PERSIST", &[("persist", "k")]),
    ("GETEX k", &[]),
    ("RENAME k k2", &[("rename_from", "k"), ("rename_to", "k2")]),
    ("RENAME k2 k2", &[]),
    (
        "RENAMENX k2 o",
        &[("rename_from", "k2"), ("rename_to", "o")],
    ),
    ("COPY o oo", &[("copy_to", "oo")]),
    ("COPY o oo", &[]),
    ("COPY o oo REPLACE", &[("copy_to", "oo")]),
    ("MSET a 1 b 2", &[("set", "a"), ("set", "b")]),
    ("MSETNX c 1 d 2", &[("set", "c"), ("set", "d")]),
    ("MSETNX c 1 e 2", &[]),
    ("DEL a b zz", &[("del", "a"), ("del", "b")]),
    ("UNLINK c", &[("del", "c")]),
    ("GETDEL d", &[("del", "d")]),
    ("GETDEL d", &[]),
    ("EXPIRE oo -1", &[("del", "oo")]),
    ("GETEX o PXAT 1", &[("del", "o")]),
    ("SET a 2 GET", &[("set", "a")]),
    ("SADD s m n", &[("sadd", "s")]),
    ("SADD s m", &[]),
    ("SREM s x", &[]),
    ("SREM s m", &[("srem", "s")]),
    ("SMOVE s t n", &[("srem", "s"), ("del", "s"), ("sadd", "t")]),
    ("SMOVE t t n", &[]),
    ("SADD s n", &[("sadd", "s")]),
    ("SMOVE s t n", &[("srem", "s"), ("del", "s")]),
    ("SADD s m n", &[("sadd", "s")]),
    ("SPOP s 0", &[]),
    ("SPOP s", &[("spop", "s")]),
    ("SPOP s 5", &[("spop", "s"), ("del", "s")]),
    ("SUNIONSTORE u t none", &[("sunionstore", "u")]),
    ("SINTERSTORE u t u", &[("sinterstore", "u")]),
    ("SDIFFSTORE v t none", &[("sdiffstore", "v")]),
    ("SINTERSTORE u t none", &[("del", "u")]),
    ("SINTERSTORE u t none", &[]),
    ("SREM v n", &[("srem", "v"), ("del", "v")]),
    ("HSET h f 1 g 2", &[("hset", "h")]),
    ("HSET h f 1", &[("hset", "h")]),
    ("HSETNX h f 1", &[]),
    ("HSETNX h i 1", &[("hset", "h")]),
    ("HMSET h i 1", &[("hset", "h")]),
    ("HINCRBY h f 1", &[("hincrby", "h")]),
    ("HINCRBYFLOAT h f 0.5", &[("hincrbyfloat", "h")]),
    ("HINCRBY h f 1", &[]),
    ("HDEL h f x", &[("hdel", "h")]),
    ("HDEL h x", &[]),
    ("HDEL h g i", &[("hdel", "h"), ("del", "h")]),
    ("HSET t f 1", &[]),
    ("DEL t", &[("del", "t")]),
    ("FLUSHALL", &[]),
];

#[test]
fn what_clients_of_one_node_change_is_heard_on_another() {
    let cluster = Cluster::start(3);
    let [one, two, three] = &cluster.nodes[..] else {
        panic!("three nodes");
    };
    let mut listener = Listener::new(two, &["PSUBSCRIBE", "__keyevent@0__:*"]);
    let set = ["CONFIG", "SET", "notify-keyspace-events", "EA"];
    assert_eq!(one.call(&set), Value::ok());
    listener.await_link(|| drop(one.call(&["SET", "k", "v"])));
    one.call(&["DEL", "k"]);
    listener.expect(&["pmessage", "__keyevent@0__:*", "__keyevent@0__:del", "k"]);
    for (command, events) in EVENTS {
        let words: Vec<&str> = command.split(' ').collect();
        one.call(&words);
        // Each node tells of its own clients, if it was asked to.
        three.call(&["SET", "elsewhere", command]);
        for (event, key) in *events {
            let channel = format!("__keyevent@0__:{event}");
            listener.expect(&["pmessage", "__keyevent@0__:*", &channel, key]);
        }
    }
    assert_eq!(publish(one, "__keyevent@0__:end", "x"), Value::Integer(0));
    listener.expect(&["pmessage", "__keyevent@0__:*", "__keyevent@0__:end", "x"]);
}

/// Each key that ends is told of once, by one of the nodes that are asked to tell, whatever it
/// held and whoever wrote it.
#[test]
fn keys_that_end_are_told_of_once() {
    let cluster = Cluster::start(3);
    for node in &cluster.nodes {
        let told = node.call(&["CONFIG", "SET", "notify-keyspace-events", "Ex"]);
        assert_eq!(told, Value::ok());
    }
    let mut listener = Listener::new(&cluster.nodes[2], &["SUBSCRIBE", "__keyevent@0__:expired"]);
    for node in &cluster.nodes[..2] {
        listener.await_link(|| drop(publish(node, "__keyevent@0__:expired", "x")));
    }
    let mut expected = Vec::new();
    for (n, node) in cluster.nodes.iter().enumerate() {
        let commands: [&[&str]; 3] = [&["SET", "v"], &["SADD", "m"], &["HINCRBY", "f", "2"]];
        for (kind, words) in ["value", "set", "hash"].iter().zip(commands) {
            let key = format!("{kind}:{n}");
            let mut command = vec![words[0], &key];
            command.extend(&words[1..]);
            node.call(&command);
            assert_eq!(node.call(&["PEXPIRE", &key, "50"]), Value::Integer(1));
            expected.push(key);
        }
    }
    let mut ended: Vec<String> = expected
        .iter()
        .map(|_| listener.next(LATER).expect("a key ends").swap_remove(2))
        .collect();
    ended.sort();
    expected.sort();
    assert_eq!(ended, expected);
    publish(&cluster.nodes[0], "__keyevent@0__:expired", "no more");
    listener.expect(&["message", "__keyevent@0__:expired", "no more"]);
    assert_eq!(cluster.nodes[1].call(&["DBSIZE"]), Value::Integer(0));
}
