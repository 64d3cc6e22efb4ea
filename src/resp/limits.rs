//! Limits that both decoders share.

/// Largest bulk string that is accepted unless a decoder is told otherwise: the largest value,
/// of 64 MiB, with what is around it in the payload of a `DUMP` or a piece of a backup. What is
/// shorter than this and longer than a value may be is refused without the connection's end.
pub const BULK_BYTES_MAX_DEFAULT: usize = 72 * 1024 * 1024;

/// Longest header line (`*3`, `$11`): a sign, the 19 digits of an `i64` and the line end
/// take 22 bytes. More than this is no number.
pub(super) const HEADER_BYTES_MAX: usize = 64;
