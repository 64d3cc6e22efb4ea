//! A client of one node that survives whatever happens to it.

use std::net::SocketAddr;
use std::time::Duration;

use netdb::client::Client;
use netdb::resp::Value;
use tokio::time::timeout;

use crate::checker::Status;

/// A node that runs accepts at once; one that does not refuses at once.
const CONNECT_WAIT: Duration = Duration::from_millis(500);

/// Longer than a write waits for its replicas, shorter than most pauses.
const ANSWER_WAIT: Duration = Duration::from_millis(2_500);

/// Pause before a node that could not be connected to is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// What became of a call.
pub enum Called {
    /// There was no connection: nothing was sent.
    NotSent,
    /// It was sent, and what became of it is unknown.
    Unknown,
    /// It was answered.
    Answered(Value),
}

/// One connection at a time to one node, made anew after each failure.
pub struct Caller {
    addr: SocketAddr,
    client: Option<Client>,
}

impl Caller {
    pub fn new(addr: SocketAddr) -> Self {
        Self { addr, client: None }
    }

    /// Connects if there is no connection. Returns whether there is one; waits a little if
    /// not.
    pub async fn connect(&mut self) -> bool {
        if self.client.is_none() {
            let addr = self.addr.to_string();
            let connected = timeout(CONNECT_WAIT, Client::connect(&addr)).await;
            self.client = connected.ok().and_then(Result::ok);
            if self.client.is_none() {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
        self.client.is_some()
    }

    /// Sends one command, if there is a connection, and waits for the answer.
    pub async fn call(&mut self, command: &[&[u8]]) -> Called {
        let Some(client) = &mut self.client else {
            return Called::NotSent;
        };
        match timeout(ANSWER_WAIT, client.call(command)).await {
            Ok(Ok(value)) => Called::Answered(value),
            Ok(Err(_)) | Err(_) => {
                self.client = None;
                Called::Unknown
            }
        }
    }
}

/// How an operation ended that was answered with `value`.
pub fn status_of(value: &Value) -> Status {
    match value {
        // The write stands and spreads, or the read has no answer.
        Value::Error(error) if error.starts_with("TIMEOUT ") => Status::Indeterminate,
        Value::Error(_) => Status::Failed,
        _ => Status::Ok,
    }
}
