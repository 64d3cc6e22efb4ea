//! Messages longer than one datagram, cut into parts.
//!
//! IP would fragment for us, and then firewalls drop fragments and the kernel's
//! reassembly memory is a cliff: at 5 % loss of fragments nothing arrived at all in half
//! of the measured runs. So each part is a datagram of its own, sealed and counted like
//! any other, and put together in bounds of our own ([`super::reassemble`]).

use super::datagram::{FACTS_BYTES_MAX, PART_BYTES_MAX, put_facts, put_part_header};
use super::error::WireError;

/// Longest message: what one UDP datagram over IPv4 could carry, which is the limit that
/// the protocol of node facts was written for.
pub const MESSAGE_BYTES_MAX: usize = 65_507;

/// Most parts of one message.
pub const PARTS_MAX: usize = MESSAGE_BYTES_MAX.div_ceil(PART_BYTES_MAX);

const _: () = assert!(PARTS_MAX <= u8::MAX as usize, "a part's index is one byte");

/// Cuts messages to payloads that fit datagrams.
#[derive(Debug)]
pub struct Fragmenter {
    next: u32,
}

impl Fragmenter {
    /// One per process. Message numbers start at the low bits of the process's session,
    /// so that parts from before a restart are not mixed with parts from after it.
    pub fn new(session: u64) -> Self {
        Self {
            next: session as u32,
        }
    }

    /// The payloads, ready to be sealed, that carry `message`: one `Facts`, or as many
    /// `FactsPart` as it takes.
    ///
    /// # Errors
    /// If the message is longer than [`MESSAGE_BYTES_MAX`].
    pub fn payloads(&mut self, message: &[u8]) -> Result<Vec<Vec<u8>>, WireError> {
        let len = message.len();
        if len > MESSAGE_BYTES_MAX {
            return Err(WireError::TooLong {
                what: "message about node facts",
                len,
                limit: MESSAGE_BYTES_MAX,
            });
        }
        if len <= FACTS_BYTES_MAX {
            let mut payload = Vec::new();
            put_facts(message, &mut payload);
            return Ok(vec![payload]);
        }
        let number = self.next;
        self.next = number.wrapping_add(1);
        let count = len.div_ceil(PART_BYTES_MAX) as u8;
        let parts = message.chunks(PART_BYTES_MAX).zip(0..count);
        Ok(parts
            .map(|(bytes, index)| {
                let mut payload = Vec::new();
                put_part_header(number, index, count, &mut payload);
                payload.extend_from_slice(bytes);
                payload
            })
            .collect())
    }
}
