//! The node's side, step by step.

use std::collections::BTreeMap;

use bytes::Bytes;
use netdb::client::Client;
use netdb::config::HostPort;
use netdb::resp::Value;

use crate::cli::failure::Failure;

/// A connection to the node, whose backup or restore ends with it.
pub struct Steps {
    client: Client,
}

impl Steps {
    /// Connects.
    ///
    /// # Errors
    /// The node is not there.
    pub async fn connect(node: &HostPort) -> Result<Self, Failure> {
        let connected = Client::connect(&node.to_string()).await;
        let client = connected
            .map_err(|error| Failure::broken(format!("{error}; is a node running there?")))?;
        Ok(Self { client })
    }

    /// Does `NETDB` and these words.
    ///
    /// # Errors
    /// The node refuses, in its words, or is gone.
    pub async fn call(&mut self, words: &[&[u8]]) -> Result<Value, Failure> {
        let command = [&[b"NETDB".as_slice()], words].concat();
        match self.client.call(&command).await {
            Ok(Value::Error(words)) => Err(Failure::broken(refusal(&words))),
            Ok(reply) => Ok(reply),
            Err(error) => Err(Failure::broken(error)),
        }
    }
}

/// The node's words without their code, which is for programs.
fn refusal(words: &str) -> &str {
    match words.split_once(' ') {
        Some((code, rest)) if code.chars().all(|c| c.is_ascii_uppercase()) => rest,
        _ => words,
    }
}

/// The named values of a reply.
pub struct Named(BTreeMap<String, Value>);

impl Named {
    /// Reads a reply of names and values.
    ///
    /// # Errors
    /// It is none.
    pub fn of(reply: Value) -> Result<Self, Failure> {
        let pairs = reply.into_pairs().ok_or_else(|| misunderstood("a reply"))?;
        let named = pairs.into_iter().filter_map(|(name, value)| {
            let name = name.as_bytes()?;
            Some((String::from_utf8_lossy(name).into_owned(), value))
        });
        Ok(Self(named.collect()))
    }

    /// A text.
    ///
    /// # Errors
    /// It is not there.
    pub fn text(&self, name: &str) -> Result<String, Failure> {
        let value = self.0.get(name).and_then(Value::as_bytes);
        let value = value.ok_or_else(|| misunderstood(name))?;
        Ok(String::from_utf8_lossy(value).into_owned())
    }

    /// A whole number.
    ///
    /// # Errors
    /// It is not there.
    pub fn number(&self, name: &str) -> Result<u64, Failure> {
        self.text(name)?.parse().map_err(|_| misunderstood(name))
    }

    /// Yes or no, in either dialect.
    pub fn is(&self, name: &str) -> bool {
        matches!(
            self.0.get(name),
            Some(Value::Boolean(true) | Value::Integer(1))
        )
    }

    /// A list of texts.
    pub fn list(&self, name: &str) -> Vec<String> {
        match self.0.get(name) {
            Some(Value::Array(items)) => texts(items),
            _ => Vec::new(),
        }
    }
}

/// What comes next of a backup.
pub enum Next {
    /// The node still fetches what these members have.
    Wait(Vec<String>),
    /// Some rows of a partition.
    Rows(u16, Bytes),
    /// The end of a partition.
    End(u16, Bytes),
    /// The end, without what only these members have.
    Complete(Vec<String>),
}

impl Next {
    /// Reads the reply to `BACKUP NEXT`.
    ///
    /// # Errors
    /// It is none.
    pub fn of(reply: Value) -> Result<Self, Failure> {
        let wrong = || misunderstood("a piece of a backup");
        let Value::Array(mut items) = reply else {
            return Err(wrong());
        };
        let kind = items.first().and_then(Value::as_bytes).ok_or_else(wrong)?;
        let is_end = kind == b"end";
        match kind {
            b"wait" => Ok(Self::Wait(texts(&items[1..]))),
            b"complete" => Ok(Self::Complete(texts(&items[1..]))),
            b"rows" | b"end" => {
                let (Some(Value::Bulk(payload)), Some(partition)) = (items.pop(), items.pop())
                else {
                    return Err(wrong());
                };
                let text = partition.as_bytes().map(String::from_utf8_lossy);
                let partition = text.and_then(|text| text.parse().ok());
                let partition = partition.ok_or_else(wrong)?;
                Ok(match is_end {
                    true => Self::End(partition, payload),
                    false => Self::Rows(partition, payload),
                })
            }
            _ => Err(wrong()),
        }
    }
}

fn texts(items: &[Value]) -> Vec<String> {
    let texts = items.iter().filter_map(Value::as_bytes);
    texts
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect()
}

fn misunderstood(what: &str) -> Failure {
    Failure::broken(format!(
        "the node's answer was not understood ({what}); is it a netdb of this version?"
    ))
}
