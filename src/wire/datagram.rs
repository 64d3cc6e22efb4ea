//! What one datagram says, once it is open.
//!
//! The first byte is the kind. The membership protocol and the gossip of node facts share
//! one socket; facts are opaque here, since another protocol owns their bytes.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec;
use super::error::WireError;
use super::layout::PAYLOAD_BYTES_MAX;

const WHAT: &str = "datagram payload";
const KIND_CONTROL: u8 = 1;
const KIND_FACTS: u8 = 2;
const KIND_FACTS_PART: u8 = 3;
const KIND_BYTES: usize = 1;
const PART_HEADER_BYTES: usize = 4 + 1 + 1;

/// Longest encoded packet of the membership protocol.
pub const CONTROL_BYTES_MAX: usize = PAYLOAD_BYTES_MAX - KIND_BYTES;

/// Longest message about facts that travels in one piece.
pub const FACTS_BYTES_MAX: usize = PAYLOAD_BYTES_MAX - KIND_BYTES;

/// Most bytes of a message that one part carries.
pub const PART_BYTES_MAX: usize = PAYLOAD_BYTES_MAX - KIND_BYTES - PART_HEADER_BYTES;

/// The payload of one datagram; `P` is the membership protocol's packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datagram<P> {
    /// Who is alive.
    Control(P),
    /// A whole message about node facts.
    Facts(Vec<u8>),
    /// A piece of one that is longer than a datagram.
    FactsPart(Part),
}

/// One of `count` pieces of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which message, among those of its sender.
    pub message: u32,
    /// The place of this piece, from 0.
    pub index: u8,
    /// How many pieces the message has.
    pub count: u8,
    /// The bytes of this piece.
    pub bytes: Vec<u8>,
}

impl<P: Serialize> Datagram<P> {
    /// The payload's bytes.
    ///
    /// # Errors
    /// If they would not fit a datagram, or the packet has no encoding.
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        let mut out = Vec::new();
        match self {
            Self::Control(packet) => {
                out.push(KIND_CONTROL);
                codec::encode_into(packet, &mut out)?;
            }
            Self::Facts(message) => put_facts(message, &mut out),
            Self::FactsPart(part) => {
                put_part_header(part.message, part.index, part.count, &mut out);
                out.extend_from_slice(&part.bytes);
            }
        }
        match out.len() {
            len if len > PAYLOAD_BYTES_MAX => Err(WireError::TooLong {
                what: WHAT,
                len,
                limit: PAYLOAD_BYTES_MAX,
            }),
            _ => Ok(out),
        }
    }
}

impl<P: DeserializeOwned> Datagram<P> {
    /// What `payload` says. It must come from an opened datagram.
    ///
    /// # Errors
    /// If it is of a kind, or holds a packet, that this version does not know. The numbers
    /// of a part are as the sender wrote them; the reassembly judges them.
    pub fn decode(payload: &[u8]) -> Result<Self, WireError> {
        let (kind, body) = payload
            .split_first()
            .ok_or(WireError::Truncated { what: WHAT })?;
        match *kind {
            KIND_CONTROL => Ok(Self::Control(codec::decode::<P, CONTROL_BYTES_MAX>(body)?)),
            KIND_FACTS => Ok(Self::Facts(body.to_vec())),
            KIND_FACTS_PART => read_part(body)
                .map(Self::FactsPart)
                .ok_or(WireError::Truncated { what: WHAT }),
            kind => Err(WireError::UnknownKind { what: WHAT, kind }),
        }
    }
}

pub(super) fn put_facts(message: &[u8], out: &mut Vec<u8>) {
    out.push(KIND_FACTS);
    out.extend_from_slice(message);
}

pub(super) fn put_part_header(message: u32, index: u8, count: u8, out: &mut Vec<u8>) {
    out.push(KIND_FACTS_PART);
    out.extend_from_slice(&message.to_be_bytes());
    out.extend_from_slice(&[index, count]);
}

fn read_part(body: &[u8]) -> Option<Part> {
    let (message, rest) = body.split_first_chunk()?;
    let ([index, count], bytes) = rest.split_first_chunk()?;
    Some(Part {
        message: u32::from_be_bytes(*message),
        index: *index,
        count: *count,
        bytes: bytes.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Sample = Datagram<(u64, String)>;

    fn sample() -> impl Strategy<Value = Sample> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..PART_BYTES_MAX);
        prop_oneof![
            any::<u64>().prop_map(|n| Datagram::Control((n, n.to_string()))),
            bytes().prop_map(Datagram::Facts),
            (any::<(u32, u8, u8)>(), bytes()).prop_map(|((message, index, count), bytes)| {
                Datagram::FactsPart(Part {
                    message,
                    index,
                    count,
                    bytes,
                })
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_payload_survives_the_round_trip(datagram in sample()) {
            let bytes = datagram.encode().unwrap();
            prop_assert!(bytes.len() <= PAYLOAD_BYTES_MAX);
            prop_assert_eq!(Sample::decode(&bytes), Ok(datagram));
        }

        #[test]
        fn random_payloads_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..1_400)) {
            let _ = Sample::decode(&bytes);
        }
    }

    #[test]
    fn empty_cut_and_unknown_payloads_are_refused() {
        assert_eq!(
            Sample::decode(&[]),
            Err(WireError::Truncated { what: WHAT })
        );
        assert_eq!(
            Sample::decode(&[KIND_FACTS_PART, 0, 0, 0, 1, 0]),
            Err(WireError::Truncated { what: WHAT })
        );
        for kind in [0, 4, 255] {
            assert_eq!(
                Sample::decode(&[kind, 1, 2]),
                Err(WireError::UnknownKind { what: WHAT, kind })
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_not_encoded() {
        let fits: Sample = Datagram::Facts(vec![0; FACTS_BYTES_MAX]);
        assert_eq!(fits.encode().unwrap().len(), PAYLOAD_BYTES_MAX);
        let long: Sample = Datagram::Facts(vec![0; FACTS_BYTES_MAX + 1]);
        assert!(matches!(long.encode(), Err(WireError::TooLong { .. })));
        let long: Sample = Datagram::Control((0, "x".repeat(2_000)));
        assert!(matches!(long.encode(), Err(WireError::TooLong { .. })));
    }

    #[test]
    fn the_layout_is_the_known_one() {
        let part: Sample = Datagram::FactsPart(Part {
            message: 0x0102_0304,
            index: 5,
            count: 6,
            bytes: vec![7],
        });
        assert_eq!(part.encode().unwrap(), [3, 1, 2, 3, 4, 5, 6, 7]);
        let control: Sample = Datagram::Control((1, "a".into()));
        assert_eq!(control.encode().unwrap(), [1, 1, 1, b'a']);
    }
}
