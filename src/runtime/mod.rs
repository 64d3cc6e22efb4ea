//! Everything that waits.

mod handle;

pub use handle::{Handle, MemberView, ScanPage, Status, Submitted};
