//! What was published for one client and has not been sent to it.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::resp::Value;

/// Most bytes that wait for one subscriber. One that is further behind is dropped: whoever
/// publishes must not wait for it, and what is missing in the middle would be worse than an end
/// that it notices. Redis's own limit; here what many wait for is in memory once.
pub(super) const MAILBOX_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What a message costs beyond its words: its place in the queue, and counters of the words.
const DELIVERY_BYTES: usize = 128;

/// A message for one subscription of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    /// The pattern that matched; none for a subscription to the channel itself.
    pub(super) pattern: Option<Bytes>,
    pub(super) channel: Bytes,
    pub(super) payload: Bytes,
}

impl Delivery {
    fn weight(&self) -> usize {
        let words = self.channel.len().saturating_add(self.payload.len());
        let pattern = self.pattern.as_ref().map_or(0, Bytes::len);
        words.saturating_add(pattern).saturating_add(DELIVERY_BYTES)
    }

    /// The frame that the client gets.
    pub(super) fn into_value(self) -> Value {
        let mut words = match self.pattern {
            Some(pattern) => vec![Value::bulk("pmessage"), Value::Bulk(pattern)],
            None => vec![Value::bulk("message")],
        };
        words.push(Value::Bulk(self.channel));
        words.push(Value::Bulk(self.payload));
        Value::Push(words)
    }
}

/// The messages that wait for one client: bounded, filled by any task, emptied by its own.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    letters: Mutex<Letters>,
    /// Told when something was put in. The connection's task is the only one that waits.
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Letters {
    waiting: VecDeque<Delivery>,
    bytes: usize,
    is_overrun: bool,
}

impl Mailbox {
    /// Puts a message at the end. `false` if there is no room: then the client has lost what
    /// waited, gets nothing more, and is to be dropped.
    pub(super) fn put(&self, delivery: Delivery) -> bool {
        let mut letters = self.letters.lock();
        if letters.is_overrun {
            return false;
        }
        let bytes = letters.bytes.saturating_add(delivery.weight());
        // One message always fits, however long it is.
        letters.is_overrun = bytes > MAILBOX_BYTES_MAX && !letters.waiting.is_empty();
        if letters.is_overrun {
            letters.waiting = VecDeque::new();
        } else {
            letters.bytes = bytes;
            letters.waiting.push_back(delivery);
        }
        let fits = !letters.is_overrun;
        drop(letters);
        self.arrived.notify_one();
        fits
    }

    /// Takes the message that has waited longest. An emptied mailbox keeps no memory.
    pub(super) fn take(&self) -> Option<Delivery> {
        let mut letters = self.letters.lock();
        let delivery = letters.waiting.pop_front()?;
        letters.bytes = letters.bytes.saturating_sub(delivery.weight());
        if letters.waiting.is_empty() {
            letters.waiting = VecDeque::new();
        }
        Some(delivery)
    }

    /// Takes everything that waits.
    pub(super) fn take_all(&self) -> VecDeque<Delivery> {
        let mut letters = self.letters.lock();
        letters.bytes = 0;
        std::mem::take(&mut letters.waiting)
    }

    /// Whether the client is to be dropped.
    pub(super) fn is_overrun(&self) -> bool {
        self.letters.lock().is_overrun
    }

    /// Waits until the client is to be dropped or, where that is wanted, until a message is
    /// there. Cancel-safe; for one waiter.
    pub(super) async fn wait(&self, for_messages: bool) {
        loop {
            let arrived = self.arrived.notified();
            {
                let letters = self.letters.lock();
                if letters.is_overrun || for_messages && !letters.waiting.is_empty() {
                    return;
                }
            }
            arrived.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(bytes: usize) -> Delivery {
        Delivery {
            pattern: None,
            channel: Bytes::new(),
            payload: vec![0; bytes].into(),
        }
    }

    #[test]
    fn what_does_not_fit_ends_the_mailbox() {
        let mailbox = Mailbox::default();
        for _ in 0..3 {
            assert!(mailbox.put(delivery(MAILBOX_BYTES_MAX / 4)));
        }
        assert!(mailbox.take().is_some());
        assert!(mailbox.put(delivery(MAILBOX_BYTES_MAX / 4)));
        assert!(!mailbox.is_overrun());
        assert!(!mailbox.put(delivery(MAILBOX_BYTES_MAX / 4)));
        assert!(mailbox.is_overrun());
        assert_eq!(mailbox.take(), None);
        assert!(!mailbox.put(delivery(1)), "it has missed something");
    }

    #[test]
    fn one_message_always_fits_and_an_empty_mailbox_holds_nothing() {
        let mailbox = Mailbox::default();
        assert!(mailbox.put(delivery(MAILBOX_BYTES_MAX)));
        assert!(mailbox.take().is_some());
        let letters = mailbox.letters.lock();
        assert_eq!((letters.bytes, letters.waiting.capacity()), (0, 0));
    }

    #[test]
    fn many_small_messages_are_bounded_too() {
        let mailbox = Mailbox::default();
        let fit = (0..).take_while(|_| mailbox.put(delivery(0))).count();
        assert_eq!(fit, MAILBOX_BYTES_MAX / DELIVERY_BYTES);
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let mailbox = std::sync::Arc::new(Mailbox::default());
        let other = mailbox.clone();
        let waiter = tokio::spawn(async move { other.wait(true).await });
        tokio::task::yield_now().await;
        mailbox.put(delivery(1));
        waiter.await.unwrap();
        mailbox.wait(true).await;
    }
}
