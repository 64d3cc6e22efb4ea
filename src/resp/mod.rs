//! The Redis protocol as bytes, without a socket.
//!
//! A server reads [`RequestDecoder`] and writes with [`encode()`]; a client writes with
//! [`encode_request`] and reads [`ReplyDecoder`]. Both decoders are fed a growing buffer
//! and are asked again when more has arrived; each keeps its place, so a frame that comes
//! in a thousand pieces is still looked at once. Nothing is trusted: a length that was
//! declared costs no memory until the bytes behind it have come, and every count, line,
//! length, total and depth has a limit with a name.
//!
//! Deliberately absent: sockets, commands and their meaning, RESP3 attributes and
//! streamed types (no peer of ours sends them; they are refused by name).

mod encode;
mod inline;
mod number;
mod reply;
mod request;
mod value;

#[cfg(test)]
mod tests;

pub use encode::{
    encode, encode_array_header, encode_bulk, encode_error, encode_integer, encode_null,
    encode_request, encode_simple,
};
pub use inline::{UnbalancedQuotes, split_args};
pub use number::parse_i64;
pub use reply::{NESTING_MAX, ReplyDecoder, ReplyError, ReplyLimits};
pub use request::{
    ARGS_MAX, INLINE_BYTES_MAX, ProtocolError, RequestDecoder, RequestLimits, SHARED_ARG_BYTES_MIN,
};
pub use value::{Protocol, Value};

/// Largest bulk string that is accepted unless a decoder is told otherwise: 64 MiB, the
/// largest value that the design allows.
pub const BULK_BYTES_MAX_DEFAULT: usize = 64 * 1024 * 1024;

/// Longest header line (`*3`, `$11`): a sign, the 19 digits of an `i64` and the line end
/// take 22 bytes. More than this is no number.
const HEADER_BYTES_MAX: usize = 64;
