//! The Noise library, made pure: its pattern, and entropy that is given rather than taken.

use snow::params::{CipherChoice, DHChoice, HashChoice, NoiseParams};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, Error, HandshakeState};

use super::key::ClusterKey;

/// Length of the entropy that one handshake takes: a private key.
pub const ENTROPY_BYTES: usize = 32;

/// Length of both handshake messages: a public key, and the tag of an empty payload.
pub(super) const MESSAGE_BYTES: usize = 32 + 16;

const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";

/// The side that connects.
pub(super) fn initiator(
    key: &ClusterKey,
    prologue: &[u8],
    entropy: [u8; ENTROPY_BYTES],
) -> Result<HandshakeState, Error> {
    builder(entropy)?
        .psk(0, key.stream())?
        .prologue(prologue)?
        .build_initiator()
}

/// The side that is connected to.
pub(super) fn responder(
    key: &ClusterKey,
    prologue: &[u8],
    entropy: [u8; ENTROPY_BYTES],
) -> Result<HandshakeState, Error> {
    builder(entropy)?
        .psk(0, key.stream())?
        .prologue(prologue)?
        .build_responder()
}

fn builder<'a>(entropy: [u8; ENTROPY_BYTES]) -> Result<Builder<'a>, Error> {
    let params: NoiseParams = PATTERN.parse()?;
    Ok(Builder::with_resolver(
        params,
        Box::new(GivenEntropy(entropy)),
    ))
}

/// The library's primitives with the caller's entropy in place of the operating system's.
struct GivenEntropy([u8; ENTROPY_BYTES]);

impl CryptoResolver for GivenEntropy {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Once(Some(self.0))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

/// Gives its bytes once: a handshake needs one ephemeral key, and a second request would
/// repeat it.
struct Once(Option<[u8; ENTROPY_BYTES]>);

impl Random for Once {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        let bytes = self.0.take().ok_or(Error::Rng)?;
        if dest.len() != bytes.len() {
            return Err(Error::Rng);
        }
        dest.copy_from_slice(&bytes);
        Ok(())
    }
}
