//! What has been seen before: a window of counters per sender and session.
//!
//! A captured datagram still authenticates when it is sent again, so each one carries the
//! sender's session (its generation, which grows with every start) and a counter, and the
//! receiver remembers the last [`WINDOW`] counters as a bitmap, as IPsec does (RFC 6479).
//!
//! A session newer than all seen opens a window of its own. A session *older* than the
//! newest is refused unless it has a window already. That exception is what makes a name
//! used twice by mistake survivable: the second process, which starts later and is turned
//! away by the membership protocol, must not silence the first one for good. Replays gain
//! nothing from it, since the older session's counters are still remembered.

use std::collections::BTreeMap;

use crate::clock::NodeId;
use crate::machine::Instant;

/// How many counters behind the highest a datagram may arrive. At the busiest (a storm of
/// some 1,000 datagrams a second to one peer) that is a second of reordering.
pub const WINDOW: u64 = 1_024;

/// Senders that are remembered: four times the members that one cluster may have, since
/// restarts under new names leave entries behind. About 200 bytes each.
pub const SENDERS_MAX: usize = 4_096;

/// Windows kept for one sender: its running process, the one before, and room for a
/// second process of the same name that restarts over and over.
pub const SESSIONS_PER_SENDER_MAX: usize = 4;

const WORD_BITS: u64 = 64;
const WORDS: usize = (WINDOW / WORD_BITS) as usize;

/// Why a genuine datagram is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// The session is older than the newest of its sender and has no window.
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
    newest: u64,
    windows: Vec<Window>,
}

impl Sender {
    fn new(window: Window) -> Self {
        Self {
            newest: window.session,
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
        if session <= self.newest {
            return Err(Repeat::StaleSession {
                newest: self.newest,
            });
        }
        if self.windows.len() >= SESSIONS_PER_SENDER_MAX {
            self.forget_idlest();
        }
        self.windows.push(Window::new(now, session, counter));
        self.newest = session;
        Ok(())
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
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::time::Duration;

    const NODE: NodeId = NodeId(7);

    fn at(ms: u64) -> Instant {
        Instant::from_elapsed(Duration::from_millis(ms))
    }

    proptest! {
        /// Against a set that remembers everything: the guard takes exactly the counters
        /// that are inside the window and were not taken.
        #[test]
        fn the_window_agrees_with_a_set(
            start in prop_oneof![Just(0_u64), any::<u64>(), Just(u64::MAX - 3_000)],
            steps in prop::collection::vec(0_u64..2_600, 1..400),
        ) {
            let mut guard = ReplayGuard::default();
            let mut taken = BTreeSet::new();
            for step in steps {
                let counter = start.saturating_add(step);
                let highest = taken.last().copied().unwrap_or(counter);
                let expected = if highest.saturating_sub(counter) >= WINDOW {
                    Err(Repeat::TooOld)
                } else if taken.insert(counter) {
                    Ok(())
                } else {
                    Err(Repeat::Replayed)
                };
                prop_assert_eq!(guard.admit(at(0), NODE, 1, counter), expected);
            }
        }

        /// Whatever the sessions and counters, nothing is ever taken twice.
        #[test]
        fn nothing_is_taken_twice(
            tries in prop::collection::vec((1_u64..8, 0_u64..6), 1..200),
        ) {
            let mut guard = ReplayGuard::default();
            let mut taken = BTreeSet::new();
            for (step, (session, counter)) in tries.into_iter().enumerate() {
                if guard.admit(at(step as u64), NODE, session, counter).is_ok() {
                    prop_assert!(taken.insert((session, counter)));
                }
            }
        }
    }

    #[test]
    fn an_unknown_older_session_is_stale() {
        let mut guard = ReplayGuard::default();
        guard.admit(at(0), NODE, 10, 1).unwrap();
        assert_eq!(
            guard.admit(at(1), NODE, 9, 5),
            Err(Repeat::StaleSession { newest: 10 })
        );
        guard.admit(at(2), NODE, 11, 1).unwrap();
    }

    /// A second process took the name of a running one, was refused, and came back again
    /// and again with newer generations. The first must stay heard all the while.
    #[test]
    fn a_second_process_of_the_same_name_does_not_silence_the_first() {
        let mut guard = ReplayGuard::default();
        let mut counter = 0;
        guard.admit(at(0), NODE, 50, counter).unwrap();
        for second in 0..100 {
            let ms = second * 1_000;
            guard.admit(at(ms), NODE, 100 + second, 0).unwrap();
            for tick in 1..5 {
                counter += 1;
                let heard = guard.admit(at(ms + tick * 200), NODE, 50, counter);
                assert_eq!(heard, Ok(()), "second {second}");
            }
        }
    }

    #[test]
    fn the_sender_silent_longest_is_forgotten() {
        let mut guard = ReplayGuard::default();
        let count = SENDERS_MAX as u64;
        for n in 0..count {
            guard.admit(at(n), NodeId(n), 1, 1).unwrap();
        }
        guard.admit(at(count), NodeId(0), 1, 2).unwrap();
        guard.admit(at(count + 1), NodeId(count), 1, 1).unwrap();
        assert_eq!((guard.senders.len(), guard.evicted()), (SENDERS_MAX, 1));
        let again = |guard: &mut ReplayGuard, n| guard.admit(at(count + 2), NodeId(n), 1, 1);
        assert_eq!(again(&mut guard, 0), Err(Repeat::Replayed));
        assert_eq!(again(&mut guard, 1), Ok(()), "node 1 was the one forgotten");
    }
}
