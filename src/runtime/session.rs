//! Tokens of what a client has seen: taken on one node, waited for on another.
//!
//! A token names for each partition of which the client has read or written keys everything
//! that the copy holds which serves them, and the client's own writes. Clocks only grow, so what
//! the client has read is in it. A node has a token when the copy that it would ask has all
//! that. Who waits for a token has seen what is in it, and its own tokens say so.
//!
//! Deliberately absent: any state of the cluster's. A token is in the hands of clients only.

use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use super::Handle;
use super::contexts::{from_hex, to_hex};
use super::past::Past;
use super::progress::{PAUSE_MAX, PAUSE_MIN, ProgressError};
use super::views::Submitted;
use crate::clock::{Clock, VersionVector};
use crate::node::request::{Reply, Request, RequestError};
use crate::placement::PartitionId;
use crate::store::codec::{decode, encode};
use crate::wire::{About, open_token, seal_token};

/// Longest token before it is written as text, and what it may take decoded: that of a client
/// that has touched some thousand partitions of a dozen writers each.
pub const SESSION_BYTES_MAX: usize = 1024 * 1024;

/// What a client has seen of one partition.
type Seen = (PartitionId, Clock, VersionVector);

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// It is not known what the client has seen.
    #[error("{0}")]
    Progress(#[from] ProgressError),
    /// It would be too long.
    #[error(
        "a token of all that this connection has seen would have {length} bytes, more than \
         {SESSION_BYTES_MAX}: use a new connection"
    )]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
}

/// Why a node does not have a token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AfterError {
    /// No member gave it.
    #[error("this is no token of this cluster: pass the one that NETDB.TOKEN returned, as it is")]
    NoToken,
    /// Something is missing still.
    #[error(
        "{behind} of the token's {partitions} partitions lack something of it here, partition \
         {first} among them{}; it is being fetched: try again, wait longer, or use the node that \
         gave the token",
        why(.said)
    )]
    Behind {
        /// Partitions that lack something.
        behind: usize,
        /// Partitions that the token speaks of.
        partitions: usize,
        /// One of those that lack something.
        first: u16,
        /// What was said instead of what that has.
        said: Option<RequestError>,
    },
}

fn why(said: &Option<RequestError>) -> String {
    let said = said.as_ref();
    said.map_or_else(String::new, |error| format!(" ({error})"))
}

impl Handle {
    /// A token of what a caller has written and read.
    ///
    /// # Errors
    /// [`TokenError`]: there is none.
    pub async fn token(&self, past: &Past) -> Result<String, TokenError> {
        let noted = past.noted();
        if noted.is_cut {
            return Err(ProgressError::Cut.into());
        }
        let asked = noted.touched.iter().map(|id| (*id, self.ask_served(*id)));
        let asked: Vec<_> = asked.collect();
        let mut all: Vec<Seen> = Vec::with_capacity(asked.len());
        for (id, asked) in asked {
            let clock = match asked.wait().await {
                Reply::Progress(clock) => clock,
                other => return Err(ProgressError::Node(super::handle::failure(other)).into()),
            };
            let written = noted.written.get(&id).cloned().unwrap_or_default();
            all.push((id, clock, written));
        }
        // What is so large that it cannot be encoded is too long.
        let content = encode(&all).unwrap_or_default();
        let length = content.len();
        if length > SESSION_BYTES_MAX || content.is_empty() {
            return Err(TokenError::TooLong { length });
        }
        let keys = &self.core().profile.keys;
        Ok(to_hex(&seal_token(keys, About::Session, &content)))
    }

    /// Waits until this node, or the owner that it asks, has what a token speaks of, or until
    /// the deadline, if there is one. Then that is a part of the caller's past.
    ///
    /// # Errors
    /// [`AfterError`]: it does not have it.
    pub async fn after(
        &self,
        past: &Past,
        text: &[u8],
        deadline: Option<Instant>,
    ) -> Result<(), AfterError> {
        let token = from_hex(text).ok_or(AfterError::NoToken)?;
        let keys = &self.core().profile.keys;
        let content = open_token(keys, About::Session, &token).ok_or(AfterError::NoToken)?;
        let all = decode::<Vec<Seen>, SESSION_DECODED_MAX>(content);
        let mut missing = all.map_err(|_| AfterError::NoToken)?;
        let partitions = missing.len();
        let mut pause = PAUSE_MIN;
        past.touch_all(missing.iter().map(|(id, ..)| *id), &self.keyspace());
        loop {
            let asked = missing.iter().map(|(id, ..)| self.ask_served(*id));
            let asked: Vec<_> = asked.collect();
            let mut said = None;
            let mut behind = Vec::new();
            for (seen, asked) in missing.into_iter().zip(asked) {
                match reply_by(deadline, asked).await {
                    Some(Reply::Progress(clock)) if has_seen(&clock, &seen) => {}
                    Some(Reply::Failed(error)) => {
                        said.get_or_insert(error);
                        behind.push(seen);
                    }
                    _ => behind.push(seen),
                }
            }
            missing = behind;
            let Some((first, ..)) = missing.first() else {
                return Ok(());
            };
            let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if is_over || self.core().stopping.is_cancelled() {
                return Err(AfterError::Behind {
                    behind: missing.len(),
                    partitions,
                    first: first.0,
                    said,
                });
            }
            let wake = Instant::now() + pause;
            tokio::time::sleep_until(deadline.map_or(wake, |deadline| deadline.min(wake))).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Asks for the clock of the copy that serves this node's clients.
    fn ask_served(&self, partition: PartitionId) -> Submitted {
        let on_disk = false;
        self.submit(Request::Progress { partition, on_disk })
    }
}

/// What a token may take decoded, where integers have their full width and maps are in memory.
const SESSION_DECODED_MAX: usize = 16 * SESSION_BYTES_MAX;

/// The answer, if it comes before the deadline.
async fn reply_by(deadline: Option<Instant>, asked: Submitted) -> Option<Reply> {
    match deadline {
        Some(deadline) => timeout_at(deadline, asked.wait()).await.ok(),
        None => Some(asked.wait().await),
    }
}

fn has_seen(clock: &Clock, (_, seen, written): &Seen) -> bool {
    let mut written = written.iter();
    clock.dominates(seen) && written.all(|(actor, n)| clock.base(actor) >= n)
}
