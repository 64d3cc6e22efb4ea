//! What has been seen before: a window of counters per sender and session.
//!
//! A captured datagram still authenticates when it is sent again, so each one carries the
//! sender's session (its generation, which grows with every start) and a counter, and the
//! receiver remembers the last [`WINDOW`] counters as a bitmap, as IPsec does (RFC 6479).
//!
//! A session newer than all known ones opens a window of its own. What of an *older* one?
//! Refusing it outright would let a second process that took a name by mistake, and was
//! turned away for it, silence the rightful one for good, and a node whose clock was set
//! back and whose disk was wiped would stay unheard. So an older session that has a window
//! keeps it, and one that has none gets one when all newer ones have been silent for
//! [`SESSION_SILENCE`].
//!
//! Invariant: as long as its sender is remembered, no counter of a session is taken twice.
//! It holds because only a newer session displaces a window, so that a displaced session
//! is neither the newest nor finds room again.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::NodeId;
use crate::machine::Instant;

/// How many counters behind the highest a datagram may arrive. At the busiest (a storm of
/// some 1,000 datagrams a second to one peer) that is a second of reordering.
pub const WINDOW: u64 = 1_024;

/// Senders that are remembered: four times the members that one cluster may have, since
/// restarts under new names leave entries behind. Under 1 KiB each.
pub const SENDERS_MAX: usize = 4_096;

/// Windows kept for one sender: its running process, the one before, and room for a
/// second process of the same name that restarts over and over.
pub const SESSIONS_PER_SENDER_MAX: usize = 4;

/// How long the newer sessions of a name must be silent before an unknown older one is
/// heard: far longer than a live member is ever silent.
pub const SESSION_SILENCE: Duration = Duration::from_secs(10);

const WORD_BITS: u64 = 64;
const WORDS: usize = (WINDOW / WORD_BITS) as usize;

/// Why a genuine datagram is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// The session is unknown, and older than one that was heard lately.
    StaleSession {
        /// The newest session of this sender.
        newest: u64,
    },
    /// The counter was taken before.
    Replayed,
    /// The counter is so old that nobody knows.
    TooOld,
}

/// The memory of all senders.
#[derive(Debug, Default)]
pub struct ReplayGuard {
    senders: BTreeMap<NodeId, Sender>,
    evicted: u64,
}

impl ReplayGuard {
    /// Takes a counter once.
    pub fn admit(
        &mut self,
        now: Instant,
        sender: NodeId,
        session: u64,
        counter: u64,
    ) -> Result<(), Repeat> {
        if let Some(known) = self.senders.get_mut(&sender) {
            return known.admit(now, session, counter);
        }
        if self.senders.len() >= SENDERS_MAX {
            self.evict();
        }
        let window = Window::new(now, session, counter);
        self.senders.insert(sender, Sender::new(window));
        Ok(())
    }

    /// How many senders were forgotten to make room. Their old datagrams could be replayed.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Forgets the sender that was silent longest. A scan: it runs only when a sender
    /// appears that holds the key and is not among the last [`SENDERS_MAX`].
    fn evict(&mut self) {
        let oldest = self
            .senders
            .iter()
            .min_by_key(|(_, sender)| sender.last_used())
            .map(|(id, _)| *id);
        if let Some(id) = oldest {
            self.senders.remove(&id);
            self.evicted = self.evicted.saturating_add(1);
        }
    }
}

#[derive(Debug)]
struct Sender {
    windows: Vec<Window>,
}

impl Sender {
    fn new(window: Window) -> Self {
        Self {
            windows: vec![window],
        }
    }

    fn last_used(&self) -> Option<Instant> {
        self.windows.iter().map(|window| window.last_used).max()
    }

    fn admit(&mut self, now: Instant, session: u64, counter: u64) -> Result<(), Repeat> {
        let known = self.windows.iter_mut().find(|w| w.session == session);
        if let Some(window) = known {
            return window.admit(now, counter);
        }
        let full = self.windows.len() >= SESSIONS_PER_SENDER_MAX;
        if let Some(newest) = self.newer_than(session).max_by_key(|window| window.session) {
            let silent = |window: &Window| now.since(window.last_used) >= SESSION_SILENCE;
            if full || !self.newer_than(session).all(silent) {
                return Err(Repeat::StaleSession {
                    newest: newest.session,
                });
            }
        } else if full {
            self.forget_idlest();
        }
        self.windows.push(Window::new(now, session, counter));
        Ok(())
    }

    fn newer_than(&self, session: u64) -> impl Iterator<Item = &Window> {
        self.windows
            .iter()
            .filter(move |window| window.session > session)
    }

    fn forget_idlest(&mut self) {
        let idlest = self
            .windows
            .iter()
            .enumerate()
            .min_by_key(|(_, window)| window.last_used)
            .map(|(place, _)| place);
        if let Some(place) = idlest {
            self.windows.remove(place);
        }
    }
}

/// The last [`WINDOW`] counters up to `highest`; counter `c` has bit `c mod WINDOW`.
#[derive(Debug)]
struct Window {
    session: u64,
    highest: u64,
    seen: [u64; WORDS],
    last_used: Instant,
}

impl Window {
    fn new(now: Instant, session: u64, counter: u64) -> Self {
        let mut window = Self {
            session,
            highest: counter,
            seen: [0; WORDS],
            last_used: now,
        };
        window.mark(counter);
        window
    }

    fn admit(&mut self, now: Instant, counter: u64) -> Result<(), Repeat> {
        if counter > self.highest {
            self.advance(counter);
        } else if self.highest - counter >= WINDOW {
            return Err(Repeat::TooOld);
        }
        if !self.mark(counter) {
            return Err(Repeat::Replayed);
        }
        self.last_used = now;
        Ok(())
    }

    /// Moves the window up to `counter`, forgetting the counters whose bits are reused.
    fn advance(&mut self, counter: u64) {
        if counter - self.highest >= WINDOW {
            self.seen = [0; WORDS];
        } else {
            for reused in self.highest + 1..=counter {
                let (word, bit) = place(reused);
                self.seen[word] &= !bit;
            }
        }
        self.highest = counter;
    }

    /// Whether the counter was not marked before.
    fn mark(&mut self, counter: u64) -> bool {
        let (word, bit) = place(counter);
        let fresh = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        fresh
    }
}

/// Word (always under [`WORDS`]) and bit of a counter.
fn place(counter: u64) -> (usize, u64) {
    let place = counter % WINDOW;
    ((place / WORD_BITS) as usize, 1 << (place % WORD_BITS))
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
