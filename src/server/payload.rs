//! What a key shows as bytes: what `DUMP` answers and `RESTORE` takes. A form of its own, not
//! Redis's.
//!
//! ```text
//! VERSION TYPE BODY CHECKSUM    1 byte, 1 byte, any number, 8 bytes: XXH3 of all before them
//!
//! of a value  the value
//! of a hash   LENGTH FIELD LENGTH VALUE ...
//! of a set    LENGTH MEMBER ...              LENGTH: 4 bytes; all numbers are little endian
//! ```
//!
//! The checksum tells what was damaged from what was not, not who has made it: the bytes are
//! taken for hostile. Nothing is allocated for what they declare, and elements are read one
//! after the other.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use crate::object::Kind;

const VERSION: u8 = 1;

const VALUE: u8 = 0;
const HASH: u8 = 1;
const SET: u8 = 2;

const CHECKSUM_BYTES: usize = 8;

/// Why bytes are no payload. The texts are Redis's, because clients look for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum PayloadError {
    /// Another version has made them, or they were damaged.
    #[error("DUMP payload version or checksum are wrong")]
    Damaged,
    /// Nothing has made them.
    #[error("Bad data format")]
    Malformed,
}

/// A payload that is being made.
#[derive(Debug)]
pub(super) struct Dump {
    bytes: BytesMut,
    kind: Option<Kind>,
}

impl Dump {
    /// Of elements of that kind, or of a value; nothing of it yet.
    pub(super) fn of(kind: Option<Kind>) -> Self {
        let mut bytes = BytesMut::new();
        bytes.put_u8(VERSION);
        bytes.put_u8(match kind {
            None => VALUE,
            Some(Kind::Hash) => HASH,
            Some(Kind::Set) => SET,
        });
        Self { bytes, kind }
    }

    /// Puts the value in.
    pub(super) fn put_value(&mut self, value: &[u8]) {
        self.bytes.put_slice(value);
    }

    /// Puts an element in.
    pub(super) fn put_element(&mut self, element: &[u8], value: &[u8]) {
        self.put_word(element);
        if self.kind == Some(Kind::Hash) {
            self.put_word(value);
        }
    }

    fn put_word(&mut self, word: &[u8]) {
        // No word is as long as fits no number.
        let length = u32::try_from(word.len()).unwrap_or(u32::MAX);
        self.bytes.put_u32_le(length);
        self.bytes.put_slice(word);
    }

    /// How long it is at the end.
    pub(super) fn len(&self) -> usize {
        self.bytes.len().saturating_add(CHECKSUM_BYTES)
    }

    /// The payload.
    pub(super) fn seal(mut self) -> Bytes {
        self.bytes.put_u64_le(xxh3_64(&self.bytes));
        self.bytes.freeze()
    }
}

/// A payload whose version and checksum are right.
#[derive(Debug)]
pub(super) struct Payload {
    /// Of which kind its elements are; none if it has a value.
    pub(super) kind: Option<Kind>,
    body: Bytes,
}

impl Payload {
    pub(super) fn open(bytes: &Bytes) -> Result<Self, PayloadError> {
        let Some((content, checksum)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
            return Err(PayloadError::Damaged);
        };
        let [VERSION, kind, body @ ..] = content else {
            return Err(PayloadError::Damaged);
        };
        if xxh3_64(content) != u64::from_le_bytes(*checksum) {
            return Err(PayloadError::Damaged);
        }
        let kind = match *kind {
            VALUE => None,
            HASH => Some(Kind::Hash),
            SET => Some(Kind::Set),
            _ => return Err(PayloadError::Malformed),
        };
        if kind.is_some() && body.is_empty() {
            return Err(PayloadError::Malformed);
        }
        Ok(Self {
            kind,
            body: bytes.slice_ref(body),
        })
    }

    /// The value, if it has one.
    pub(super) fn value(&self) -> Bytes {
        self.body.clone()
    }

    /// Its elements with what they show, up to what is none.
    pub(super) fn elements(&self) -> Elements<'_> {
        Elements {
            rest: &self.body,
            has_values: self.kind == Some(Kind::Hash),
        }
    }
}

/// The elements of a payload.
#[derive(Debug)]
pub(super) struct Elements<'a> {
    rest: &'a [u8],
    has_values: bool,
}

impl<'a> Elements<'a> {
    fn word(&mut self) -> Result<&'a [u8], PayloadError> {
        let (length, rest) = (self.rest)
            .split_first_chunk()
            .ok_or(PayloadError::Malformed)?;
        let length = usize::try_from(u32::from_le_bytes(*length));
        let length = length.map_err(|_| PayloadError::Malformed)?;
        let (word, rest) = rest
            .split_at_checked(length)
            .ok_or(PayloadError::Malformed)?;
        self.rest = rest;
        Ok(word)
    }

    fn element(&mut self) -> Result<(&'a [u8], &'a [u8]), PayloadError> {
        let element = self.word()?;
        match self.has_values {
            true => Ok((element, self.word()?)),
            false => Ok((element, &[])),
        }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), PayloadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let element = self.element();
        if element.is_err() {
            self.rest = &[];
        }
        Some(element)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Bytes with the right version and checksum around them.
    fn sealed(kind: u8, body: &[u8]) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_slice(&[VERSION, kind]);
        bytes.put_slice(body);
        bytes.put_u64_le(xxh3_64(&bytes));
        bytes.freeze()
    }

    type Read = Vec<(Vec<u8>, Vec<u8>)>;

    fn all(payload: &Payload) -> Result<Read, PayloadError> {
        let owned = |(e, v): (&[u8], &[u8])| (e.to_vec(), v.to_vec());
        payload
            .elements()
            .map(|element| element.map(owned))
            .collect()
    }

    #[test]
    fn what_declares_more_than_it_has_is_malformed() {
        for body in [
            &[][..],
            &[1],
            &[1, 0, 0, 0],
            &[u8::MAX; 4],
            &[1, 0, 0, 0, b'a', 0],
        ] {
            for kind in [HASH, SET] {
                let read = Payload::open(&sealed(kind, body)).and_then(|payload| all(&payload));
                assert_eq!(read, Err(PayloadError::Malformed), "{kind} {body:?}");
            }
        }
        let odd = Payload::open(&sealed(HASH, &[1, 0, 0, 0, b'a'])).unwrap();
        assert_eq!(all(&odd), Err(PayloadError::Malformed));
        let unknown = Payload::open(&sealed(3, b"value"));
        assert_eq!(unknown.unwrap_err(), PayloadError::Malformed);
    }

    proptest! {
        #[test]
        fn what_was_dumped_is_what_is_read(
            elements in vec((vec(any::<u8>(), 0..20), vec(any::<u8>(), 0..20)), 1..50),
            value in vec(any::<u8>(), 0..100),
        ) {
            for kind in Kind::ALL {
                let mut dump = Dump::of(Some(kind));
                for (element, value) in &elements {
                    dump.put_element(element, value);
                }
                let length = dump.len();
                let bytes = dump.seal();
                prop_assert_eq!(bytes.len(), length);
                let read = all(&Payload::open(&bytes).unwrap()).unwrap();
                let of_kind = elements.iter().cloned().map(|(element, value)| match kind {
                    Kind::Hash => (element, value),
                    Kind::Set => (element, Vec::new()),
                });
                prop_assert_eq!(read, of_kind.collect::<Vec<_>>());
            }
            let mut dump = Dump::of(None);
            dump.put_value(&value);
            let payload = Payload::open(&dump.seal()).unwrap();
            prop_assert!(payload.kind.is_none());
            prop_assert_eq!(payload.value(), Bytes::from(value));
        }

        #[test]
        fn any_bytes_are_refused(bytes in vec(any::<u8>(), 0..200)) {
            let opened = Payload::open(&Bytes::from(bytes));
            prop_assert_eq!(opened.unwrap_err(), PayloadError::Damaged);
        }

        #[test]
        fn what_was_changed_anywhere_is_refused(
            value in vec(any::<u8>(), 0..50),
            at in any::<prop::sample::Index>(),
            flip in 1..=u8::MAX,
            cut in any::<prop::sample::Index>(),
        ) {
            let mut dump = Dump::of(None);
            dump.put_value(&value);
            let whole = dump.seal().to_vec();
            let mut changed = whole.clone();
            changed[at.index(whole.len())] ^= flip;
            let short = whole[..cut.index(whole.len())].to_vec();
            for bytes in [changed, short] {
                let opened = Payload::open(&Bytes::from(bytes));
                prop_assert_eq!(opened.unwrap_err(), PayloadError::Damaged);
            }
        }

        #[test]
        fn what_somebody_made_up_ends_and_gives_no_more_than_it_has(
            kind in 0..4u8,
            body in vec(0..6u8, 0..200),
        ) {
            let bytes = sealed(kind, &body);
            if let Ok(payload) = Payload::open(&bytes) {
                let read = payload.elements().map_while(Result::ok);
                let given: usize = read.map(|(element, value)| element.len() + value.len() + 4).sum();
                prop_assert!(given <= body.len());
            }
        }
    }
}
