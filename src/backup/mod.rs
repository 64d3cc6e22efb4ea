//! Backups as bytes: what a file holds, and every reason not to believe one.
//!
//! A backup is one snapshot per partition of what one replica of it has: its rows, and the clock
//! that says which writes they are the outcome of. That is what a full sync sends to an asker
//! that has nothing (PROTOCOL 3.6), so restoring is the receiving side of a full sync, and a
//! backup can be merged into a cluster that has lived on.
//!
//! # Format, version 1
//!
//! ```text
//! file     = "netdb backup\r\n" | version u16 | header | partition* | trailer
//! frame    = kind u8 | length u32 | body (length bytes) | checksum u32
//! header   = frame 1: cluster | node | program version | partitions u16 | hash seed u64
//!                     | taken at u64 (ms since the Unix epoch) | keys u64 (about as many)
//! partition= rows* end                  for each partition, ascending
//! rows     = frame 2: partition u16 | actors | rows
//! end      = frame 3: partition u16 | rows # | versions # | clock
//! trailer  = frame 4: partitions # | rows # | versions # | payload bytes #
//!
//! actors   = #  times: node u64 | incarnation u64                      ascending
//! rows     = #  times: name | versions | residual
//! versions = #  times: actor | counter # | hlc u64 | flags u8 | end | value | part
//! end      = # (ms since the Unix epoch), if flag 1
//! part     = actor | counter #, if flag 8: the write that began its counter
//!            | # (ms), if flag 16: when its counter or the elements of its key end
//!            | i128, if flag 4: a sum; or # (ms), if flag 32: elements before that are gone
//!            flag 2: the base of a counter; of 2, 4 and 32 one at most
//! residual = #  times: actor | counter #
//! actor    = #, an index into `actors`
//! clock    = #  times: node u64 | incarnation u64 | base # | closed u8 | runs      ascending
//! runs     = #  times: # (from the last counter before it) | # (its length, less one)
//! text, name, value = # | that many bytes; names are those of `object::Name`
//! #        = a number, 7 bits per byte, lowest first, the top bit says that more follow
//! ```
//!
//! Everything else is little endian. A frame's checksum is CRC-32C over the header's checksum,
//! the frame's number in the file, and all of the frame before it: a frame that was left out,
//! moved, or taken from another backup does not check.
//!
//! Nothing declared is believed before it is bounded: frames by [`FRAME_BYTES_MAX`], and what a
//! frame declares by what is left of it and by the limits of clock and object. There are no
//! optional parts; whatever changes the meaning of a byte raises the version.
//!
//! [`Writer`] and [`Reader`] check the same: what was written can be read.

mod check;
mod error;
mod frame;
mod limits;
mod number;
mod payload;
mod ranges;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub use check::Totals;
pub use error::{Damage, Flaw};
pub use frame::Header;
pub use limits::{FRAME_BYTES_MAX, TEXT_BYTES_MAX};
pub use payload::{Tail, decode_rows, decode_tail, encode_rows, encode_tail};
pub use ranges::Ranges;
pub use reader::{Part, Reader};
pub use writer::Writer;
