//! What datagrams promise: opened once, by members only, and counted by reason.

use super::*;
use crate::wire::key::ClusterKey;
use crate::wire::layout::{
    DATAGRAM_BYTES_MAX, DATAGRAM_BYTES_MIN, DATAGRAM_VERSION, HEADER_BYTES, NONCE_BYTES,
    PAYLOAD_BYTES_MAX,
};
use crate::wire::seal::DatagramSealer;
use proptest::prelude::*;

const ALICE: NodeId = NodeId(0xA11CE);
const BOB: NodeId = NodeId(0xB0B);
const NONCE: [u8; NONCE_BYTES] = [0x5A; NONCE_BYTES];
const NOW: Instant = Instant::ZERO;

fn ring(name: &str) -> KeyRing {
    KeyRing::new(ClusterKey::from_name(name))
}

fn ring_of_two(current: &str, previous: &str) -> KeyRing {
    KeyRing {
        current: ClusterKey::from_name(current),
        previous: Some(ClusterKey::from_name(previous)),
    }
}

fn alice() -> DatagramSealer {
    DatagramSealer::new(&ring("test"), ALICE, 1)
}

fn bob() -> DatagramOpener {
    DatagramOpener::new(ring("test"), BOB, 1)
}

fn sealed(payload: &[u8]) -> Vec<u8> {
    alice().seal(NONCE, payload).unwrap()
}

/// Genuine in all but what `edit` does before the tag is made.
fn sealed_with_version(version: u8) -> Vec<u8> {
    let mut datagram = sealed(b"hello");
    datagram[0] = version;
    datagram
}

proptest! {
    #[test]
    fn what_is_sealed_opens_once(
        payload in prop::collection::vec(any::<u8>(), 0..=PAYLOAD_BYTES_MAX),
        nonce: [u8; NONCE_BYTES],
        session: u64,
    ) {
        let mut sealer = DatagramSealer::new(&ring("test"), ALICE, session);
        let mut opener = bob();
        let datagram = sealer.seal(nonce, &payload).unwrap();
        prop_assert_eq!(datagram.len(), payload.len() + DATAGRAM_BYTES_MIN);
        let opened = Opened { sender: ALICE, session, payload };
        prop_assert_eq!(opener.open(NOW, &datagram), Ok(opened));
        prop_assert_eq!(opener.open(NOW, &datagram), Err(DatagramError::Replayed));
    }

    #[test]
    fn random_bytes_never_open(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        prop_assert!(bob().open(NOW, &bytes).is_err());
    }

    /// Random bytes behind a header that is right.
    #[test]
    fn a_stranger_cannot_finish_a_right_header(tail in prop::collection::vec(any::<u8>(), 40..1_300)) {
        let mut bytes = sealed(b"")[..HEADER_BYTES].to_vec();
        bytes.extend(tail);
        prop_assert_eq!(bob().open(NOW, &bytes), Err(DatagramError::Forged));
    }

    /// All orders and repetitions of a burst that fits the window: each is opened once.
    #[test]
    fn any_order_within_the_window_is_accepted(
        order in prop::collection::vec(0_usize..40, 1..200),
    ) {
        let mut sealer = alice();
        let burst: Vec<_> = (0..40_u8).map(|n| sealer.seal(NONCE, &[n]).unwrap()).collect();
        let mut opener = bob();
        let mut taken = std::collections::BTreeSet::new();
        for n in order {
            let expected = if taken.insert(n) { Ok(vec![n as u8]) } else { Err(DatagramError::Replayed) };
            prop_assert_eq!(opener.open(NOW, &burst[n]).map(|opened| opened.payload), expected);
        }
        prop_assert_eq!(opener.stats().opened, taken.len() as u64);
    }
}

#[test]
fn every_truncation_is_refused() {
    let datagram = sealed(b"a payload of some length");
    let mut opener = bob();
    for cut in 0..datagram.len() {
        let expected = if cut < DATAGRAM_BYTES_MIN {
            DatagramError::TooShort { len: cut }
        } else {
            DatagramError::Forged
        };
        assert_eq!(opener.open(NOW, &datagram[..cut]), Err(expected));
    }
    assert_eq!(opener.stats().too_short, DATAGRAM_BYTES_MIN as u64);
}

#[test]
fn every_flipped_bit_is_refused() {
    let datagram = sealed(b"payload");
    let mut opener = bob();
    for place in 0..datagram.len() {
        for bit in 0..8 {
            let mut damaged = datagram.clone();
            damaged[place] ^= 1 << bit;
            assert!(opener.open(NOW, &damaged).is_err(), "{place}.{bit}");
        }
    }
    assert!(opener.open(NOW, &datagram).is_ok(), "refusals left no mark");
}

#[test]
fn sizes_are_refused_before_anything_else() {
    let mut opener = bob();
    for len in [DATAGRAM_BYTES_MAX + 1, 65_507] {
        let huge = vec![DATAGRAM_VERSION; len];
        assert_eq!(opener.open(NOW, &huge), Err(DatagramError::TooLong { len }));
    }
    assert_eq!(
        opener.open(NOW, &[]),
        Err(DatagramError::TooShort { len: 0 })
    );
    let stats = opener.stats();
    assert_eq!((stats.too_long, stats.too_short), (2, 1));
}

#[test]
fn a_payload_that_does_not_fit_is_not_sealed() {
    let mut sealer = alice();
    let full = sealer.seal(NONCE, &[0; PAYLOAD_BYTES_MAX]).unwrap();
    assert_eq!(full.len(), DATAGRAM_BYTES_MAX);
    let len = PAYLOAD_BYTES_MAX + 1;
    assert_eq!(
        sealer.seal(NONCE, &vec![0; len]),
        Err(DatagramError::PayloadTooLong { len })
    );
}

#[test]
fn old_and_new_versions_are_counted_apart() {
    let mut opener = bob();
    let open =
        |opener: &mut DatagramOpener, version| opener.open(NOW, &sealed_with_version(version));
    assert_eq!(
        open(&mut opener, DATAGRAM_VERSION - 1),
        Err(DatagramError::OldVersion { got: 0 })
    );
    for got in [DATAGRAM_VERSION + 1, u8::MAX] {
        assert_eq!(
            open(&mut opener, got),
            Err(DatagramError::NewVersion { got })
        );
    }
    let stats = opener.stats();
    assert_eq!((stats.old_version, stats.new_version), (1, 2));
}

#[test]
fn another_clusters_name_or_secret_is_an_unknown_key() {
    let secret = KeyRing::new(ClusterKey::from_secret(b"sixteen bytes ok").unwrap());
    let mut opener = bob();
    for keys in [ring("elsewhere"), secret] {
        let datagram = DatagramSealer::new(&keys, ALICE, 1)
            .seal(NONCE, b"hi")
            .unwrap();
        let id = keys.current.id();
        assert_eq!(
            opener.open(NOW, &datagram),
            Err(DatagramError::UnknownKey { id })
        );
    }
    assert_eq!(opener.stats().unknown_key, 2);
}

/// A stranger who read the key id off the network and seals with a key of his own.
#[test]
fn a_borrowed_key_id_does_not_help() {
    let mut datagram = DatagramSealer::new(&ring("elsewhere"), ALICE, 1)
        .seal(NONCE, b"hi")
        .unwrap();
    datagram[1..5].copy_from_slice(&ring("test").current.id().0);
    let mut opener = bob();
    assert_eq!(opener.open(NOW, &datagram), Err(DatagramError::Forged));
    assert_eq!(opener.stats().forged, 1);
}

#[test]
fn both_sides_of_a_rotation_understand_each_other() {
    let steps = [
        (ring("old"), ring_of_two("old", "new")),
        (ring_of_two("old", "new"), ring_of_two("new", "old")),
        (ring_of_two("new", "old"), ring("new")),
    ];
    for (a, b) in steps {
        for (from, to) in [(&a, &b), (&b, &a)] {
            let datagram = DatagramSealer::new(from, ALICE, 1)
                .seal(NONCE, b"hi")
                .unwrap();
            let mut opener = DatagramOpener::new(to.clone(), BOB, 1);
            assert!(opener.open(NOW, &datagram).is_ok(), "{from:?} to {to:?}");
        }
    }
}

#[test]
fn a_restarted_sender_is_heard_and_its_past_is_not_replayed() {
    let past: Vec<_> = {
        let mut first_run = alice();
        (0..5_u8)
            .map(|n| first_run.seal(NONCE, &[n]).unwrap())
            .collect()
    };
    let mut opener = bob();
    for datagram in &past {
        opener.open(NOW, datagram).unwrap();
    }
    let mut second_run = DatagramSealer::new(&ring("test"), ALICE, 2);
    opener
        .open(NOW, &second_run.seal(NONCE, b"back").unwrap())
        .unwrap();
    for datagram in &past {
        assert_eq!(opener.open(NOW, datagram), Err(DatagramError::Replayed));
    }
}

#[test]
fn a_run_never_heard_of_is_stale_once_a_newer_one_spoke() {
    let withheld = sealed(b"from the past");
    let mut opener = bob();
    let mut second_run = DatagramSealer::new(&ring("test"), ALICE, 2);
    opener
        .open(NOW, &second_run.seal(NONCE, b"hi").unwrap())
        .unwrap();
    assert_eq!(
        opener.open(NOW, &withheld),
        Err(DatagramError::StaleSession {
            session: 1,
            newest: 2
        })
    );
    assert_eq!(opener.stats().stale_session, 1);
}

/// The membership protocol settles a name that two processes have, so it must hear both.
#[test]
fn own_datagrams_are_refused_and_those_of_a_namesake_are_not() {
    let mut opener = DatagramOpener::new(ring("test"), ALICE, 1);
    let own = sealed(b"echo");
    assert_eq!(opener.open(NOW, &own), Err(DatagramError::Reflected));
    for session in [9, 0] {
        let mut other = DatagramSealer::new(&ring("test"), ALICE, session);
        let mut opener = DatagramOpener::new(ring("test"), ALICE, 1);
        let datagram = other.seal(NONCE, b"me too").unwrap();
        assert_eq!(opener.open(NOW, &datagram).unwrap().session, session);
        assert_eq!(opener.open(NOW, &datagram), Err(DatagramError::Replayed));
        assert_eq!((opener.stats().namesake, opener.stats().opened), (1, 1));
    }
    assert_eq!(opener.stats().reflected, 1);
}

#[test]
fn a_datagram_behind_the_window_is_too_old() {
    let mut sealer = alice();
    let first = sealer.seal(NONCE, b"late").unwrap();
    let mut opener = bob();
    for _ in 0..1_024 {
        opener
            .open(NOW, &sealer.seal(NONCE, b"x").unwrap())
            .unwrap();
    }
    assert_eq!(opener.open(NOW, &first), Err(DatagramError::TooOld));
    assert_eq!(opener.stats().too_old, 1);
}

/// Nodes of different builds must agree on every byte. If this fails, the layout changed:
/// raise the version.
#[test]
fn the_layout_is_the_known_one() {
    let hex: String = sealed(b"netdb")
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let known = [
        "01",
        "c35523e2",
        &"5a".repeat(NONCE_BYTES),
        "3937277ce7085d544d126d8de93d900f110449165355fa43049b7864f7",
        "ab05dc4a4a6f1fdf96611846d8df5c2a",
    ];
    assert_eq!(hex, known.concat());
}
