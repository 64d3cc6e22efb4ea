//! The node's side, step by step.

use std::collections::BTreeMap;

use bytes::Bytes;
use netdb::backup::Ranges;
use netdb::client::Client;
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
    pub async fn connect(address: &str) -> Result<Self, Failure> {
        let connected = Client::connect(address).await;
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

    /// Some partitions.
    ///
    /// # Errors
    /// They are not there.
    fn partitions(&self, name: &str) -> Result<Ranges, Failure> {
        Ranges::parse(&self.text(name)?).ok_or_else(|| misunderstood(name))
    }

    /// Takes out a list.
    fn items(&mut self, name: &str) -> Vec<Value> {
        match self.0.remove(name) {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        }
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

/// Who serves which partitions, in a node's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Those that the node itself gives or takes.
    pub here: Ranges,
    /// By name of their owners.
    pub owners: BTreeMap<String, Owner>,
}

/// A member that owns partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Where clients reach it, if that is known.
    pub address: Option<String>,
    /// What it owns.
    pub owns: Ranges,
}

impl Layout {
    /// Reads the reply to `LAYOUT`; while the node still fetches what other members have, the
    /// names of these.
    ///
    /// # Errors
    /// It is none.
    pub fn of(reply: Value) -> Result<Result<Self, Vec<String>>, Failure> {
        if let Value::Array(items) = &reply
            && items.first().and_then(Value::as_bytes) == Some(b"wait")
        {
            return Ok(Err(texts(&items[1..])));
        }
        let mut named = Named::of(reply)?;
        let here = named.partitions("here")?;
        let mut owners = BTreeMap::new();
        for owner in named.items("owned") {
            let owner = Named::of(owner)?;
            let address = owner.text("client").ok();
            let owns = owner.partitions("partitions")?;
            owners.insert(owner.text("name")?, Owner { address, owns });
        }
        Ok(Ok(Self { here, owners }))
    }
}

/// What comes next of a backup.
pub enum Next {
    /// The node still fetches what these members have.
    Wait(Vec<String>),
    /// Some rows of a partition.
    Rows(u16, Bytes),
    /// The end of a partition, without what only these members have of it.
    End(u16, Bytes, Vec<String>),
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
            b"rows" | b"end" if items.len() >= 3 => {
                let unheard = texts(&items.split_off(3));
                let (Some(Value::Bulk(payload)), Some(partition)) = (items.pop(), items.pop())
                else {
                    return Err(wrong());
                };
                let text = partition.as_bytes().map(String::from_utf8_lossy);
                let partition = text.and_then(|text| text.parse().ok());
                let partition = partition.ok_or_else(wrong)?;
                Ok(match is_end {
                    true => Self::End(partition, payload, unheard),
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
