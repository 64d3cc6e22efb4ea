//! Many messages in one frame: filled up to a budget, without a list in between.
//!
//! Under load many small messages wait for one peer. Sealing and writing them one by one
//! costs more than the messages themselves; packing all there are into one frame would
//! make the first wait for the last. So a batch has a budget in bytes.

use serde::Serialize;

use super::error::WireError;
use super::frame::{BATCH_MESSAGES_MAX, FRAME_HEADER, KIND_BATCH, put_header, put_message};
use super::record::FRAME_BYTES_MAX;
use crate::clock::ActorNames;

/// The frame of a batch, being filled. Its buffer is used again and again.
///
/// One packer makes all batches of one stream, in order: it knows which actors were named.
#[derive(Debug)]
pub struct BatchPacker {
    bytes: Vec<u8>,
    messages: usize,
    budget: usize,
    names: ActorNames,
}

impl BatchPacker {
    /// A packer of frames of at most `budget` bytes, which a single message may exceed up
    /// to the limit of a frame.
    pub fn new(budget: usize) -> Self {
        Self {
            bytes: Vec::new(),
            messages: 0,
            budget: budget.min(FRAME_BYTES_MAX),
            names: ActorNames::default(),
        }
    }

    /// Adds a message. `false` if the batch is full: the message was not added, and must be
    /// pushed again after [`clear`](Self::clear).
    ///
    /// # Errors
    /// If the message has no encoding or exceeds the limit of a frame by itself; the batch
    /// is as it was.
    pub fn push<M: Serialize>(&mut self, message: &M) -> Result<bool, WireError> {
        let named = self.names.len();
        let pushed = self.try_push(message);
        if !matches!(pushed, Ok(true)) {
            self.names.truncate(named);
        }
        pushed
    }

    fn try_push<M: Serialize>(&mut self, message: &M) -> Result<bool, WireError> {
        if self.messages >= BATCH_MESSAGES_MAX {
            return Ok(false);
        }
        if self.bytes.is_empty() {
            put_header(KIND_BATCH, &mut self.bytes);
        }
        let start = self.bytes.len();
        put_message(message, &mut self.names, &mut self.bytes)?;
        let len = self.bytes.len();
        let alone = self.messages == 0;
        let limit = if alone { FRAME_BYTES_MAX } else { self.budget };
        if len > limit {
            self.bytes.truncate(start);
            return match alone {
                false => Ok(false),
                true => Err(WireError::TooLong {
                    what: "message in a frame",
                    len,
                    limit,
                }),
            };
        }
        self.messages += 1;
        Ok(true)
    }

    /// How many messages it holds.
    pub fn len(&self) -> usize {
        self.messages
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// How many actors were named on the stream so far.
    pub fn named(&self) -> usize {
        self.names.len()
    }

    /// The frame, to be sealed; `None` if it holds no message.
    pub fn frame(&self) -> Option<&[u8]> {
        (self.messages > 0).then_some(self.bytes.as_slice())
    }

    /// Begins the next batch. A buffer that one large message made grow is given back.
    pub fn clear(&mut self) {
        self.messages = 0;
        self.bytes.clear();
        self.bytes
            .shrink_to(self.budget.saturating_add(FRAME_HEADER).saturating_mul(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ActorId, NodeId};
    use crate::wire::frame::Frame;
    use proptest::prelude::*;

    type Sample = Frame<Vec<u8>, u8>;

    fn messages_in(packer: &BatchPacker) -> Vec<Vec<u8>> {
        match Sample::decode(packer.frame().unwrap()).unwrap() {
            Frame::Batch(messages) => messages,
            other => panic!("{other:?} is no batch"),
        }
    }

    proptest! {
        /// Whatever the sizes and the budget: all messages come out in order, no frame
        /// exceeds the budget unless one message does, and no frame is left half empty.
        #[test]
        fn batches_hold_everything_in_order_within_the_budget(
            sizes in prop::collection::vec(0_usize..300, 1..60),
            budget in 1_usize..1_000,
        ) {
            let messages: Vec<Vec<u8>> = sizes.iter().map(|&n| vec![n as u8; n]).collect();
            let mut packer = BatchPacker::new(budget);
            let mut arrived = Vec::new();
            for message in &messages {
                if !packer.push(message).unwrap() {
                    prop_assert!(packer.frame().unwrap().len() <= budget || packer.len() == 1);
                    arrived.extend(messages_in(&packer));
                    packer.clear();
                    prop_assert!(packer.push(message).unwrap());
                }
            }
            arrived.extend(messages_in(&packer));
            prop_assert_eq!(arrived, messages);
        }
    }

    proptest! {
        /// A message that did not fit has named nobody: the next frame names them in full.
        #[test]
        fn names_follow_what_is_sent(
            messages in prop::collection::vec(prop::collection::vec(0_u64..30, 0..9), 1..40),
            budget in 1_usize..300,
        ) {
            let actor = |n: &u64| ActorId { node: NodeId(*n), incarnation: n << 50 };
            let named = |message: &Vec<u64>| message.iter().map(actor).collect();
            let messages: Vec<Vec<ActorId>> = messages.iter().map(named).collect();
            let (mut packer, mut heard) = (BatchPacker::new(budget), ActorNames::default());
            let mut arrived = Vec::new();
            let mut receive = |packer: &BatchPacker| {
                let frame = packer.frame().unwrap();
                match Frame::<Vec<ActorId>, u8>::decode_with(frame, &mut heard, Vec::new()).unwrap() {
                    Frame::Batch(messages) => arrived.extend(messages),
                    other => panic!("{other:?} is no batch"),
                }
                assert_eq!(heard.len(), packer.named());
            };
            for message in &messages {
                if !packer.push(message).unwrap() {
                    receive(&packer);
                    packer.clear();
                    prop_assert!(packer.push(message).unwrap());
                }
            }
            receive(&packer);
            prop_assert_eq!(arrived, messages);
        }
    }

    #[test]
    fn an_empty_packer_has_no_frame() {
        let mut packer = BatchPacker::new(100);
        assert!(packer.is_empty() && packer.frame().is_none());
        packer.push(&1_u8).unwrap();
        packer.clear();
        assert!(packer.is_empty() && packer.frame().is_none());
    }

    #[test]
    fn a_message_over_the_frame_limit_is_an_error_and_nothing_else() {
        let mut packer = BatchPacker::new(100);
        let long = vec![0_u8; FRAME_BYTES_MAX - 9];
        assert!(matches!(packer.push(&long), Err(WireError::TooLong { .. })));
        assert!(packer.frame().is_none());
        assert!(packer.push(&vec![0_u8; FRAME_BYTES_MAX - 11]).unwrap());
        assert_eq!(packer.frame().unwrap().len(), FRAME_BYTES_MAX);
        packer.clear();
        assert!(packer.bytes.capacity() < 1_000);
    }

    #[test]
    fn the_number_of_messages_is_bounded() {
        let mut packer = BatchPacker::new(FRAME_BYTES_MAX);
        let mut taken = 0;
        while packer.push(&0_u8).unwrap() {
            taken += 1;
        }
        assert_eq!((taken, packer.len()), (BATCH_MESSAGES_MAX, taken));
        assert!(Frame::<u8, u8>::decode(packer.frame().unwrap()).is_ok());
    }
}
