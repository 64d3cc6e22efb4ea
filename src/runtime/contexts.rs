//! Causal contexts in the hands of clients.
//!
//! A context is what a replica knew of one key. A client brings it back with a write, to replace
//! exactly what it has read, on whichever node. What it brings must be what a replica gave, of
//! that very key and whole ([`Partition::write`](crate::store::Partition::write)), so a context
//! travels as a token of the cluster.

use thiserror::Error;

use super::Handle;
use crate::clock::VersionVector;
use crate::store::codec::{decode, encode};
use crate::wire::{About, open_token, seal_token};

/// The most that a context takes decoded: the actors of a partition, of which there are at most
/// as many as a clock has.
const CONTEXT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A text that is no context of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("this is no context of that key: pass the one that came with its values, as it is")]
pub struct NoContext;

impl Handle {
    /// A context of `key` as text.
    pub fn seal_context(&self, key: &[u8], context: &VersionVector) -> String {
        // There is no context that cannot be encoded; an empty one replaces nothing.
        let content = encode(context).unwrap_or_default();
        let token = seal_token(&self.core().profile.keys, About::Key(key), &content);
        to_hex(&token)
    }

    /// The context of `key` that a text is.
    ///
    /// # Errors
    /// [`NoContext`], also when it is of another key or cluster.
    pub fn open_context(&self, key: &[u8], text: &[u8]) -> Result<VersionVector, NoContext> {
        let token = from_hex(text).ok_or(NoContext)?;
        let content =
            open_token(&self.core().profile.keys, About::Key(key), &token).ok_or(NoContext)?;
        decode::<VersionVector, CONTEXT_BYTES_MAX>(content).map_err(|_| NoContext)
    }
}

pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    if text.len() > CONTEXT_BYTES_MAX || !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let pairs = text.chunks_exact(2).map(|pair| match pair {
        [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
        _ => None,
    });
    pairs.collect()
}
