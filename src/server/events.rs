//! Keyspace notifications: what clients of this node change is published, by Redis's names.
//!
//! Off by default, each node for itself (`CONFIG SET notify-keyspace-events`). Off, a write costs
//! one look at a number. What is published goes where everything published goes, so a subscriber
//! on any node hears of it.
//!
//! Told is what a client was answered as done, before it is answered, and which keys this node
//! has seen to their end (`expired`): of its owners the preferred one, or whose turn it is to
//! remove what does not go by itself. Not told: what was written and could not be confirmed in
//! time, and what other nodes' clients do, which those nodes tell if they are asked to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::store::Store;
use crate::node::change::{Change, Ends};
use crate::node::request::{Alter, Reply, Request};
use crate::object::Kind;
use crate::runtime::Submitted;

/// The classes of events, and the two forms, by Redis's letters and in its order.
const LETTERS: &[(char, u16)] = &[
    ('g', Events::GENERIC),
    ('$', Events::STRING),
    ('l', 1 << 2),
    ('s', Events::SET),
    ('h', Events::HASH),
    ('z', 1 << 5),
    ('x', Events::EXPIRED),
    ('e', 1 << 6),
    ('t', 1 << 7),
    ('d', 1 << 8),
    ('K', Events::BY_KEY),
    ('E', Events::BY_EVENT),
];

/// Letters of Redis for what happens here too and is not told: keys that are missed, or new.
const UNTOLD: &[char] = &['m', 'n'];

/// All classes, for which `A` stands.
const ALL: u16 = ((1 << 9) - 1) | Events::EXPIRED;

/// Which events are told: a bit for each class and each form.
#[derive(Debug, Default)]
pub(super) struct Events(AtomicU16);

/// Why letters are no setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadLetter {
    /// Redis does not know it.
    Unknown,
    /// This happens here, and is not told.
    Untold(char),
}

impl Events {
    pub(super) const GENERIC: u16 = 1;
    const STRING: u16 = 1 << 1;
    pub(super) const SET: u16 = 1 << 3;
    const HASH: u16 = 1 << 4;
    const BY_KEY: u16 = 1 << 9;
    const BY_EVENT: u16 = 1 << 10;
    const EXPIRED: u16 = 1 << 11;

    /// What letters mean.
    pub(super) fn parse(letters: &[u8]) -> Result<u16, BadLetter> {
        let mut bits = 0;
        for byte in letters {
            let letter = char::from(*byte);
            let known = LETTERS.iter().find(|(known, _)| *known == letter);
            bits |= match known {
                Some((_, bit)) => *bit,
                None if letter == 'A' => ALL,
                None if UNTOLD.contains(&letter) => return Err(BadLetter::Untold(letter)),
                None => return Err(BadLetter::Unknown),
            };
        }
        Ok(bits)
    }

    pub(super) fn set(&self, bits: u16) {
        self.0.store(bits, Ordering::Relaxed);
    }

    /// The setting in letters, as Redis orders them.
    pub(super) fn letters(&self) -> String {
        let bits = self.0.load(Ordering::Relaxed);
        let has_all = bits & ALL == ALL;
        let all = has_all.then_some('A');
        let single = LETTERS.iter().filter(|(_, bit)| {
            let is_in_all = has_all && bit & ALL != 0;
            bits & bit != 0 && !is_in_all
        });
        all.into_iter()
            .chain(single.map(|(letter, _)| *letter))
            .collect()
    }

    /// The setting, if anything of that class would be told.
    fn telling(&self, class: u16) -> Option<u16> {
        let bits = self.0.load(Ordering::Relaxed);
        let is_told = bits & class != 0 && bits & (Self::BY_KEY | Self::BY_EVENT) != 0;
        is_told.then_some(bits)
    }

    /// Tells that something has happened to a key, if that is told.
    pub(super) fn tell(&self, store: &dyn Store, class: u16, event: &'static str, key: &Bytes) {
        for (channel, payload) in self.messages(class, event, key) {
            store.publish(&channel, &payload);
        }
    }

    /// What is to be published because a key has ended, with its channel.
    pub(super) fn expired(&self, key: &Bytes) -> Vec<(Bytes, Bytes)> {
        self.messages(Self::EXPIRED, "expired", key)
    }

    fn messages(&self, class: u16, event: &'static str, key: &Bytes) -> Vec<(Bytes, Bytes)> {
        let mut messages = Vec::new();
        let Some(bits) = self.telling(class) else {
            return messages;
        };
        if bits & Self::BY_KEY != 0 {
            let event = Bytes::from_static(event.as_bytes());
            messages.push((channel("__keyspace@0__:", key), event));
        }
        if bits & Self::BY_EVENT != 0 {
            let channel = channel("__keyevent@0__:", event.as_bytes());
            messages.push((channel, key.clone()));
        }
        messages
    }

    /// What is to be told of a request once it is done; none if nothing is.
    pub(super) fn notice(
        self: &Arc<Self>,
        store: &Arc<dyn Store>,
        request: &Request,
    ) -> Option<Notice> {
        self.telling(Self::GENERIC | Self::STRING | Self::SET | Self::HASH)?;
        let (key, what) = match request {
            Request::Put { key, .. } => (key, What::String("set")),
            Request::Delete { key, .. } => (key, What::Generic("del")),
            Request::Update { key, change } => (key, What::of(change, store.wall_ms())),
            Request::Alter { key, kind, alter } => (key, What::of_elements(*kind, alter)),
            _ => return None,
        };
        Some(Notice {
            events: Arc::clone(self),
            store: Arc::clone(store),
            key: key.clone(),
            what,
        })
    }
}

fn channel(prefix: &'static str, rest: &[u8]) -> Bytes {
    let mut channel = BytesMut::with_capacity(prefix.len().saturating_add(rest.len()));
    channel.put_slice(prefix.as_bytes());
    channel.put_slice(rest);
    channel.freeze()
}

/// What happens to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Generic(&'static str),
    String(&'static str),
    /// Members came or went.
    Set(&'static str),
    /// Fields were written, or went.
    Hash(&'static str),
    /// A value that will end, which are two events.
    SetWithEnd,
    /// A value whose end has come: if there was one before, there is none now.
    SetTooLate,
}

impl What {
    fn of(change: &Change, wall_ms: u64) -> Self {
        match change {
            Change::Set {
                ends: Ends::At(at_ms),
                ..
            } if *at_ms <= wall_ms => Self::SetTooLate,
            Change::Set {
                ends: Ends::At(_), ..
            } => Self::SetWithEnd,
            Change::Set { .. } => Self::String("set"),
            Change::Append { .. } => Self::String("append"),
            Change::Overwrite { .. } => Self::String("setrange"),
            Change::Add { whole: true, .. } => Self::String("incrby"),
            Change::Add { whole: false, .. } => Self::String("incrbyfloat"),
            Change::Take => Self::Generic("del"),
            Change::End { at_ms, .. } if *at_ms <= wall_ms => Self::Generic("del"),
            Change::End { .. } => Self::Generic("expire"),
            Change::Persist => Self::Generic("persist"),
        }
    }

    fn of_elements(kind: Kind, alter: &Alter) -> Self {
        match (kind, alter) {
            (Kind::Set, Alter::Put { .. } | Alter::Add { .. }) => Self::Set("sadd"),
            (Kind::Set, Alter::Remove { .. }) => Self::Set("srem"),
            (Kind::Set, Alter::Pop { .. }) => Self::Set("spop"),
            (Kind::Hash, Alter::Put { .. }) => Self::Hash("hset"),
            (Kind::Hash, Alter::Remove { .. } | Alter::Pop { .. }) => Self::Hash("hdel"),
            (Kind::Hash, Alter::Add { whole: true, .. }) => Self::Hash("hincrby"),
            (Kind::Hash, Alter::Add { whole: false, .. }) => Self::Hash("hincrbyfloat"),
        }
    }
}

/// What is to be told once a request is done.
pub(super) struct Notice {
    events: Arc<Events>,
    store: Arc<dyn Store>,
    key: Bytes,
    what: What,
}

impl Notice {
    /// Tells it, if the answer says that it happened.
    fn tell(&self, reply: &Reply) {
        let (is_done, was_there) = match reply {
            Reply::Stored(_) => (true, true),
            Reply::Deleted(dot) => (dot.is_some(), true),
            Reply::Changed(changed) => (changed.done, changed.before.is_some()),
            // A member that is there is written again, and nobody is told.
            Reply::Altered(altered) if matches!(self.what, What::Set(_)) => {
                (altered.count > 0, true)
            }
            Reply::Altered(altered) => (altered.done, true),
            _ => (false, false),
        };
        if !is_done {
            return;
        }
        let tell = |class, event| {
            self.events
                .tell(self.store.as_ref(), class, event, &self.key);
        };
        match self.what {
            What::Generic(event) => tell(Events::GENERIC, event),
            What::String(event) => tell(Events::STRING, event),
            What::Set(event) => tell(Events::SET, event),
            What::Hash(event) => tell(Events::HASH, event),
            What::SetWithEnd => {
                tell(Events::STRING, "set");
                tell(Events::GENERIC, "expire");
            }
            What::SetTooLate if was_there => tell(Events::GENERIC, "del"),
            What::SetTooLate => {}
        }
        if matches!(reply, Reply::Altered(altered) if altered.is_emptied) {
            tell(Events::GENERIC, "del");
        }
    }
}

/// Keeps the events of one connection in the order of its commands, though some wait.
#[derive(Debug, Default)]
pub(super) struct Teller {
    /// Ends when the last event that waits has been told.
    last: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Teller {
    /// The same answer, which comes after the event has been told. What waits is one task more
    /// for each answer that waits anyway.
    pub(super) fn tell(&self, submitted: Submitted, notice: Option<Notice>) -> Submitted {
        let Some(notice) = notice else {
            return submitted;
        };
        let mut last = self.last.lock();
        let before = last.take().and_then(|mut before| match before.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => Some(before),
            _ => None,
        });
        if let (Submitted::Ready(reply), None) = (&submitted, &before) {
            notice.tell(reply);
            return submitted;
        }
        let is_deferred = matches!(submitted, Submitted::Deferred(_));
        let (told, next) = oneshot::channel();
        *last = Some(next);
        let (answer, waiting) = oneshot::channel();
        tokio::spawn(async move {
            let reply = submitted.wait().await;
            if let Some(before) = before {
                // Its end is what counts, however it ended.
                let _ = before.await;
            }
            notice.tell(&reply);
            drop(told);
            // The client may have gone.
            let _ = answer.send(reply);
        });
        match is_deferred {
            true => Submitted::Deferred(waiting),
            false => Submitted::Waiting(waiting),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_read_and_shown_as_redis_does() {
        let events = Events::default();
        for (letters, shown) in [
            ("", ""),
            ("KEA", "AKE"),
            ("Kg$", "g$K"),
            ("gK", "gK"),
            ("E", "E"),
            ("g$lshzxetdKE", "AKE"),
            ("Ex", "xE"),
        ] {
            events.set(Events::parse(letters.as_bytes()).unwrap());
            assert_eq!(events.letters(), shown, "{letters}");
        }
        assert_eq!(Events::parse(b"KQ"), Err(BadLetter::Unknown));
        assert_eq!(Events::parse(b"Em"), Err(BadLetter::Untold('m')));
    }

    #[test]
    fn nothing_is_told_without_a_form_or_a_class() {
        let events = Events::default();
        for (letters, is_told) in [("", false), ("A", false), ("KE", false), ("K$", true)] {
            events.set(Events::parse(letters.as_bytes()).unwrap());
            assert_eq!(
                events.telling(Events::STRING).is_some(),
                is_told,
                "{letters}"
            );
        }
    }
}
