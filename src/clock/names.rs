//! Names of actors on one stream: in full once, then as an index (PROTOCOL section 10).
//!
//! An [`ActorId`] is two random numbers, 16 bytes, and nearly all that replicas say to each
//! other names the same few hundred actors again and again. So each side of a stream keeps
//! the list of the actors that were named on it. The first use is written in full and takes
//! the next place in the list; later uses are that place. Both lists grow by the same rule
//! from the same bytes in the same order, so they need no further agreement, and a new stream
//! begins with empty ones.
//!
//! *Why a list that is lent, not passed.* Actors are named deep inside of clocks, rows and
//! contexts, and serde hands no state down to where a value is written. The ways around that
//! are a second type for every message, or a serializer and deserializer of our own wrapped
//! around the real ones. Instead [`ActorNames::within`] lends a list to the encoding of one
//! message: inside of it, and only there, an [`ActorId`] is written and read by the list.
//! Everywhere else it has its plain form, on disk above all. Frames of batches are the one
//! place that calls it (`wire::frame`, `wire::batch`).
//!
//! A list that is full takes no more: further actors are written in full each time.
//!
//! Nothing in the bytes is trusted: a place that was not given is an error, which closes the
//! stream, and a peer that names more actors than fit fills a list of [`NAMES_MAX`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ActorId, NodeId};

/// The most actors with a place: with 256 partitions on three replicas, those of twenty
/// openings of each. It bounds the list of the sending side of a stream to about 1 MiB and of
/// the receiving side to a quarter of that.
pub const NAMES_MAX: usize = 16_384;

/// The actors that were named on one stream in one direction, in the order of first use. Each
/// side has its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActorNames {
    actors: Vec<ActorId>,
    /// The places, on the sending side.
    places: BTreeMap<ActorId, u32>,
}

/// How an actor is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// As outside of streams: no list is in use.
    Plain,
    /// In full; it has a place from now on if there is one left.
    InFull,
    /// As its place.
    Place(u32),
}

thread_local! {
    /// The list that is lent at the moment.
    static LENT: RefCell<Option<ActorNames>> = const { RefCell::new(None) };
}

impl ActorNames {
    /// Runs `code`, in which actors are written and read by this list. `code` must be one
    /// message's encoding or decoding.
    pub fn within<T>(&mut self, code: impl FnOnce() -> T) -> T {
        /// Takes the list back, after a panic too.
        struct Lent<'a>(&'a mut ActorNames);
        impl Drop for Lent<'_> {
            fn drop(&mut self) {
                *self.0 = LENT.take().unwrap_or_default();
            }
        }
        let before = LENT.replace(Some(std::mem::take(self)));
        debug_assert!(before.is_none(), "one message at a time");
        let _lent = Lent(self);
        code()
    }

    /// How many actors have a place.
    pub fn len(&self) -> usize {
        self.actors.len()
    }

    /// Whether nothing was named yet.
    pub fn is_empty(&self) -> bool {
        self.actors.is_empty()
    }

    /// Takes the places back that were given after there were `len`: the message that gave
    /// them was not sent.
    pub fn truncate(&mut self, len: usize) {
        for actor in self.actors.drain(len.min(self.actors.len())..) {
            self.places.remove(&actor);
        }
    }

    fn write(&mut self, actor: ActorId) -> Written {
        if let Some(place) = self.places.get(&actor) {
            return Written::Place(*place);
        }
        if let Ok(place) = u32::try_from(self.actors.len())
            && self.enter(actor)
        {
            self.places.insert(actor, place);
        }
        Written::InFull
    }

    /// Gives `actor` the next place. False if there is none.
    fn enter(&mut self, actor: ActorId) -> bool {
        let fits = self.actors.len() < NAMES_MAX;
        if fits {
            self.actors.push(actor);
        }
        fits
    }
}

/// How to write `actor` here and now; the next time it may be as a place.
fn written(actor: ActorId) -> Written {
    LENT.with_borrow_mut(|lent| match lent {
        Some(names) => names.write(actor),
        None => Written::Plain,
    })
}

/// Whether actors are read by a list here and now.
fn are_lent() -> bool {
    LENT.with_borrow(Option::is_some)
}

/// The actor at `place`.
fn at(place: u32) -> Option<ActorId> {
    LENT.with_borrow(|lent| {
        let at = usize::try_from(place).ok()?;
        lent.as_ref()?.actors.get(at).copied()
    })
}

/// `actor` was read in full.
fn enter(actor: ActorId) {
    LENT.with_borrow_mut(|lent| {
        if let Some(names) = lent {
            names.enter(actor);
        }
    });
}

/// The plain form of an [`ActorId`].
#[derive(Serialize, Deserialize)]
struct Plain {
    node: NodeId,
    incarnation: u64,
}

/// Where a place stands, on a stream: the name follows in full.
const IN_FULL: u32 = 0;

impl Serialize for ActorId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { node, incarnation } = *self;
        match written(*self) {
            Written::Plain => Plain { node, incarnation }.serialize(serializer),
            // Random bits, which as bytes are shorter than as numbers of variable length.
            Written::InFull => {
                (IN_FULL, node.0.to_le_bytes(), incarnation.to_le_bytes()).serialize(serializer)
            }
            Written::Place(place) => (place + 1).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ActorId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if are_lent() {
            return deserializer.deserialize_tuple(3, NamedActor);
        }
        let Plain { node, incarnation } = Plain::deserialize(deserializer)?;
        Ok(Self { node, incarnation })
    }
}

/// An actor as it is named on a stream.
struct NamedActor;

impl<'de> Visitor<'de> for NamedActor {
    type Value = ActorId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the place of an actor, or an actor in full")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<ActorId, A::Error> {
        let cut = || de::Error::custom("an actor is cut short");
        let place: u32 = parts.next_element()?.ok_or_else(cut)?;
        if let Some(place) = place.checked_sub(IN_FULL + 1) {
            let unknown = || de::Error::custom(format_args!("no actor has place {place}"));
            return at(place).ok_or_else(unknown);
        }
        let node: [u8; 8] = parts.next_element()?.ok_or_else(cut)?;
        let incarnation: [u8; 8] = parts.next_element()?.ok_or_else(cut)?;
        let actor = ActorId {
            node: NodeId(u64::from_le_bytes(node)),
            incarnation: u64::from_le_bytes(incarnation),
        };
        enter(actor);
        Ok(actor)
    }
}
