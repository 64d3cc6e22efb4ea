//! What streams promise: frames in order or an error, in bounded memory.

use super::*;
use crate::wire::key::{ClusterKey, KeyRing};
use crate::wire::noise::ENTROPY_BYTES;
use crate::wire::session::Handshake;
use proptest::prelude::*;

/// One direction of an established stream.
fn stream() -> (FrameEncoder, FrameDecoder) {
    let keys = KeyRing::new(ClusterKey::from_name("test"));
    let (mut left, hello) = Handshake::initiator(&keys, b"", [1; ENTROPY_BYTES]).unwrap();
    let mut right = Handshake::responder(keys, b"", [2; ENTROPY_BYTES]);
    let right = right.push(&hello).unwrap().unwrap();
    let left = left.push(&right.reply).unwrap().unwrap();
    (left.encoder, right.decoder)
}

fn sealed(frames: &[Vec<u8>]) -> (BytesMut, FrameDecoder) {
    let (mut encoder, decoder) = stream();
    let mut out = BytesMut::new();
    for frame in frames {
        encoder.seal(frame, &mut out).unwrap();
    }
    (out, decoder)
}

/// A record with the right seal around whatever a hostile member puts in it.
fn hostile(plain: &[u8]) -> (BytesMut, FrameDecoder) {
    let (mut encoder, decoder) = stream();
    let mut out = BytesMut::new();
    encoder.seal_record(plain, &mut out).unwrap();
    (out, decoder)
}

fn drain(decoder: &mut FrameDecoder) -> Result<Vec<Vec<u8>>, FrameError> {
    let mut frames = Vec::new();
    while let Some(frame) = decoder.next_frame()? {
        frames.push(frame.to_vec());
    }
    Ok(frames)
}

fn frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let len = prop_oneof![
        10 => 1_usize..300,
        1 => FIRST_PLAIN_MAX - 1..FIRST_PLAIN_MAX + 2,
        1 => RECORD_PLAIN_MAX..3 * RECORD_PLAIN_MAX,
    ];
    prop::collection::vec(
        (len, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
        1..5,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn frames_arrive_in_order_however_the_bytes_are_cut(
        frames in frames(),
        cuts in prop::collection::vec(1_usize..50_000, 1..10),
    ) {
        let (bytes, mut decoder) = sealed(&frames);
        let mut arrived = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts.into_iter().cycle() {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            decoder.push(now).unwrap();
            arrived.extend(drain(&mut decoder).unwrap());
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(arrived, frames);
        prop_assert_eq!(decoder.input.len() + decoder.frame.len(), 0);
    }

    #[test]
    fn a_prefix_of_a_frame_asks_for_more(len in 1_usize..400, pick: prop::sample::Index) {
        let (bytes, mut decoder) = sealed(&[vec![7; len]]);
        let (now, later) = bytes.split_at(pick.index(bytes.len()));
        decoder.push(now).unwrap();
        prop_assert_eq!(decoder.next_frame(), Ok(None));
        decoder.push(later).unwrap();
        prop_assert_eq!(decoder.next_frame().unwrap().unwrap().len(), len);
    }

    #[test]
    fn random_bytes_never_open(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        let (_, mut decoder) = stream();
        decoder.push(&bytes).unwrap();
        prop_assert!(!matches!(decoder.next_frame(), Ok(Some(_))));
        prop_assert!(decoder.frame.capacity() <= 2 * RECORD_BYTES_MAX);
    }

    /// Any content inside a right seal: a frame, a wait or an error, in bounded memory.
    #[test]
    fn hostile_content_stays_within_the_bounds(plain in prop::collection::vec(any::<u8>(), 1..200)) {
        let (bytes, mut decoder) = hostile(&plain);
        decoder.push(&bytes).unwrap();
        let _ = decoder.next_frame();
        prop_assert!(decoder.frame.capacity() <= 2 * GRANTED_BYTES_MAX);
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let (bytes, _) = sealed(&[b"frame".to_vec()]);
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let (_, mut decoder) = stream();
            let mut damaged = bytes.clone();
            damaged[place] ^= 1 << bit;
            decoder.push(&damaged).unwrap();
            // A greater length in the clear waits for bytes; then the record is forged.
            decoder.push(&[0; RECORD_BYTES_MAX]).unwrap();
            assert!(decoder.next_frame().is_err(), "{place}.{bit}");
        }
    }
}

#[test]
fn dropped_repeated_and_swapped_records_are_refused() {
    let one = |encoder: &mut FrameEncoder, text: &[u8]| {
        let mut out = BytesMut::new();
        encoder.seal(text, &mut out).unwrap();
        out
    };
    let orders: [&[usize]; 3] = [&[1], &[0, 0], &[1, 0]];
    for order in orders {
        let (mut encoder, mut decoder) = stream();
        let records = [one(&mut encoder, b"first"), one(&mut encoder, b"second")];
        for &place in order {
            decoder.push(&records[place]).unwrap();
        }
        assert_eq!(drain(&mut decoder), Err(FrameError::Forged), "{order:?}");
    }
}

#[test]
fn a_stream_that_failed_stays_failed() {
    let (bytes, mut decoder) = sealed(&[b"fine".to_vec()]);
    decoder.push(&[0, 16]).unwrap();
    let error = FrameError::RecordTooShort { len: 16 };
    assert_eq!(decoder.next_frame(), Err(error));
    assert_eq!(decoder.push(&bytes), Err(error));
    assert_eq!(decoder.next_frame(), Err(error));
}

#[test]
fn a_declared_gigabyte_is_refused_without_allocating() {
    let declared: u32 = 1 << 30;
    let plain = [&declared.to_be_bytes()[..], b"the beginning of it"].concat();
    let (bytes, mut decoder) = hostile(&plain);
    decoder.push(&bytes).unwrap();
    let held = decoder.frame.capacity();
    assert_eq!(
        decoder.next_frame(),
        Err(FrameError::TooLong { len: 1 << 30 })
    );
    assert_eq!((held, decoder.frame.capacity()), (0, 0));
}

#[test]
fn senseless_records_are_refused_by_reason() {
    let cases: [(&[u8], FrameError); 5] = [
        (&[0, 0, 0, 0, 1], FrameError::Empty),
        (&[0, 0, 0, 1, 1, 1, 1], FrameError::Overrun { extra: 2 }),
        (&[0, 0, 0, 1], FrameError::RecordTooShort { len: 20 }),
        (&[1], FrameError::RecordTooShort { len: 17 }),
        (
            &[0xFF, 0xFF, 0xFF, 0xFF, 1],
            FrameError::TooLong {
                len: u32::MAX as usize,
            },
        ),
    ];
    for (plain, error) in cases {
        let (bytes, mut decoder) = hostile(plain);
        decoder.push(&bytes).unwrap();
        assert_eq!(decoder.next_frame(), Err(error), "{plain:?}");
    }
}

#[test]
fn a_later_record_must_not_overrun_its_frame() {
    let (mut encoder, mut decoder) = stream();
    let mut out = BytesMut::new();
    encoder.seal_record(&[0, 0, 0, 3, 1, 2], &mut out).unwrap();
    encoder.seal_record(&[3, 4], &mut out).unwrap();
    decoder.push(&out).unwrap();
    assert_eq!(decoder.next_frame(), Err(FrameError::Overrun { extra: 1 }));
}

#[test]
fn frame_limits_hold_when_sealing() {
    let (mut encoder, mut decoder) = stream();
    let mut out = BytesMut::new();
    assert_eq!(encoder.seal(&[], &mut out), Err(FrameError::Empty));
    let len = FRAME_BYTES_MAX + 1;
    let long = vec![0; len];
    assert_eq!(
        encoder.seal(&long, &mut out),
        Err(FrameError::TooLong { len })
    );
    assert!(out.is_empty());
    encoder.seal(&long[1..], &mut out).unwrap();
    let mut arrived = Vec::new();
    for chunk in out.chunks(INPUT_BYTES_MAX / 2) {
        decoder.push(chunk).unwrap();
        arrived.extend(drain(&mut decoder).unwrap());
    }
    assert_eq!(arrived, [&long[1..]]);
    assert_eq!(
        decoder.frame.capacity(),
        0,
        "the large buffer was given away"
    );
}

/// The receiver learns what is coming from the first record, and takes no memory for it before
/// that is granted.
#[test]
fn the_memory_of_a_long_frame_is_asked_for() {
    let (mut encoder, mut decoder) = stream();
    let long = vec![7; GRANTED_BYTES_MAX + 1];
    let mut out = BytesMut::new();
    let mut sealing = encoder.begin(&long).unwrap();
    assert!(sealing.step(&mut out).unwrap());
    assert!(out.len() < 2 * STEP_BYTES, "a step is bounded");
    let first = out.split_to(RECORD_BYTES_MAX + RECORD_HEADER_BYTES);
    decoder.push(&first).unwrap();
    assert_eq!(decoder.next_frame(), Ok(None));
    assert_eq!(decoder.awaited(), Some(long.len()));
    assert!(decoder.frame.capacity() <= 2 * RECORD_BYTES_MAX);
    decoder.grant();
    assert_eq!(decoder.awaited(), None);
    assert!(decoder.frame.capacity() >= GRANTED_BYTES_MAX);
    while sealing.step(&mut out).unwrap() {}
    let mut arrived = Vec::new();
    for chunk in out.chunks(INPUT_BYTES_MAX / 2) {
        decoder.push(chunk).unwrap();
        arrived.extend(drain(&mut decoder).unwrap());
    }
    assert_eq!(arrived, [&long[..]]);
    assert!(!decoder.is_granted, "the next one is asked for again");
}

#[test]
fn the_input_is_bounded() {
    let (_, mut decoder) = stream();
    decoder.push(&[0xFF; INPUT_BYTES_MAX]).unwrap();
    let len = INPUT_BYTES_MAX + 1;
    assert_eq!(decoder.push(&[0]), Err(FrameError::Backlog { len }));
}

#[test]
fn a_reader_may_fill_the_input_itself() {
    let (bytes, mut decoder) = sealed(&[b"direct".to_vec()]);
    let buffer = decoder.read_buffer();
    assert!(buffer.capacity() - buffer.len() >= READ_BYTES);
    buffer.extend_from_slice(&bytes);
    assert_eq!(decoder.next_frame().unwrap().unwrap(), "direct");
}
