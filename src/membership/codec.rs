//! SWIM messages as bytes.
//!
//! foca leaves the encoding to us. Everything has a fixed layout in network byte order, a
//! tag before each choice, and nothing that repeats: the largest thing decoded here is a
//! header of three identities. Each identity is checked ([`Identity::check`]) as it is read,
//! so that foca never sees an impossible one. Truncated or impossible bytes are an error,
//! never a panic.
//!
//! A member that left of its own will is `Down` at incarnation [`LEFT_INCARNATION`]: the
//! mark spreads with SWIM's own gossip. No live member has that incarnation, because a node
//! renews its identity long before.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Buf, BufMut, TryGetError};
use foca::{Header, Message};

use super::identity::{Identity, IdentityError};
use super::members::LEFT_INCARNATION;
use crate::clock::NodeId;

/// Bytes of the largest identity: id, generation, bump, tag, IPv6 address, port.
const IDENTITY_BYTES_MAX: usize = 8 + 8 + 4 + 1 + 16 + 2;
/// Bytes of the largest header: two identities, incarnation, tag, a third identity, number.
const HEADER_BYTES_MAX: usize = 3 * IDENTITY_BYTES_MAX + 2 + 1 + 1;
/// Bytes of the largest member: identity, incarnation, state.
const MEMBER_BYTES_MAX: usize = IDENTITY_BYTES_MAX + 2 + 1;

/// A SWIM message that cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end too early.
    #[error("a swim message ends too early")]
    Truncated,
    /// A tag that no version of the protocol has.
    #[error("tag {0} is unknown in a swim message")]
    Tag(u8),
    /// An identity that cannot be one.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Bytes follow where a message must end.
    #[error("{0} bytes follow a complete swim message")]
    Trailing(usize),
    /// A live member at the incarnation that marks departed ones.
    #[error("a live member cannot have incarnation {LEFT_INCARNATION}")]
    Incarnation,
    /// The buffer has no room for what is being written.
    #[error("no room left in the swim message")]
    Full,
}

impl From<TryGetError> for CodecError {
    fn from(_: TryGetError) -> Self {
        Self::Truncated
    }
}

/// The codec, as foca wants it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Codec;

impl foca::Codec<Identity> for Codec {
    type Error = CodecError;

    fn encode_header(
        &mut self,
        header: &Header<Identity>,
        mut buf: impl BufMut,
    ) -> Result<(), CodecError> {
        // foca only writes headers into an empty buffer, so asking for the largest is no
        // loss and never leaves half a header behind.
        ensure_room(&buf, HEADER_BYTES_MAX)?;
        put_identity(&mut buf, &header.src);
        buf.put_u16(header.src_incarnation);
        put_identity(&mut buf, &header.dst);
        put_message(&mut buf, &header.message);
        Ok(())
    }

    fn decode_header(&mut self, mut buf: impl Buf) -> Result<Header<Identity>, CodecError> {
        Ok(Header {
            src: take_identity(&mut buf)?,
            src_incarnation: buf.try_get_u16()?,
            dst: take_identity(&mut buf)?,
            message: take_message(&mut buf)?,
        })
    }

    fn encode_member(
        &mut self,
        member: &foca::Member<Identity>,
        mut buf: impl BufMut,
    ) -> Result<(), CodecError> {
        ensure_room(&buf, MEMBER_BYTES_MAX)?;
        put_identity(&mut buf, member.id());
        buf.put_u16(member.incarnation());
        buf.put_u8(match member.state() {
            foca::State::Alive => 0,
            foca::State::Suspect => 1,
            foca::State::Down => 2,
        });
        Ok(())
    }

    fn decode_member(&mut self, mut buf: impl Buf) -> Result<foca::Member<Identity>, CodecError> {
        let id = take_identity(&mut buf)?;
        let incarnation = buf.try_get_u16()?;
        let state = match buf.try_get_u8()? {
            0 => foca::State::Alive,
            1 => foca::State::Suspect,
            2 => foca::State::Down,
            tag => return Err(CodecError::Tag(tag)),
        };
        Ok(foca::Member::new(id, incarnation, state))
    }
}

/// A whole SWIM message, opened so that it can be judged before foca acts on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) header: Header<Identity>,
    pub(super) updates: Vec<foca::Member<Identity>>,
}

/// Opens a whole message; nothing may follow it.
pub(super) fn open(mut bytes: &[u8]) -> Result<Opened, CodecError> {
    let mut codec = Codec;
    let header = foca::Codec::decode_header(&mut codec, &mut bytes)?;
    if header.src_incarnation == LEFT_INCARNATION {
        return Err(CodecError::Incarnation);
    }
    let mut updates = Vec::new();
    if bytes.has_remaining() {
        let count = bytes.try_get_u16()?;
        // The count is not trusted: the vector grows only as members really follow.
        for _ in 0..count {
            let update = foca::Codec::decode_member(&mut codec, &mut bytes)?;
            let is_active = update.state() != foca::State::Down;
            if is_active && update.incarnation() == LEFT_INCARNATION {
                return Err(CodecError::Incarnation);
            }
            updates.push(update);
        }
    }
    match bytes.remaining() {
        0 => Ok(Opened { header, updates }),
        trailing => Err(CodecError::Trailing(trailing)),
    }
}

/// The bytes of a message after some of its updates were taken out.
pub(super) fn close(opened: &Opened) -> Result<Vec<u8>, CodecError> {
    let mut codec = Codec;
    let mut bytes = Vec::with_capacity(super::packet::SWIM_BYTES_MAX);
    foca::Codec::encode_header(&mut codec, &opened.header, &mut bytes)?;
    if opened.header.message != Message::Announce {
        let count = u16::try_from(opened.updates.len()).map_err(|_| CodecError::Full)?;
        bytes.put_u16(count);
        for update in &opened.updates {
            foca::Codec::encode_member(&mut codec, update, &mut bytes)?;
        }
    }
    Ok(bytes)
}

fn ensure_room(buf: &impl BufMut, bytes: usize) -> Result<(), CodecError> {
    if buf.remaining_mut() < bytes {
        Err(CodecError::Full)
    } else {
        Ok(())
    }
}

fn put_identity(buf: &mut impl BufMut, identity: &Identity) {
    buf.put_u64(identity.id.0);
    buf.put_u64(identity.generation);
    buf.put_u32(identity.bump);
    match identity.addr.ip() {
        IpAddr::V4(ip) => {
            buf.put_u8(4);
            buf.put_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            buf.put_u8(6);
            buf.put_slice(&ip.octets());
        }
    }
    buf.put_u16(identity.addr.port());
}

fn take_identity(buf: &mut impl Buf) -> Result<Identity, CodecError> {
    let id = NodeId(buf.try_get_u64()?);
    let generation = buf.try_get_u64()?;
    let bump = buf.try_get_u32()?;
    let ip = match buf.try_get_u8()? {
        4 => IpAddr::V4(Ipv4Addr::from_bits(buf.try_get_u32()?)),
        6 => IpAddr::V6(Ipv6Addr::from_bits(buf.try_get_u128()?)),
        tag => return Err(CodecError::Tag(tag)),
    };
    let addr = SocketAddr::new(ip, buf.try_get_u16()?);
    let identity = Identity {
        id,
        generation,
        bump,
        addr,
    };
    identity.check()?;
    Ok(identity)
}

fn put_message(buf: &mut impl BufMut, message: &Message<Identity>) {
    let mut relayed = |tag: u8, identity: &Identity, number: u8| {
        buf.put_u8(tag);
        put_identity(buf, identity);
        buf.put_u8(number);
    };
    match message {
        Message::PingReq {
            target,
            probe_number,
        } => relayed(2, target, *probe_number),
        Message::IndirectPing {
            origin,
            probe_number,
        } => relayed(3, origin, *probe_number),
        Message::IndirectAck {
            target,
            probe_number,
        } => relayed(4, target, *probe_number),
        Message::ForwardedAck {
            origin,
            probe_number,
        } => relayed(5, origin, *probe_number),
        Message::Ping(number) => buf.put_slice(&[0, *number]),
        Message::Ack(number) => buf.put_slice(&[1, *number]),
        Message::Announce => buf.put_u8(6),
        Message::Feed => buf.put_u8(7),
        Message::Gossip => buf.put_u8(8),
        Message::Broadcast => buf.put_u8(9),
        Message::TurnUndead => buf.put_u8(10),
    }
}

fn take_message(buf: &mut impl Buf) -> Result<Message<Identity>, CodecError> {
    let tag = buf.try_get_u8()?;
    Ok(match tag {
        0 => Message::Ping(buf.try_get_u8()?),
        1 => Message::Ack(buf.try_get_u8()?),
        2..=5 => {
            let peer = take_identity(buf)?;
            let probe_number = buf.try_get_u8()?;
            match tag {
                2 => Message::PingReq {
                    target: peer,
                    probe_number,
                },
                3 => Message::IndirectPing {
                    origin: peer,
                    probe_number,
                },
                4 => Message::IndirectAck {
                    target: peer,
                    probe_number,
                },
                _ => Message::ForwardedAck {
                    origin: peer,
                    probe_number,
                },
            }
        }
        6 => Message::Announce,
        7 => Message::Feed,
        8 => Message::Gossip,
        // No message of ours carries custom broadcasts, so tag 9 (Broadcast) is refused.
        10 => Message::TurnUndead,
        tag => return Err(CodecError::Tag(tag)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::identity::{BUMP_MAX, GENERATION_MAX};
    use super::super::packet::SWIM_BYTES_MAX;
    use super::*;

    fn identities() -> impl Strategy<Value = Identity> {
        let ip = prop_oneof![
            (1u32..0xdfff_ffff).prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
            (1u128..u128::MAX >> 8).prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
        ];
        (
            1..u64::MAX,
            1..=GENERATION_MAX,
            0..=BUMP_MAX,
            ip,
            1..u16::MAX,
        )
            .prop_map(|(id, generation, bump, ip, port)| Identity {
                id: NodeId(id),
                generation,
                bump,
                addr: SocketAddr::new(ip, port),
            })
    }

    fn members() -> impl Strategy<Value = foca::Member<Identity>> {
        let state = prop_oneof![
            Just(foca::State::Alive),
            Just(foca::State::Suspect),
            Just(foca::State::Down)
        ];
        (identities(), 0..LEFT_INCARNATION, state)
            .prop_map(|(id, n, s)| foca::Member::new(id, n, s))
    }

    fn messages() -> impl Strategy<Value = Message<Identity>> {
        (0u8..10, identities(), any::<u8>()).prop_map(|(kind, peer, probe_number)| match kind {
            0 => Message::Ping(probe_number),
            1 => Message::Ack(probe_number),
            2 => Message::PingReq {
                target: peer,
                probe_number,
            },
            3 => Message::IndirectPing {
                origin: peer,
                probe_number,
            },
            4 => Message::IndirectAck {
                target: peer,
                probe_number,
            },
            5 => Message::ForwardedAck {
                origin: peer,
                probe_number,
            },
            6 => Message::Announce,
            7 => Message::Feed,
            8 => Message::Gossip,
            _ => Message::TurnUndead,
        })
    }

    fn opened() -> impl Strategy<Value = Opened> {
        let header = (identities(), 0..LEFT_INCARNATION, identities(), messages()).prop_map(
            |(src, src_incarnation, dst, message)| Header {
                src,
                src_incarnation,
                dst,
                message,
            },
        );
        (header, proptest::collection::vec(members(), 0..20)).prop_map(|(header, mut updates)| {
            if header.message == Message::Announce {
                updates.clear();
            }
            Opened { header, updates }
        })
    }

    proptest! {
        #[test]
        fn what_is_closed_opens_the_same(message in opened()) {
            let bytes = close(&message).unwrap();
            prop_assert!(bytes.len() <= SWIM_BYTES_MAX);
            prop_assert_eq!(open(&bytes).unwrap(), message);
        }

        #[test]
        fn every_truncation_is_an_error(message in opened(), cut in any::<prop::sample::Index>()) {
            let bytes = close(&message).unwrap();
            let header_only = close(&Opened { updates: Vec::new(), ..message.clone() }).unwrap().len() - 2;
            let cut = cut.index(bytes.len());
            // A header alone is a message of its own; every other prefix is none.
            prop_assume!(cut != header_only);
            prop_assert!(open(&bytes[..cut]).is_err());
        }

        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1_400)) {
            let _ = open(&bytes);
        }

        #[test]
        fn a_full_buffer_stays_clean(member in members(), room in 0usize..MEMBER_BYTES_MAX) {
            let mut bytes = Vec::new();
            let result = foca::Codec::encode_member(&mut Codec, &member, (&mut bytes).limit(room));
            prop_assert_eq!(result, Err(CodecError::Full));
            prop_assert!(bytes.is_empty());
        }
    }
}
