//! A client of the RESP port: one connection, one call at a time.
//!
//! This is what the REPL, `netdb exec` and the tests speak through. It does not trust the
//! server: replies are bounded by [`ReplyLimits`], and connecting and calling have
//! deadlines. Deliberately absent: pools, reconnecting, pipelining, subscriptions.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::resp::{ReplyDecoder, ReplyError, ReplyLimits, Value, encode_request};

/// How long resolving a name and connecting to all its addresses may take together. A
/// listening node accepts within a round trip; a person gives up after a few seconds.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one call may take: far longer than a node lets a write wait for its replicas,
/// so that it ends only calls to a node that hangs or to a network that is gone.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Room for one read.
const READ_BYTES: usize = 16 * 1024;

/// Most room that is made at once for a long string whose length has been declared.
const READ_BYTES_MAX: usize = 256 * 1024;

/// Why a call brought no reply. What the server itself refuses is a reply:
/// [`Value::Error`].
#[derive(Debug, Error)]
pub enum ClientError {
    /// No address could be connected to.
    #[error("cannot connect to {addr}: {source}")]
    Connect {
        /// What was asked for.
        addr: String,
        /// Why the last of its addresses failed.
        source: io::Error,
    },
    /// Connecting took too long.
    #[error("cannot connect to {addr}: no answer within {CONNECT_TIMEOUT:?}")]
    ConnectTimeout {
        /// What was asked for.
        addr: String,
    },
    /// The connection broke. Whether the command was executed is unknown.
    #[error("connection to {addr} broke: {source}")]
    Io {
        /// The server.
        addr: SocketAddr,
        /// What happened.
        source: io::Error,
    },
    /// The server closed the connection. Whether the command was executed is unknown.
    #[error("{0} closed the connection")]
    Closed(SocketAddr),
    /// No reply in time. Whether the command was executed is unknown.
    #[error("{0} did not answer within {CALL_TIMEOUT:?}")]
    CallTimeout(SocketAddr),
    /// The server's bytes are no reply.
    #[error("{addr} does not speak the Redis protocol: {source}")]
    Protocol {
        /// The server.
        addr: SocketAddr,
        /// What is wrong with them.
        source: ReplyError,
    },
    /// An earlier call failed or was abandoned, so replies no longer match calls.
    #[error("connection to {0} is out of step after an unfinished call; connect again")]
    OutOfStep(SocketAddr),
}

/// A connection to a node's client port.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    addr: SocketAddr,
    decoder: ReplyDecoder,
    input: BytesMut,
    output: BytesMut,
    /// A call has begun and not ended.
    in_call: bool,
}

impl Client {
    /// Connects to `addr`, `HOST:PORT`; a name's addresses are tried in turn.
    ///
    /// # Errors
    /// [`ClientError::Connect`] or [`ClientError::ConnectTimeout`].
    pub async fn connect(addr: &str) -> Result<Self, ClientError> {
        let stream = timeout(CONNECT_TIMEOUT, open(addr)).await.map_err(|_| {
            ClientError::ConnectTimeout {
                addr: addr.to_owned(),
            }
        })?;
        let (stream, peer) = stream.map_err(|source| ClientError::Connect {
            addr: addr.to_owned(),
            source,
        })?;
        Ok(Self {
            stream,
            addr: peer,
            decoder: ReplyDecoder::new(ReplyLimits::default()),
            input: BytesMut::new(),
            output: BytesMut::new(),
            in_call: false,
        })
    }

    /// The server's address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sends one command and waits for its reply. Messages that answer no command
    /// ([`Value::Push`]) are skipped.
    ///
    /// # Errors
    /// [`ClientError`] when there was no reply; the connection is of no further use then.
    /// The same holds when the future is dropped before it ends.
    pub async fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<Value, ClientError> {
        if self.in_call {
            return Err(ClientError::OutOfStep(self.addr));
        }
        self.in_call = true;
        self.output.clear();
        encode_request(args, &mut self.output);
        let reply = timeout(CALL_TIMEOUT, self.exchange())
            .await
            .map_err(|_| ClientError::CallTimeout(self.addr))??;
        self.in_call = false;
        Ok(reply)
    }

    async fn exchange(&mut self) -> Result<Value, ClientError> {
        let addr = self.addr;
        let broke = |source| ClientError::Io { addr, source };
        self.stream.write_all(&self.output).await.map_err(broke)?;
        loop {
            let reply = self
                .decoder
                .decode(&mut self.input)
                .map_err(|source| ClientError::Protocol { addr, source })?;
            match reply {
                Some(Value::Push(_)) => continue,
                Some(reply) => return Ok(reply),
                None => {}
            }
            let missing = self.decoder.bytes_missing(&self.input);
            self.input
                .reserve(missing.clamp(READ_BYTES, READ_BYTES_MAX));
            let read = self.stream.read_buf(&mut self.input).await.map_err(broke)?;
            if read == 0 {
                return Err(ClientError::Closed(addr));
            }
        }
    }
}

async fn open(addr: &str) -> io::Result<(TcpStream, SocketAddr)> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for candidate in lookup_host(addr).await? {
        match TcpStream::connect(candidate).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok((stream, candidate));
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// Accepts one client, waits for its first bytes, answers `answer` and closes.
    async fn answering(answer: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1_024];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(answer).await.unwrap();
            let _ = stream.read(&mut request).await;
        });
        addr.to_string()
    }

    #[tokio::test]
    async fn a_call_brings_the_reply_and_skips_pushes() {
        let addr = answering(b">1\r\n+news\r\n$5\r\nhello\r\n").await;
        let mut client = Client::connect(&addr).await.unwrap();
        assert_eq!(client.addr().to_string(), addr);
        let reply = client.call(&["get", "key"]).await.unwrap();
        assert_eq!(reply, Value::bulk("hello"));
    }

    #[tokio::test]
    async fn a_refusal_of_the_server_is_a_reply() {
        let addr = answering(b"-ERR no\r\n").await;
        let mut client = Client::connect(&addr).await.unwrap();
        assert_eq!(client.call(&["x"]).await.unwrap(), Value::error("ERR no"));
    }

    #[tokio::test]
    async fn a_failed_call_leaves_the_connection_out_of_step() {
        let addr = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let mut client = Client::connect(&addr).await.unwrap();
        let error = client.call(&["ping"]).await.unwrap_err();
        assert!(matches!(error, ClientError::Protocol { .. }), "{error}");
        let error = client.call(&["ping"]).await.unwrap_err();
        assert!(matches!(error, ClientError::OutOfStep(_)), "{error}");
    }

    #[tokio::test]
    async fn half_a_reply_and_a_close_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1_024];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(b"$5\r\nhe").await.unwrap();
        });
        let mut client = Client::connect(&addr).await.unwrap();
        let error = client.call(&["ping"]).await.unwrap_err();
        assert!(matches!(error, ClientError::Closed(_)), "{error}");
    }

    #[tokio::test]
    async fn a_refused_connection_names_the_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        drop(listener);
        let error = Client::connect(&addr).await.unwrap_err();
        assert!(error.to_string().contains(&addr), "{error}");
        assert!(Client::connect("no port").await.is_err());
    }
}
