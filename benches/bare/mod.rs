//! Nodes that do as little as possible: the yardstick beside Redis, for what is possible on a
//! machine with as many processes and connections.
//!
//! A bare node answers `SET` and `GET`, and any other command in an array with `PONG`. It puts
//! what is set in a map, sends it to the other nodes, if there are any, and answers when one of
//! them has put it, too. There is no clock, log, limit, cipher or second try, and what it is sent
//! it believes: what netdb is slower than this is what its promises cost.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, oneshot};
use xxhash_rust::xxh3::xxh3_64;

/// Pieces of the map: as many threads rarely meet in one.
const SHARDS: usize = 64;

/// Room for one read.
const READ_BYTES: usize = 16 * 1024;

/// Number, bytes of the key, bytes of the value. A message without a key says that the write of
/// that number is put.
const HEAD_BYTES: usize = 16;

#[derive(Default)]
struct Shard {
    values: HashMap<Bytes, Bytes>,
    waiting: HashMap<u64, oneshot::Sender<()>>,
}

/// What is to be sent to another node.
#[derive(Default)]
struct Outgoing {
    bytes: Mutex<BytesMut>,
    queued: Notify,
}

struct Node {
    shards: Vec<Mutex<Shard>>,
    peers: Mutex<Vec<Arc<Outgoing>>>,
    next: AtomicU64,
}

/// Serves clients at the first address until the process is killed. At the second, if there is
/// one, it listens for other nodes; it connects to those at the rest, which run already.
pub fn serve(addrs: &[SocketAddr]) {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let node = Arc::new(Node {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            peers: Mutex::default(),
            next: AtomicU64::default(),
        });
        let (clients, peers) = addrs.split_first().expect("an address for clients");
        if let Some((listen, others)) = peers.split_first() {
            let listener = TcpListener::bind(listen).await.expect("a free port");
            tokio::spawn(accept(listener, Arc::clone(&node), exchange));
            for other in others {
                let stream = TcpStream::connect(other).await.expect("another node");
                tokio::spawn(exchange(stream, Arc::clone(&node)));
            }
        }
        let listener = TcpListener::bind(clients).await.expect("a free port");
        accept(listener, node, answer).await;
    });
}

async fn accept<F: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    node: Arc<Node>,
    serve: fn(TcpStream, Arc<Node>) -> F,
) {
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        tokio::spawn(serve(stream, Arc::clone(&node)));
    }
}

impl Node {
    fn shard_of(&self, key: &[u8]) -> &Mutex<Shard> {
        &self.shards[xxh3_64(key) as usize % SHARDS]
    }

    fn put(&self, key: Bytes, value: Bytes) {
        self.shard_of(&key).lock().values.insert(key, value);
    }

    /// Sends a write to all other nodes; what says when one of them has put it.
    fn send(&self, peers: &[Arc<Outgoing>], key: &[u8], value: &[u8]) -> oneshot::Receiver<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        let mut shard = self.shards[number as usize % SHARDS].lock();
        shard.waiting.insert(number, sender);
        drop(shard);
        for peer in peers {
            let mut bytes = peer.bytes.lock();
            bytes.put_u64(number);
            bytes.put_u32(key.len() as u32);
            bytes.put_u32(value.len() as u32);
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value);
            drop(bytes);
            peer.queued.notify_one();
        }
        receiver
    }

    /// Does what another node has sent, and says so.
    fn take(&self, input: &mut BytesMut, said: &mut BytesMut) {
        while input.len() >= HEAD_BYTES {
            let mut head = &input[..HEAD_BYTES];
            let number = head.get_u64();
            let (key, value) = (head.get_u32() as usize, head.get_u32() as usize);
            if input.len() < HEAD_BYTES + key + value {
                return;
            }
            input.advance(HEAD_BYTES);
            let body = input.split_to(key + value).freeze();
            if key > 0 {
                self.put(body.slice(..key), body.slice(key..));
                said.put_u64(number);
                said.put_u64(0);
            } else {
                let mut shard = self.shards[number as usize % SHARDS].lock();
                if let Some(waiting) = shard.waiting.remove(&number) {
                    let _ = waiting.send(());
                }
            }
        }
    }
}

/// Speaks with another node until either ends.
async fn exchange(stream: TcpStream, node: Arc<Node>) {
    stream.set_nodelay(true).expect("no delay");
    let (mut reads, mut writes) = stream.into_split();
    let peer = Arc::new(Outgoing::default());
    node.peers.lock().push(Arc::clone(&peer));
    let outgoing = Arc::clone(&peer);
    tokio::spawn(async move {
        loop {
            outgoing.queued.notified().await;
            let bytes = std::mem::take(&mut *outgoing.bytes.lock());
            if writes.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut input = BytesMut::new();
    let mut said = BytesMut::new();
    loop {
        input.reserve(READ_BYTES);
        if !matches!(reads.read_buf(&mut input).await, Ok(1..)) {
            return;
        }
        node.take(&mut input, &mut said);
        if !said.is_empty() {
            peer.bytes.lock().unsplit(said.split());
            peer.queued.notify_one();
        }
    }
}

/// Answers a client until either ends.
async fn answer(mut stream: TcpStream, node: Arc<Node>) {
    stream.set_nodelay(true).expect("no delay");
    let peers = node.peers.lock().clone();
    let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
    loop {
        input.reserve(READ_BYTES);
        if !matches!(stream.read_buf(&mut input).await, Ok(1..)) {
            return;
        }
        while let Some([command, key, value]) = next(&mut input) {
            if command.eq_ignore_ascii_case(b"set") {
                let sent = (!peers.is_empty()).then(|| node.send(&peers, &key, &value));
                node.put(key, value);
                if let Some(put) = sent {
                    let _ = put.await;
                }
                output.extend_from_slice(b"+OK\r\n");
            } else if command.eq_ignore_ascii_case(b"get") {
                match node.shard_of(&key).lock().values.get(&key) {
                    Some(value) => {
                        output.extend_from_slice(format!("${}\r\n", value.len()).as_bytes());
                        output.extend_from_slice(value);
                        output.extend_from_slice(b"\r\n");
                    }
                    None => output.extend_from_slice(b"$-1\r\n"),
                }
            } else {
                output.extend_from_slice(b"+PONG\r\n");
            }
        }
        if stream.write_all(&output).await.is_err() {
            return;
        }
        output.clear();
    }
}

/// The first three words of the next command, if all of it is there; empty ones where it has
/// fewer.
fn next(input: &mut BytesMut) -> Option<[Bytes; 3]> {
    let mut at = 0;
    let count = number(input, &mut at)?;
    let mut words = [const { 0..0 }; 3];
    for n in 0..count {
        let length = number(input, &mut at)?;
        if let Some(word) = words.get_mut(n) {
            *word = at..at + length;
        }
        at += length + 2;
    }
    if input.len() < at {
        return None;
    }
    let command = input.split_to(at).freeze();
    Some(words.map(|word| command.slice(word)))
}

/// The number behind the byte at `at`, which is behind the line then.
fn number(input: &[u8], at: &mut usize) -> Option<usize> {
    let line = input.get(*at + 1..)?;
    let end = line.iter().position(|byte| *byte == b'\r')?;
    let digits = line[..end].iter().map(|byte| usize::from(byte - b'0'));
    *at += end + 3;
    Some(digits.fold(0, |sum, digit| sum * 10 + digit))
}
