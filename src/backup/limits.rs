//! What a file may hold, by its format.

/// The format that is written and read.
pub(super) const VERSION: u16 = 1;

/// Longest frame: what a client may send and get at once. A piece holds some 256 KiB of rows, or
/// one row. One that is longer has several values, and a node soon rewrites it to one.
pub const FRAME_BYTES_MAX: usize = 72 * 1024 * 1024;

/// Longest name in a header.
pub const TEXT_BYTES_MAX: usize = 1024;
