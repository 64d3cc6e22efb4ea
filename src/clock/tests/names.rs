//! Names of actors on a stream: what one side writes the other reads, whatever is named in
//! whatever order, and nothing that a peer may write does harm.

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::encoding::{decode, encode};
use crate::clock::{ActorId, ActorNames, Clock, Dot, NAMES_MAX, NodeId, VersionVector};

fn actor(n: u64) -> ActorId {
    ActorId {
        node: NodeId(n << 60),
        incarnation: n.wrapping_mul(0x9e37_79b9_7f4a_7c15),
    }
}

fn written<T: Serialize>(names: &mut ActorNames, value: &T) -> Vec<u8> {
    names.within(|| encode(value))
}

fn read<T: DeserializeOwned>(names: &mut ActorNames, bytes: &[u8]) -> Option<T> {
    names.within(|| decode(bytes))
}

/// A message that names actors at several depths.
type Message = (Option<ActorId>, Vec<Dot>, Clock, VersionVector);

fn messages() -> impl Strategy<Value = Vec<Message>> {
    let dots = || prop::collection::vec((0u64..40, 1u64..9), 0..6);
    let message = (prop::option::of(0u64..40), dots(), dots(), dots());
    let message = message.prop_map(|(one, dots, clock, vector)| {
        let dot = |(a, n)| Dot { actor: actor(a), n };
        let clock = Clock::from_iter(clock.into_iter().map(dot));
        let vector = vector.into_iter().map(|(a, n)| (actor(a), n)).collect();
        (
            one.map(actor),
            dots.into_iter().map(dot).collect(),
            clock,
            vector,
        )
    });
    prop::collection::vec(message, 0..12)
}

proptest! {
    /// One in three messages is given up after it was written.
    #[test]
    fn messages_survive_the_round_trip(messages in messages(), sent: [bool; 3]) {
        let (mut said, mut heard) = (ActorNames::default(), ActorNames::default());
        for (message, sent) in messages.iter().zip(sent.into_iter().cycle()) {
            let before = said.clone();
            let bytes = written(&mut said, message);
            if sent {
                prop_assert_eq!(read(&mut heard, &bytes), Some(message.clone()));
            } else {
                said.truncate(before.len());
                prop_assert_eq!(&said, &before);
            }
            prop_assert_eq!(said.len(), heard.len());
        }
    }

    #[test]
    fn random_bytes_never_panic(all in prop::collection::vec(any::<Vec<u8>>(), 0..9)) {
        let mut names = ActorNames::default();
        for bytes in all {
            let _ = read::<Message>(&mut names, &bytes);
        }
    }
}

#[test]
fn a_name_is_written_in_full_once() {
    let mut names = ActorNames::default();
    let lengths = [1, 1, 2, 1, 2].map(|n| written(&mut names, &actor(n)).len());
    assert_eq!(lengths, [17, 1, 17, 1, 1]);
    let mut other = ActorNames::default();
    assert_eq!(written(&mut other, &actor(1)).len(), 17, "another stream");
}

/// What is on disk names actors in full, whatever streams do.
#[test]
fn outside_of_streams_nothing_changes() {
    let plain = encode(&(actor(1).node, actor(1).incarnation));
    assert_eq!(encode(&actor(1)), plain);
    let mut names = ActorNames::default();
    written(&mut names, &actor(1));
    assert_eq!(encode(&actor(1)), plain);
    assert_eq!(decode::<ActorId>(&plain), Some(actor(1)));
}

#[test]
fn a_place_that_was_not_given_is_refused() {
    let mut names = ActorNames::default();
    for place in [1, 2, NAMES_MAX as u32 + 1, u32::MAX] {
        assert_eq!(read::<ActorId>(&mut names, &encode(&place)), None);
    }
    let bytes = written(&mut ActorNames::default(), &actor(1));
    for cut in 0..bytes.len() {
        assert_eq!(read::<ActorId>(&mut names, &bytes[..cut]), None);
    }
    assert!(names.is_empty());
    assert_eq!(read(&mut names, &bytes), Some(actor(1)));
    assert_eq!(read(&mut names, &encode(&1u32)), Some(actor(1)));
    assert_eq!(read::<ActorId>(&mut names, &encode(&2u32)), None);
}

/// A place beyond what an index can be is no number of 32 bits.
#[test]
fn a_huge_place_is_refused() {
    let mut names = ActorNames::default();
    let bytes = encode(&u64::MAX);
    assert_eq!(read::<ActorId>(&mut names, &bytes), None);
}

#[test]
fn a_full_list_takes_no_more_and_both_sides_agree() {
    let (mut said, mut heard) = (ActorNames::default(), ActorNames::default());
    for n in 0..NAMES_MAX as u64 + 10 {
        let bytes = written(&mut said, &actor(n));
        assert_eq!(read(&mut heard, &bytes), Some(actor(n)));
    }
    assert_eq!((said.len(), heard.len()), (NAMES_MAX, NAMES_MAX));
    for (n, length) in [(0, 1), (NAMES_MAX as u64 - 1, 3), (NAMES_MAX as u64, 17)] {
        let bytes = written(&mut said, &actor(n));
        assert_eq!(bytes.len(), length);
        assert_eq!(read(&mut heard, &bytes), Some(actor(n)));
    }
}

/// The list comes back from an encoding that panics.
#[test]
fn a_panic_leaves_no_list_behind() {
    let mut names = ActorNames::default();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        names.within(|| {
            encode(&actor(1));
            panic!("while encoding");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(names.len(), 1);
    assert!(encode(&actor(1)).len() > 3, "plain again");
}
