//! The cluster's key: what members share and strangers do not.
//!
//! One root per cluster, and from it one subkey per use, so that a datagram can never be
//! taken for a piece of a stream. The root is hashed either from a secret or, where there
//! is none, from the cluster's name: that keeps two clusters on one network apart and
//! stops nobody who wants in.
//!
//! **Rotation.** A node seals with `current` and opens with both keys of its
//! [`KeyRing`]. Three rolling restarts replace a key without a gap: add the new one as
//! `previous` everywhere, then swap the two everywhere, then drop the old one everywhere.
//! In every step each node can open what each other node seals.
//!
//! Secrets are not stretched: the secret must be random (`openssl rand -hex 32`), not a
//! word that somebody can guess.

use std::fmt;

use blake2::digest::{KeyInit, Mac};
use blake2::{Blake2s256, Blake2sMac256, Digest};

/// Fewest bytes of a secret: 128 bits, the least that nobody can search through.
pub const SECRET_BYTES_MIN: usize = 16;

/// Length of a symmetric key.
pub(super) const KEY_BYTES: usize = 32;

/// Why a secret is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Too short to be safe.
    #[error(
        "the cluster key has {len} bytes, it needs at least {SECRET_BYTES_MIN} (such as the output of `openssl rand -hex 32`)"
    )]
    TooShort {
        /// Its length in bytes.
        len: usize,
    },
}

/// Names a key without giving it away: it is sent in the clear so that the receiver knows
/// which of its keys to try.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; Self::BYTES]);

impl KeyId {
    /// Its length on the wire. Two keys of one ring share an id once in 2³² rings, and
    /// then both are tried.
    pub const BYTES: usize = 4;
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The key of one cluster. `Debug` shows its id and nothing of the key.
#[derive(Clone)]
pub struct ClusterKey {
    id: KeyId,
    datagram: [u8; KEY_BYTES],
    stream: [u8; KEY_BYTES],
    secret: bool,
}

impl ClusterKey {
    /// The key of a cluster that has no secret: it stops accidents, not attackers.
    pub fn from_name(cluster: &str) -> Self {
        Self::from_root(root(b"netdb cluster name 1\0", cluster.as_bytes()), false)
    }

    /// The key of a cluster whose members share `secret`, taken byte for byte (so trim the
    /// line end of a file first).
    ///
    /// # Errors
    /// If the secret is shorter than [`SECRET_BYTES_MIN`].
    pub fn from_secret(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(KeyError::TooShort { len: secret.len() });
        }
        Ok(Self::from_root(
            root(b"netdb cluster secret 1\0", secret),
            true,
        ))
    }

    fn from_root(root: [u8; KEY_BYTES], secret: bool) -> Self {
        let [a, b, c, d, ..] = derive(&root, b"netdb key id 1");
        Self {
            id: KeyId([a, b, c, d]),
            datagram: derive(&root, b"netdb datagram 1"),
            stream: derive(&root, b"netdb stream 1"),
            secret,
        }
    }

    /// The name under which this key travels.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Whether it comes from a secret, so that it keeps attackers out as well.
    pub fn is_secret(&self) -> bool {
        self.secret
    }

    pub(super) fn datagram(&self) -> &[u8; KEY_BYTES] {
        &self.datagram
    }

    pub(super) fn stream(&self) -> &[u8; KEY_BYTES] {
        &self.stream
    }

    /// Made when it is needed, which is seldom.
    pub(super) fn token(&self) -> [u8; KEY_BYTES] {
        derive(&self.stream, b"netdb token 1")
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterKey")
            .field("id", &self.id)
            .field("secret", &self.secret)
            .finish_non_exhaustive()
    }
}

/// The keys that a node knows: one to seal with, at most two to open with.
#[derive(Clone, Debug)]
pub struct KeyRing {
    /// What this node seals with.
    pub current: ClusterKey,
    /// Also opens: during a rotation the key that is going out, or the one coming in.
    pub previous: Option<ClusterKey>,
}

impl KeyRing {
    /// A ring of one key.
    pub fn new(current: ClusterKey) -> Self {
        Self {
            current,
            previous: None,
        }
    }

    /// The keys that may open something sealed under `id`.
    pub(super) fn candidates(&self, id: KeyId) -> impl Iterator<Item = &ClusterKey> {
        std::iter::once(&self.current)
            .chain(&self.previous)
            .filter(move |key| key.id == id)
    }
}

fn root(domain: &[u8], material: &[u8]) -> [u8; KEY_BYTES] {
    Blake2s256::new()
        .chain_update(domain)
        .chain_update(material)
        .finalize()
        .into()
}

/// BLAKE2s keyed with the root over the use's name (RFC 7693, keyed mode).
fn derive(root: &[u8; KEY_BYTES], context: &[u8]) -> [u8; KEY_BYTES] {
    let mut mac = <Blake2sMac256 as KeyInit>::new(root.into());
    Mac::update(&mut mac, context);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_use_and_every_root_has_its_own_key() {
        let name = ClusterKey::from_name("a secret of some length");
        let secret = ClusterKey::from_secret(b"a secret of some length").unwrap();
        let other = ClusterKey::from_name("another name");
        let keys = [&name, &secret, &other];
        let mut all: Vec<[u8; 32]> = keys.iter().map(|key| key.datagram).collect();
        all.extend(keys.iter().map(|key| key.stream));
        all.extend(keys.iter().map(|key| key.token()));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 9);
        assert!(secret.is_secret() && !name.is_secret());
        assert_ne!(name.id(), secret.id());
    }

    #[test]
    fn a_short_secret_is_refused_in_words() {
        assert!(ClusterKey::from_secret(&[7; 16]).is_ok());
        let error = ClusterKey::from_secret(&[7; 15]).unwrap_err().to_string();
        assert!(error.contains("15 bytes") && error.contains("at least 16"));
    }

    #[test]
    fn debug_shows_the_id_and_not_the_key() {
        let ring = KeyRing::new(ClusterKey::from_secret(b"correct horse battery").unwrap());
        let text = format!("{ring:?}");
        assert!(text.contains(&ring.current.id().to_string()), "{text}");
        assert!(
            !text.contains("correct") && !text.contains("datagram"),
            "{text}"
        );
    }

    #[test]
    fn candidates_are_found_by_id() {
        let (a, b) = (ClusterKey::from_name("a"), ClusterKey::from_name("b"));
        let (id_a, id_b) = (a.id(), b.id());
        let ring = KeyRing {
            current: a,
            previous: Some(b),
        };
        assert_eq!(ring.candidates(id_a).count(), 1);
        assert_eq!(ring.candidates(id_b).count(), 1);
        assert_eq!(ring.candidates(ClusterKey::from_name("c").id()).count(), 0);
    }
}
