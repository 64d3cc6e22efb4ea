//! The engine on disk.
/// The engine on disk.
#[derive(Debug)]
pub struct Fjall;
