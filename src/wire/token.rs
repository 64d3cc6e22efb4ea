//! What a client is given to bring back, to whichever node of the cluster.
//!
//! A token is about something, and says something of it that only a member may have said: it
//! has a tag that is keyed by the cluster's key. It is no secret, and lasts as long as the key
//! or the one that follows it.

use blake2::Blake2sMac256;
use blake2::digest::{KeyInit, Mac};

use super::key::{ClusterKey, KeyId, KeyRing};

const VERSION: u8 = 1;

/// As long as nobody can guess.
const TAG_BYTES: usize = 16;

/// No key is as long.
const NO_KEY: u64 = u64::MAX;

/// What a token is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About<'a> {
    /// A key.
    Key(&'a [u8]),
    /// Everything that a client has seen.
    Session,
}

/// The token that says `content` about `about`.
pub fn seal_token(keys: &KeyRing, about: About<'_>, content: &[u8]) -> Vec<u8> {
    let key = &keys.current;
    let mut token = vec![VERSION];
    token.extend_from_slice(&key.id().0);
    token.extend_from_slice(content);
    let tag = mac(key, about, content).finalize().into_bytes();
    token.extend(tag.iter().take(TAG_BYTES));
    token
}

/// What a token says about `about`; none if no member has said so.
pub fn open_token<'a>(keys: &KeyRing, about: About<'_>, token: &'a [u8]) -> Option<&'a [u8]> {
    let (&VERSION, rest) = token.split_first()? else {
        return None;
    };
    let (id, rest) = rest.split_first_chunk()?;
    let (content, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
    let mut candidates = keys.candidates(KeyId(*id));
    let is_of = |key: &ClusterKey| mac(key, about, content).verify_truncated_left(tag).is_ok();
    candidates.any(is_of).then_some(content)
}

fn mac(key: &ClusterKey, about: About<'_>, content: &[u8]) -> Blake2sMac256 {
    let mut mac = <Blake2sMac256 as KeyInit>::new(&key.token().into());
    let (length, about) = match about {
        About::Key(key) => (key.len() as u64, key),
        About::Session => (NO_KEY, &[][..]),
    };
    Mac::update(&mut mac, &length.to_le_bytes());
    Mac::update(&mut mac, about);
    Mac::update(&mut mac, content);
    mac
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ring(name: &str) -> KeyRing {
        KeyRing::new(ClusterKey::from_name(name))
    }

    #[test]
    fn a_token_says_what_it_said_of_one_thing_and_in_one_cluster() {
        let keys = ring("one");
        let token = seal_token(&keys, About::Key(b"key"), b"content");
        assert_eq!(
            open_token(&keys, About::Key(b"key"), &token),
            Some(&b"content"[..])
        );
        assert_eq!(open_token(&keys, About::Key(b"other"), &token), None);
        assert_eq!(open_token(&ring("two"), About::Key(b"key"), &token), None);
        let rotated = KeyRing {
            previous: Some(keys.current.clone()),
            ..ring("two")
        };
        assert_eq!(
            open_token(&rotated, About::Key(b"key"), &token),
            Some(&b"content"[..])
        );
        let empty = seal_token(&keys, About::Key(b""), b"");
        assert_eq!(open_token(&keys, About::Key(b""), &empty), Some(&b""[..]));
        assert_eq!(open_token(&keys, About::Session, &empty), None);
        let seen = seal_token(&keys, About::Session, b"content");
        assert_eq!(
            open_token(&keys, About::Session, &seen),
            Some(&b"content"[..])
        );
        assert_eq!(open_token(&keys, About::Key(b""), &seen), None);
    }

    proptest! {
        #[test]
        fn what_no_member_said_is_none(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(open_token(&ring("one"), About::Key(b"key"), &bytes), None);
        }

        #[test]
        fn a_changed_token_is_none(at: prop::sample::Index, bit in 0..8) {
            let keys = ring("one");
            let mut token = seal_token(&keys, About::Key(b"key"), b"content");
            let at = at.index(token.len());
            token[at] ^= 1_u8 << bit;
            prop_assert_eq!(open_token(&keys, About::Key(b"key"), &token), None);
        }

        #[test]
        fn a_cut_token_is_none(cut in 0..28_usize) {
            let keys = ring("one");
            let token = seal_token(&keys, About::Key(b"key"), b"content");
            prop_assert_eq!(open_token(&keys, About::Key(b"key"), &token[..cut.min(token.len() - 1)]), None);
        }
    }
}
