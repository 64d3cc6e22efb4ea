//! What reassembly promises: the message or nothing, within its bounds, whatever arrives.

use super::*;
use crate::wire::datagram::{Datagram, FACTS_BYTES_MAX};
use crate::wire::error::WireError;
use crate::wire::fragment::Fragmenter;
use proptest::prelude::*;

const NODE: NodeId = NodeId(1);

fn at(ms: u64) -> Instant {
    Instant::from_elapsed(Duration::from_millis(ms))
}

fn message(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 31 % 251) as u8).collect()
}

fn parts_of(fragmenter: &mut Fragmenter, message: &[u8]) -> Vec<Part> {
    let payloads = fragmenter.payloads(message).unwrap();
    let decoded = payloads.iter().map(|bytes| Datagram::<u8>::decode(bytes));
    decoded
        .map(|datagram| match datagram.unwrap() {
            Datagram::FactsPart(part) => part,
            other => panic!("{other:?} is no part"),
        })
        .collect()
}

fn part(message: u32, index: u8, count: u8, len: usize) -> Part {
    Part {
        message,
        index,
        count,
        bytes: vec![index; len],
    }
}

fn assert_bounded(reassembler: &Reassembler) {
    let bytes: usize = reassembler.pending.values().map(|p| p.bytes).sum();
    assert_eq!(bytes, reassembler.bytes);
    assert!(bytes <= PENDING_BYTES_MAX);
    assert!(reassembler.pending.len() <= MESSAGES_MAX);
    for pending in reassembler.pending.values() {
        assert!(pending.bytes <= MESSAGE_BYTES_MAX);
        assert!(pending.parts.len() < usize::from(pending.count));
    }
}

proptest! {
    /// Parts of several messages in any order, duplicates among them: each message comes
    /// out once, as it went in.
    #[test]
    fn any_order_with_duplicates_gives_the_messages(
        lens in prop::collection::vec(FACTS_BYTES_MAX + 1..=9_000, 1..=MESSAGES_PER_SENDER_MAX),
        seed in any::<u64>(),
    ) {
        let mut fragmenter = Fragmenter::new(seed);
        let messages: Vec<Vec<u8>> = lens.into_iter().map(message).collect();
        let mut parts: Vec<Part> = messages.iter()
            .flat_map(|message| parts_of(&mut fragmenter, message))
            .collect();
        // Each part but one of every message comes twice, at places that the seed picks.
        let again: Vec<Part> = parts.iter().filter(|part| part.index > 0).cloned().collect();
        parts.extend(again);
        let mut state = seed | 1;
        for place in (1..parts.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            parts.swap(place, (state >> 33) as usize % (place + 1));
        }
        let mut reassembler = Reassembler::new();
        let mut whole = Vec::new();
        for part in parts {
            whole.extend(reassembler.push(at(0), NODE, part).unwrap());
            assert_bounded(&reassembler);
        }
        whole.sort();
        let mut expected = messages;
        expected.sort();
        prop_assert_eq!(whole, expected);
    }

    /// A message of which any one part is missing never appears and is forgotten.
    #[test]
    fn a_missing_part_means_no_message(len in FACTS_BYTES_MAX + 1..=MESSAGE_BYTES_MAX, pick: prop::sample::Index) {
        let mut parts = parts_of(&mut Fragmenter::new(0), &message(len));
        parts.remove(pick.index(parts.len()));
        let mut reassembler = Reassembler::new();
        for part in parts {
            prop_assert_eq!(reassembler.push(at(0), NODE, part), Ok(None));
        }
        let _ = reassembler.push(at(2_000), NodeId(2), part(1, 0, 2, 1));
        prop_assert_eq!(reassembler.stats().expired, 1);
        prop_assert_eq!(reassembler.pending.len(), 1);
    }

    /// Parts with any numbers: nothing panics and every bound holds.
    #[test]
    fn hostile_parts_stay_within_the_bounds(
        parts in prop::collection::vec(
            (0_u64..20, 0_u32..20, 0_u8..60, prop_oneof![0_u8..60, Just(255)], 0_usize..1_400, 0_u64..50),
            0..400,
        ),
    ) {
        let mut reassembler = Reassembler::new();
        let mut ms = 0;
        for (sender, message, index, count, len, pause) in parts {
            ms += pause;
            let _ = reassembler.push(at(ms), NodeId(sender), part(message, index, count, len));
            assert_bounded(&reassembler);
        }
    }

    #[test]
    fn a_message_of_any_length_gets_through(len in 0..=MESSAGE_BYTES_MAX) {
        let message = message(len);
        let mut reassembler = Reassembler::new();
        let mut whole = None;
        for payload in Fragmenter::new(7).payloads(&message).unwrap() {
            prop_assert!(payload.len() <= crate::wire::PAYLOAD_BYTES_MAX);
            whole = match Datagram::<u8>::decode(&payload).unwrap() {
                Datagram::FactsPart(part) => reassembler.push(at(0), NODE, part).unwrap(),
                Datagram::Facts(bytes) => Some(bytes),
                Datagram::Control(_) => None,
            };
        }
        prop_assert_eq!(whole, Some(message));
    }
}

#[test]
fn the_longest_message_is_the_limit() {
    let mut fragmenter = Fragmenter::new(0);
    let payloads = fragmenter.payloads(&message(MESSAGE_BYTES_MAX)).unwrap();
    assert_eq!(payloads.len(), PARTS_MAX);
    let long = fragmenter.payloads(&message(MESSAGE_BYTES_MAX + 1));
    assert!(matches!(long, Err(WireError::TooLong { .. })));
}

#[test]
fn impossible_parts_are_refused_by_reason() {
    let mut reassembler = Reassembler::new();
    let mut push = |part| reassembler.push(at(0), NODE, part).unwrap_err();
    assert_eq!(push(part(1, 0, 0, 9)), PartError::Count { count: 0 });
    assert_eq!(push(part(1, 0, 1, 9)), PartError::Count { count: 1 });
    assert_eq!(push(part(1, 0, 255, 9)), PartError::Count { count: 255 });
    assert_eq!(
        push(part(1, 2, 2, 9)),
        PartError::Index { index: 2, count: 2 }
    );
    assert_eq!(push(part(1, 0, 2, 0)), PartError::Size { len: 0 });
    let len = PART_BYTES_MAX + 1;
    assert_eq!(push(part(1, 0, 2, len)), PartError::Size { len });
    assert_eq!(reassembler.stats().refused, 6);
    assert!(reassembler.pending.is_empty());
}

#[test]
fn parts_that_contradict_each_other_drop_the_message() {
    let mut reassembler = Reassembler::new();
    assert_eq!(reassembler.push(at(0), NODE, part(1, 0, 3, 9)), Ok(None));
    assert_eq!(
        reassembler.push(at(0), NODE, part(1, 1, 4, 9)),
        Err(PartError::Contradiction {
            count: 4,
            earlier: 3
        })
    );
    assert!(reassembler.pending.is_empty());
}

#[test]
fn parts_of_two_senders_are_not_mixed() {
    let mut reassembler = Reassembler::new();
    assert_eq!(reassembler.push(at(0), NODE, part(1, 0, 2, 9)), Ok(None));
    assert_eq!(
        reassembler.push(at(0), NodeId(2), part(1, 1, 2, 9)),
        Ok(None)
    );
    assert_eq!(reassembler.pending.len(), 2);
}

/// One sender that starts messages without end displaces only its own.
#[test]
fn one_sender_displaces_only_its_own_messages() {
    let mut reassembler = Reassembler::new();
    reassembler
        .push(at(0), NodeId(2), part(1, 0, 2, 9))
        .unwrap();
    for message in 0..500 {
        reassembler
            .push(at(1), NODE, part(message, 0, 2, 1_000))
            .unwrap();
    }
    assert_eq!(reassembler.count_of(NODE), MESSAGES_PER_SENDER_MAX);
    let whole = reassembler.push(at(2), NodeId(2), part(1, 1, 2, 9));
    assert_eq!(whole.unwrap().unwrap().len(), 18);
}

#[test]
fn many_senders_with_long_messages_stay_within_the_bytes() {
    let mut reassembler = Reassembler::new();
    for sender in 0..100 {
        for index in 0..PARTS_MAX as u8 - 1 {
            let part = part(1, index, PARTS_MAX as u8, PART_BYTES_MAX);
            reassembler.push(at(0), NodeId(sender), part).unwrap();
            assert_bounded(&reassembler);
        }
    }
    assert!(reassembler.stats().displaced >= 68);
}
