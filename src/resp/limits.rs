//! Limits that both decoders share.

/// Largest bulk string that is accepted unless a decoder is told otherwise: 64 MiB, the
/// largest value that the design allows.
pub const BULK_BYTES_MAX_DEFAULT: usize = 64 * 1024 * 1024;

/// Longest header line (`*3`, `$11`): a sign, the 19 digits of an `i64` and the line end
/// take 22 bytes. More than this is no number.
pub(super) const HEADER_BYTES_MAX: usize = 64;
