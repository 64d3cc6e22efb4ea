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
mod limits;
mod number;
mod reply;
mod request;
mod value;

#[cfg(test)]
pub(crate) mod tests;

pub use encode::{
    encode, encode_array_header, encode_bulk, encode_error, encode_integer, encode_null,
    encode_null_array, encode_request, encode_simple,
};
pub use inline::{UnbalancedQuotes, split_args};
pub use limits::BULK_BYTES_MAX_DEFAULT;
pub use number::parse_i64;
pub use reply::{NESTING_MAX, ReplyDecoder, ReplyError, ReplyLimits};
pub use request::{
    ARG_OVERHEAD_BYTES, ARGS_MAX, Decoded, INLINE_BYTES_MAX, ProtocolError,
    REQUEST_BYTES_MAX_DEFAULT, RequestDecoder, RequestLimits, SHARED_ARG_BYTES_MIN,
};
pub use value::{Protocol, Value};
