//! The session's node as a socket: [`crate::client::Client`].

use crate::client::{Client, ClientError};
use crate::config::HostPort;
use crate::resp::Value;

use super::session::{CallError, Connection, Node};

/// Whether Ctrl-C ends the wait for an answer.
///
/// On a terminal it gives up the command and not the process. The first such wait takes
/// SIGINT over for the rest of the process's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Leave SIGINT alone.
    Endless,
    /// SIGINT gives up the call.
    UntilInterrupted,
}

/// A node's client port.
#[derive(Clone, Debug)]
pub struct RemoteNode {
    /// Where it is.
    pub address: HostPort,
    /// Whether calls can be given up.
    pub patience: Patience,
}

/// A connection to a [`RemoteNode`].
#[derive(Debug)]
pub struct Remote {
    client: Client,
    patience: Patience,
}

impl Node for RemoteNode {
    type Connection = Remote;

    async fn connect(&self) -> Result<Remote, CallError> {
        let address = self.address.to_string();
        let client = unless_interrupted(self.patience, Client::connect(&address)).await?;
        Ok(Remote {
            client,
            patience: self.patience,
        })
    }
}

impl Connection for Remote {
    async fn call(&mut self, args: &[Vec<u8>]) -> Result<Value, CallError> {
        unless_interrupted(self.patience, self.client.call(args)).await
    }
}

async fn unless_interrupted<T>(
    patience: Patience,
    work: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, CallError> {
    let interrupt = async {
        match patience {
            Patience::Endless => std::future::pending().await,
            // Without a handler Ctrl-C ends the process, as it does by default.
            Patience::UntilInterrupted => match tokio::signal::ctrl_c().await {
                Ok(()) => {}
                Err(_) => std::future::pending().await,
            },
        }
    };
    tokio::select! {
        result = work => result.map_err(CallError::from),
        () = interrupt => Err(CallError::Interrupted),
    }
}

impl From<ClientError> for CallError {
    fn from(error: ClientError) -> Self {
        let words = error.to_string();
        match error {
            ClientError::Io { .. } | ClientError::Closed(_) => Self::Lost(words),
            ClientError::Connect { .. } | ClientError::ConnectTimeout { .. } => {
                Self::Failed(format!("{words}; is a node running there?"))
            }
            _ => Self::Failed(words),
        }
    }
}
