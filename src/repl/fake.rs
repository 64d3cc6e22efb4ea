//! A node for tests: a table of keys that fails as its test wants.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::resp::Value;

use super::session::{CallError, Connection, Node};

/// A node with a table of keys that fails as its test wants.
#[derive(Clone, Default)]
pub struct Fake(pub Arc<Mutex<State>>);

#[derive(Default)]
pub struct State {
    pub keys: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Errors of the next connects and calls, in order.
    pub refusals: Vec<CallError>,
    pub lost: Vec<CallError>,
    /// What answers instead of the table.
    pub reply: Option<Value>,
    pub calls: Vec<Vec<Vec<u8>>>,
}

pub fn bulk(bytes: &[u8]) -> Value {
    Value::Bulk(Bytes::copy_from_slice(bytes))
}

impl Node for Fake {
    type Connection = Fake;

    async fn connect(&self) -> Result<Fake, CallError> {
        match self.0.lock().unwrap().refusals.pop() {
            Some(error) => Err(error),
            None => Ok(self.clone()),
        }
    }
}

impl Connection for Fake {
    async fn call(&mut self, args: &[Vec<u8>]) -> Result<Value, CallError> {
        let mut state = self.0.lock().unwrap();
        if let Some(error) = state.lost.pop() {
            return Err(error);
        }
        state.calls.push(args.to_vec());
        if let Some(reply) = &state.reply {
            return Ok(reply.clone());
        }
        let words: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        Ok(match words.as_slice() {
            [b"SET", key, value] => {
                state.keys.insert(key.to_vec(), value.to_vec());
                Value::Simple("OK".to_owned())
            }
            [b"GET", key] => state
                .keys
                .get(*key)
                .map_or(Value::Null, |value| bulk(value)),
            [b"DEL", key] => Value::Integer(i64::from(state.keys.remove(*key).is_some())),
            [b"NETDB", b"KEYS", prefix, b"COUNT", count] => list(&state.keys, prefix, count),
            _ => Value::Error("ERR unknown command".to_owned()),
        })
    }
}

/// The first keys in ascending order.
fn list(keys: &BTreeMap<Vec<u8>, Vec<u8>>, prefix: &[u8], count: &[u8]) -> Value {
    let count: usize = std::str::from_utf8(count).unwrap().parse().unwrap();
    let matching = keys.keys().filter(|key| key.starts_with(prefix));
    Value::Array(matching.take(count).map(|key| bulk(key)).collect())
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}
