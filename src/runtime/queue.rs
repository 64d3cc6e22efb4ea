//! What waits to be written to one peer: bounded, and dropped rather than delayed when full.
//!
//! Whoever answers a client must not wait for a slow peer, so putting a message in never
//! blocks. A dropped message about data is no harm: sync finds what it would have brought.
//! What clients have published is lost, which they must expect of it anyway.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::replication::Message;

/// Most messages that wait for one peer. At 50,000 writes a second it is more than a
/// second of them, the time after which a silent link is given up anyway.
pub(super) const QUEUE_MESSAGES_MAX: usize = 65_536;

/// Most bytes of keys and values that wait for one peer, without those of long messages: some
/// deltas at once. As many again may be in the hands of the writer.
pub(super) const QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Messages, and what is to be done for them, that a stream's lists keep room for: most frames
/// have fewer.
pub(super) const MESSAGES_KEPT_MAX: usize = 128;

/// A message of more bytes is a long one. It has a bound of its own, so that what waits behind
/// it is late and not lost: answers to clients, and that a replica has a write.
const LONG_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of long messages that wait for one peer before no further one is put in: one of the
/// longest, and another.
const QUEUE_LONG_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The part of both that may be taken when something is put in that clients have published: it
/// is dropped for good where a write is only late, but a flood of it must not crowd writes out.
const PUBLISHED_SHARE: usize = 2;

/// What a message costs beyond its keys and values: clocks, dots, tags.
const MESSAGE_BYTES: usize = 128;

/// The messages that wait for one peer.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Message>,
    bytes: usize,
    /// Those of long messages.
    long_bytes: usize,
}

impl Waiting {
    /// What a message of that weight is counted in, and how much of that may wait.
    fn bound(&mut self, weight: usize) -> (&mut usize, usize) {
        match weight > LONG_BYTES {
            true => (&mut self.long_bytes, QUEUE_LONG_BYTES_MAX),
            false => (&mut self.bytes, QUEUE_BYTES_MAX),
        }
    }
}

impl Queue {
    /// Puts a message at the end, or gives it back if there is no room. Says whether it is the
    /// first: its writer has to be told then.
    pub(super) fn put(&self, message: Message) -> Result<bool, Message> {
        let weight = weight(&message);
        let share = match message {
            Message::Published { .. } => PUBLISHED_SHARE,
            _ => 1,
        };
        let mut waiting = self.waiting.lock();
        let count = waiting.messages.len();
        let (bytes, bytes_max) = waiting.bound(weight);
        if count >= QUEUE_MESSAGES_MAX / share || *bytes >= bytes_max / share {
            return Err(message);
        }
        *bytes = bytes.saturating_add(weight);
        waiting.messages.push_back(message);
        Ok(count == 0)
    }

    /// Moves everything that waits into `taken`, which must be empty; whether there was
    /// something.
    pub(super) fn take(&self, taken: &mut VecDeque<Message>) -> bool {
        self.take_up_to(usize::MAX, taken) && !taken.is_empty()
    }

    /// Moves everything that waits into `taken`, which must be empty, unless it is more than
    /// so many bytes.
    pub(super) fn take_up_to(&self, bytes_max: usize, taken: &mut VecDeque<Message>) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.bytes.saturating_add(waiting.long_bytes) > bytes_max {
            return false;
        }
        (waiting.bytes, waiting.long_bytes) = (0, 0);
        std::mem::swap(&mut waiting.messages, taken);
        true
    }

    /// Whether more than one message waits.
    pub(super) fn has_several(&self) -> bool {
        self.waiting.lock().messages.len() > 1
    }
}

/// About how many bytes a message keeps in memory.
fn weight(message: &Message) -> usize {
    let body = match message {
        Message::Push { push, .. } => push.key.len().saturating_add(push.versions.value_bytes()),
        Message::Delta(delta) => rows_weight(delta.rows.iter()),
        Message::FullRows(rows) => rows_weight(rows.rows.iter()),
        Message::Hashes { partitions, .. } => partitions.len().saturating_mul(16),
        Message::Roster { records, .. } => records.len().saturating_mul(MESSAGE_BYTES),
        Message::Forward { request, .. } => request.bytes(),
        Message::Forwarded { reply, .. } => reply.as_ref().map_or(0, |reply| reply.bytes()),
        Message::Published { channel, payload } => channel.len().saturating_add(payload.len()),
        Message::Known { object, .. } => object.versions.value_bytes(),
        _ => 0,
    };
    body.saturating_add(MESSAGE_BYTES)
}

fn rows_weight<'a>(rows: impl Iterator<Item = &'a (bytes::Bytes, crate::object::Row)>) -> usize {
    rows.map(|(key, row)| key.len() + row.versions.value_bytes() + MESSAGE_BYTES)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::PartitionId;
    use crate::replication::PartitionHash;

    fn taken(queue: &Queue) -> VecDeque<Message> {
        let mut taken = VecDeque::new();
        queue.take(&mut taken);
        taken
    }

    #[test]
    fn little_is_taken_alone() {
        let queue = Queue::default();
        assert_eq!(queue.put(Message::Root(1)), Ok(true));
        assert!(!queue.has_several());
        assert_eq!(queue.put(Message::Root(2)), Ok(false));
        assert!(queue.has_several());
        let mut taken = VecDeque::new();
        assert!(!queue.take_up_to(2 * MESSAGE_BYTES - 1, &mut taken));
        assert!(taken.is_empty());
        assert!(queue.take_up_to(2 * MESSAGE_BYTES, &mut taken));
        assert_eq!(taken, [Message::Root(1), Message::Root(2)]);
        assert!(!queue.take(&mut VecDeque::new()));
        assert_eq!(queue.put(Message::Root(3)), Ok(true));
    }

    #[test]
    fn a_full_queue_gives_the_message_back() {
        let queue = Queue::default();
        for root in 0..QUEUE_MESSAGES_MAX as u64 {
            let fits = queue.put(Message::Root(root)).is_ok();
            if !fits {
                assert!(root as usize * MESSAGE_BYTES >= QUEUE_BYTES_MAX);
            }
        }
        assert_eq!(queue.put(Message::Root(9)), Err(Message::Root(9)));
        assert_eq!(taken(&queue).front(), Some(&Message::Root(0)));
        assert!(queue.put(Message::Root(9)).is_ok());
    }

    #[test]
    fn what_is_published_leaves_room_for_writes() {
        let queue = Queue::default();
        let published = || Message::Published {
            channel: "news".into(),
            payload: vec![0; QUEUE_BYTES_MAX / 16].into(),
        };
        let put = (0..16).filter(|_| queue.put(published()).is_ok()).count();
        assert_eq!(put, 8);
        assert!(queue.put(Message::Root(1)).is_ok());
        taken(&queue);
        assert!(queue.put(published()).is_ok());
    }

    /// What waits behind a long message is late and not lost, and long ones are bounded too.
    #[test]
    fn long_messages_crowd_nothing_out() {
        let queue = Queue::default();
        let long = |bytes: usize| Message::Published {
            channel: "news".into(),
            payload: vec![0; bytes].into(),
        };
        assert!(queue.put(long(LONG_BYTES)).is_ok());
        assert!(queue.put(long(QUEUE_LONG_BYTES_MAX / 2)).is_ok());
        assert!(queue.put(long(LONG_BYTES)).is_err(), "a half of the bound");
        for root in 0..1_000 {
            assert!(queue.put(Message::Root(root)).is_ok());
        }
        assert_eq!(taken(&queue).len(), 1_002);
        assert!(queue.put(long(LONG_BYTES)).is_ok());
    }

    #[test]
    fn bytes_are_bounded_too() {
        let queue = Queue::default();
        let hash = PartitionHash {
            partition: PartitionId(0),
            hash: 0,
        };
        let some = || Message::Hashes {
            roster: 0,
            partitions: vec![hash; LONG_BYTES / 16 - 100],
        };
        let put = (0..9).take_while(|_| queue.put(some()).is_ok()).count();
        assert_eq!(put, QUEUE_BYTES_MAX / LONG_BYTES + 1);
        assert!(queue.put(Message::Root(1)).is_err());
        taken(&queue);
        assert!(queue.put(Message::Root(1)).is_ok());
    }
}
