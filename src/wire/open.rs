//! Datagrams opened, each once.
//!
//! Opening goes from cheap to dear: size, version, key id, tag, and only then who sent it
//! and whether it came before. Every refusal has its reason and its counter, because
//! "nothing arrives" is the hardest failure to find from outside.
//!
//! What this process sent itself is refused. What *another* process sends under the same
//! name is not: the membership protocol must hear it to settle whose the name is.

use super::key::KeyRing;
use super::layout::{DatagramError, Parts};
use super::replay::{Repeat, ReplayGuard};
use crate::clock::NodeId;
use crate::machine::Instant;

/// What a datagram held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Who says that it sent it, with the cluster's key to vouch for it.
    pub sender: NodeId,
    /// The sender's session, which is its generation.
    pub session: u64,
    /// What it says.
    pub payload: Vec<u8>,
}

/// Opens what arrives, each datagram once.
pub struct DatagramOpener {
    keys: KeyRing,
    me: NodeId,
    session: u64,
    guard: ReplayGuard,
    stats: DatagramStats,
}

impl DatagramOpener {
    /// An opener for the process that seals as `me` in `session`.
    pub fn new(keys: KeyRing, me: NodeId, session: u64) -> Self {
        Self {
            keys,
            me,
            session,
            guard: ReplayGuard::default(),
            stats: DatagramStats::default(),
        }
    }

    /// How many datagrams ended which way.
    pub fn stats(&self) -> DatagramStats {
        DatagramStats {
            senders_evicted: self.guard.evicted(),
            ..self.stats
        }
    }

    /// Opens one datagram.
    ///
    /// # Errors
    /// With the reason why it must not be used; the reason has been counted.
    pub fn open(&mut self, now: Instant, datagram: &[u8]) -> Result<Opened, DatagramError> {
        let outcome = self
            .authenticate(datagram)
            .and_then(|(opened, counter)| self.admit(now, opened, counter));
        self.stats.count(&outcome);
        if outcome
            .as_ref()
            .is_ok_and(|opened| opened.sender == self.me)
        {
            self.stats.namesake = self.stats.namesake.saturating_add(1);
        }
        outcome
    }

    fn authenticate(&self, datagram: &[u8]) -> Result<(Opened, u64), DatagramError> {
        let parts = Parts::split(datagram)?;
        let mut candidates = self.keys.candidates(parts.key_id).peekable();
        if candidates.peek().is_none() {
            return Err(DatagramError::UnknownKey { id: parts.key_id });
        }
        let plain = candidates
            .find_map(|key| parts.decrypt(key))
            .ok_or(DatagramError::Forged)?;
        read_stamp(&plain).ok_or(DatagramError::Forged)
    }

    fn admit(
        &mut self,
        now: Instant,
        opened: Opened,
        counter: u64,
    ) -> Result<Opened, DatagramError> {
        let session = opened.session;
        if (opened.sender, session) == (self.me, self.session) {
            return Err(DatagramError::Reflected);
        }
        match self.guard.admit(now, opened.sender, session, counter) {
            Ok(()) => Ok(opened),
            Err(Repeat::StaleSession { newest }) => {
                Err(DatagramError::StaleSession { session, newest })
            }
            Err(Repeat::Replayed) => Err(DatagramError::Replayed),
            Err(Repeat::TooOld) => Err(DatagramError::TooOld),
        }
    }
}

/// How many datagrams ended which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatagramStats {
    /// Opened and given on.
    pub opened: u64,
    /// See [`DatagramError::TooShort`].
    pub too_short: u64,
    /// See [`DatagramError::TooLong`].
    pub too_long: u64,
    /// See [`DatagramError::OldVersion`].
    pub old_version: u64,
    /// See [`DatagramError::NewVersion`].
    pub new_version: u64,
    /// See [`DatagramError::UnknownKey`].
    pub unknown_key: u64,
    /// See [`DatagramError::Forged`].
    pub forged: u64,
    /// See [`DatagramError::Reflected`].
    pub reflected: u64,
    /// Among the opened, those that another process sent under this node's name.
    pub namesake: u64,
    /// See [`DatagramError::StaleSession`].
    pub stale_session: u64,
    /// See [`DatagramError::Replayed`].
    pub replayed: u64,
    /// See [`DatagramError::TooOld`].
    pub too_old: u64,
    /// Senders forgotten to make room for others.
    pub senders_evicted: u64,
}

impl DatagramStats {
    fn count(&mut self, outcome: &Result<Opened, DatagramError>) {
        let counter = match outcome {
            Ok(_) => &mut self.opened,
            Err(DatagramError::PayloadTooLong { .. } | DatagramError::TooLong { .. }) => {
                &mut self.too_long
            }
            Err(DatagramError::TooShort { .. }) => &mut self.too_short,
            Err(DatagramError::OldVersion { .. }) => &mut self.old_version,
            Err(DatagramError::NewVersion { .. }) => &mut self.new_version,
            Err(DatagramError::UnknownKey { .. }) => &mut self.unknown_key,
            Err(DatagramError::Forged) => &mut self.forged,
            Err(DatagramError::Reflected) => &mut self.reflected,
            Err(DatagramError::StaleSession { .. }) => &mut self.stale_session,
            Err(DatagramError::Replayed) => &mut self.replayed,
            Err(DatagramError::TooOld) => &mut self.too_old,
        };
        *counter = counter.saturating_add(1);
    }
}

fn read_stamp(plain: &[u8]) -> Option<(Opened, u64)> {
    let (sender, rest) = plain.split_first_chunk()?;
    let (session, rest) = rest.split_first_chunk()?;
    let (counter, payload) = rest.split_first_chunk()?;
    let opened = Opened {
        sender: NodeId(u64::from_be_bytes(*sender)),
        session: u64::from_be_bytes(*session),
        payload: payload.to_vec(),
    };
    Some((opened, u64::from_be_bytes(*counter)))
}

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;
