//! Commands executed over a connection to a node, which is made anew when it breaks.
//!
//! The session does not know what typed the commands or who reads the text. A connection
//! that broke is made again once and the command repeated, with a note: every command
//! here means the same the second time, except that a repeated delete may find the key
//! already gone.

use std::future::Future;

use thiserror::Error;

use crate::resp::Value;

use super::answer::{self, KEYS_SHOWN_MAX};
use super::command::{self, Command};
use super::placing;
use super::rebalancing::Rebalancing;
use super::{Outcome, text};

/// Why a call has no answer. Each has the words to tell.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CallError {
    /// The connection is gone; another attempt may succeed.
    #[error("{0}")]
    Lost(String),
    /// No answer, and another attempt would not help.
    #[error("{0}")]
    Failed(String),
    /// Whoever asked does not want to know any more.
    #[error("interrupted; what was asked may still be done")]
    Interrupted,
}

/// A connection to a node's client port.
pub trait Connection: Send {
    /// Sends one command and awaits its answer; errors of the node are answers.
    fn call(&mut self, args: &[Vec<u8>]) -> impl Future<Output = Result<Value, CallError>> + Send;
}

/// A node that can be connected to.
pub trait Node: Send + Sync {
    /// What it gives.
    type Connection: Connection;

    /// Connects.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, CallError>> + Send;
}

/// One user's commands to one node.
#[derive(Debug)]
pub struct Session<N: Node> {
    node: N,
    connection: Option<N::Connection>,
    value_bytes_max: usize,
    note: Option<String>,
}

impl<N: Node> Session<N> {
    /// A session that connects at its first command. Values are cut after
    /// `value_bytes_max` bytes.
    pub fn new(node: N, value_bytes_max: usize) -> Self {
        Self {
            node,
            connection: None,
            value_bytes_max,
            note: None,
        }
    }

    /// Connects now.
    ///
    /// # Errors
    /// Those of [`Node::connect`].
    pub async fn connect(&mut self) -> Result<(), CallError> {
        self.connection = Some(self.node.connect().await?);
        Ok(())
    }

    /// Something the user should know before the outcome of the last command, once.
    pub fn take_note(&mut self) -> Option<String> {
        self.note.take()
    }

    /// Executes one command; `now_ms` is the time for "since when", in milliseconds since
    /// the Unix epoch.
    pub async fn run(&mut self, command: Command, now_ms: u64) -> Outcome {
        match self.execute(command, now_ms).await {
            Ok(outcome) => outcome,
            Err(error @ CallError::Interrupted) => Outcome::failed(format!("Error: {error}")),
            Err(error) => {
                Outcome::unreachable(format!("Error: {}", text::line(&error.to_string())))
            }
        }
    }

    async fn execute(&mut self, command: Command, now_ms: u64) -> Result<Outcome, CallError> {
        let limit = self.value_bytes_max;
        Ok(match command {
            Command::Put { key, value } => {
                answer::put(&self.call(&[b"SET".to_vec(), key, value]).await?)
            }
            Command::Get { key } => answer::get(&self.call(&[b"GET".to_vec(), key]).await?, limit),
            Command::Delete { key } => answer::delete(&self.call(&[b"DEL".to_vec(), key]).await?),
            Command::Keys { prefix } => {
                let count = (KEYS_SHOWN_MAX + 1).to_string().into_bytes();
                let mut args = netdb("KEYS").to_vec();
                args.extend([prefix, b"COUNT".to_vec(), count]);
                answer::keys(&self.call(&args).await?)
            }
            Command::Members { prefix } => {
                let reply = self.call(&netdb("MEMBERS")).await?;
                answer::members(&reply, &prefix, now_ms)
            }
            Command::Status => answer::status(&self.call(&netdb("STATUS")).await?),
            Command::Placement => placing::placement(&self.call(&netdb("PLACEMENT")).await?),
            Command::Owners { key } => {
                let [netdb, owners] = netdb("OWNERS");
                placing::owners(&self.call(&[netdb, owners, key]).await?)
            }
            Command::Rebalance => {
                let reply = self.call(&netdb("REBALANCE")).await?;
                match Rebalancing::of(&reply) {
                    Some(rebalancing) => Outcome::done(rebalancing.report()),
                    None => answer::unexpected(&reply),
                }
            }
            Command::Plan { joins, leaves } => {
                placing::plan(&self.call(&placing::plan_words(&joins, &leaves)).await?)
            }
            Command::Leave { force } => {
                let mut words = netdb("LEAVE").to_vec();
                words.extend(force.then(|| b"FORCE".to_vec()));
                placing::leave(&self.call(&words).await?)
            }
            Command::Remove { name } => {
                let [netdb, remove] = netdb("REMOVE");
                let reply = self.call(&[netdb, remove, name.into_bytes()]).await?;
                placing::remove(&reply)
            }
            Command::Help(topic) => Outcome::done(command::help(topic)),
            Command::Quit => Outcome::quit(),
        })
    }

    async fn call(&mut self, args: &[Vec<u8>]) -> Result<Value, CallError> {
        let known = self.connection.is_some();
        match self.attempt(args).await {
            Err(CallError::Lost(reason)) if known => {
                let reply = self.attempt(args).await?;
                self.note = Some(format!(
                    "Connection lost ({}); connected again.",
                    text::line(&reason)
                ));
                Ok(reply)
            }
            result => result,
        }
    }

    /// One call on the connection there is, or a new one. A connection whose call failed
    /// is dropped: its next answer might belong to this call.
    async fn attempt(&mut self, args: &[Vec<u8>]) -> Result<Value, CallError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.node.connect().await?,
        };
        let reply = connection.call(args).await?;
        self.connection = Some(connection);
        Ok(reply)
    }
}

/// The arguments of one of netdb's own commands.
pub(super) fn netdb(subcommand: &str) -> [Vec<u8>; 2] {
    [b"NETDB".to_vec(), subcommand.as_bytes().to_vec()]
}

#[cfg(test)]
mod tests;
