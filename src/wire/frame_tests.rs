//! What frames promise: the same value back, or an error that says why.

use super::*;
use crate::clock::{ActorId, NodeId};
use crate::wire::BatchPacker;
use proptest::prelude::*;

type Message = (u64, Vec<u8>);
type Hello = PeerHello<(String, u16), u64>;
type Sample = Frame<Message, Hello>;

fn hello() -> Hello {
    PeerHello {
        protocol: 1,
        fingerprint: ("test".into(), 256),
        identity: 7,
        name: "n1".into(),
    }
}

fn sample() -> impl Strategy<Value = Sample> {
    prop_oneof![
        ("[a-z]{0,20}", any::<(u16, u64)>()).prop_map(|(name, (protocol, identity))| {
            Frame::Hello(PeerHello {
                protocol,
                identity,
                name,
                ..hello()
            })
        }),
        prop::collection::vec(any::<Message>(), 0..20).prop_map(Frame::Batch),
        any::<u64>().prop_map(Frame::Ping),
        any::<u64>().prop_map(Frame::Pong),
        "[^\\x00]{0,100}".prop_map(Frame::Refused),
    ]
}

proptest! {
    #[test]
    fn a_frame_survives_the_round_trip(frame in sample()) {
        prop_assert_eq!(Sample::decode(&frame.encode().unwrap()), Ok(frame));
    }

    /// A cut frame is an error or, where messages or text simply end earlier, shorter; it
    /// is never the same frame and never a panic.
    #[test]
    fn a_cut_frame_is_never_taken_for_the_whole(frame in sample()) {
        let bytes = frame.encode().unwrap();
        for cut in 0..bytes.len() {
            prop_assert_ne!(Sample::decode(&bytes[..cut]), Ok(frame.clone()));
        }
    }

    #[test]
    fn random_bytes_never_panic(kind in 0_u8..8, bytes: Vec<u8>) {
        let _ = Sample::decode(&bytes);
        let _ = Sample::decode(&[&[FRAME_VERSION, kind], &bytes[..]].concat());
    }
}

#[test]
fn other_versions_and_kinds_are_refused() {
    for got in [0, 1, 255] {
        assert_eq!(
            Sample::decode(&[got, KIND_PING, 0]),
            Err(WireError::Version {
                what: WHAT,
                got,
                known: FRAME_VERSION
            })
        );
    }
    for kind in [0, 6, 255] {
        assert_eq!(
            Sample::decode(&[FRAME_VERSION, kind]),
            Err(WireError::UnknownKind { what: WHAT, kind })
        );
    }
    let empty = Err(WireError::Truncated { what: WHAT });
    assert_eq!(Sample::decode(&[]), empty);
}

#[test]
fn hostile_batches_are_refused_without_decoding_them_all() {
    let mut million = vec![FRAME_VERSION, KIND_BATCH];
    million.resize(FRAME_HEADER + 1_000_000, 0);
    assert_eq!(Frame::<(), ()>::decode(&million), Err(TOO_MANY));
    let lying = [FRAME_VERSION, KIND_BATCH, 0xFF, 0xFF, 0xFF, 0x7F, 1];
    assert_eq!(
        Sample::decode(&lying),
        Err(WireError::Truncated { what: "batch" })
    );
    let endless = [FRAME_VERSION, KIND_BATCH, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
    assert!(matches!(
        Sample::decode(&endless),
        Err(WireError::TooLong { what: "length", .. })
    ));
    let many = Frame::<u8, u8>::Batch(vec![0; BATCH_MESSAGES_MAX + 1]);
    assert_eq!(many.encode(), Err(TOO_MANY));
}

#[test]
fn limits_hold_in_both_directions() {
    let mut long = hello();
    long.name = "x".repeat(HELLO_BYTES_MAX);
    let long = Frame::<Message, Hello>::Hello(long);
    assert!(matches!(long.encode(), Err(WireError::TooLong { .. })));
    let long = Sample::Batch(vec![(1, vec![0; FRAME_BYTES_MAX])]);
    assert!(matches!(long.encode(), Err(WireError::TooLong { .. })));
    let mut reason = vec![FRAME_VERSION, KIND_REFUSED];
    reason.resize(FRAME_HEADER + REFUSED_BYTES_MAX + 1, b'x');
    assert!(matches!(
        Sample::decode(&reason),
        Err(WireError::TooLong { .. })
    ));
    assert_eq!(
        Sample::decode(&[FRAME_VERSION, KIND_REFUSED, 0xFF]),
        Err(WireError::NotText)
    );
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let reason = format!("x{}", "é".repeat(REFUSED_BYTES_MAX));
    let bytes = Sample::Refused(reason.clone()).encode().unwrap();
    let Ok(Frame::Refused(arrived)) = Sample::decode(&bytes) else {
        panic!("no refusal arrived");
    };
    assert_eq!(arrived.len(), REFUSED_BYTES_MAX - 1);
    assert!(reason.starts_with(&arrived));
}

/// Nodes of different builds must agree on every byte. If this fails, the layout changed:
/// raise the version.
#[test]
fn the_layout_is_the_known_one() {
    let bytes = |frame: Sample| frame.encode().unwrap();
    assert_eq!(
        bytes(Frame::Ping(0x0102_0304_0506_0708)),
        [3, 3, 1, 2, 3, 4, 5, 6, 7, 8]
    );
    assert_eq!(bytes(Frame::Pong(1)), [3, 4, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(bytes(Frame::Refused("no".into())), [3, 5, b'n', b'o']);
    assert_eq!(
        bytes(Frame::Batch(vec![(1, vec![9]), (300, vec![])])),
        [3, 2, 3, 1, 1, 9, 4, 251, 44, 1, 0]
    );
    assert_eq!(
        bytes(Frame::Hello(hello())),
        [
            3, 1, 1, 4, b't', b'e', b's', b't', 251, 0, 1, 7, 2, b'n', b'1'
        ]
    );
}

proptest! {
    /// A length of any size is read as it was written, whatever follows.
    #[test]
    fn lengths_survive_the_round_trip(bits in 0_u32..28, low: usize, rest: Vec<u8>) {
        let len = low % (1 << bits).max(1);
        let mut bytes: Vec<u8> = length_bytes(len).collect();
        prop_assert!(bytes.len() <= LENGTH_BYTES_MAX);
        bytes.extend_from_slice(&rest);
        prop_assert_eq!(split_length(&bytes), Ok((len, rest.as_slice())));
    }
}

/// Actors are named across the batches of a stream, and a place that no batch gave is refused.
#[test]
fn batches_name_actors_by_places_of_the_stream() {
    type Names = Frame<Vec<ActorId>, u8>;
    let actors: Vec<ActorId> = (1..4)
        .map(|n| ActorId {
            node: NodeId(n),
            incarnation: n << 60,
        })
        .collect();
    let mut packer = BatchPacker::new(1_000);
    let mut heard = ActorNames::default();
    let mut lengths = Vec::new();
    for _ in 0..2 {
        assert_eq!(packer.push(&actors), Ok(true));
        let frame = packer.frame().unwrap();
        lengths.push(frame.len());
        assert!(lengths.len() == 1 || Names::decode(frame).is_err());
        let arrived = Names::decode_with(frame, &mut heard, Vec::new());
        assert_eq!(arrived, Ok(Frame::Batch(vec![actors.clone()])));
        packer.clear();
    }
    assert_eq!(lengths, [2 + 1 + 1 + 3 * 17, 2 + 1 + 1 + 3]);
}
