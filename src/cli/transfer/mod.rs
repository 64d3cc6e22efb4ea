//! `netdb backup`, `netdb restore` and `netdb verify`: a node's data in a file.
//!
//! The node sends and takes pieces (`NETDB BACKUP`, `NETDB RESTORE`), the file holds them in
//! frames ([`netdb::backup`]). Both ways everything is checked: what is written can be read,
//! and nothing of a file is sent before all of it has been read and found whole.

mod backup;
mod progress;
mod restore;
mod source;
mod steps;
mod target;
pub mod text;
mod verify;

#[cfg(test)]
mod tests;

pub use backup::backup;
pub use restore::restore;
pub use verify::verify;
