//! What nodes say to each other as bytes: tags, versions, limits, sealing.
//!
//! The rooms below speak in values; sockets speak in bytes that anybody may have sent.
//! This room is the border. Nothing that did not authenticate is interpreted beyond the
//! few fixed header bytes needed to authenticate it, nothing is allocated because a
//! stranger declared a length, and everything starts with a version.
//!
//! ```text
//! datagram   version 1 | key id 4 | nonce 24 | sealed( sender 8 | session 8 | counter 8 | payload ) | tag 16
//! payload    kind 1 | Control: bincode, Facts: bytes, FactsPart: message 4, index 1, count 1, bytes
//!
//! handshake  version 1 | key id 4 | length 2 | Noise message            (one each way)
//! record     length 2 | sealed( … )                                     (after the handshake)
//! frame      length 4 | payload                                         (inside records)
//! payload    version 1 | kind 1 | Hello: bincode, Batch: ( length 1-4 | bincode )*, Ping, Pong: 8, Refused: UTF-8
//! ```
//!
//! Integers in these headers are big-endian. Values inside are bincode, which only
//! [`codec`] calls.
//!
//! Invariants: the room is pure (nonces, ephemeral keys and time are arguments); every
//! buffer has a named limit; bytes from outside give a typed error, never a panic.
//!
//! What is deliberately absent: proof of *which* member sent something. Whoever holds the
//! cluster key can speak as any node; the seal keeps strangers out, and members trust each
//! other.

pub mod batch;
pub mod codec;
pub mod datagram;
mod error;
pub mod fragment;
pub mod frame;
pub mod key;
pub mod layout;
mod noise;
pub mod open;
pub mod reassemble;
pub mod record;
mod replay;
pub mod seal;
pub mod session;
mod token;

pub use batch::BatchPacker;
pub use codec::CodecError;
pub use datagram::{Datagram, Part};
pub use error::WireError;
pub use fragment::Fragmenter;
pub use frame::{Frame, PeerHello};
pub use key::{ClusterKey, KeyError, KeyId, KeyRing};
pub use layout::{DATAGRAM_BYTES_MAX, DatagramError, NONCE_BYTES, PAYLOAD_BYTES_MAX};
pub use noise::ENTROPY_BYTES;
pub use open::{DatagramOpener, DatagramStats, Opened};
pub use reassemble::{PartError, Reassembler, ReassemblyStats};
pub use record::{FRAME_BYTES_MAX, FrameDecoder, FrameEncoder, FrameError, Sealing};
pub use seal::DatagramSealer;
pub use session::{Established, Handshake, HandshakeError};
pub use token::{About, open_token, seal_token};
