//! A blocking connection to a node's client port, and what its answers hold.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use netdb::client::Client;
use netdb::resp::Value;
use tokio::runtime::{Builder, Runtime};

/// One connection with the runtime that drives it.
pub struct Connection {
    runtime: Runtime,
    client: Client,
}

impl Connection {
    /// Connects to the client port at `addr`.
    pub fn open(addr: SocketAddr) -> Result<Self, String> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let client = runtime
            .block_on(Client::connect(&addr.to_string()))
            .map_err(|error| error.to_string())?;
        Ok(Self { runtime, client })
    }

    /// Sends one command and returns its answer. After an error it is of no further use.
    pub fn call(&mut self, command: &[&str]) -> Result<Value, String> {
        let words: Vec<&[u8]> = command.iter().map(|word| word.as_bytes()).collect();
        let answer = self.call_bytes(&words);
        answer.map_err(|error| format!("{error} to {command:?}"))
    }

    /// The same with words of any bytes.
    pub fn call_bytes(&mut self, command: &[&[u8]]) -> Result<Value, String> {
        self.runtime
            .block_on(self.client.call(command))
            .map_err(|error| error.to_string())
    }
}

/// Named values, as text.
pub type Fields = BTreeMap<String, String>;

/// The fields of a map, or of the flat array that RESP2 has in its place.
pub fn fields(value: Value) -> Result<Fields, String> {
    let shown = format!("{value:?}");
    let pairs = value
        .into_pairs()
        .ok_or_else(|| format!("{shown} is not a map"))?;
    Ok(pairs
        .iter()
        .map(|(name, value)| (text(name), text(value)))
        .collect())
}

/// A value as text.
pub fn text(value: &Value) -> String {
    match value {
        Value::Integer(number) => number.to_string(),
        Value::Boolean(yes) => i64::from(*yes).to_string(),
        Value::Null => String::new(),
        other => match other.as_bytes() {
            Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            None => format!("{other:?}"),
        },
    }
}
