//! `netdb backup`, `netdb restore` and `netdb verify`: a cluster's data in a file.
//!
//! Nodes send and take pieces (`NETDB BACKUP`, `NETDB RESTORE`), each of the partitions that it
//! serves; the file holds those of all partitions in frames ([`netdb::backup`]). Both ways everything is checked: what is written can be read,
//! and nothing of a file is sent before all of it has been read and found whole.

mod backup;
mod nodes;
pub mod progress;
mod restore;
mod source;
pub mod steps;
mod target;
pub mod text;
mod verify;

#[cfg(test)]
mod tests;

pub use backup::backup;
pub use restore::restore;
pub use verify::verify;
