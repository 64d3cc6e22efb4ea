//! Names of rows: of a key's value, and of each element of a set or hash.
//!
//! A set or hash is not one object. Every member and every field is a row of its own, so that
//! the protocol applies to each unchanged and a change sends one element (PROTOCOL section 8).
//! Beside them a key may have one row more, which says when they end.
//!
//! The row of a value is named like its key. Other rows begin with a NUL, which a key that
//! begins with one has twice:
//!
//! ```text
//! value      KEY                               or 00 KEY, if KEY begins with 00
//! end        00 01 KEY' 00 01                  KEY': in KEY every 00 followed by FF
//! member     00 02 KEY' 00 01 HASH 01 MEMBER   HASH: 8 bytes, of the member
//! field      00 03 KEY' 00 01 HASH 01 FIELD
//! ```
//!
//! So the elements of a key lie together, in the order of their hashes: a hash is a place to go
//! on from whatever comes or goes meanwhile, and a hash by chance finds an element by chance.
//! What the elements of one key begin with is the name of their *collection*; none is the
//! beginning of another.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// The longest name of an element's row, in bytes: what its place in the database holds whole,
/// since elements are found by their order.
pub const ELEMENT_NAME_BYTES_MAX: usize = 32 * 1024;

const NUL: u8 = 0;
const ESCAPED: u8 = 0xff;
const END_OF_KEY: [u8; 2] = [NUL, 1];
const END: u8 = 1;
const MEMBER: u8 = 2;
const FIELD: u8 = 3;

/// Stands before an element, so that what ends with a hash lies between those of lesser hashes
/// and those that have it.
const BEGIN_OF_ELEMENT: u8 = 1;

const HASH_BYTES: usize = 8;

/// What a key's elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Fields with values.
    Hash,
    /// Members without.
    Set,
}

impl Kind {
    /// Every kind. Where a key has elements of several, which takes writes that did not see each
    /// other, the first shows.
    pub const ALL: [Self; 2] = [Self::Hash, Self::Set];

    /// The name of the collection of `key`.
    pub fn collection(self, key: &[u8]) -> Bytes {
        name(self.tag(), key, true)
    }

    /// What the names of the collections of all keys that begin with `prefix` begin with.
    pub fn prefix(self, prefix: &[u8]) -> Bytes {
        name(self.tag(), prefix, false)
    }

    const fn tag(self) -> u8 {
        match self {
            Self::Hash => FIELD,
            Self::Set => MEMBER,
        }
    }
}

/// What a row is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// The value of a key; also whatever no other form fits.
    Value,
    /// When the elements of a key end.
    End,
    /// A collection as a whole. No row has such a name.
    Collection(Kind),
    /// A member or field.
    Element {
        /// The name of its collection.
        collection: &'a [u8],
        /// Its hash.
        hash: u64,
        /// Itself.
        element: &'a [u8],
    },
}

impl<'a> Name<'a> {
    /// What the row of this name is.
    pub fn of(row: &'a [u8]) -> Self {
        let [NUL, tag, rest @ ..] = row else {
            return Self::Value;
        };
        let kind = match *tag {
            END => None,
            MEMBER => Some(Kind::Set),
            FIELD => Some(Kind::Hash),
            _ => return Self::Value,
        };
        let Some(at) = end_of_key(rest) else {
            return Self::Value;
        };
        let (Some(begin), Some(rest)) = (row.len().checked_sub(rest.len()), rest.get(at..)) else {
            return Self::Value;
        };
        match (kind, rest.split_first_chunk::<HASH_BYTES>()) {
            (None, _) if rest.is_empty() => Self::End,
            (Some(kind), _) if rest.is_empty() => Self::Collection(kind),
            (Some(_), Some((hash, [BEGIN_OF_ELEMENT, element @ ..]))) => Self::Element {
                collection: row.get(..begin.saturating_add(at)).unwrap_or_default(),
                hash: u64::from_be_bytes(*hash),
                element,
            },
            _ => Self::Value,
        }
    }

    /// The name of the collection, if it is that of an element.
    pub fn collection_of(row: &'a [u8]) -> Option<&'a [u8]> {
        match Self::of(row) {
            Self::Element { collection, .. } => Some(collection),
            _ => None,
        }
    }
}

/// The name of the row of a key's value.
pub fn value_row(key: Bytes) -> Bytes {
    if key.first() != Some(&NUL) {
        return key;
    }
    value_prefix(&key)
}

/// What the names of the values of all keys that begin with `prefix` begin with; of an empty
/// one, as of all keys, nothing.
pub fn value_prefix(prefix: &[u8]) -> Bytes {
    let mut name = BytesMut::with_capacity(prefix.len().saturating_add(1));
    if prefix.first() == Some(&NUL) {
        name.put_u8(NUL);
    }
    name.put_slice(prefix);
    name.freeze()
}

/// The name of the row that says when the elements of `key` end.
pub fn end_row(key: &[u8]) -> Bytes {
    name(END, key, true)
}

/// The name of the row of an element of `collection`.
pub fn element_row(collection: &[u8], element: &[u8]) -> Bytes {
    let mut row = place(collection, xxh3_64(element), element.len());
    row.put_u8(BEGIN_OF_ELEMENT);
    row.put_slice(element);
    row.freeze()
}

/// What lies before all elements of `collection` whose hash is at least `hash`, and behind all
/// others.
pub fn before_hash(collection: &[u8], hash: u64) -> Bytes {
    place(collection, hash, 0).freeze()
}

/// Before this, and behind all values of keys that begin with a NUL, lie all other rows.
pub const BEHIND_OTHERS: &[u8] = &[NUL, ESCAPED];

/// The key of a row or collection.
pub fn key_of(row: &[u8]) -> Cow<'_, [u8]> {
    let Some((&NUL, rest)) = row.split_first() else {
        return Cow::Borrowed(row);
    };
    if rest.first() == Some(&NUL) {
        return Cow::Borrowed(rest);
    }
    match (Name::of(row), rest.split_first()) {
        (Name::Value, _) | (_, None) => Cow::Borrowed(row),
        (_, Some((_, rest))) => Cow::Owned(unescaped(rest)),
    }
}

/// The same, sharing the row's bytes where it is a part of them.
pub fn shared_key_of(row: &Bytes) -> Bytes {
    match key_of(row) {
        Cow::Borrowed(key) => row.slice_ref(key),
        Cow::Owned(key) => key.into(),
    }
}

fn name(tag: u8, key: &[u8], is_whole: bool) -> Bytes {
    let mut name = BytesMut::with_capacity(key.len().saturating_add(32));
    name.put_slice(&[NUL, tag]);
    for byte in key {
        name.put_u8(*byte);
        if *byte == NUL {
            name.put_u8(ESCAPED);
        }
    }
    if is_whole {
        name.put_slice(&END_OF_KEY);
    }
    name.freeze()
}

fn place(collection: &[u8], hash: u64, more: usize) -> BytesMut {
    let length = collection.len().saturating_add(HASH_BYTES + 1);
    let mut place = BytesMut::with_capacity(length.saturating_add(more));
    place.put_slice(collection);
    place.put_u64(hash);
    place
}

/// Where what follows an escaped key begins.
fn end_of_key(escaped: &[u8]) -> Option<usize> {
    let mut at = 0_usize;
    loop {
        at = at.checked_add(escaped.get(at..)?.iter().position(|byte| *byte == NUL)?)?;
        let after = at.checked_add(2)?;
        match escaped.get(at..after)? {
            end if end == END_OF_KEY => return Some(after),
            [_, ESCAPED] => at = after,
            _ => return None,
        }
    }
}

fn unescaped(escaped: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(escaped.len());
    let mut bytes = escaped.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte == NUL && bytes.next() != Some(ESCAPED) {
            break;
        }
        key.push(byte);
    }
    key
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Bytes among which those that mean something are likely.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0), Just(1), Just(2), Just(3), Just(0xff), any::<u8>()];
        vec(byte, 0..12)
    }

    fn row(kind: Kind, key: &[u8], element: &[u8]) -> Bytes {
        element_row(&kind.collection(key), element)
    }

    proptest! {
        #[test]
        fn a_name_says_whose_it_is(key in bytes(), element in bytes()) {
            let value = value_row(Bytes::from(key.clone()));
            prop_assert_eq!(Name::of(&value), Name::Value);
            prop_assert_eq!(&key_of(&value)[..], &key);
            let end = end_row(&key);
            prop_assert_eq!(Name::of(&end), Name::End);
            prop_assert_eq!(&key_of(&end)[..], &key);
            for kind in Kind::ALL {
                let collection = kind.collection(&key);
                prop_assert_eq!(Name::of(&collection), Name::Collection(kind));
                prop_assert_eq!(&key_of(&collection)[..], &key);
                let row = element_row(&collection, &element);
                let hash = xxh3_64(&element);
                let name = Name::Element { collection: &collection, hash, element: &element };
                prop_assert_eq!(Name::of(&row), name);
                prop_assert_eq!(&key_of(&row)[..], &key);
                prop_assert!(before_hash(&collection, hash) < row);
                prop_assert!(hash == u64::MAX || before_hash(&collection, hash + 1) > row);
            }
        }

        #[test]
        fn no_two_rows_have_one_name(
            (key, element) in (bytes(), bytes()),
            (other, another) in (bytes(), bytes()),
        ) {
            let rows = |key: &[u8], element: &[u8]| {
                let value = value_row(Bytes::copy_from_slice(key));
                [value, end_row(key), row(Kind::Set, key, element), row(Kind::Hash, key, element)]
            };
            let (these, those) = (rows(&key, &element), rows(&other, &another));
            for (n, this) in these.iter().enumerate() {
                for (m, that) in those.iter().enumerate() {
                    let same = n == m && key == other && (n < 2 || element == another);
                    prop_assert_eq!(this == that, same);
                }
            }
        }

        #[test]
        fn collections_have_the_order_of_their_keys(key in bytes(), other in bytes()) {
            for kind in Kind::ALL {
                let order = kind.collection(&key).cmp(&kind.collection(&other));
                prop_assert_eq!(order, key.cmp(&other));
                let is_within = kind.collection(&key).starts_with(&kind.prefix(&other));
                prop_assert_eq!(is_within, key.starts_with(&other));
            }
            let values = [&key, &other].map(|key| value_row(Bytes::from(key.clone())));
            prop_assert_eq!(values[0].cmp(&values[1]), key.cmp(&other));
        }

        #[test]
        fn whatever_bytes_are_a_name(row in bytes()) {
            let _ = (Name::of(&row), key_of(&row));
        }
    }
}
