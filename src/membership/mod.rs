//! The `membership` room.
