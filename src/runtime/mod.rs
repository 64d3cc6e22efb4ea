//! Everything that waits.

mod handle;

pub use handle::{Handle, MemberView, ScanPage, Status, Submitted};

// Stands in for the runtime until it is there.

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no runtime yet.
    #[error("there is no runtime yet")]
    Missing,
}

impl StartError {
    /// Whether the operator asked for something that cannot be, as opposed to something
    /// that broke.
    pub fn is_usage(&self) -> bool {
        false
    }
}

impl Handle {
    /// Resolves when the node has joined, or is alone because no seed answered.
    pub async fn ready(&self) {}
}

/// Starts a node.
///
/// # Errors
/// See [`StartError`].
pub async fn start(_config: crate::config::Config) -> Result<Handle, StartError> {
    Err(StartError::Missing)
}
