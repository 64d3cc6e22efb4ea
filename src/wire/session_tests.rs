//! What the handshake promises: members meet, strangers do not, whatever arrives.

use super::*;
use proptest::prelude::*;

const PURPOSE: &[u8] = b"peer";

fn ring(name: &str) -> KeyRing {
    KeyRing::new(ClusterKey::from_name(name))
}

fn ring_of_two(current: &str, previous: &str) -> KeyRing {
    KeyRing {
        current: ClusterKey::from_name(current),
        previous: Some(ClusterKey::from_name(previous)),
    }
}

fn initiator(keys: &KeyRing) -> (Handshake, Vec<u8>) {
    Handshake::initiator(keys, PURPOSE, [1; ENTROPY_BYTES]).unwrap()
}

fn responder(keys: &KeyRing) -> Handshake {
    Handshake::responder(keys.clone(), PURPOSE, [2; ENTROPY_BYTES])
}

/// Both ends of a stream between nodes with these keys.
fn connect(a: &KeyRing, b: &KeyRing) -> Result<(Established, Established), HandshakeError> {
    let (mut left, hello) = initiator(a);
    let right = responder(b).push(&hello)?.expect("whole message");
    let left = left.push(&right.reply)?.expect("whole message");
    Ok((left, right))
}

fn assert_talks(from: &mut Established, to: &mut Established, text: &[u8]) {
    let mut out = BytesMut::new();
    from.encoder.seal(text, &mut out).unwrap();
    to.decoder.push(&out).unwrap();
    assert_eq!(to.decoder.next_frame().unwrap().unwrap(), text);
}

proptest! {
    /// Strangers' bytes: an error or a wait, never a session, never a panic.
    #[test]
    fn random_bytes_never_establish(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let keys = ring("test");
        prop_assert!(!matches!(responder(&keys).push(&bytes), Ok(Some(_))));
        prop_assert!(!matches!(initiator(&keys).0.push(&bytes), Ok(Some(_))));
        let header = &initiator(&keys).1[..HEADER_BYTES];
        let bytes = [header, &bytes].concat();
        prop_assert!(!matches!(responder(&keys).push(&bytes), Ok(Some(_))));
        prop_assert!(!matches!(initiator(&keys).0.push(&bytes), Ok(Some(_))));
    }

    #[test]
    fn both_ends_talk_whatever_the_entropy(a: [u8; ENTROPY_BYTES], b: [u8; ENTROPY_BYTES], text in prop::collection::vec(any::<u8>(), 1..100)) {
        let keys = ring("test");
        let (mut left, hello) = Handshake::initiator(&keys, PURPOSE, a).unwrap();
        let mut right = Handshake::responder(keys, PURPOSE, b).push(&hello).unwrap().unwrap();
        let mut left = left.push(&right.reply).unwrap().unwrap();
        assert_talks(&mut left, &mut right, &text);
        assert_talks(&mut right, &mut left, &text);
    }
}

#[test]
fn bytes_one_by_one_establish_the_same() {
    let keys = ring("test");
    let (mut left, hello) = initiator(&keys);
    let mut right = responder(&keys);
    let (last, first) = hello.split_last().unwrap();
    for byte in first {
        assert!(right.push(&[*byte]).unwrap().is_none());
    }
    let mut right = right.push(&[*last]).unwrap().unwrap();
    let (last, first) = right.reply.split_last().unwrap();
    for byte in first {
        assert!(left.push(&[*byte]).unwrap().is_none());
    }
    let mut left = left.push(&[*last]).unwrap().unwrap();
    assert_talks(&mut left, &mut right, b"hi");
}

#[test]
fn bytes_behind_the_handshake_are_kept() {
    let keys = ring("test");
    let (mut left, hello) = initiator(&keys);
    let mut right = responder(&keys).push(&hello).unwrap().unwrap();
    let mut out = BytesMut::from(&right.reply[..]);
    right.encoder.seal(b"at once", &mut out).unwrap();
    let mut left = left.push(&out).unwrap().unwrap();
    assert_eq!(left.decoder.next_frame().unwrap().unwrap(), "at once");
}

#[test]
fn every_flipped_bit_breaks_the_handshake() {
    let keys = ring("test");
    let (_, hello) = initiator(&keys);
    let reply = responder(&keys).push(&hello).unwrap().unwrap().reply;
    for place in 0..MESSAGE_BYTES {
        for bit in 0..8 {
            let mut damaged = hello.clone();
            damaged[place] ^= 1 << bit;
            assert!(responder(&keys).push(&damaged).is_err(), "{place}.{bit}");
            let mut damaged = reply.clone();
            damaged[place] ^= 1 << bit;
            assert!(initiator(&keys).0.push(&damaged).is_err(), "{place}.{bit}");
        }
    }
}

#[test]
fn wrong_keys_versions_and_lengths_have_their_reasons() {
    let keys = ring("test");
    let (_, hello) = initiator(&keys);
    let id = keys.current.id();
    let error = |keys: &KeyRing, bytes: &[u8]| responder(keys).push(bytes).unwrap_err();
    assert_eq!(
        error(&ring("other"), &hello),
        HandshakeError::UnknownKey { id }
    );
    assert_eq!(
        error(&keys, b"GET / HTTP/1.1\r\n"),
        HandshakeError::Version { got: b'G' }
    );
    for got in [0, 2, 255] {
        assert_eq!(error(&keys, &[got]), HandshakeError::Version { got });
    }
    let mut long = hello.clone();
    long[5..7].copy_from_slice(&[0xFF, 0xFF]);
    assert_eq!(
        error(&keys, &long[..7]),
        HandshakeError::Length { len: 65_535 }
    );
    let mut borrowed = initiator(&ring("other")).1;
    borrowed[1..5].copy_from_slice(&id.0);
    assert_eq!(error(&keys, &borrowed), HandshakeError::Forged);
}

#[test]
fn another_purpose_does_not_meet() {
    let keys = ring("test");
    let (_, hello) = Handshake::initiator(&keys, b"backup", [1; ENTROPY_BYTES]).unwrap();
    let outcome = responder(&keys).push(&hello);
    assert_eq!(outcome.unwrap_err(), HandshakeError::Forged);
}

#[test]
fn both_sides_of_a_rotation_meet() {
    let steps = [
        (ring("old"), ring_of_two("old", "new"), "old", "old"),
        (
            ring_of_two("old", "new"),
            ring_of_two("new", "old"),
            "old",
            "new",
        ),
        (ring_of_two("new", "old"), ring("new"), "new", "new"),
    ];
    for (a, b, used_by_a, used_by_b) in steps {
        for (from, to, used) in [(&a, &b, used_by_a), (&b, &a, used_by_b)] {
            let (mut left, mut right) = connect(from, to).unwrap();
            let id = ClusterKey::from_name(used).id();
            assert_eq!((left.key_id, right.key_id), (id, id));
            assert_talks(&mut left, &mut right, b"hi");
            assert_talks(&mut right, &mut left, b"hi");
        }
    }
    assert!(connect(&ring("new"), &ring("old")).is_err());
}

/// A recorded first message is answered, for nobody can tell; what was recorded behind it
/// does not open.
#[test]
fn a_replayed_stream_says_nothing() {
    let keys = ring("test");
    let (mut left, hello) = initiator(&keys);
    let right = responder(&keys).push(&hello).unwrap().unwrap();
    let mut recorded = BytesMut::new();
    let mut left = left.push(&right.reply).unwrap().unwrap();
    left.encoder
        .seal(b"give me everything", &mut recorded)
        .unwrap();
    let mut again = Handshake::responder(keys, PURPOSE, [3; ENTROPY_BYTES]);
    let mut fooled = again.push(&hello).unwrap().unwrap();
    fooled.decoder.push(&recorded).unwrap();
    assert!(fooled.decoder.next_frame().is_err());
}

#[test]
fn a_reflected_handshake_or_stream_does_not_open() {
    let keys = ring("test");
    let (mut left, hello) = initiator(&keys);
    assert_eq!(left.push(&hello).unwrap_err(), HandshakeError::Forged);
    let (mut left, _right) = connect(&keys, &keys).unwrap();
    let mut out = BytesMut::new();
    left.encoder.seal(b"echo", &mut out).unwrap();
    left.decoder.push(&out).unwrap();
    assert!(left.decoder.next_frame().is_err());
}

#[test]
fn a_handshake_that_is_over_stays_over() {
    let keys = ring("test");
    let mut right = responder(&keys);
    assert!(right.push(&[9]).is_err());
    assert!(right.push(&initiator(&keys).1).is_err());
    let mut right = responder(&keys);
    right.push(&initiator(&keys).1).unwrap().unwrap();
    let again = right.push(&initiator(&keys).1);
    assert_eq!(again.unwrap_err(), HandshakeError::Over);
}

/// Nodes of different builds must agree on every byte. If this fails, the layout changed:
/// raise the version.
#[test]
fn the_layout_is_the_known_one() {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let keys = ring("test");
    let (mut left, hello) = initiator(&keys);
    let right = responder(&keys).push(&hello).unwrap().unwrap();
    let mut left = left.push(&right.reply).unwrap().unwrap();
    let mut record = BytesMut::new();
    left.encoder.seal(b"netdb", &mut record).unwrap();
    assert_eq!(
        hex(&hello),
        concat!(
            "01",
            "c35523e2",
            "0030",
            "a4e09292b651c278b9772c569f5fa9bb13d906b46ab68c9df9dc2b4409f8a209",
            "364f665e3de7b37ef8494d69b0a97ce4"
        )
    );
    assert_eq!(
        hex(&right.reply),
        concat!(
            "01",
            "c35523e2",
            "0030",
            "ce8d3ad1ccb633ec7b70c17814a5c76ecd029685050d344745ba05870e587d59",
            "2be40f20f3119804b55160b6c291823a"
        )
    );
    assert_eq!(
        hex(&record),
        concat!(
            "0019",
            "0cdc707a0da4695cd3",
            "058f61b332117baa9dc71340d3351888"
        )
    );
}
