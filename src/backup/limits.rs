//! What a file may hold, by its format.

/// The format that is written and read.
pub(super) const VERSION: u16 = 1;

/// Longest frame. A piece holds some 256 KiB of rows, or one row: up to ten concurrent values
/// of the largest size, and a node soon rewrites a row that has more than one.
pub const FRAME_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Longest name in a header.
pub const TEXT_BYTES_MAX: usize = 1024;
